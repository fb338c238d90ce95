//! Pairing a browser: `/pair#TOKEN` is opened once on a screen, and the token becomes a cookie.
//!
//! A fragment is never sent, so the token is in no log and no history of a proxy.

use axum::{
    extract::State,
    response::{Html, IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Deserialize;
use web::{Json, Problem};

use super::Shared;
use crate::access::{COOKIE, authenticate};

/// As long as browsers keep a cookie.
const LIFE: u64 = 400 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pairing {
    token: String,
}

pub(super) async fn page() -> Html<&'static str> {
    Html(include_str!("../../assets/pair.html"))
}

pub(super) async fn pair(
    State(floor): State<Shared>,
    Json(pairing): Json<Pairing>,
) -> Result<Response, Problem> {
    let mut presented = HeaderMap::new();
    let bearer = HeaderValue::try_from(format!("Bearer {}", pairing.token)).map_err(|_| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "token-malformed",
            "this is no token; copy the whole address again",
        )
    })?;
    presented.insert(header::AUTHORIZATION, bearer);
    let principal = authenticate(&floor.ledger, &presented, false, floor.clock.latest())?;
    floor.usage.note(&principal.name, floor.clock.latest());
    tracing::info!(actor = principal.actor(), role = %principal.role, "a browser was paired");
    let cookie =
        format!("{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={LIFE}", pairing.token);
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response())
}
