//! Units that were issued: one, or a part of the list.

use axum::{
    Extension,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::{State as CloudState, books};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use web::{Json, Problem};

use super::{Shared, unreadable};
use crate::{
    EdgeEvent,
    access::Principal,
    index::{self, Unit},
    pem,
};

/// The largest page of a list.
const PAGE: usize = 1000;

pub(super) async fn show(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let unknown = || {
        Problem::new(
            StatusCode::NOT_FOUND,
            "unit-unknown",
            "no unit with this id was issued here; check the id",
        )
    };
    let id = RegistrationId::parse_any_case(&id).map_err(|_| unknown())?;
    let unit = floor.ledger.get::<Unit>(&index::unit(&id)).map_err(|error| unreadable(&error))?;
    let unit = unit.filter(|unit| principal.may_use(&unit.line)).ok_or_else(unknown)?;
    Ok(Json(describe(&floor, &unit)?))
}

/// Which part of the list to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
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
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListPage>, Problem> {
    let Query(query) = query.map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "query-unexpected",
            format!("the list takes after and limit: {error}"),
        )
    })?;
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE);
    let after = query.after.map(|after| [index::ORDER, after.as_bytes()].concat());
    let found = floor
        .ledger
        .scan::<RegistrationId>(index::ORDER, after.as_deref(), limit)
        .map_err(|error| unreadable(&error))?;
    let full = found.len() == limit;
    let next = found
        .last()
        .filter(|_| full)
        .map(|(key, _)| String::from_utf8_lossy(&key[index::ORDER.len()..]).into_owned());
    let mut units = Vec::new();
    for (_, id) in found {
        let unit = floor.ledger.get::<Unit>(&index::unit(&id)).map_err(|error| unreadable(&error))?;
        if let Some(unit) = unit.filter(|unit| principal.may_use(&unit.line)) {
            units.push(json!({ "id": unit.id, "epoch": unit.epoch, "line": unit.line, "serial": unit.serial,
                "sha256": unit.sha256, "issued_at": unit.issued_at.format(&Rfc3339).unwrap_or_default() }));
        }
    }
    Ok(Json(ListPage { units, next }))
}

/// What may be said about a unit to whoever may read units.
pub(super) fn describe(floor: &Shared, unit: &Unit) -> Result<Value, Problem> {
    let time = |at: OffsetDateTime| at.format(&Rfc3339).unwrap_or_default();
    let record = books::committed(&floor.ledger, &unit.id).map_err(|error| unreadable(&error))?;
    let cloud = record.map_or(json!({ "state": "unknown" }), |record| match &record.state {
        CloudState::Waiting { .. } => json!({ "state": "waiting", "since": time(record.since) }),
        CloudState::Settled { at, .. } => json!({ "state": "settled", "since": time(*at) }),
        CloudState::Held { why, at, .. } => json!({ "state": "held", "since": time(*at), "why": why }),
    });
    let mut body = json!({
        "id": unit.id, "epoch": unit.epoch, "line": unit.line, "serial": unit.serial, "sha256": unit.sha256,
        "not_before": time(unit.not_before), "not_after": time(unit.not_after), "issued_at": time(unit.issued_at),
        "certificate": certificate(floor, unit)?, "chain": certificate_pem(floor.issuer.certificate()), "cloud": cloud,
    });
    if let Some(station) = &unit.station {
        body["station"] = json!(station);
    }
    if !unit.attributes.is_empty() {
        body["attributes"] = json!(unit.attributes);
    }
    Ok(body)
}

/// A unit's certificate, read back from the journal.
pub(super) fn certificate(floor: &Shared, unit: &Unit) -> Result<String, Problem> {
    let entry = floor.ledger.entry(&unit.frame).map_err(|error| unreadable(&error))?;
    let issued = entry.events.iter().find_map(|event| match event {
        EdgeEvent::UnitIssued(issued) if issued.id == unit.id => Some(&issued.certificate),
        _ => None,
    });
    let der = issued.and_then(|text| STANDARD.decode(text).ok()).ok_or_else(Problem::internal)?;
    Ok(certificate_pem(&der))
}

pub(super) fn certificate_pem(der: &[u8]) -> String {
    pem::encode("CERTIFICATE", der).to_string()
}
