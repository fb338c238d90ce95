//! Where the time comes from.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use time::OffsetDateTime;

/// Made by systemd's time service once a time server has set the clock since the machine was booted.
///
/// The kernel knows it too (adjtimex), but may not be asked: our unit forbids every call that could set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// What all clocks say at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The date and time, right or wrong.
    pub wall: OffsetDateTime,
    /// How long this has been running; nobody can set that.
    pub uptime: Duration,
    /// Whether a time server has set the clock since the machine was booted.
    pub synchronised: bool,
}

/// Looks at the clocks. A test brings its own.
pub type Source = Arc<dyn Fn() -> Reading + Send + Sync>;

/// The clocks of this machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "here the time comes in")]
pub fn machine() -> Source {
    let started = Instant::now();
    Arc::new(move || Reading {
        wall: OffsetDateTime::now_utc(),
        uptime: started.elapsed(),
        synchronised: Path::new(SYNCHRONISED).exists(),
    })
}

/// When this program was built.
pub(crate) fn built() -> OffsetDateTime {
    let seconds = env!("EDGE_BUILT").parse().ok();
    seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()).expect("build.rs wrote it")
}
