//! Making a bundle of what waits for the cloud.

use cloud_sync::{
    books,
    courier::{Bundle, Job, Letter, fingerprint},
    fence::Identity,
};
use keys::{FileKey, SigningKey};
use ledger::{Decision, ReadError, Reads, Stamp, View};
use serde::{Deserialize, Serialize};
use tracing::{error, info};
use web::Problem;

use super::{BundleMade, COURIER, CourierRecord, Refusal, missing};
use crate::{
    EdgeEvent, StartError,
    credentials::certificate,
    event, fence,
    http::{Shared, refused, unreadable},
    state_dir::StateDir,
};

/// As many jobs go into one bundle: some 40 MB, and two hours at the usual pace of DPS.
const MOST: usize = 20_000;
/// How many waiting units are looked at in one go.
const PAGE: usize = 500;

/// The bundle that was asked for; none where nothing waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Out {
    pub(crate) bundle: Option<Made>,
}

/// A bundle.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) jobs: usize,
    /// How many more wait and have to wait for the next one.
    pub(crate) behind: usize,
    /// The bundles before it of which no receipt has come: the first and the last.
    pub(crate) missing: Option<[u64; 2]>,
    /// The fingerprint of this box's key.
    pub(crate) key: String,
    /// The file.
    pub(crate) text: String,
}

/// Makes a bundle of everything that waits, oldest first. The jobs stay where they are.
pub(crate) async fn out(floor: &Shared, actor: String) -> Result<Out, Problem> {
    let ledger = floor.ledger.clone();
    // It reads the journal.
    let gathered = tokio::task::spawn_blocking(move || gather(&ledger, MOST)).await;
    let jobs = gathered.map_err(|_| Problem::internal())?.map_err(|error| unreadable(&error))?;
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?;
    let (count, made_at) = (jobs.len(), floor.clock.latest());
    let (generation, instance) = (this_box.issued_by.generation, this_box.instance.clone());
    let decide = move |view: &View<'_>| {
        if let Some(fence) = fence::in_view(view) {
            return Err(Refusal::Fenced(fence));
        }
        let courier: CourierRecord = view.get(COURIER).ok_or(Refusal::Untrusted)?;
        if count == 0 {
            return Ok(Decision { events: vec![], answer: None });
        }
        let made = BundleMade {
            number: courier.made + 1,
            generation,
            instance,
            courier: courier.key.clone(),
            jobs: count,
        };
        Ok(Decision { events: vec![EdgeEvent::BundleMade(made)], answer: Some(courier) })
    };
    // The number is on disk before a bundle has it: none is ever given twice.
    let committed = floor.ledger.commit(Stamp { at: made_at, actor: actor.clone() }, decide).await;
    let committed = committed.map_err(|error| refused(error, Refusal::problem))?;
    let Some(courier) = committed.answer else { return Ok(Out { bundle: None }) };
    let number = courier.made + 1;
    let identity = Identity {
        box_id: this_box.issued_by.box_id,
        generation: this_box.issued_by.generation,
        instance: this_box.instance,
        certificate: Vec::new(),
    };
    let state = floor.state.clone();
    let missing = missing(&courier, number);
    let sealed = tokio::task::spawn_blocking(move || {
        let certificate = certificate(&state.certificate("checkpoint"), state.path())?.to_vec();
        let identity = Identity { certificate, ..identity };
        let letter = Letter::new(identity, number, courier.key, count, made_at);
        seal(&state, Bundle { letter, jobs })
    });
    let (key, text) = sealed.await.map_err(|_| Problem::internal())?.map_err(|why| {
        error!(%why, number, "a bundle cannot be sealed; its jobs wait as before");
        Problem::internal()
    })?;
    info!(number, jobs = count, actor, "bundle made");
    let waiting = books::balance(&floor.ledger).map_err(|error| unreadable(&error))?.waiting;
    let behind = usize::try_from(waiting).unwrap_or(0).saturating_sub(count);
    Ok(Out { bundle: Some(Made { number, jobs: count, behind, missing, key, text }) })
}

/// The jobs that wait, oldest first, up to `most`.
fn gather(ledger: &impl Reads<Event = EdgeEvent>, most: usize) -> Result<Vec<Job>, ReadError> {
    let (mut jobs, mut after) = (Vec::new(), None::<Vec<u8>>);
    loop {
        let page = books::waiting(ledger, after.as_deref(), PAGE.min(most - jobs.len()))?;
        let Some((last, _)) = page.last() else { return Ok(jobs) };
        after = Some(last.clone());
        for (_, id) in page {
            // Told in this very moment, it waits no more.
            let Some(record) = books::committed(ledger, &id)? else { continue };
            let job = ledger.entry(&record.wanted).map(|entry| event::work(&entry, &id).and_then(Job::of));
            match job {
                Ok(Some(job)) => jobs.push(job),
                Ok(None) => error!(%id, "a job says nothing to send"),
                Err(why) => error!(%id, %why, "a job cannot be read back from the journal"),
            }
        }
    }
}

/// Seals with the key that signs the journal's checkpoints; returns its fingerprint too.
fn seal(state: &StateDir, bundle: Bundle) -> Result<(String, String), StartError> {
    let key = FileKey::open(&state.key("checkpoint"))?;
    let text = bundle.seal(&key).map_err(|error| StartError::Certificate(error.to_string()))?;
    Ok((fingerprint(key.public_key_der()), text))
}

#[cfg(test)]
mod tests {
    use ledger::Memory;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    /// A unit was issued.
    fn issued(id: &str) -> EdgeEvent {
        let at = "2026-11-28T12:00:00Z";
        serde_json::from_value(json!({ "unit_issued": {
            "id": id, "epoch": 1, "line": "L1", "key_sha256": id, "key_origin": "csr", "serial": "01", "sha256": "AB",
            "not_before": at, "not_after": at, "certificate": "", "issuer_sha256": "00",
            "claim": { "generation": 1, "salt": "00", "sha256": "00" }, "scope": "L1",
            "issued_by": { "box": "abc", "generation": 1 },
        } }))
        .unwrap()
    }

    #[test]
    fn the_oldest_go_first_and_no_more_than_a_bundle_holds() {
        let mut ledger = Memory::<EdgeEvent>::default();
        // The other way round than their names.
        let ids: Vec<_> = (0..PAGE + 3).map(|n| format!("gw-{:04}", 9999 - n)).collect();
        for id in &ids {
            let stamp = Stamp { at: datetime!(2026-11-28 12:00 UTC), actor: "line".into() };
            let event = issued(id);
            ledger.commit(stamp, |_| Ok::<_, ()>(Decision { events: vec![event], answer: () })).unwrap();
        }
        for most in [1, PAGE, PAGE + 2, PAGE + 3, 2 * PAGE] {
            let found = gather(&ledger, most).unwrap();
            let found: Vec<_> = found.iter().map(|job| job.id().to_string()).collect();
            assert_eq!(found, ids[..most.min(ids.len())]);
        }
    }
}
