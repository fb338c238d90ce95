//! `GET /verify?challenge=CODE`, as scripts of the public sample expect it: the certificate that proves to a cloud that we
//! hold the CA's key. Exists only with `legacy_api = true`; `edge ca prove` does the same.

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use web::{Json, Problem};

use super::{Shared, now};
use crate::{access::Principal, ca};

/// What is asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyQuery {
    challenge: String,
}

/// What such a script reads.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    /// The certificate, PEM.
    challengeresult: String,
}

pub(super) async fn verify(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<VerifyQuery>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "challenge-invalid", detail);
    let Query(query) = query.map_err(|error| invalid(format!("say ?challenge=CODE: {error}")))?;
    let code: ca::Code = query.challenge.parse().map_err(invalid)?;
    let proof = ca::prove(&floor.issuing, &floor.ledger, &code, principal.actor(), now()).await?;
    Ok(Json(Answer { challengeresult: proof }))
}
