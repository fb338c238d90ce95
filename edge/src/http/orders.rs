//! Production orders as JSON.

use axum::{
    Extension,
    extract::{
        Path, Query, State,
        rejection::{PathRejection, QueryRejection},
    },
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use web::{Json, Problem};

use super::Shared;
use crate::{
    access::Principal,
    issuance::unprocessable,
    order::{self, Closed, OrderOpened, OrderRecord},
};

/// The largest page of the list.
const PAGE: usize = 1000;

pub(super) async fn open(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    Json(body): Json<Map<String, Value>>,
) -> Result<(StatusCode, Json<OrderRecord>), Problem> {
    // By way of a map: an array would be taken for the fields in their order.
    let order: OrderOpened = serde_json::from_value(Value::Object(body)).map_err(|error| {
        unprocessable("json-unexpected", format!("the JSON is not what is expected here: {error}"))
    })?;
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

/// The number in an address. What is not even text is no number, and unknown.
fn named(number: Result<Path<String>, PathRejection>) -> String {
    number.map(|Path(number)| number).unwrap_or_default()
}

fn own_line(principal: &Principal, line: &str) -> Result<(), Problem> {
    if principal.may_use(line) {
        return Ok(());
    }
    let detail = format!("the order is for line {line}, this token for another; use one for that line");
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
}

/// Which part of the list to show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
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
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<OrderList>, Problem> {
    let Query(query) = query.map_err(|error| {
        let detail = format!("the list takes after and limit: {error}");
        Problem::new(StatusCode::BAD_REQUEST, "query-unexpected", detail)
    })?;
    let limit = query.limit.unwrap_or(100).clamp(1, PAGE);
    let mut orders = order::list(&floor, query.after.as_deref(), limit)?;
    let next = orders.last().filter(|_| orders.len() == limit).map(|record| record.order.number.clone());
    orders.retain(|record| principal.may_use(&record.order.line));
    Ok(Json(OrderList { orders, next }))
}
