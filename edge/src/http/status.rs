//! The appliance at a glance: for `edge status`, and for whoever asks.

use axum::extract::State;
use cloud_sync::Progress;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::{Json, Problem};

use super::{Shared, now, openapi::ReadBackView, unreadable};
use crate::{board::Board, clock::ClockView, drift, fence};

/// The appliance at a glance.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Status {
    #[serde(rename = "box")]
    pub(crate) box_id: String,
    pub(crate) generation: u8,
    pub(crate) version: String,
    pub(crate) boot_id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) started: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) now: OffsetDateTime,
    /// Why this box neither issues nor sends, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fence: Option<String>,
    /// `open`, or why nothing new is issued.
    pub(crate) storage: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) issuing_ca_ends: OffsetDateTime,
    /// Whether the books of the sync balance.
    pub(crate) books_balance: bool,
    pub(crate) clock: ClockView,
    /// How far it is with looking whether the cloud still has what it was told; absent where nobody looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ReadBackView, required = false)]
    pub(crate) read_back: Option<Progress>,
    #[serde(flatten)]
    pub(crate) board: Board,
}

pub(super) async fn status(State(floor): State<Shared>) -> Result<Json<Status>, Problem> {
    status_now(&floor).map(Json)
}

/// The clock, and how far it is from the cloud's.
pub(crate) fn clock_view(floor: &Shared) -> ClockView {
    let skew = floor.lookout.link.as_ref().and_then(|link| link.borrow().skew);
    floor.clock.view(skew.map(|skew| skew.whole_seconds()))
}

/// Looked up anew, not as old as what the screens show.
pub(crate) fn status_now(floor: &Shared) -> Result<Status, Problem> {
    let board = floor.lookout.look(now()).map_err(|error| unreadable(&error))?;
    let storage = match floor.ledger.status() {
        ledger::Status::Open => "open".to_owned(),
        ledger::Status::Full { why } | ledger::Status::Failed { why } => why,
    };
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by;
    let fence = fence::committed(&floor.ledger).map_err(|error| unreadable(&error))?;
    Ok(Status {
        box_id: this_box.box_id,
        generation: this_box.generation,
        fence: fence.map(|fence| fence.words()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: floor.boot_id.to_string(),
        started: floor.started,
        now: now(),
        storage,
        issuing_ca_ends: floor.issuing.current().issuer.not_after(),
        books_balance: board.cloud.books.balance(),
        clock: clock_view(floor),
        read_back: drift::progress(floor),
        board,
    })
}
