//! Where the time comes from.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
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

/// How long it is good that the clock was, or was not, synchronised: a look costs a system call, and nothing hangs on it.
const GOOD: Duration = Duration::from_secs(1);

/// Looks at the clocks. A test brings its own.
pub type Source = Arc<dyn Fn() -> Reading + Send + Sync>;

/// The clocks of this machine.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "here the time comes in")]
pub fn machine() -> Source {
    let started = Instant::now();
    let looked = Mutex::new(None::<(Duration, bool)>);
    Arc::new(move || {
        let uptime = started.elapsed();
        let mut looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, synchronised) = match *looked {
            Some(look @ (at, _)) if uptime.saturating_sub(at) < GOOD => look,
            _ => *looked.insert((uptime, Path::new(SYNCHRONISED).exists())),
        };
        Reading { wall: OffsetDateTime::now_utc(), uptime, synchronised }
    })
}

/// When this program was built.
pub(crate) fn built() -> OffsetDateTime {
    let seconds = env!("EDGE_BUILT").parse().ok();
    seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok()).expect("build.rs wrote it")
}
