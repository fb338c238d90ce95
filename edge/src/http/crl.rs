//! `GET /crl`: the list of revoked certificates of the issuing CA at work, DER; `GET /crl/{issuer}`: the one of any.

use axum::{
    body::Bytes,
    extract::{Path, State, rejection::PathRejection},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use web::Problem;

use super::{Shared, unreadable};
use crate::{
    ca::{self, SHORT},
    crl::Shown,
};

pub(super) async fn list(State(floor): State<Shared>) -> Result<Response, Problem> {
    show(&floor, floor.issuing.current().issuer.sha256())
}

/// The list of the issuing CA whose SHA-256 begins like that.
pub(super) async fn list_of(
    State(floor): State<Shared>,
    issuer: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let issuer = issuer.map(|Path(issuer)| issuer.to_lowercase()).unwrap_or_default();
    let mut chains = ca::all(&floor.ledger).map_err(|error| unreadable(&error))?;
    chains.push(floor.issuing.current().chain.clone());
    let mut known = chains.iter().map(ca::Chain::sha256);
    match known.find(|sha256| issuer.len() >= SHORT && sha256.starts_with(&issuer)) {
        Some(sha256) => show(&floor, &sha256),
        None => {
            let detail = "no issuing CA of this box is known by that; an address ends with the first 16 digits of the SHA-256 \
                          of the CA's certificate, see: edge ca status";
            Err(Problem::new(StatusCode::NOT_FOUND, "crl-unknown", detail))
        }
    }
}

fn show(floor: &Shared, issuer: &str) -> Result<Response, Problem> {
    let shown = floor.crl.borrow().get(issuer).cloned();
    match shown {
        Some(Shown::List { der, until }) if floor.clock.latest() < until => {
            let headers =
                [(header::CONTENT_TYPE, "application/pkix-crl"), (header::CACHE_CONTROL, "max-age=60")];
            Ok((headers, Bytes::from_owner(der)).into_response())
        }
        Some(Shown::List { .. }) | None => {
            let detail = "there is no list of revoked certificates right now; ask again in a moment, the log of the \
                          appliance says why";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "crl-unavailable", detail))
        }
        Some(Shown::NoKey) => {
            let detail = format!(
                "the key of the issuing CA {} cannot be opened, and no other may sign its list; put issuing-{0}.key back \
                 into the state folder, or connect the token that holds it: the log of the appliance says which",
                &issuer[..SHORT]
            );
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "crl-unavailable", detail))
        }
        Some(Shown::TooLong) => {
            let detail = "more certificates are revoked than a list holds (100,000), and one that leaves some out would be a \
                          lie; a new issuing CA begins with an empty list";
            let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "crl-too-long", detail);
            Err(problem.retryable(false))
        }
    }
}
