//! A unit gets a new identity: by rework, as a person decides; by rekey, where a station's answer was lost; by renewal, as
//! the unit itself asks. The same rules for all of them, and the same pass.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::{State, books};
use ledger::{Decision, ReadError, Stamp, View};
use tokio::time::Instant;
use tracing::info;
use web::Problem;

use super::{Again, Refusal, Retired, Why};
use crate::{
    EdgeEvent,
    certificate::{Certified, Profile},
    csr::Csr,
    event::{LostUnit, UnitIssued},
    fence::{self, Fence},
    fingerprint::{sha256, thumbprint},
    http::{Shared, refused, unavailable, unreadable},
    index::{self, Unit},
    issuance::Outcome,
    profile::DEFAULT,
};

/// A further pass that somebody wants, and who may want it.
#[derive(Debug)]
pub(super) struct Pass {
    /// The unit, as whoever asks has seen it.
    pub(super) unit: Unit,
    /// Its last pass.
    pub(super) last: UnitIssued,
    pub(super) why: Why,
    pub(super) reason: String,
    /// Without one the appliance makes the key.
    pub(super) csr: Option<Csr>,
    pub(super) station: Option<String>,
    /// Within which a repeat may see the claim code.
    pub(super) scope: String,
    /// Who is written into the journal.
    pub(super) actor: String,
}

/// What is known that bears on it.
#[derive(Debug, Clone)]
struct Known {
    unit: Option<Unit>,
    key_owner: Option<RegistrationId>,
    fence: Option<Fence>,
    lost: Option<LostUnit>,
    standing: Option<State>,
}

impl Known {
    /// As the decision sees it.
    fn in_view(view: &View<'_>, id: &RegistrationId, key_sha256: Option<&str>) -> Self {
        Self {
            unit: view.get(&index::unit(id)),
            key_owner: key_sha256.and_then(|key| view.get(&index::key(key))),
            fence: fence::in_view(view),
            lost: view.get(&index::lost(id)),
            standing: books::standing(view, id).map(|record| record.state),
        }
    }

    /// As it is committed.
    fn committed(floor: &Shared, id: &RegistrationId, key_sha256: Option<&str>) -> Result<Self, ReadError> {
        let ledger = &floor.ledger;
        // Before the unit: who finds the key taken by this very unit then also finds the pass that took it.
        let key_owner = match key_sha256 {
            Some(key) => ledger.get(&index::key(key))?,
            None => None,
        };
        Ok(Self {
            unit: ledger.get(&index::unit(id))?,
            key_owner,
            fence: fence::committed(ledger)?,
            lost: ledger.get(&index::lost(id))?,
            standing: books::committed(ledger, id)?.map(|record| record.state),
        })
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
    let Known { unit, key_owner, fence, lost, standing } = known;
    let refused = Judgement::Refused;
    let Some(unit) = unit else { return refused(Refusal::Unknown) };
    if unit.scrapped {
        return refused(Refusal::Scrapped);
    }
    if key_sha256 == Some(unit.key_sha256.as_str()) && unit.epoch > 1 {
        return Judgement::Repeat(Box::new(unit));
    }
    match key_owner {
        // Also one that it had in an earlier pass: what was replaced does not come back.
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
        return refused(if why == Why::Renewed { Refusal::Superseded } else { Refusal::Overtaken });
    }
    // What the unit shows is then not its last certificate; a person knows more.
    match lost.filter(|lost| lost.epoch >= unit.epoch && why == Why::Renewed) {
        Some(lost) => refused(Refusal::Lost(lost.sha256)),
        None => Judgement::New,
    }
}

/// Gives a unit a new certificate for a new key, or finds that it has it, or says why not.
pub(super) async fn reissue(floor: &Shared, pass: Pass) -> Result<Outcome, Problem> {
    let begun = Instant::now();
    let Pass { unit, last, why, reason, csr, station, scope, actor } = pass;
    let read = |error: ReadError| unreadable(&error);
    let id = unit.id.clone();
    let key_sha256 = csr.as_ref().map(|csr| sha256(&csr.spki));
    let known = Known::committed(floor, &id, key_sha256.as_deref()).map_err(read)?;
    let lost = known.lost.clone().filter(|lost| lost.epoch >= unit.epoch);
    // A repeat or a refusal costs no key and no signature.
    match judge(known, &id, why, key_sha256.as_deref(), unit.epoch) {
        Judgement::New => {}
        Judgement::Repeat(unit) => return Ok(Outcome::Again(unit)),
        Judgement::Refused(why) => return Err(why.problem()),
    }
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    let before = Retired::all(floor, &unit, &last)?;
    let this_box = floor.this_box().map_err(read)?.issued_by;
    let moment = floor.clock.moment()?;
    let at = moment.at;
    // Held until the certificate is on disk or refused.
    let _slot = floor.signing.take()?;
    let issuing = floor.issuing.current();
    // The unit's own, and not what its line issues with by now.
    let profile = Profile::find(&issuing.issuer, last.profile.as_deref().unwrap_or(DEFAULT))?;
    let Certified { key_sha256, key_origin, private_key, leaf, issuer_sha256 } =
        profile.certify(&this_box, &id, csr, moment)?;
    let event = UnitIssued {
        epoch: unit.epoch.max(lost.as_ref().map_or(0, |lost| lost.epoch)) + 1,
        station,
        key_sha256,
        key_origin,
        serial: leaf.serial,
        sha256: thumbprint(&leaf.der),
        not_before: leaf.not_before,
        not_after: leaf.not_after,
        certificate: STANDARD.encode(&leaf.der),
        issuer_sha256,
        // The label stays: it changes only with an explicit new one.
        claim: floor.claim.record(&id, unit.claim_generation),
        idempotency: None,
        scope,
        issued_by: this_box,
        clock_unsafe: !moment.believed,
        again: Some(Box::new(Again { why, reason, before, lost_sha256: lost.map(|lost| lost.sha256) })),
        // Line, attributes, profile and order stay.
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
    let committed = floor.ledger.commit(Stamp { at, actor: actor.clone() }, decide).await;
    let committed = committed.map_err(|error| refused(error, Refusal::problem))?;
    match committed.answer {
        Some(unit) => Ok(Outcome::Again(unit)),
        None => {
            floor.tally.issued(written.profile.as_deref().unwrap_or(DEFAULT), begun.elapsed());
            info!(%id, epoch = written.epoch, ?why, actor, "issued again");
            Ok(Outcome::Issued { unit: Box::new(written), at, private_key })
        }
    }
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
            profile: None,
            order: None,
            scrapped,
            revoked: false,
            frame: FrameRef { segment: 1, offset: 64, seq: 1 },
        }
    }

