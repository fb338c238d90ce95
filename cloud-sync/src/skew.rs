//! How far the cloud's clock is from ours: what a person wants to know before setting either.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use time::{OffsetDateTime, format_description::well_known::Rfc2822};

/// No answer has told a time yet.
const UNKNOWN: i64 = i64::MIN;

/// The difference as the last answer of the cloud told it. Clones are the same.
#[derive(Debug, Clone)]
pub struct Skew(Arc<AtomicI64>);

impl Default for Skew {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(UNKNOWN)))
    }
}

impl Skew {
    /// Whole seconds by which the cloud's clock is ahead of ours, as far as the time of an answer allows; `None` before one.
    #[must_use]
    pub fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed)).filter(|seconds| *seconds != UNKNOWN)
    }

    /// Takes note of the `Date` of an answer (RFC 9110 6.6.1) to something that was said at `now`.
    pub(crate) fn note(&self, date: &str, now: OffsetDateTime) {
        if let Ok(date) = OffsetDateTime::parse(date, &Rfc2822) {
            self.0.store((date - now).whole_seconds(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_date_of_an_answer_tells_how_far_the_clocks_are_apart() {
        let (skew, now) = (Skew::default(), datetime!(2026-11-28 04:30:00 UTC));
        assert_eq!(skew.seconds(), None);
        skew.note("Sat, 28 Nov 2026 05:30:07 GMT", now);
        assert_eq!(skew.seconds(), Some(3607));
        skew.note("yesterday", now);
        assert_eq!(skew.seconds(), Some(3607), "what is no date tells nothing");
    }
}
