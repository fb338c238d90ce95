//! Jobs for the cloud, for supervisors: one that is held, compared with what the cloud has, and decided.

use axum::{
    Extension,
    extract::{Path, State, rejection::PathRejection},
};
use web::{Json, Object, Problem};

use super::{Shared, units::named};
use crate::{
    access::Principal,
    life::unit,
    resolve::{self, Compared, Resolve, Resolved},
};

pub(super) async fn show(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Compared>, Problem> {
    let unit = unit(&floor, &principal, &named(id))?;
    resolve::compare(&floor, unit.id.as_ref()).await.map(Json)
}

pub(super) async fn resolve(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    id: Result<Path<String>, PathRejection>,
    Object(asked): Object<Resolve>,
) -> Result<Json<Resolved>, Problem> {
    let unit = unit(&floor, &principal, &named(id))?;
    resolve::resolve(&floor, &principal.actor(), unit.id.as_ref(), asked).await.map(Json)
}
