//! A unit gets a new identity: rework, as a person decides, and rekey, where a station's answer was lost.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::{State, books};
use http::StatusCode;
use ledger::{Decision, Stamp, View};
use tracing::info;
use web::Problem;

use super::{Again, Refusal, Retired, Why};
use crate::{
    EdgeEvent,
    access::Principal,
    csr::Csr,
    event::{LostUnit, UnitIssued},
    fence::{self, Fence},
    http::{Shared, now, refused, unavailable, units::issued, unreadable},
    index::{self, Unit},
    issuance::{Outcome, certify, sha256, unprocessable},
};

/// What somebody asks for, as far as it could be read.
#[derive(Debug)]
pub(crate) struct Renewal {
    pub(crate) why: Why,
    pub(crate) reason: String,
    /// Without one the appliance makes the key.
    pub(crate) csr: Option<Csr>,
    pub(crate) station: Option<String>,
}

/// What is known that bears on it.
#[derive(Debug, Clone)]
struct Known {
    unit: Option<Unit>,
    key_owner: Option<RegistrationId>,
    fence: Option<Fence>,
    standing: Option<State>,
}

impl Known {
    fn in_view(view: &View<'_>, id: &RegistrationId, key_sha256: Option<&str>) -> Self {
        Self {
            unit: view.get(&index::unit(id)),
            key_owner: key_sha256.and_then(|key| view.get(&index::key(key))),
            fence: fence::in_view(view),
            standing: books::standing(view, id).map(|record| record.state),
        }
    }
}

/// What a request comes to.
#[derive(Debug, Clone, PartialEq)]
enum Judgement {
    /// A new pass.
    New,
    /// It was done already: the unit has this key.
    Repeat(Box<Unit>),
    /// No, and why.
    Refused(Refusal),
}

/// The rules. `seen` is the pass that the caller has looked at; a new certificate is made to follow that one.
fn judge(known: Known, id: &RegistrationId, why: Why, key_sha256: Option<&str>, seen: u32) -> Judgement {
    let Known { unit, key_owner, fence, standing } = known;
    let refused = Judgement::Refused;
    let Some(unit) = unit else { return refused(Refusal::Unknown) };
    if unit.scrapped {
        return refused(Refusal::Scrapped);
    }
    if key_sha256 == Some(unit.key_sha256.as_str()) && unit.epoch > 1 {
        return Judgement::Repeat(Box::new(unit));
    }
    match key_owner {
        Some(owner) if owner == *id => return refused(Refusal::KeyUnchanged),
        Some(owner) => return refused(Refusal::KeyInUse(owner)),
        None => {}
    }
    if let Some(fence) = fence {
        return refused(Refusal::Fenced(fence));
    }
    if why == Why::ReplyLost && !matches!(standing, Some(State::Waiting { .. })) {
        return refused(Refusal::TooLate(id.clone()));
    }
    if unit.epoch != seen {
        return refused(Refusal::Overtaken);
    }
    Judgement::New
}

/// Gives the unit `id` a new certificate for a new key, or finds that it has it, or says why not.
pub(crate) async fn reissue(
    floor: &Shared,
    principal: &Principal,
    id: &str,
    renewal: Renewal,
) -> Result<Outcome, Problem> {
    let Renewal { why, reason, csr, station } = renewal;
    let read = |error: ledger::ReadError| unreadable(&error);
    let key_sha256 = csr.as_ref().map(|csr| sha256(&csr.spki));
    // Before the unit: who finds the key taken by this very unit then also finds the pass that took it.
    let key_owner = match &key_sha256 {
        Some(key) => floor.ledger.get(&index::key(key)).map_err(read)?,
        None => None,
    };
    let unit = super::unit(floor, principal, id)?;
    let id = unit.id.clone();
    if let Some(csr) = &csr
        && !csr.fits(&id)
    {
        let name = csr.common_name.as_deref().unwrap_or_default();
        let detail = format!("the csr is for '{name}', the request for '{id}'; make the csr with CN={id}");
        return Err(unprocessable("csr-cn-differs", detail));
    }
    let (_, last) = issued(floor, &unit)?;
    if why == Why::ReplyLost && !is_issuer(principal, &last) {
        let detail = "only the station that issued this unit may say that the reply was lost; a supervisor may rework it";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let known = Known {
        unit: Some(unit.clone()),
        key_owner,
        fence: fence::committed(&floor.ledger).map_err(read)?,
        standing: books::committed(&floor.ledger, &id).map_err(read)?.map(|record| record.state),
    };
    // A repeat or a refusal costs no key and no signature.
    match judge(known, &id, why, key_sha256.as_deref(), unit.epoch) {
        Judgement::New => {}
        Judgement::Repeat(unit) => return Ok(Outcome::Again(unit)),
        Judgement::Refused(why) => return Err(why.problem()),
    }
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    let lost = floor.ledger.get::<LostUnit>(&index::lost(&id)).map_err(read)?;
    let lost = lost.filter(|lost| lost.epoch >= unit.epoch);
    let this_box = floor.this_box().map_err(read)?.issued_by;
    let at = now();
    let certified = certify(floor, &id, csr, this_box.generation, at)?;
    let event = UnitIssued {
        epoch: unit.epoch.max(lost.as_ref().map_or(0, |lost| lost.epoch)) + 1,
        station: station.or_else(|| principal.station.clone()).or_else(|| last.station.clone()),
        key_sha256: certified.key_sha256,
        key_origin: certified.key_origin,
        serial: certified.signed.serial,
        sha256: sha256(&certified.signed.der).to_uppercase(),
        not_before: certified.signed.not_before,
        not_after: certified.signed.not_after,
        certificate: STANDARD.encode(&certified.signed.der),
        issuer_sha256: sha256(floor.issuer.certificate()),
        // The label stays: it changes only with an explicit new one.
        claim: floor.claim.record(&id, unit.claim_generation),
        idempotency: None,
        scope: principal.scope(),
        issued_by: this_box,
        again: Some(Box::new(Again {
            why,
            reason,
            before: Retired::all(&last),
            lost_sha256: lost.map(|lost| lost.sha256),
        })),
        ..last
    };
    let (written, seen) = (event.clone(), unit.epoch);
    // Also a key that the appliance has made must belong to nobody.
    let key = event.key_sha256.clone();
    let decide = move |view: &View<'_>| {
        let known = Known::in_view(view, &event.id, Some(&key));
        match judge(known, &event.id, why, Some(&key), seen) {
            Judgement::New => {
                Ok(Decision { events: vec![EdgeEvent::UnitIssued(Box::new(event))], answer: None })
            }
            Judgement::Repeat(unit) => Ok(Decision { events: vec![], answer: Some(unit) }),
            Judgement::Refused(why) => Err(why),
        }
    };
    let committed = floor.ledger.commit(Stamp { at, actor: principal.actor() }, decide).await;
    let committed = committed.map_err(|error| refused(error, Refusal::problem))?;
    match committed.answer {
        Some(unit) => Ok(Outcome::Again(unit)),
        None => {
            info!(id = %written.id, epoch = written.epoch, ?why, actor = principal.actor(), "issued again");
            Ok(Outcome::Issued { unit: Box::new(written), at, private_key: certified.private_key })
        }
    }
}