    fn known(unit: Option<Unit>) -> Known {
        let standing = Some(State::Waiting { want: Want::Announce, epoch: 1, etag: None });
        Known { unit, key_owner: None, fence: None, lost: None, standing }
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
        for why in [Why::Rework, Why::ReplyLost, Why::Renewed] {
            check(known(None), why, None, 1, "Unknown");
            check(known(Some(unit(1, "k1", true))), why, None, 1, "Scrapped");
            check(known(Some(unit(1, "k1", false))), why, Some("k2"), 1, "new");
            check(known(Some(unit(1, "k1", false))), why, None, 1, "new");
            check(owned("a"), why, Some("k1"), 1, "KeyUnchanged");
            check(owned("b"), why, Some("k9"), 1, "KeyInUse");
            let again = Known { key_owner: Some("a".parse().unwrap()), ..known(Some(unit(2, "k2", false))) };
            check(again.clone(), why, Some("k2"), 2, "repeat");
            check(again, why, Some("k1"), 2, "KeyUnchanged");
            let overtaken = if why == Why::Renewed { "Superseded" } else { "Overtaken" };
            check(known(Some(unit(2, "k2", false))), why, Some("k3"), 1, overtaken);
            let fence = Some(Fence::Superseded { generation: 2, at: OffsetDateTime::UNIX_EPOCH });
            check(Known { fence, ..known(Some(unit(1, "k1", false))) }, why, None, 1, "Fenced");
        }
    }

    #[test]
    fn a_reply_is_lost_only_until_the_cloud_has_heard() {
        let settled =
            State::Settled { want: Want::Announce, epoch: 1, at: OffsetDateTime::UNIX_EPOCH, kept: false };
        for standing in [Some(settled), None] {
            let told = Known { standing, ..known(Some(unit(1, "k1", false))) };
            check(told.clone(), Why::ReplyLost, None, 1, "TooLate");
            check(told.clone(), Why::Renewed, None, 1, "new");
            check(told, Why::Rework, None, 1, "new");
        }
    }

    #[test]
    fn a_unit_does_not_renew_what_is_not_its_last_certificate_but_a_person_may_rework_it() {
        let lost = |epoch: u32, generation: u8| LostUnit {
            id: "a".parse().unwrap(),
            epoch,
            generation,
            seq: 9,
            sha256: "CD".into(),
        };
        let gap = |lost| Known { lost: Some(lost), ..known(Some(unit(2, "k2", false))) };
        check(gap(lost(3, 1)), Why::Renewed, Some("k4"), 2, "Lost");
        check(gap(lost(3, 1)), Why::Rework, Some("k4"), 2, "new");
        check(gap(lost(1, 1)), Why::Renewed, Some("k4"), 2, "new");
    }
}
