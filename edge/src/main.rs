//! The appliance on the factory floor.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Threads that hand memory to each other keep glibc's allocator busy, and a daemon that runs for years in pieces.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    edge::cli::main().await
}
