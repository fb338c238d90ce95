//! The way to the cloud. Its troubles are its own, never a unit's: one cause for everything that waits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::cause::Cause;

/// Whether the cloud can be told anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "snake_case")]
pub enum LinkState {
    /// Not tried yet.
    Unknown,
    /// The last answer came from DPS, and it was not a complaint about us.
    Up,
    /// It cannot.
    Down {
        /// What stands in the way.
        cause: Cause,
        /// What was seen, for plant IT.
        detail: String,
    },
}

impl LinkState {
    /// Whether `other` is the same to somebody who looks at a screen: details may differ from try to try.
    #[must_use]
    pub fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Down { cause: a, .. }, Self::Down { cause: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// A cause, counted once however often it was met in this outage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting<T> {
    /// What stands in the way.
    pub cause: Cause,
    /// What was seen last.
    pub detail: String,
    /// How many requests it has met.
    pub tries: u64,
    /// When it was met first.
    pub first: T,
    /// When it was met last.
    pub last: T,
}

/// The link now, as the worker knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How it is.
    pub state: LinkState,
    /// Since when.
    pub since: OffsetDateTime,
    /// When it is tried again, while it is down.
    pub next_try: Option<OffsetDateTime>,
    /// Everything that stood in the way during this outage, or the last.
    pub sightings: Vec<Sighting<OffsetDateTime>>,
    /// How many units a minute are told while it is up.
    pub per_minute: u32,
    /// How far the clock of DPS is ahead of ours, as its last answer says.
    pub skew: Option<time::Duration>,
}

impl Link {
    /// A link that was not tried yet.
    #[must_use]
    pub fn unknown(since: OffsetDateTime) -> Self {
        let state = LinkState::Unknown;
        Self { state, since, next_try: None, sightings: Vec::new(), per_minute: 0, skew: None }
    }

    /// How long `waiting` units take once the link is up; `None` while no pace is known.
    #[must_use]
    pub fn eta(&self, waiting: u64) -> Option<Duration> {
        let seconds = (waiting.saturating_mul(60)).checked_div(self.per_minute.into())?;
        Some(Duration::from_secs(seconds))
    }
}

/// How many changes of the link are written down at once …
const BURST: u32 = 10;
/// … and how often after that: a link that flaps for a month must not fill a disk.
const EVERY: Duration = Duration::from_secs(3600);

/// How often a change of the link may be written down.
#[derive(Debug, Clone)]
pub(crate) struct LinkChanges {
    left: u32,
    /// Until when `left` was counted.
    at: Duration,
}

impl Default for LinkChanges {
    fn default() -> Self {
        Self { left: BURST, at: Duration::ZERO }
    }
}

impl LinkChanges {
    /// Whether another one may be written down now; if so, it is counted.
    pub(crate) fn take(&mut self, now: Duration) -> bool {
        while self.left < BURST && self.at + EVERY <= now {
            (self.left, self.at) = (self.left + 1, self.at + EVERY);
        }
        if self.left == BURST {
            self.at = now;
        }
        let may = self.left > 0;
        self.left -= u32::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_flaps_for_a_month_is_written_down_a_few_hundred_times() {
        let mut changes = LinkChanges::default();
        let seconds = (0..30 * 24 * 3600).step_by(10);
        let written = seconds.filter(|&second| changes.take(Duration::from_secs(second))).count();
        assert!((720..=730).contains(&written), "{written}");
    }

    #[test]
    fn a_change_now_and_then_is_always_written_down() {
        let mut changes = LinkChanges::default();
        assert!((0..100).all(|hour| changes.take(Duration::from_secs(hour * 3600))));
    }

    #[test]
    fn an_estimate_is_made_of_what_waits_and_the_pace() {
        let mut link = Link::unknown(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(link.eta(100), None);
        link.per_minute = 200;
        assert_eq!(link.eta(1000), Some(Duration::from_secs(300)));
    }
}
