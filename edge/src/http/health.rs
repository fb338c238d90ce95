//! Is it alive, is it ready? The cloud is in neither answer: a line runs without.

use axum::extract::State;
use http::StatusCode;
use ledger::Status;
use web::Problem;

use super::{Shared, unreadable};
use crate::fence;

pub(super) async fn live() -> &'static str {
    "alive\n"
}

pub(super) async fn ready(State(floor): State<Shared>) -> Result<&'static str, Problem> {
    if let Some(fence) = fence::committed(&floor.ledger).map_err(|error| unreadable(&error))? {
        return Err(fence.problem());
    }
    floor.clock.moment()?;
    match floor.ledger.status() {
        Status::Open => Ok("ready\n"),
        Status::Full { why } => {
            let detail =
                format!("{why}; nothing new is issued until there is, free some space: it goes on by itself");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage-full", detail))
        }
        Status::Failed { why } => {
            let detail = format!(
                "storage has failed ({why}); nothing is issued until a restart has verified the disk"
            );
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "storage-failed", detail))
        }
    }
}
