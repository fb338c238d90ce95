//! `GET /crl`: the list of revoked certificates, DER.

use axum::{
    body::Bytes,
    extract::State,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use web::Problem;

use super::{Shared, now};
use crate::crl::Shown;

pub(super) async fn list(State(floor): State<Shared>) -> Result<Response, Problem> {
    let unavailable = |code, detail| Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
    let shown = floor.crl.borrow().clone();
    match shown {
        Shown::List { der, until, .. } if now() < until => {
            let headers =
                [(header::CONTENT_TYPE, "application/pkix-crl"), (header::CACHE_CONTROL, "max-age=60")];
            Ok((headers, Bytes::from_owner(der)).into_response())
        }
        Shown::List { .. } | Shown::Nothing => {
            let detail = "there is no list of revoked certificates right now; ask again in a moment, the log of the \
                          appliance says why";
            Err(unavailable("crl-unavailable", detail))
        }
        Shown::TooLong => {
            let detail = "more certificates are revoked than a list holds (100,000), and one that leaves some out would be a \
                          lie; a new issuing CA begins with an empty list";
            Err(unavailable("crl-too-long", detail).retryable(false))
        }
    }
}
