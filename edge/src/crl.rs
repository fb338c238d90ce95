//! Which certificates are revoked, and the list that says so (RFC 5280 5), signed by the issuing CA.
//!
//! | key | value |
//! | --- | --- |
//! | `revoked/{serial}` | [`Revoked`] |
//! | `revocations` | a counter: whether the list has changed |
//! | `crl` | [`CrlIssued`]: the last list that was signed |
//!
//! The list is kept in memory and made anew at every start, on change, and at half of its life. Its number is written
//! down before it is shown, so it only ever rises, also over a restart and a restore; and every use of the CA's key is in
//! the journal.

use std::{sync::Arc, time::Duration};

use ledger::{Applied, Changes, Decision, Ledger, ReadError, Stamp, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{
    EdgeEvent, fence,
    http::{Shared, now},
    issuance::sha256,
    life::Retired,
    pki::{Entry, List},
};

/// As many certificates as a list holds at most: some 5 MB. A list that leaves some out would be a lie, so a longer one is
/// not made.
const LONGEST: usize = 100_000;
/// How many records are read at once.
const PAGE: usize = 4096;
/// How long to wait before looking at changes again; a burst of them is one list.
const PACE: Duration = Duration::from_millis(100);
/// The longest sleep: the clock on the wall may be set meanwhile.
const NAP: Duration = Duration::from_secs(600);
/// How long to wait when a list could not be made.
const RETRY: Duration = Duration::from_secs(10);

/// Why a certificate is revoked (RFC 5280 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The unit has another one.
    Superseded,
    /// The unit is no more.
    CessationOfOperation,
}

/// A certificate that must not be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) serial: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) reason: Reason,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) not_after: OffsetDateTime,
    pub(crate) issuer_sha256: String,
}

/// A list was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrlIssued {
    /// Its number: the generation of the box above 40 bits of a counter.
    pub number: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub this_update: OffsetDateTime,
    /// When the next one is made at the latest.
    #[serde(with = "time::serde::rfc3339")]
    pub next_update: OffsetDateTime,
    /// How many certificates it holds.
    pub entries: usize,
    /// SHA-256 of its DER, hex.
    pub sha256: String,
    /// SHA-256 of the issuing CA's certificate, hex.
    pub issuer_sha256: String,
}

const REVOKED: &[u8] = b"revoked/";
const REVOCATIONS: &[u8] = b"revocations";
const LAST: &[u8] = b"crl";

/// Applies that a certificate is revoked; one that was before stays as it is.
pub(crate) fn revoke(changes: &mut Changes<'_>, at: &Applied<'_>, retired: &Retired, reason: Reason) {
    let key = format!("revoked/{}", retired.serial).into_bytes();
    if changes.get::<Revoked>(&key).is_none() {
        let (serial, issuer_sha256) = (retired.serial.clone(), retired.issuer_sha256.clone());
        let revoked = Revoked { serial, at: at.at, reason, not_after: retired.not_after, issuer_sha256 };
        changes.put(&key, &revoked);
    }
    // Not a count of certificates: it changes with every frame that may have revoked one.
    changes.put(REVOCATIONS, &at.seq);
}

/// Applies that a list was signed.
pub(crate) fn issued(changes: &mut Changes<'_>, list: &CrlIssued) {
    changes.put(LAST, list);
}

/// When lists are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// How long one is good for.
    pub(crate) valid: Duration,
    /// How much time is between two at least.
    pub(crate) apart: Duration,
}

impl Policy {
    /// How long the list that was made at `made` can wait for its successor.
    fn due(self, made: OffsetDateTime, changed: bool, now: OffsetDateTime) -> Duration {
        let after = if changed { self.apart } else { self.valid / 2 };
        // A clock that was set back makes no list older; the longest wait is then one full term.
        let age = (now - made).max(time::Duration::ZERO);
        after.saturating_sub(age.unsigned_abs())
    }
}

/// The list as it can be shown.
#[derive(Debug, Clone, Default)]
pub(crate) enum Shown {
    /// None was made yet.
    #[default]
    Nothing,
    /// This one.
    List {
        /// DER.
        der: Arc<[u8]>,
        /// When it is good no more.
        until: OffsetDateTime,
    },
    /// There are more revoked certificates than a list holds.
    TooLong,
}

/// Makes the list whenever one is due.
pub(crate) struct Crls {
    floor: Shared,
    policy: Policy,
    shown: watch::Sender<Shown>,
    /// The revocations that the list includes, and when it was made.
    made: Option<(u64, OffsetDateTime)>,
}

