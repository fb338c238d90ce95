//! Production orders: so many units, on one line, with something in common, until it is closed.
//!
//! An order is kept under `po/{number}` as an [`OrderRecord`]. Units are counted where they are issued, in the same commit,
//! so an order of 50 never becomes one of 51, however many ask at the same time.

mod desk;

pub(crate) use desk::{Closed, close, list, open, show};

use http::StatusCode;
use ledger::{Applied, Changes};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::Problem;

use crate::event::UnitIssued;

/// An order was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OrderOpened {
    /// Its number, as people and the ERP call it.
    pub number: String,
    /// How many units it is for.
    pub quantity: u32,
    /// The line that makes them.
    pub line: String,
    /// The profile of their certificates; the line's ordinary one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What all of its units have in common.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub attributes: Map<String, Value>,
    /// When nothing is issued under it any more, whether it is closed or not.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub ends: Option<OffsetDateTime>,
}

/// An order was closed: what was made under it is final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderClosed {
    /// Its number.
    pub number: String,
    /// How many units were issued under it.
    pub issued: u32,
}

/// An order in the index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OrderRecord {
    pub(crate) order: OrderOpened,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) opened: OffsetDateTime,
    /// Units so far; a repeat is no unit, and a rework neither.
    pub(crate) issued: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) closed: Option<OffsetDateTime>,
}

/// All orders.
pub(crate) const ORDERS: &[u8] = b"po/";

pub(crate) fn key(number: &str) -> Vec<u8> {
    format!("po/{number}").into_bytes()
}

/// Applies that an order was opened.
pub(crate) fn opened(changes: &mut Changes<'_>, at: &Applied<'_>, order: &OrderOpened) {
    let record = OrderRecord { order: order.clone(), opened: at.at, issued: 0, closed: None };
    changes.put(&key(&order.number), &record);
}

/// Applies that an order was closed.
pub(crate) fn closed(changes: &mut Changes<'_>, at: &Applied<'_>, closed: &OrderClosed) {
    if let Some(record) = changes.get::<OrderRecord>(&key(&closed.number)) {
        changes.put(&key(&closed.number), &OrderRecord { closed: Some(at.at), ..record });
    }
}

/// Applies that a unit was issued: the first time counts.
pub(crate) fn issued(changes: &mut Changes<'_>, unit: &UnitIssued) {
    let Some(number) = unit.order.as_deref().filter(|_| unit.epoch == 1) else { return };
    if let Some(record) = changes.get::<OrderRecord>(&key(number)) {
        let issued = record.issued + 1;
        // Left alone where the index includes this frame already.
        changes.put(&key(number), &OrderRecord { issued, ..record });
    }
}

/// Why nothing is issued under an order. Each says what to do.
#[derive(Debug, Clone, PartialEq, Error)]
pub(crate) enum Refusal {
    #[error("there is no order {0} here; open it with: edge order open {0}")]
    Unknown(String),
    #[error("order {0} is closed; ask for the number of the present one")]
    Closed(String),
    #[error("order {0} ended at {1}; ask for the number of the present one")]
    Ended(String, OffsetDateTime),
    #[error("order {0} is complete: {1} of {1} units were issued; ask for the number of the next one")]
    Full(String, u32),
    #[error("order {0} is for line {1}; use it there, or ask for the order of this line")]
    OtherLine(String, String),
    #[error("this appliance issues only under an order; name it, as \"order\"")]
    Required,
}

impl Refusal {
    pub(crate) fn problem(&self) -> Problem {
        let status = match self {
            Self::Unknown(_) | Self::Required => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        Problem::new(status, self.code(), self.to_string())
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "order-unknown",
            Self::Closed(_) | Self::Ended(..) => "order-closed",
            Self::Full(..) => "order-full",
            Self::OtherLine(..) => "order-line",
            Self::Required => "order-required",
        }
    }
}

/// Whether one more unit of `line` may be issued under order `number` at `at`.
pub(crate) fn admit(
    record: Option<&OrderRecord>,
    number: &str,
    line: &str,
    at: OffsetDateTime,
) -> Result<(), Refusal> {
    let number = number.to_owned();
    let Some(record) = record else { return Err(Refusal::Unknown(number)) };
    if record.order.line != line {
        return Err(Refusal::OtherLine(number, record.order.line.clone()));
    }
    if record.closed.is_some() {
        return Err(Refusal::Closed(number));
    }
    if let Some(ends) = record.order.ends.filter(|ends| *ends <= at) {
        return Err(Refusal::Ended(number, ends));
    }
    if record.issued >= record.order.quantity {
        return Err(Refusal::Full(number, record.order.quantity));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOON: OffsetDateTime = datetime!(2026-11-28 12:00 UTC);

    fn record(issued: u32) -> OrderRecord {
        let order = OrderOpened {
            number: "A-1".into(),
            quantity: 2,
            line: "L1".into(),
            profile: None,
            attributes: Map::new(),
            ends: Some(datetime!(2026-11-29 0:00 UTC)),
        };
        OrderRecord { order, opened: NOON, issued, closed: None }
    }

    #[test]
    fn an_order_admits_its_quantity_on_its_line_until_it_ends() {
        let check = |record: Option<OrderRecord>, line: &str, at, expected: &str| {
            let found = match admit(record.as_ref(), "A-1", line, at) {
                Ok(()) => "admitted".to_owned(),
                Err(why) => why.problem().code().to_owned(),
            };
            assert_eq!(found, expected, "{record:?} {line} {at}");
        };
        check(Some(record(0)), "L1", NOON, "admitted");
        check(Some(record(1)), "L1", NOON, "admitted");
        check(Some(record(2)), "L1", NOON, "order-full");
        check(Some(record(0)), "L2", NOON, "order-line");
        check(Some(record(0)), "L1", datetime!(2026-11-29 0:00 UTC), "order-closed");
        check(Some(OrderRecord { closed: Some(NOON), ..record(0) }), "L1", NOON, "order-closed");
        check(None, "L1", NOON, "order-unknown");
    }
}
