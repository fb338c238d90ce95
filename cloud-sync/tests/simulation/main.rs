//! The worker's decisions, the emulator's cloud and the ledger's decisions in one world, without a socket, a disk or a
//! clock: what must hold whatever happens, in whichever order.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::print_stdout, reason = "the figures are for whoever looks")]

mod courier;
mod drain;
mod factory;
mod guard;
mod orders;
mod party;
mod plant;
mod portal;
mod readback;
mod seeds;
mod wire;
mod world;

/// How many of `full` are tried: all of them in an optimised build, as `cargo xtask test` makes one, and a hundredth in
/// any other, where each takes ten times as long.
const fn share(full: u64) -> u64 {
    if cfg!(debug_assertions) { full / 100 } else { full }
}

/// Runs `check` for every number below `count`, on all cores; the first failure ends the test, and names its number.
fn on_all_cores(count: u64, check: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    check(number);
                }
            });
        }
    });
}
