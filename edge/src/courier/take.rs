//! Taking a receipt: what the courier brings back is written down as the worker would have, as far as it still fits.

use cloud_sync::{
    CloudEvent,
    clerk::fitting,
    courier::{Receipt, Stub},
};
use ledger::{CommitError, Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use tracing::info;
use web::Problem;

use super::{BundleRecord, COURIER, CourierRecord, ReceiptTaken, Refusal, admit, key, missing};
use crate::{
    EdgeEvent, fence,
    fingerprint::sha256,
    http::{Shared, refused, unreadable},
    index::{self, BoxRecord},
};

/// As many outcomes go into one commit.
const PER_COMMIT: usize = 500;

/// What came of a receipt.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) number: u64,
    pub(crate) dps: String,
    /// How many jobs the bundle had.
    pub(crate) jobs: usize,
    pub(crate) accepted: usize,
    pub(crate) held: usize,
    /// How many units stand elsewhere than before.
    pub(crate) changed: usize,
    /// It, or one that says the same, was taken in before.
    pub(crate) repeated: bool,
    /// The bundles before it of which no receipt has come: the first and the last.
    pub(crate) missing: Option<[u64; 2]>,
}

/// Takes in the receipt `text`. Doing it again changes nothing.
pub(crate) async fn take(floor: &Shared, actor: String, text: String) -> Result<Taken, Problem> {
    let courier: Option<CourierRecord> = floor.ledger.get(COURIER).map_err(|error| unreadable(&error))?;
    let courier = courier.ok_or_else(|| Refusal::Untrusted.problem())?;
    let Receipt { stub, outcomes } =
        Receipt::open(&text, &courier.key).map_err(|why| Refusal::Broken(why).problem())?;
    let sha256 = sha256(text.as_bytes());
    let (at, mut changed) = (floor.clock.latest(), 0);
    let stamp = Stamp { at, actor: actor.clone() };
    let count = |wanted: fn(&CloudEvent) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let accepted = count(|outcome| matches!(outcome, CloudEvent::Accepted { .. }));
    let held = count(|outcome| matches!(outcome, CloudEvent::Held { .. }));
    let superseded: Vec<_> =
        outcomes.iter().filter(|outcome| matches!(outcome, CloudEvent::Superseded { .. })).cloned().collect();
    let told: Vec<_> =
        outcomes.into_iter().filter(|outcome| !matches!(outcome, CloudEvent::Superseded { .. })).collect();
    for outcomes in told.chunks(PER_COMMIT).map(<[_]>::to_vec) {
        let (stub, sha256) = (stub.clone(), sha256.clone());
        let decide = move |view: &View<'_>| {
            let (admitted, ..) = look(view, &stub, &sha256)?;
            let fits = if admitted { outcomes } else { vec![] };
            let Decision { events, .. } = fitting(view, fits, at);
            Ok(Decision { answer: events.len(), events })
        };
        changed += floor.ledger.commit(stamp.clone(), decide).await.map_err(problem)?.answer;
    }
    let taken = ReceiptTaken {
        number: stub.number,
        sha256: sha256.clone(),
        dps: stub.dps.clone(),
        done_at: stub.done_at,
        accepted,
        held,
    };
    let wanted = stub.clone();
    let decide = move |view: &View<'_>| {
        let (admitted, courier, bundle) = look(view, &wanted, &sha256)?;
        // Another run of the same bundle has sealed another receipt that says nothing new.
        let repeated = !admitted || (bundle.taken.is_some() && changed == 0 && superseded.is_empty());
        let mut events = Vec::new();
        if !repeated {
            events.push(EdgeEvent::ReceiptTaken(taken));
            events.extend(superseded.into_iter().map(EdgeEvent::Cloud));
        }
        Ok(Decision { events, answer: (repeated, missing(&courier, wanted.number), bundle.jobs) })
    };
    let (repeated, missing, jobs) = floor.ledger.commit(stamp, decide).await.map_err(problem)?.answer;
    info!(number = stub.number, accepted, held, changed, repeated, actor, "receipt taken in");
    let Stub { number, dps, .. } = stub;
    Ok(Taken { number, dps, jobs, accepted, held, changed, repeated, missing })
}

/// Whether a receipt is taken, as things stand now, and what it is about.
fn look(view: &View<'_>, stub: &Stub, sha256: &str) -> Result<(bool, CourierRecord, BundleRecord), Refusal> {
    if let Some(fence) = fence::in_view(view) {
        return Err(Refusal::Fenced(fence));
    }
    let courier: CourierRecord = view.get(COURIER).ok_or(Refusal::Untrusted)?;
    let this_box: BoxRecord = view.get(index::BOX).ok_or(Refusal::Unknown(stub.number))?;
    let bundle: Option<BundleRecord> = view.get(&key(stub.number));
    let admitted = admit(&this_box, &courier, bundle.as_ref(), stub, sha256)?;
    let bundle = bundle.ok_or(Refusal::Unknown(stub.number))?;
    Ok((admitted, courier, bundle))
}

fn problem(error: CommitError<Refusal>) -> Problem {
    refused(error, Refusal::problem)
}
