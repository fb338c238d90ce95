//! The time in the journal.

use ledger::{Applied, Changes, Ledger, ReadError};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use crate::EdgeEvent;

/// Where the highest time is.
const CLOCK: &[u8] = b"clock";
/// By how much a time has to be later than the one on record for it to be written again.
const STEP: Duration = Duration::minutes(10);

/// A person vouches for the time, whatever was on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockAccepted {
    /// Why.
    pub reason: String,
    /// The highest time that was on record.
    #[serde(with = "time::serde::rfc3339")]
    pub before: OffsetDateTime,
    /// The time that is on record now.
    #[serde(with = "time::serde::rfc3339")]
    pub now: OffsetDateTime,
}

/// The highest time that was believed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct ClockRecord {
    #[serde(with = "time::serde::rfc3339")]
    highest: OffsetDateTime,
}

/// Applies that a time was believed.
pub(crate) fn seen(changes: &mut Changes<'_>, at: &Applied<'_>) {
    let known = changes.get::<ClockRecord>(CLOCK);
    if known.is_none_or(|known| at.at - known.highest >= STEP) {
        changes.put(CLOCK, &ClockRecord { highest: at.at });
    }
}

/// Applies that a person vouches for a time.
pub(crate) fn accepted(changes: &mut Changes<'_>, accepted: &ClockAccepted) {
    changes.put(CLOCK, &ClockRecord { highest: accepted.now });
}

/// The highest time on record.
pub(crate) fn highest(ledger: &Ledger<EdgeEvent>) -> Result<OffsetDateTime, ReadError> {
    let known = ledger.get::<ClockRecord>(CLOCK)?;
    Ok(known.map_or(OffsetDateTime::UNIX_EPOCH, |known| known.highest))
}
