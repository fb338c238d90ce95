//! Units that were issued: one, or a part of the list.

use std::mem;

use axum::{
    Extension,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::books;
use ledger::{Ledger, ReadError, Seq};
use serde::Serialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use web::{Json, Problem};

use super::{
    Floor, Shared,
    description::Description,
    part::{Part, unexpected},
    unreadable,
};
use crate::{
    EdgeEvent,
    access::Principal,
    event::UnitIssued,
    index::{self, Unit},
    life, pem,
};

pub(super) async fn show(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Description>, Problem> {
    Ok(Json(describe(&floor, &life::unit(&floor, &principal, &named(id))?)?))
}

/// The id or number in an address. What is not even text is none, and unknown.
pub(super) fn named(name: Result<Path<String>, PathRejection>) -> String {
    name.map(|Path(name)| name).unwrap_or_default()
}

/// A part of the list, in the order of issue; `next` is the `after` of the next part.
#[derive(Debug, Serialize)]
pub(super) struct ListPage {
    units: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

pub(super) async fn list(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<Part<String>>, QueryRejection>,
) -> Result<Json<ListPage>, Problem> {
    let (after, limit) = Part::read(query, "list")?;
    let after = after.map(|after| Seq::from_str_radix(&after, 16)).transpose();
    let after = after.map_err(|_| unexpected("after is the next of an earlier answer, as it was"))?;
    let found = ordered(&floor.ledger, after.unwrap_or(0), limit).map_err(|error| unreadable(&error))?;
    let next = found.last().filter(|_| found.len() == limit).map(|(seq, _)| format!("{seq:016x}"));
    let mut units = Vec::new();
    for (_, id) in found {
        let unit = floor.ledger.get::<Unit>(&index::unit(&id)).map_err(|error| unreadable(&error))?;
        if let Some(unit) = unit.filter(|unit| principal.may_use(&unit.line)) {
            let (at, issued) = issued(&floor, &unit)?;
            units.push(
                json!({ "id": unit.id, "epoch": unit.epoch, "line": unit.line, "serial": issued.serial,
                "sha256": unit.sha256, "issued_at": at.format(&Rfc3339).unwrap_or_default() }),
            );
        }
    }
    Ok(Json(ListPage { units, next }))
}

/// Up to `limit` units behind frame `after`, in the order of their issue.
fn ordered(
    ledger: &Ledger<EdgeEvent>,
    after: Seq,
    limit: usize,
) -> Result<Vec<(Seq, RegistrationId)>, ReadError> {
    let found = ledger.scan::<RegistrationId>(index::ORDER, Some(&index::order(after)), limit)?;
    Ok(found.into_iter().filter_map(|(key, id)| Some((index::ordered_by(&key)?, id))).collect())
}

/// What may be said about a unit to whoever may read units.
pub(super) fn describe(floor: &Floor, unit: &Unit) -> Result<Description, Problem> {
    let record = books::committed(&floor.ledger, &unit.id).map_err(|error| unreadable(&error))?;
    let (at, issued) = issued(floor, unit)?;
    Ok(Description::new(floor, issued, at, record.into())?.standing(unit))
}

pub(crate) fn time(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_default()
}

/// The event that issued a unit, and when that was, read back from the journal.
pub(crate) fn issued(floor: &Floor, unit: &Unit) -> Result<(OffsetDateTime, UnitIssued), Problem> {
    let entry = floor.ledger.entry(&unit.frame).map_err(|error| unreadable(&error))?;
    let issued = entry.events.into_iter().find_map(|event| match event {
        EdgeEvent::UnitIssued(issued) if issued.id == unit.id => Some(*issued),
        _ => None,
    });
    Ok((entry.at, issued.ok_or_else(Problem::internal)?))
}

/// The certificate of a unit, DER.
pub(crate) fn certificate_der(issued: &UnitIssued) -> Result<Vec<u8>, Problem> {
    STANDARD.decode(&issued.certificate).map_err(|_| Problem::internal())
}

/// The certificate that a unit has, DER, read back from the journal.
pub(crate) fn certificate_of(floor: &Shared, unit: &Unit) -> Result<Vec<u8>, Problem> {
    certificate_der(&issued(floor, unit)?.1)
}

/// The certificate of a unit, PEM: the event has it in base64 already.
pub(super) fn certificate_pem_of(issued: &UnitIssued) -> String {
    mem::take(&mut *pem::of_base64("CERTIFICATE", &issued.certificate))
}

/// What leads from a unit's certificate to a root, PEM.
fn chain(floor: &Shared, issued: &UnitIssued) -> Result<String, Problem> {
    let chain = floor.issuing.chain_of(&floor.ledger, &issued.issuer_sha256);
    chain.map_err(|error| unreadable(&error))
}

/// A unit's certificate, read back from the journal, and its chain.
pub(crate) fn certificate(floor: &Shared, unit: &Unit) -> Result<(String, String), Problem> {
    let (_, issued) = issued(floor, unit)?;
    Ok((certificate_pem_of(&issued), chain(floor, &issued)?))
}

pub(crate) fn certificate_pem(der: &[u8]) -> String {
    pem::encode("CERTIFICATE", der).to_string()
}
