//! Opening, closing and looking at orders, whatever face asks.

use std::fs;

use http::StatusCode;
use ledger::{Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;
use utoipa::ToSchema;
use web::Problem;

use super::{ORDERS, OrderClosed, OrderOpened, OrderRecord, key};
use crate::{
    EdgeEvent,
    certificate::Profile,
    evidence::{Selection, collect},
    http::{Shared, now, refused, unavailable, unreadable},
    issuance::unprocessable,
    plain::is_plain,
};

/// An order that was closed, and where the evidence of it is.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Closed {
    #[serde(flatten)]
    pub(crate) record: OrderRecord,
    /// The file, below the state folder.
    pub(crate) evidence: String,
}

fn unknown(number: &str) -> Problem {
    let detail = format!("there is no order {number} here; see: edge order ls");
    Problem::new(StatusCode::NOT_FOUND, "order-unknown", detail)
}

/// Opens an order. The same once more is the same order; a number is never given twice.
pub(crate) async fn open(
    floor: &Shared,
    actor: String,
    order: OrderOpened,
) -> Result<(StatusCode, OrderRecord), Problem> {
    let at = floor.clock.latest();
    check(floor, &order, at)?;
    let (number, quantity, line) = (order.number.clone(), order.quantity, order.line.clone());
    let key = key(&number);
    let wanted = order.clone();
    let decide = move |view: &View<'_>| match view.get::<OrderRecord>(&key) {
        None => Ok(Decision { events: vec![EdgeEvent::OrderOpened(Box::new(wanted))], answer: None }),
        Some(record) if record.order == wanted => Ok(Decision { events: vec![], answer: Some(record) }),
        Some(_) => Err(()),
    };
    let committed = floor.ledger.commit(Stamp { at, actor: actor.clone() }, decide).await;
    let committed = committed.map_err(|error| {
        refused(error, |()| {
            let detail =
                "there is another order of this number; numbers are never given twice, choose another";
            Problem::new(StatusCode::CONFLICT, "order-exists", detail)
        })
    })?;
    Ok(match committed.answer {
        Some(record) => (StatusCode::OK, record),
        None => {
            info!(number, quantity, line, actor, "order opened");
            (StatusCode::CREATED, OrderRecord { order, opened: at, issued: 0, closed: None })
        }
    })
}

/// Checks everything about an order that does not depend on others.
fn check(floor: &Shared, order: &OrderOpened, at: OffsetDateTime) -> Result<(), Problem> {
    let OrderOpened { number, quantity, line, profile, ends, .. } = order;
    let begins = number.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !begins || !is_plain(number, 64) {
        // It becomes the name of a file.
        let detail = "an order's number has 1 to 64 letters, digits, '-', '_' and '.', and begins with one of the first two";
        return Err(unprocessable("number-invalid", detail.to_owned()));
    }
    if *quantity == 0 {
        return Err(unprocessable(
            "quantity-invalid",
            "an order is for at least one unit; say how many".to_owned(),
        ));
    }
    floor.line(line)?;
    if let Some(name) = profile {
        Profile::find(&floor.issuing.current().issuer, name)?;
    }
    if ends.is_some_and(|ends| ends <= at) {
        return Err(unprocessable(
            "ends-invalid",
            "the order would have ended already; choose a later end".to_owned(),
        ));
    }
    Ok(())
}

/// Closes an order and writes its evidence. Closing it again writes the evidence if it is not there, and nothing else.
pub(crate) async fn close(floor: &Shared, actor: String, number: &str) -> Result<Closed, Problem> {
    let key = key(number);
    let wanted = number.to_owned();
    let decide = move |view: &View<'_>| match view.get::<OrderRecord>(&key) {
        None => Err(()),
        Some(record) if record.closed.is_some() => Ok(Decision { events: vec![], answer: () }),
        Some(record) => {
            let closed = OrderClosed { number: wanted, issued: record.issued };
            Ok(Decision { events: vec![EdgeEvent::OrderClosed(closed)], answer: () })
        }
    };
    let committed =
        floor.ledger.commit(Stamp { at: floor.clock.latest(), actor: actor.clone() }, decide).await;
    committed.map_err(|error| refused(error, |()| unknown(number)))?;
    info!(number, actor, "order closed");
    let evidence = write_evidence(floor, number).await?;
    Ok(Closed { record: show(floor, number)?, evidence })
}

/// Writes `evidence/NUMBER.json` below the state folder, unless it is there.
async fn write_evidence(floor: &Shared, number: &str) -> Result<String, Problem> {
    let name = format!("evidence/{number}.json");
    let (state, path) = (floor.state.clone(), floor.state.path().join(&name));
    if path.exists() {
        return Ok(name);
    }
    floor.ledger.room().map_err(|full| unavailable(&full))?;
    // What is not covered by a signed checkpoint cannot be proven.
    floor.ledger.sign().await;
    let number = number.to_owned();
    let write = move || -> Result<(), String> {
        let found = collect(&state, Selection::order(number), now()).map_err(|error| error.to_string())?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| error.to_string())?;
        }
        keys::write_private(&path, found.text.as_bytes()).map_err(|error| error.to_string())
    };
    // It reads the whole journal.
    let written = tokio::task::spawn_blocking(write).await.map_err(|error| error.to_string());
    match written.and_then(|written| written) {
        Ok(()) => Ok(name),
        Err(why) => {
            tracing::error!(why, "the evidence of an order cannot be written");
            let detail = "the order is closed, but its evidence could not be written; close it again to have it written, \
                          the log of the appliance says more";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "evidence-failed", detail))
        }
    }
}

/// An order, as it is committed.
pub(crate) fn show(floor: &Shared, number: &str) -> Result<OrderRecord, Problem> {
    let found = floor.ledger.get(&key(number)).map_err(|error| unreadable(&error))?;
    found.ok_or_else(|| unknown(number))
}

/// Up to `limit` orders behind the number `after`, by their numbers.
pub(crate) fn list(floor: &Shared, after: Option<&str>, limit: usize) -> Result<Vec<OrderRecord>, Problem> {
    let after = after.map(key);
    let found = floor.ledger.scan(ORDERS, after.as_deref(), limit).map_err(|error| unreadable(&error))?;
    Ok(found.into_iter().map(|(_, record)| record).collect())
}
