//! `POST /v1/units`: issuing as JSON.

use axum::{
    Extension,
    extract::State,
    response::{IntoResponse, Response},
};
use azure_iot::RegistrationId;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use web::{Json, Object, Problem};

use super::{
    Shared,
    description::{Description, Standing},
    units::describe,
};
use crate::{
    access::Principal,
    csr::Csr,
    issuance::{Outcome, Wish, id, issue as issue_unit, unprocessable},
};

/// What a line sends.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct IssueRequest {
    /// Its registration id; the CN of the csr without it.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9]([-._:A-Za-z0-9]{0,62}[A-Za-z0-9])?$")]
    id: Option<String>,
    /// PKCS#10 in PEM, at most 16 KiB; without it the appliance makes the key.
    #[serde(default)]
    csr: Option<String>,
    /// The token's own line, if it has one, may be left out.
    #[serde(default)]
    line: Option<String>,
    #[serde(default)]
    station: Option<String>,
    /// What the line wants to remember about it.
    #[serde(default)]
    #[schema(value_type = Object)]
    attributes: Map<String, Value>,
    /// The profile of its certificate; the order's without it, else the line's, else `default`.
    #[serde(default)]
    profile: Option<String>,
    /// The production order that it counts for.
    #[serde(default)]
    order: Option<String>,
}

pub(super) async fn issue(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Object(request): Object<IssueRequest>,
) -> Result<Response, Problem> {
    let csr = request.csr.as_deref().map(Csr::parse).transpose();
    let wish = Wish {
        id: request.id.as_deref().map(id).transpose()?,
        csr: csr.map_err(|why| unprocessable(why.code(), why.to_string()))?,
        line: request.line,
        station: request.station,
        attributes: request.attributes,
        idempotency_key: headers
            .get("idempotency-key")
            .and_then(|key| key.to_str().ok())
            .filter(|key| !key.is_empty())
            .map(str::to_owned),
        profile: request.profile,
        order: request.order,
    };
    told(&floor, &principal, issue_unit(&floor, &principal, wish).await?)
}

/// What whoever asked for a unit is told.
pub(super) fn told(floor: &Shared, principal: &Principal, outcome: Outcome) -> Result<Response, Problem> {
    // The code of a unit is for those within whose scope it was issued.
    let claim_code = |id: &RegistrationId, generation, scope: &str| {
        (scope == principal.scope()).then(|| floor.claim.code(id, generation).reveal())
    };
    let (status, described, code) = match outcome {
        Outcome::Issued { unit, at, private_key } => {
            let code = claim_code(&unit.id, unit.claim.generation, &unit.scope);
            let described = Description::new(floor, *unit, at, Standing::Waiting { since: at })?;
            let described = match private_key {
                Some(key) => described.with_private_key(&key),
                None => described,
            };
            (StatusCode::CREATED, described, code)
        }
        Outcome::Again(unit) => {
            let code = claim_code(&unit.id, unit.claim_generation, &unit.scope);
            (StatusCode::OK, describe(floor, &unit)?, code)
        }
    };
    let body = match code {
        Some(code) => described.with_claim_code(code),
        None => described,
    };
    Ok((status, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
}
