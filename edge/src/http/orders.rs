//! Production orders as JSON.

use axum::{
    Extension,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use web::{Json, Object, Problem};

use super::{Shared, part::Part, units::named};
use crate::{
    access::Principal,
    order::{self, Closed, OrderOpened, OrderRecord},
};

pub(super) async fn open(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    Object(order): Object<OrderOpened>,
) -> Result<(StatusCode, Json<OrderRecord>), Problem> {
    own_line(&principal, &order.line)?;
    let (status, record) = order::open(&floor, principal.actor(), order).await?;
    Ok((status, Json(record)))
}

pub(super) async fn close(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    number: Result<Path<String>, PathRejection>,
) -> Result<Json<Closed>, Problem> {
    let number = named(number);
    own_line(&principal, &order::show(&floor, &number)?.order.line)?;
    order::close(&floor, principal.actor(), &number).await.map(Json)
}

pub(super) async fn show(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    number: Result<Path<String>, PathRejection>,
) -> Result<Json<OrderRecord>, Problem> {
    let record = order::show(&floor, &named(number))?;
    own_line(&principal, &record.order.line)?;
    Ok(Json(record))
}

fn own_line(principal: &Principal, line: &str) -> Result<(), Problem> {
    if principal.may_use(line) {
        return Ok(());
    }
    let detail = format!("the order is for line {line}, this token for another; use one for that line");
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// A part of the list, in the order of the numbers; `next` is the `after` of the next part.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OrderList {
    orders: Vec<OrderRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    next: Option<String>,
}

pub(super) async fn list(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    query: Result<Query<Part<String>>, QueryRejection>,
) -> Result<Json<OrderList>, Problem> {
    let (after, limit) = Part::read(query, "list")?;
    let mut orders = order::list(&floor, after.as_deref(), limit)?;
    let next = orders.last().filter(|_| orders.len() == limit).map(|record| record.order.number.clone());
    orders.retain(|record| principal.may_use(&record.order.line));
    Ok(Json(OrderList { orders, next }))
}
