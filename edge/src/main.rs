//! The appliance on the factory floor.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    edge::cli::main().await
}