impl Crls {
    /// Shows its lists through `shown`.
    pub(crate) fn new(floor: Shared, policy: Policy, shown: watch::Sender<Shown>) -> Self {
        Self { floor, policy, shown, made: None }
    }

    /// Works until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut changed = self.floor.ledger.changed();
        loop {
            changed.borrow_and_update();
            let rest = match cancel.run_until_cancelled(self.step()).await {
                Some(Ok(rest)) => rest.min(NAP),
                Some(Err(why)) => {
                    error!(why, "the list of revoked certificates cannot be made; the last one stays");
                    RETRY
                }
                None => return,
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(rest) => {}
                change = changed.changed() => {
                    if change.is_err() || cancel.run_until_cancelled(tokio::time::sleep(PACE)).await.is_none() {
                        return;
                    }
                }
            }
        }
    }

    /// Makes a list if one is due, and says how long nothing is to be done unless something changes.
    async fn step(&mut self) -> Result<Duration, String> {
        let ledger = &self.floor.ledger;
        let read = |error: ReadError| error.to_string();
        // A restored box does not know yet what it has revoked.
        if fence::committed(ledger).map_err(read)?.is_some() {
            self.shown.send_replace(Shown::Nothing);
            self.made = None;
            return Ok(NAP);
        }
        let revocations = ledger.get::<u64>(REVOCATIONS).map_err(read)?.unwrap_or_default();
        let at = now();
        if let Some((included, made)) = self.made {
            let rest = self.policy.due(made, included != revocations, at);
            if !rest.is_zero() {
                return Ok(rest);
            }
        }
        self.make(at).await?;
        self.made = Some((revocations, at));
        Ok(self.policy.due(at, false, at))
    }

    async fn make(&self, at: OffsetDateTime) -> Result<(), String> {
        let ledger = &self.floor.ledger;
        let read = |error: ReadError| error.to_string();
        // Certificates and lists know whole seconds.
        let this_update = at.replace_nanosecond(0).unwrap_or(at);
        let issuer_sha256 = sha256(self.floor.issuer.certificate());
        let Some(entries) =
            entries(ledger, &issuer_sha256, this_update - self.policy.valid, LONGEST).map_err(read)?
        else {
            self.shown.send_replace(Shown::TooLong);
            return Ok(());
        };
        let generation = self.floor.this_box().map_err(read)?.issued_by.generation;
        let last = ledger.get::<CrlIssued>(LAST).map_err(read)?;
        let number = next(generation, last.map(|last| last.number));
        let next_update = this_update + self.policy.valid;
        let list = List { number, this_update, next_update, entries };
        let entries = list.entries.len();
        let der = self.floor.issuer.crl(&list).map_err(|error| error.to_string())?;
        let sha256 = sha256(&der);
        let event = CrlIssued { number, this_update, next_update, entries, sha256, issuer_sha256 };
        let decide = move |view: &View<'_>| match view.get::<CrlIssued>(LAST) {
            Some(last) if last.number >= number => Err("somebody else has signed a list"),
            _ => Ok(Decision { events: vec![EdgeEvent::CrlIssued(event)], answer: () }),
        };
        let stamp = Stamp { at, actor: "edge".to_owned() };
        ledger.commit(stamp, decide).await.map_err(|error| format!("{error:?}"))?;
        self.shown.send_replace(Shown::List { der: der.into(), until: next_update });
        info!(number, entries, "a list of revoked certificates was made");
        Ok(())
    }
}

/// The number of the list after `last`.
fn next(generation: u8, last: Option<u64>) -> u64 {
    (u64::from(generation) << 40).max(last.map_or(0, |last| last + 1))
}

/// What goes on a list of the CA `issuer_sha256`; `None` where that is more than `longest`.
///
/// A certificate leaves the list when it ended before `since`: one full term after its end, so that it was on a list that
/// was made after it (RFC 5280 3.3).
fn entries(
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
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-28 12:00 UTC);

    #[test]
    fn a_list_is_made_anew_at_half_of_its_life_and_on_change_but_not_at_once() {
        let policy = Policy { valid: Duration::from_secs(7 * 86_400), apart: Duration::from_secs(60) };
        let due = |changed, seconds| policy.due(NOON, changed, NOON + time::Duration::seconds(seconds));
        assert_eq!(due(false, 0), Duration::from_secs(302_400));
        assert_eq!(due(false, 302_400), Duration::ZERO);
        assert_eq!(due(true, 0), Duration::from_secs(60));
        assert_eq!(due(true, 59), Duration::from_secs(1));
        assert_eq!(due(true, 60), Duration::ZERO);
        assert_eq!(due(true, -3600), Duration::from_secs(60), "a clock that was set back holds nothing up");
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
