//! A unit comes to its end: its certificates are revoked, the cloud gets a tombstone, its id is never issued again.

use ledger::{Decision, Stamp, View};
use tracing::info;
use web::Problem;

use super::{Refusal, Retired, UnitScrapped};
use crate::{
    EdgeEvent,
    access::Principal,
    event::{LostUnit, UnitIssued},
    fence,
    http::{Shared, refused, units::issued, unreadable},
    index::{self, Unit},
};

/// Scraps `unit`; doing it again changes nothing.
pub(crate) async fn scrap(
    floor: &Shared,
    principal: &Principal,
    unit: &Unit,
    reason: String,
) -> Result<(), Problem> {
    if unit.scrapped {
        return Ok(());
    }
    let (_, last) = issued(floor, unit)?;
    let lost = floor.ledger.get::<LostUnit>(&index::lost(&unit.id)).map_err(|error| unreadable(&error))?;
    let retired = Retired::all(floor, unit, &last)?;
    let UnitIssued { id, epoch, certificate, sha256, claim, .. } = last;
    let event = UnitScrapped {
        id: id.clone(),
        epoch: epoch.max(lost.as_ref().map_or(0, |lost| lost.epoch)) + 1,
        reason,
        retired,
        certificate,
        sha256,
        lost_sha256: lost.map(|lost| lost.sha256),
        claim,
        issued_by: floor.this_box().map_err(|error| unreadable(&error))?.issued_by,
    };
    let seen = unit.epoch;
    let decide = move |view: &View<'_>| match view.get::<Unit>(&index::unit(&event.id)) {
        None => Err(Refusal::Unknown),
        Some(unit) if unit.scrapped => Ok(Decision { events: vec![], answer: () }),
        Some(unit) if unit.epoch != seen => Err(Refusal::Overtaken),
        Some(_) => match fence::in_view(view) {
            Some(fence) => Err(Refusal::Fenced(fence)),
            None => Ok(Decision { events: vec![EdgeEvent::UnitScrapped(Box::new(event))], answer: () }),
        },
    };
    let committed =
        floor.ledger.commit(Stamp { at: floor.clock.latest(), actor: principal.actor() }, decide).await;
    committed.map_err(|error| refused(error, Refusal::problem))?;
    info!(%id, actor = principal.actor(), "scrapped");
    Ok(())
}
