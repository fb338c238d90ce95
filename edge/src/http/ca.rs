//! What to trust.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use web::Json;

use super::Shared;
use crate::http::units::certificate_pem;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Chain {
    /// The issuing CA, PEM.
    chain: String,
    /// The root, PEM: what everybody on the floor trusts.
    root: String,
}

pub(super) async fn chain(State(floor): State<Shared>) -> Json<Chain> {
    let root = String::from_utf8_lossy(&floor.root).into_owned();
    Json(Chain { chain: certificate_pem(floor.issuer.certificate()), root })
}
