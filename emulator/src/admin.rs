//! The page to look and to act: plain JSON on loopback, for tests and for a fair.

use std::time::Duration;

use axum::{
    Router,
    extract::{Path, Query, State},
    routing::{get, patch, post},
};
use azure_iot::enrollment::IndividualEnrollment;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use web::{Json, Problem};

use crate::{
    cloud::{
        Seen,
        hub::{DeviceView, Message, MethodResult},
    },
    emulator::Control,
    weather::Weather,
};

/// How long a device may take to answer a method.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/enrollments", get(enrollments))
        .route("/devices", get(devices))
        .route("/devices/{id}/telemetry", get(telemetry))
        .route("/devices/{id}/desired", patch(desired))
        .route("/devices/{id}/methods/{name}", post(method))
        .route("/requests", get(requests))
        .route("/weather", get(weather).put(set_weather))
        .with_state(control)
}

/// From where on, and how long to wait for something new.
#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
    /// Seconds.
    #[serde(default)]
    wait: u64,
}

async fn enrollments(State(control): State<Control>) -> Json<Vec<IndividualEnrollment>> {
    Json(control.with(|cloud, _| cloud.enrollments()))
}

async fn devices(State(control): State<Control>) -> Json<Vec<DeviceView>> {
    Json(control.with(|cloud, _| cloud.hub().devices()))
}

async fn telemetry(
    State(control): State<Control>,
    Path(id): Path<String>,
    Query(After { after, wait }): Query<After>,
) -> Json<Vec<Message>> {
    let found =
        control.until(|cloud| Some(cloud.hub().messages(&id, after)).filter(|found| !found.is_empty()));
    Json(timeout(Duration::from_secs(wait.min(60)), found).await.unwrap_or_default())
}

async fn requests(
    State(control): State<Control>,
    Query(After { after, wait }): Query<After>,
) -> Json<Vec<Seen>> {
    let found = control.until(|cloud| Some(cloud.seen(after)).filter(|found| !found.is_empty()));
    Json(timeout(Duration::from_secs(wait.min(60)), found).await.unwrap_or_default())
}

async fn desired(
    State(control): State<Control>,
    Path(id): Path<String>,
    Json(patch): Json<Map<String, Value>>,
) -> Result<Json<Value>, Problem> {
    let patched = control.with(|cloud, _| cloud.patch_desired(&id, patch));
    let (version, outputs) = patched.ok_or_else(unknown)?;
    control.queues().send(outputs);
    Ok(Json(json!({ "version": version })))
}

async fn method(
    State(control): State<Control>,
    Path((id, name)): Path<(String, String)>,
    Json(payload): Json<Value>,
) -> Result<Json<MethodResult>, Problem> {
    let called = control.with(|cloud, _| cloud.call_method(&id, &name, &payload));
    let (rid, outputs) = called.ok_or_else(unknown)?;
    control.queues().send(outputs);
    let result = timeout(PATIENCE, control.until(|cloud| cloud.hub().result(&rid).cloned())).await;
    result.map(Json).map_err(|_| {
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "no-answer", "the device did not answer the method in time")
    })
}

fn unknown() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-device", "no device of this name is there and listening")
}

async fn weather(State(control): State<Control>) -> Json<Weather> {
    Json(control.weather())
}

async fn set_weather(State(control): State<Control>, Json(weather): Json<Weather>) -> Json<Weather> {
    control.set_weather(weather);
    Json(weather)
}
