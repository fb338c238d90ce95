//! The courier: what waits for the cloud leaves the box in a numbered bundle, and a receipt brings back what became of
//! it.
//!
//! Who the courier is, is kept under `courier` as a [`CourierRecord`], every bundle under `bundle/{number}` as a
//! [`BundleRecord`]. A bundle takes nothing away: its jobs wait as before, for its receipt, a later one, or the worker,
//! whoever is first.

mod out;
mod take;

pub(crate) use self::{
    out::{Out, out},
    take::{Taken, take},
};

use cloud_sync::courier::{Broken, Stub, is_fingerprint};
use http::StatusCode;
use ledger::{Changes, Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use tracing::info;
use web::Problem;

use crate::{
    EdgeEvent,
    fence::Fence,
    http::{Shared, refused},
    index::BoxRecord,
};

/// From now on receipts are taken from this courier, and from no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CourierTrusted {
    /// The fingerprint of its key.
    pub key: String,
}

/// A bundle was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleMade {
    /// Its number; given once.
    pub number: u64,
    /// The generation of the box.
    pub generation: u8,
    /// Tells two restores of one backup apart.
    pub instance: String,
    /// The fingerprint of the courier's key.
    pub courier: String,
    /// How many jobs are in it.
    pub jobs: usize,
}

/// A receipt was taken in; what became of the units stands in the journal before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptTaken {
    /// The number of its bundle.
    pub number: u64,
    /// SHA-256 of the receipt, hex.
    pub sha256: String,
    /// The host of the DPS that was asked.
    pub dps: String,
    /// When the last of it was done there, as the courier says.
    #[serde(with = "time::serde::rfc3339")]
    pub done_at: OffsetDateTime,
    /// How many jobs the cloud has accepted.
    pub accepted: usize,
    /// How many need a person.
    pub held: usize,
}

/// Who the courier is, and how far the numbers are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CourierRecord {
    /// The fingerprint of its key.
    key: String,
    /// The number of the last bundle; 0 before the first.
    made: u64,
    /// The highest number of which a receipt was taken in; 0 before the first.
    taken: u64,
}

/// A bundle in the index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BundleRecord {
    generation: u8,
    instance: String,
    jobs: usize,
    /// SHA-256 of the receipt that was taken in last, hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    taken: Option<String>,
}

/// Who the courier is.
const COURIER: &[u8] = b"courier";

fn key(number: u64) -> Vec<u8> {
    format!("bundle/{number:016x}").into_bytes()
}

/// Applies that a courier is trusted.
pub(crate) fn trusted(changes: &mut Changes<'_>, trusted: &CourierTrusted) {
    let before: CourierRecord = changes.get(COURIER).unwrap_or_default();
    changes.put(COURIER, &CourierRecord { key: trusted.key.clone(), ..before });
}

/// Applies that a bundle was made.
pub(crate) fn made(changes: &mut Changes<'_>, made: &BundleMade) {
    let before: CourierRecord = changes.get(COURIER).unwrap_or_default();
    changes.put(COURIER, &CourierRecord { made: made.number, ..before });
    let BundleMade { generation, instance, jobs, .. } = made.clone();
    changes.put(&key(made.number), &BundleRecord { generation, instance, jobs, taken: None });
}

/// Applies that a receipt was taken in.
pub(crate) fn taken(changes: &mut Changes<'_>, taken: &ReceiptTaken) {
    let before: CourierRecord = changes.get(COURIER).unwrap_or_default();
    changes.put(COURIER, &CourierRecord { taken: taken.number.max(before.taken), ..before });
    if let Some(bundle) = changes.get::<BundleRecord>(&key(taken.number)) {
        changes.put(&key(taken.number), &BundleRecord { taken: Some(taken.sha256.clone()), ..bundle });
    }
}

/// Has receipts taken from the courier with this key.
pub(crate) async fn trust(floor: &Shared, actor: String, trusted: CourierTrusted) -> Result<(), Problem> {
    if !is_fingerprint(&trusted.key) {
        let detail = "a courier's fingerprint has 64 hexadecimal digits; there, run: courier key FILE";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "courier-key-invalid", detail));
    }
    let wanted = trusted.clone();
    let decide = move |view: &View<'_>| {
        let known = view.get::<CourierRecord>(COURIER).is_some_and(|known| known.key == wanted.key);
        let events = if known { vec![] } else { vec![EdgeEvent::CourierTrusted(wanted)] };
        Ok::<_, Refusal>(Decision { events, answer: () })
    };
    let stamp = Stamp { at: floor.clock.latest(), actor: actor.clone() };
    floor.ledger.commit(stamp, decide).await.map_err(|error| refused(error, Refusal::problem))?;
    info!(key = trusted.key, actor, "a courier is trusted");
    Ok(())
}

/// The first and the last of the bundles before `number` of which no receipt came, though one of all before them did.
fn missing(courier: &CourierRecord, number: u64) -> Option<[u64; 2]> {
    (courier.taken + 1 < number).then(|| [courier.taken + 1, number - 1])
}

/// Why no bundle is made, or a receipt not taken. Each says what to do.
#[derive(Debug, Clone, PartialEq, Error)]
enum Refusal {
    #[error(
        "no courier is trusted yet; where it will run: courier key FILE, then here: edge courier trust FINGERPRINT"
    )]
    Untrusted,
    #[error("{0}; nothing was changed")]
    Broken(Broken),
    #[error("the receipt is of a bundle of box {0}, not of this one; bring it there")]
    Foreign(String),
    #[error(
        "the receipt is of a bundle that this box made before it was restored, as generation {0}; it is generation {1} \
         now. Make another bundle: edge courier out. What was told is not told twice"
    )]
    Generation(u8, u8),
    #[error("this box has made no bundle {0}; was it restored? Make another one: edge courier out")]
    Unknown(u64),
    #[error(
        "the receipt of bundle {0} comes after that of bundle {1}, which had all that still waited; there is nothing to \
         do"
    )]
    Superseded(u64, u64),
    #[error("{}", .0.words())]
    Fenced(Fence),
}

