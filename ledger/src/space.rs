//! Room on the disk: a full disk is a refusal, not a failure.
//!
//! Below the *floor* nothing new is begun; what has been begun goes on.
//! When even that runs out of room, the *ballast*, a file that only takes up space, is let go.
//! When that is used up too, commits are refused before anything is written.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use crate::error::Unavailable;

/// How much room is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpaceOptions {
    /// Free bytes below which nothing new is begun.
    pub floor: u64,
    /// The size of the ballast, in bytes; half of it free is when it is let go.
    pub ballast: u64,
}

impl Default for SpaceOptions {
    fn default() -> Self {
        Self { floor: 256 << 20, ballast: 64 << 20 }
    }
}

/// How long an answer about the room is good for: less is used up in that time than the ballast holds.
pub(crate) const MEASURE: Duration = Duration::from_millis(5);

/// The room around a ledger's folder.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    dir: PathBuf,
    options: SpaceOptions,
}

/// What was found out last about the floor, and when.
#[derive(Debug, Default)]
pub(crate) struct Floor(Mutex<Option<(Instant, Result<(), Unavailable>)>>);

impl Floor {
    /// Whether something new may be begun in `space`; measured again once the last answer is older than [`MEASURE`].
    pub(crate) fn is_kept(&self, space: &Space, now: Instant) -> Result<(), Unavailable> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, found)) if now.saturating_duration_since(*at) < MEASURE => found.clone(),
            _ => last.insert((now, space.above_floor())).1.clone(),
        }
    }
}

impl Space {
    pub(crate) fn new(dir: &Path, options: SpaceOptions) -> Self {
        Self { dir: dir.to_owned(), options }
    }

    /// Whether something new may be begun.
    pub(crate) fn above_floor(&self) -> Result<(), Unavailable> {
        self.at_least(self.options.floor)
    }

    /// Whether there is room for what can wait: more than the ballast is let go for.
    pub(crate) fn is_roomy(&self) -> bool {
        self.at_least(self.options.ballast / 2).is_ok()
    }

    /// Makes sure that what has been begun can be written, if need be by letting the ballast go.
    pub(crate) fn make_room(&self) -> Result<(), Unavailable> {
        if self.is_roomy() {
            return Ok(());
        }
        match fs::remove_file(self.ballast()) {
            Ok(()) => warn!("the disk is full: the ballast is let go, so that what has been begun can end"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(%error, "the ballast cannot be let go"),
        }
        self.at_least(self.options.ballast / 8)
    }

    /// Takes the ballast up again, once there is room for it above the floor.
    pub(crate) fn restock(&self) {
        let Self { options, .. } = self;
        let path = self.ballast();
        if options.ballast == 0
            || path.metadata().is_ok_and(|found| found.len() == options.ballast)
            || self.at_least(options.floor.saturating_add(options.ballast)).is_err()
        {
            return;
        }
        match reserve(&path, options.ballast) {
            Ok(()) => info!(bytes = options.ballast, "ballast taken up"),
            Err(error) => warn!(%error, "no ballast can be taken up"),
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// What cannot be measured is not a shortage: the write itself will tell.
    fn at_least(&self, needed: u64) -> Result<(), Unavailable> {
        match rustix::fs::statvfs(&self.dir) {
            Ok(found) if found.f_bavail.saturating_mul(found.f_frsize) < needed => {
                Err(Unavailable::Full { free: found.f_bavail * found.f_frsize, needed })
            }
            _ => Ok(()),
        }
    }
}

/// Makes a file of `bytes` that are really taken from the disk.
fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let reserved = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    if let Err(error) = reserved {
        // Half a ballast is none.
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn the_ballast_is_taken_up_once_and_let_go_when_room_runs_out() {
        let dir = TempDir::new().unwrap();
        let roomy = Space::new(dir.path(), SpaceOptions { floor: 0, ballast: 1 << 20 });
        roomy.restock();
        let ballast = dir.path().join("ballast");
        assert_eq!(ballast.metadata().unwrap().len(), 1 << 20);
        roomy.make_room().unwrap();
        assert!(ballast.exists(), "there is room without it");
        // As if the disk were nearly full: half of such a ballast is more than any disk has.
        let tight = Space::new(dir.path(), SpaceOptions { floor: u64::MAX, ballast: 1 << 62 });
        assert!(matches!(tight.above_floor(), Err(Unavailable::Full { needed: u64::MAX, .. })));
        assert!(matches!(tight.make_room(), Err(Unavailable::Full { .. })));
        assert!(!ballast.exists());
        tight.restock();
        assert!(!ballast.exists(), "not while there is no room above the floor");
    }

    #[test]
    fn the_floor_is_measured_again_after_a_while() {
        let dir = TempDir::new().unwrap();
        let of = |floor| Space::new(dir.path(), SpaceOptions { floor, ballast: 0 });
        let (last, begin) = (Floor::default(), crate::writer::now().0);
        last.is_kept(&of(0), begin).unwrap();
        last.is_kept(&of(u64::MAX), begin + MEASURE / 2).unwrap();
        last.is_kept(&of(u64::MAX), begin + MEASURE).unwrap_err();
        last.is_kept(&of(0), begin + MEASURE).unwrap_err();
        last.is_kept(&of(0), begin + MEASURE * 2).unwrap();
    }
}
