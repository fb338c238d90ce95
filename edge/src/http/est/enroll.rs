//! `POST /simpleenroll` (RFC 7030 4.2.1): a certificate for the key of a request.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use web::Problem;

use super::{body::Pkcs10, label::Label, pkcs7::certificates, refusal};
use crate::{
    access::Principal,
    csr::Csr,
    http::Shared,
    issuance::{Wish, id, issue, unprocessable},
};

/// A new unit's certificate, or the same one again for the same request.
pub(in crate::http) async fn simpleenroll(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    label: Label,
    Pkcs10(der): Pkcs10,
) -> Response {
    enroll(&floor, &principal, label, &der).await.unwrap_or_else(refusal)
}

async fn enroll(
    floor: &Shared,
    principal: &Principal,
    label: Label,
    der: &[u8],
) -> Result<Response, Problem> {
    let wish = label.wish(principal)?;
    let csr = Csr::from_der(der).map_err(|why| unprocessable(why.code(), why.to_string()))?;
    let name = csr.common_name.as_deref().ok_or_else(nameless)?;
    let wish = Wish { id: Some(id(name)?), csr: Some(csr), ..wish };
    certificates(&[&issue(floor, principal, wish).await?.certificate(floor)?])
}

/// EST has no other place for the unit's id.
pub(super) fn nameless() -> Problem {
    let detail = "the csr has no common name; make it with the unit's id: openssl req -new -subj /CN=ID …";
    Problem::new(StatusCode::BAD_REQUEST, "csr-cn-required", detail)
}
