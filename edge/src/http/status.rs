//! The appliance at a glance: for `edge status`, and for whoever asks.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use web::Json;

use super::{Shared, now};
use crate::board::Board;

/// The appliance at a glance.
#[derive(Debug, Serialize, Deserialize)]
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
    /// `open`, or why storage failed.
    pub(crate) storage: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) issuing_ca_ends: OffsetDateTime,
    /// Whether the books of the sync balance.
    pub(crate) books_balance: bool,
    #[serde(flatten)]
    pub(crate) board: Board,
}

pub(super) async fn status(State(floor): State<Shared>) -> Json<Status> {
    Json(status_now(&floor))
}

pub(crate) fn status_now(floor: &Shared) -> Status {
    let board = floor.board.borrow().as_ref().clone();
    let storage = match floor.ledger.status() {
        ledger::Status::Open => "open".to_owned(),
        ledger::Status::Failed { why } => why,
    };
    Status {
        box_id: floor.this_box.box_id.clone(),
        generation: floor.this_box.generation,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: floor.boot_id.to_string(),
        started: floor.started,
        now: now(),
        storage,
        issuing_ca_ends: floor.issuer.not_after(),
        books_balance: board.cloud.books.balance(),
        board,
    }
}
