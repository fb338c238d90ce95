//! What goes on a list, which number it has, and when it is due.

use std::time::Duration;

use ledger::{Ledger, ReadError};
use time::OffsetDateTime;

use super::{REVOKED, Reason, Revoked};
use crate::{EdgeEvent, config::CrlConfig, pki::Entry};

/// As many certificates as a list holds at most: some 5 MB. A list that leaves some out would be a lie, so a longer one is
/// not made.
pub(super) const LONGEST: usize = 100_000;
/// How many records are read at once.
const PAGE: usize = 4096;

impl CrlConfig {
    /// How long a list of this age can wait for its successor.
    pub(super) fn due(self, age: Duration, changed: bool) -> Duration {
        let after = if changed { self.apart } else { self.valid / 2 };
        after.saturating_sub(age)
    }
}

/// The number of the list after `last`.
pub(super) fn next(generation: u8, last: Option<u64>) -> u64 {
    (u64::from(generation) << 40).max(last.map_or(0, |last| last + 1))
}

/// What goes on a list of the CA `issuer_sha256`; `None` where that is more than `longest`.
///
/// A certificate leaves the list when it ended before `since`: one full term after its end, so that it was on a list that
/// was made after it (RFC 5280 3.3).
pub(super) fn entries(
    ledger: &Ledger<EdgeEvent>,
    issuer_sha256: &str,
    since: OffsetDateTime,
    longest: usize,
) -> Result<Option<Vec<Entry>>, ReadError> {
    let (mut found, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = ledger.scan::<Revoked>(REVOKED, after.as_deref(), PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(Some(found)) };
        after = Some(last.clone());
        let listed = page.into_iter().map(|(_, revoked)| revoked);
        let listed =
            listed.filter(|revoked| revoked.issuer_sha256 == issuer_sha256 && revoked.not_after >= since);
        found.extend(listed.map(|Revoked { serial, at, reason, .. }| Entry {
            serial,
            at,
            superseded: reason == Reason::Superseded,
        }));
        if found.len() > longest {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_made_anew_at_half_of_its_life_and_on_change_but_not_at_once() {
        let policy = CrlConfig { valid: Duration::from_secs(7 * 86_400), apart: Duration::from_secs(60) };
        let due = |changed, seconds| policy.due(Duration::from_secs(seconds), changed);
        assert_eq!(due(false, 0), Duration::from_secs(302_400));
        assert_eq!(due(false, 302_400), Duration::ZERO);
        assert_eq!(due(true, 0), Duration::from_secs(60));
        assert_eq!(due(true, 59), Duration::from_secs(1));
        assert_eq!(due(true, 60), Duration::ZERO);
    }

    #[test]
    fn numbers_only_rise_also_over_a_restore() {
        let first = next(1, None);
        assert_eq!(next(1, Some(first)), first + 1);
        // A backup that lacks a hundred lists: the later generation is above all of them.
        assert!(next(2, Some(first)) > first + 100);
        assert_eq!(next(2, Some(next(2, None))), next(2, None) + 1);
    }
}
