//! A new certificate for a unit that has one: the same unit on the same line, with another key and the next epoch.
//!
//! What it shows for it is the certificate that it has now. That this is still the current one is looked at again in the
//! ledger's writer: of two requests that show the same certificate, one wins.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use ledger::{Decision, Stamp, View};
use thiserror::Error;
use tracing::info;
use web::Problem;

use crate::{
    EdgeEvent,
    certificate::{Profile, Signed},
    csr::Csr,
    event::{KeyOrigin, LostUnit, UnitIssued},
    fence::{FENCE, Fence},
    fingerprint::sha256,
    http::{Shared, refused, unavailable, units::issued, unreadable},
    index::{self, Unit},
    profile::DEFAULT,
};

/// Why a unit gets no new certificate.
#[derive(Debug, Clone, PartialEq, Error)]
enum Refusal {
    #[error("{}", .0.words())]
    Fenced(Fence),
    #[error("this unit has a newer certificate; ask with that one")]
    Superseded,
    #[error("this key already belongs to {0}; make a fresh one")]
    KeyInUse(RegistrationId),
    #[error(
        "a later certificate of this unit was issued before this box was restored from a backup that lacks it \
         (SHA-256 {0}); it gets a new one by rework"
    )]
    Lost(String),
}

/// What a request comes to.
enum Judgement {
    New,
    /// Asked at the same time, and answered then.
    Again(Box<Unit>),
}

/// Issues `unit`, as it was read, a certificate for the key of `csr`; returns its DER.
pub(crate) async fn reissue(floor: &Shared, unit: &Unit, csr: Csr) -> Result<Vec<u8>, Problem> {
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    let (_, before) = issued(floor, unit)?;
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by;
    let moment = floor.clock.moment()?;
    let at = moment.at;
    // Held until the certificate is on disk or refused.
    let _slot = floor.signing.take()?;
    let issuing = floor.issuing.current();
    let profile = Profile::find(&issuing.issuer, before.profile.as_deref().unwrap_or(DEFAULT))?;
    profile.takes(csr.kind)?;
    let Signed { leaf, issuer_sha256 } = profile.sign(&this_box, &unit.id, &csr.spki, moment)?;
    let der = leaf.der;
    let event = UnitIssued {
        epoch: unit.epoch + 1,
        key_sha256: sha256(&csr.spki),
        key_origin: KeyOrigin::Csr,
        serial: leaf.serial,
        sha256: sha256(&der).to_uppercase(),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        certificate: STANDARD.encode(&der),
        issuer_sha256,
        clock_unsafe: !moment.believed,
        idempotency: None,
        issued_by: this_box,
        // Line, station, attributes, label and whose it is stay.
        ..before
    };
    let (id, epoch) = (event.id.clone(), event.epoch);
    let shown = unit.sha256.clone();
    let decide = move |view: &View<'_>| match judge(view, &shown, &event)? {
        Judgement::New => Ok(Decision { events: vec![EdgeEvent::UnitIssued(Box::new(event))], answer: None }),
        Judgement::Again(unit) => Ok(Decision { events: vec![], answer: Some(unit) }),
    };
    let actor = format!("unit:{id}");
    let committed = floor.ledger.commit(Stamp { at, actor }, decide).await;
    let committed = committed.map_err(|error| refused(error, problem))?;
    match committed.answer {
        Some(unit) => certificate_of(floor, &unit),
        None => {
            info!(%id, epoch, "issued again, for another key");
            Ok(der)
        }
    }
}

/// The certificate that a unit has, DER.
pub(crate) fn certificate_of(floor: &Shared, unit: &Unit) -> Result<Vec<u8>, Problem> {
    let (_, issued) = issued(floor, unit)?;
    STANDARD.decode(&issued.certificate).map_err(|_| Problem::internal())
}

fn judge(view: &View<'_>, shown: &str, wanted: &UnitIssued) -> Result<Judgement, Refusal> {
    if let Some(fence) = view.get::<Fence>(FENCE) {
        return Err(Refusal::Fenced(fence));
    }
    let Some(unit) = view.get::<Unit>(&index::unit(&wanted.id)) else { return Err(Refusal::Superseded) };
    if unit.key_sha256 == wanted.key_sha256 {
        return Ok(Judgement::Again(Box::new(unit)));
    }
    if unit.sha256 != shown {
        return Err(Refusal::Superseded);
    }
    if let Some(lost) = view.get::<LostUnit>(&index::lost(&wanted.id)) {
        return Err(Refusal::Lost(lost.sha256));
    }
    // Also one that it had itself in an earlier pass: what was replaced does not come back.
    match view.get::<RegistrationId>(&index::key(&wanted.key_sha256)) {
        Some(owner) => Err(Refusal::KeyInUse(owner)),
        None => Ok(Judgement::New),
    }
}

fn problem(why: Refusal) -> Problem {
    let detail = why.to_string();
    match why {
        Refusal::Fenced(fence) => fence.problem(),
        Refusal::Superseded => superseded(),
        Refusal::KeyInUse(_) => Problem::new(StatusCode::CONFLICT, "key-in-use", detail),
        Refusal::Lost(_) => Problem::new(StatusCode::CONFLICT, "unit-lost", detail),
    }
}

/// Told to who shows a certificate that was replaced.
pub(crate) fn superseded() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "certificate-superseded", Refusal::Superseded.to_string())
}
