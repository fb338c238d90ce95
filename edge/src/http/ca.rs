//! What to trust.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use web::{Json, Problem};

use super::{Shared, unreadable};
use crate::{ca, http::units::certificate_pem};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Chain {
    /// The issuing CA at work and what leads to its root, PEM.
    chain: String,
    /// The root of this box, PEM: what everybody on the floor trusts.
    root: String,
    /// The root that the chain leads to, PEM: the same, unless a plant or a company has signed the issuing CA.
    units_root: String,
    /// The chains of the issuing CAs that have given way, PEM: units that they issued stay what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    previous: Vec<String>,
}

pub(super) async fn chain(State(floor): State<Shared>) -> Result<Json<Chain>, Problem> {
    let root = String::from_utf8_lossy(&floor.root).into_owned();
    let current = floor.issuing.current();
    let units_root = current.chain.root().map_or_else(|| root.clone(), |root| certificate_pem(root));
    let known = ca::all(&floor.ledger).map_err(|error| unreadable(&error))?;
    let previous = known.iter().filter(|chain| **chain != current.chain).map(ca::Chain::served).collect();
    Ok(Json(Chain { chain: current.chain.served(), root, units_root, previous }))
}