impl Refusal {
    fn problem(self) -> Problem {
        if let Self::Fenced(fence) = &self {
            return fence.problem();
        }
        let status = match self {
            Self::Broken(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        Problem::new(status, self.code(), self.to_string())
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Untrusted => "courier-unknown",
            Self::Broken(Broken::Tampered { .. }) => "receipt-tampered",
            Self::Broken(Broken::Stranger { .. }) => "receipt-stranger",
            Self::Broken(Broken::Version { .. }) => "receipt-version",
            Self::Broken(_) => "receipt-unreadable",
            Self::Foreign(_) => "receipt-foreign",
            Self::Generation(..) => "receipt-generation",
            Self::Unknown(_) => "receipt-unknown",
            Self::Superseded(..) => "receipt-superseded",
            Self::Fenced(Fence::Reconcile { .. }) => "reconcile-required",
            Self::Fenced(Fence::Superseded { .. }) => "superseded",
        }
    }
}

/// Whether the receipt with this stub and digest is taken; `false` where it was, so that there is nothing to do.
fn admit(
    this_box: &BoxRecord,
    courier: &CourierRecord,
    bundle: Option<&BundleRecord>,
    stub: &Stub,
    sha256: &str,
) -> Result<bool, Refusal> {
    let Stub { box_id, generation, instance, number, .. } = stub;
    let own = &this_box.issued_by;
    if *box_id != own.box_id {
        return Err(Refusal::Foreign(box_id.clone()));
    }
    if (*generation, instance) != (own.generation, &this_box.instance) {
        return Err(Refusal::Generation(*generation, own.generation));
    }
    let bundle = bundle.ok_or(Refusal::Unknown(*number))?;
    if (bundle.generation, &bundle.instance) != (*generation, instance) {
        return Err(Refusal::Unknown(*number));
    }
    if bundle.taken.as_deref() == Some(sha256) {
        return Ok(false);
    }
    if *number < courier.taken {
        return Err(Refusal::Superseded(*number, courier.taken));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use cloud_sync::{
        courier::{Letter, Receipt},
        fence::Identity,
    };
    use time::macros::datetime;

    use super::*;
    use crate::event::IssuedBy;

    fn this_box(generation: u8, instance: &str) -> BoxRecord {
        let issued_by = IssuedBy { box_id: "abc".into(), generation };
        BoxRecord { issued_by, instance: instance.into() }
    }

    fn bundle(generation: u8, instance: &str, taken: Option<&str>) -> BundleRecord {
        BundleRecord { generation, instance: instance.into(), jobs: 1, taken: taken.map(str::to_owned) }
    }

    /// Shows receipt `one` of bundle 3 of `(box, generation, instance)` to a box that has taken up to `taken`.
    fn check(
        of: (&str, u8, &str),
        this_box: &BoxRecord,
        bundle: Option<BundleRecord>,
        taken: u64,
        expected: Result<bool, &str>,
    ) {
        let (box_id, generation, instance) = (of.0.to_owned(), of.1, of.2.to_owned());
        let identity = Identity { box_id, generation, instance, certificate: Vec::new() };
        let at = datetime!(2026-11-28 12:00 UTC);
        let letter = Letter::new(identity, 3, "key".into(), 1, at);
        let courier = CourierRecord { key: "key".into(), made: 5, taken };
        let stub = Receipt::new(&letter, Vec::new(), "dps", at).stub;
        let found = admit(this_box, &courier, bundle.as_ref(), &stub, "one");
        assert_eq!(found.map_err(|why| why.code()), expected, "{of:?} {bundle:?} {taken}");
    }

    #[test]
    fn a_receipt_is_taken_once_and_not_after_that_of_a_later_bundle() {
        let own = ("abc", 1, "");
        let check = |made: Option<&str>, taken, expected| {
            check(own, &this_box(1, ""), Some(bundle(1, "", made)), taken, expected);
        };
        check(None, 0, Ok(true));
        check(None, 2, Ok(true));
        check(Some("one"), 3, Ok(false));
        check(Some("another"), 3, Ok(true));
        check(None, 4, Err("receipt-superseded"));
        check(Some("another"), 4, Err("receipt-superseded"));
        check(Some("one"), 4, Ok(false));
    }

    #[test]
    fn a_receipt_is_of_this_box_as_it_is_now_and_of_a_bundle_that_it_made() {
        let second = this_box(2, "i");
        let made = || Some(bundle(2, "i", None));
        check(("abc", 2, "i"), &second, made(), 0, Ok(true));
        check(("abd", 2, "i"), &second, made(), 0, Err("receipt-foreign"));
        check(("abc", 1, ""), &second, Some(bundle(1, "", None)), 0, Err("receipt-generation"));
        check(("abc", 2, "j"), &second, made(), 0, Err("receipt-generation"));
        check(("abc", 2, "i"), &second, None, 0, Err("receipt-unknown"));
        check(("abc", 2, "i"), &second, Some(bundle(1, "", None)), 0, Err("receipt-unknown"));
    }

    #[test]
    fn the_bundles_that_have_not_come_back_are_counted_from_the_last_that_has() {
        let courier = |taken| CourierRecord { key: "key".into(), made: 9, taken };
        assert_eq!(missing(&courier(0), 1), None);
        assert_eq!(missing(&courier(0), 3), Some([1, 2]));
        assert_eq!(missing(&courier(4), 6), Some([5, 5]));
        assert_eq!(missing(&courier(6), 6), None);
    }
}