/// Whether it was this caller who asked for the pass: the same scope and, where stations are known, the same station.
fn is_issuer(principal: &Principal, last: &UnitIssued) -> bool {
    let station = principal.station.as_ref().is_none_or(|own| last.station.as_ref() == Some(own));
    last.scope == principal.scope() && station
}

#[cfg(test)]
mod tests {
    use cloud_sync::Want;
    use ledger::FrameRef;
    use time::OffsetDateTime;

    use super::*;
    use crate::event::KeyOrigin;

    fn unit(epoch: u32, key: &str, scrapped: bool) -> Unit {
        Unit {
            id: "a".parse().unwrap(),
            epoch,
            line: "L1".into(),
            attributes_sha256: None,
            key_sha256: key.into(),
            key_origin: KeyOrigin::Csr,
            sha256: "AB".into(),
            claim_generation: 1,
            scope: "*".into(),
            order: None,
            scrapped,
            frame: FrameRef { segment: 1, offset: 64, seq: 1 },
        }
    }

    fn known(unit: Option<Unit>) -> Known {
        let standing = Some(State::Waiting { want: Want::Announce, epoch: 1 });
        Known { unit, key_owner: None, fence: None, standing }
    }

    fn check(known: Known, why: Why, key: Option<&str>, seen: u32, expected: &str) {
        let shown = format!("{known:?}");
        let judged = match judge(known, &"a".parse().unwrap(), why, key, seen) {
            Judgement::New => "new".to_owned(),
            Judgement::Repeat(_) => "repeat".to_owned(),
            Judgement::Refused(why) => format!("{why:?}").split('(').next().unwrap_or_default().to_owned(),
        };
        assert_eq!(judged, expected, "{why:?} {key:?} {shown}");
    }

    #[test]
    fn every_row_of_the_table() {
        let owned = |owner: &str| Known {
            key_owner: Some(owner.parse().unwrap()),
            ..known(Some(unit(1, "k1", false)))
        };
        for why in [Why::Rework, Why::ReplyLost] {
            check(known(None), why, None, 1, "Unknown");
            check(known(Some(unit(1, "k1", true))), why, None, 1, "Scrapped");
            check(known(Some(unit(1, "k1", false))), why, Some("k2"), 1, "new");
            check(known(Some(unit(1, "k1", false))), why, None, 1, "new");
            check(owned("a"), why, Some("k1"), 1, "KeyUnchanged");
            check(owned("b"), why, Some("k9"), 1, "KeyInUse");
            let again = Known { key_owner: Some("a".parse().unwrap()), ..known(Some(unit(2, "k2", false))) };
            check(again.clone(), why, Some("k2"), 2, "repeat");
            check(again, why, Some("k1"), 2, "KeyUnchanged");
            check(known(Some(unit(2, "k2", false))), why, Some("k3"), 1, "Overtaken");
            let fence = Some(Fence::Superseded { generation: 2, at: OffsetDateTime::UNIX_EPOCH });
            check(Known { fence, ..known(Some(unit(1, "k1", false))) }, why, None, 1, "Fenced");
        }
        let settled = State::Settled { want: Want::Announce, epoch: 1, at: OffsetDateTime::UNIX_EPOCH };
        for standing in [Some(settled), None] {
            let told = Known { standing, ..known(Some(unit(1, "k1", false))) };
            check(told.clone(), Why::ReplyLost, None, 1, "TooLate");
            check(told, Why::Rework, None, 1, "new");
        }
    }
}
