//! A person vouches for the clock.

use http::StatusCode;
use ledger::{Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use tracing::warn;
use web::Problem;

use super::{Clock, ClockAccepted};
use crate::{
    EdgeEvent,
    http::{Shared, refused},
};

/// Why somebody vouches for the clock.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    pub(crate) reason: String,
}

/// Writes down that `actor` vouches for the time that the clock shows, and goes on from there.
pub(crate) async fn accept(
    floor: &Shared,
    actor: String,
    acceptance: Acceptance,
) -> Result<ClockAccepted, Problem> {
    let reason = acceptance.reason.trim().to_owned();
    if reason.is_empty() || reason.len() > 500 {
        let detail = "say in up to 500 characters why the clock is right; it stands in the journal";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason-required", detail));
    }
    let clock: &Clock = &floor.clock;
    let reading = (clock.source)();
    let judge = || clock.judge.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    judge()
        .may_accept(reading)
        .map_err(|doubt| Problem::new(StatusCode::CONFLICT, "clock-before-build", doubt.to_string()))?;
    let event = ClockAccepted { reason, before: clock.highest(), now: reading.wall };
    let accepted = event.clone();
    let decide = move |_: &View<'_>| {
        Ok::<_, ()>(Decision { events: vec![EdgeEvent::ClockAccepted(event)], answer: () })
    };
    let committed = floor.ledger.commit(Stamp { at: reading.wall, actor: actor.clone() }, decide).await;
    committed.map_err(|error| refused(error, |()| Problem::internal()))?;
    judge().accept(reading);
    warn!(actor, reason = accepted.reason, now = %accepted.now, "the clock was vouched for");
    Ok(accepted)
}
