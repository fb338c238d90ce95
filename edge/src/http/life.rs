//! A unit after its issue: rework, rekey, scrap, and what happened to it.

use axum::{
    Extension,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
    response::Response,
};
use ledger::Seq;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use web::{Json, Object, Problem};

use super::{
    Shared,
    description::Description,
    issue::told,
    part::Part,
    units::{describe, named, time},
    unreadable,
};
use crate::{
    EdgeEvent,
    access::Principal,
    csr::Csr,
    event::{Retired, Why},
    issuance::unprocessable,
    life::{self, Rework, history, reason, unit},
};

/// What is sent for a new certificate.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AgainRequest {
    /// Required: why; it stands in the journal for ever. A rekey has one reason, `reply-lost`.
    #[serde(default)]
    reason: Option<String>,
    /// PKCS#10 in PEM, for a new key; without it the appliance makes the key.
    #[serde(default)]
    csr: Option<String>,
    #[serde(default)]
    station: Option<String>,
}

/// What is sent for the end of a unit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScrapRequest {
    /// Required: why; it stands in the journal for ever.
    #[serde(default)]
    reason: Option<String>,
}

pub(super) async fn rework(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    Object(request): Object<AgainRequest>,
) -> Result<Response, Problem> {
    let reason = reason(request.reason)?;
    again(&floor, &principal, &named(id), Why::Rework, reason, (request.csr, request.station)).await
}

pub(super) async fn rekey(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    Object(request): Object<AgainRequest>,
) -> Result<Response, Problem> {
    let reason = reason(request.reason)?;
    if reason != "reply-lost" {
        let detail = "a rekey has one reason, \"reply-lost\"; for any other there is rework";
        return Err(unprocessable("reason-unknown", detail.to_owned()));
    }
    again(&floor, &principal, &named(id), Why::ReplyLost, reason, (request.csr, request.station)).await
}

async fn again(
    floor: &Shared,
    principal: &Principal,
    id: &str,
    why: Why,
    reason: String,
    (csr, station): (Option<String>, Option<String>),
) -> Result<Response, Problem> {
    let csr = csr.as_deref().map(Csr::parse).transpose();
    let csr = csr.map_err(|why| unprocessable(why.code(), why.to_string()))?;
    let asked = Rework { why, reason, csr, station };
    told(floor, principal, life::rework(floor, principal, id, asked).await?)
}

pub(super) async fn scrap(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    Object(request): Object<ScrapRequest>,
) -> Result<Json<Description>, Problem> {
    let reason = reason(request.reason)?;
    let id = named(id);
    let found = unit(&floor, &principal, &id)?;
    life::scrap(&floor, &principal, &found, reason).await?;
    Ok(Json(describe(&floor, &unit(&floor, &principal, &id)?)?))
}

/// A part of a history; `next` is the `after` of the next part.
#[derive(Debug, Serialize)]
pub(super) struct EventsPage {
    events: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Seq>,
}

pub(super) async fn events(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Part<Seq>>, QueryRejection>,
) -> Result<Json<EventsPage>, Problem> {
    let (after, limit) = Part::read(query, "history")?;
    let unit = unit(&floor, &principal, &named(id))?;
    let frames = history::frames(&floor.ledger, &unit, after.unwrap_or(0), limit)
        .map_err(|error| unreadable(&error))?;
    let next = frames.last().filter(|_| frames.len() == limit).map(|frame| frame.seq);
    let mut events = Vec::new();
    for frame in frames {
        let entry = floor.ledger.entry(&frame).map_err(|error| unreadable(&error))?;
        let own = entry.events.iter().filter(|event| event.unit() == Some(&unit.id));
        events.extend(own.map(|event| {
            let (kind, details) = tell(event);
            json!({ "seq": entry.seq, "at": time(entry.at), "actor": entry.actor, "kind": kind, "details": details })
        }));
    }
    Ok(Json(EventsPage { events, next }))
}

/// What an event says to whoever may read units: certificates are elsewhere, and the claim is nobody's business.
fn tell(event: &EdgeEvent) -> (&'static str, Value) {
    use cloud_sync::CloudEvent::{Accepted, Drifted, Held, Resolved};
    match event {
        EdgeEvent::UnitIssued(unit) => {
            let mut details = json!({
                "epoch": unit.epoch, "line": unit.line, "serial": unit.serial, "sha256": unit.sha256,
                "key_sha256": unit.key_sha256, "key_origin": unit.key_origin,
                "not_before": time(unit.not_before), "not_after": time(unit.not_after),
            });
            let more = [("station", &unit.station), ("order", &unit.order)];
            for (name, value) in more.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?))) {
                details[name] = json!(value);
            }
            let kind = match unit.again.as_ref().map(|again| again.why) {
                None if unit.epoch == 1 => "issued",
                Some(Why::Rework) => "reworked",
                Some(Why::ReplyLost) => "rekeyed",
                // A renewal was written down without a reason once.
                Some(Why::Renewed) | None => "renewed",
            };
            if let Some(again) = &unit.again {
                details["reason"] = json!(again.reason);
            }
            (kind, details)
        }
        EdgeEvent::UnitScrapped(unit) => ("scrapped", json!({ "epoch": unit.epoch, "reason": unit.reason })),
        EdgeEvent::Cloud(Accepted { epoch, .. }) => ("in-cloud", json!({ "epoch": epoch })),
        EdgeEvent::Cloud(Held { epoch, why, .. }) => ("held", json!({ "epoch": epoch, "why": why })),
        EdgeEvent::Cloud(Resolved { epoch, resolution, reason, .. }) => {
            ("decided", json!({ "epoch": epoch, "decision": resolution, "reason": reason }))
        }
        EdgeEvent::CertificateRevoked(revoked) => {
            let Retired { epoch, serial, sha256, .. } = &revoked.retired;
            ("revoked", json!({ "epoch": epoch, "serial": serial, "sha256": sha256 }))
        }
        EdgeEvent::Cloud(Drifted { epoch, what, why, .. }) => {
            let mut details = json!({ "epoch": epoch, "what": what });
            if let Some(why) = why {
                details["why"] = json!(why);
            }
            ("drifted", details)
        }
        // None of them is about a unit.
        _ => ("other", Value::Null),
    }
}
