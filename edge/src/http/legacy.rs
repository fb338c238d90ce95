//! The face of the public sample Mandur/DeviceProvisioningDemo, for scripts that were written for it (`legacy_api = true`).
//!
//! The names and the JSON are the sample's; the rules are ours. `/createroot` is deliberately absent.

use axum::{
    Extension,
    extract::{Query, State, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::json;
use web::{Json, Problem};

use super::{Shared, units::certificate_pem_of};
use crate::{
    access::Principal,
    issuance::{Outcome, Wish, id, issue},
    pem,
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LeafQuery {
    deviceid: String,
    /// The token's own line, if it has one, may be left out.
    #[serde(default)]
    line: Option<String>,
}

/// `GET /createleaf?deviceid=…`: a key and its certificate, once.
pub(super) async fn createleaf(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    method: Method,
    headers: HeaderMap,
    query: Result<Query<LeafQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    if method != Method::GET {
        // The router answers HEAD by GET and drops the body: here that would be a key.
        return Err(Problem::method_not_allowed());
    }
    own_site(&headers)?;
    let Query(LeafQuery { deviceid, line }) = query.map_err(|error| {
        let detail = format!(
            "ask for /createleaf?deviceid=ID, and &line=LINE where the token is for every line: {error}"
        );
        Problem::new(StatusCode::BAD_REQUEST, "query-unexpected", detail)
    })?;
    let wish = Wish { id: Some(id(&deviceid)?), line, ..Wish::default() };
    match issue(&floor, &principal, wish).await? {
        Outcome::Issued { unit, private_key: Some(key), .. } => {
            let public = certificate_pem_of(&unit);
            let body = json!({ "public": public, "key": pem::encode("PRIVATE KEY", &key).as_str() });
            Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response())
        }
        // Without a csr in the wish, a new unit has a key of ours and a repeat is refused.
        Outcome::Issued { .. } | Outcome::Again(_) => Err(Problem::internal()),
    }
}

/// A GET that issues: a page of another site must not make a browser send it with a password that it remembers.
fn own_site(headers: &HeaderMap) -> Result<(), Problem> {
    let site = headers.get("sec-fetch-site").map(http::HeaderValue::as_bytes);
    if matches!(site, None | Some(b"none" | b"same-origin")) {
        return Ok(());
    }
    let detail = "a page of another site asks for a certificate; scripts ask by themselves";
    Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail))
}
