//! What lies around every request: its size, its time, what it may break, and the headers of its answer.

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use axum::{
    extract::{DefaultBodyLimit, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::StatusCode;
use tracing::error;

use crate::{headers, limits::Limits, problem::Problem, unread::read_to_the_end};

/// What is granted to one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    body: usize,
    time: Duration,
    /// Whether answers are for browsers too.
    browsers: bool,
}

impl Grant {
    pub(crate) fn new(limits: &Limits, browsers: bool) -> Self {
        Self { body: limits.body, time: limits.request, browsers }
    }
}

/// Answers a request within what is granted to it, also when whoever should answer it is too slow, or panics.
///
/// One function around the router: every layer that the router itself is given costs each request a box or two.
pub(crate) async fn answer(State(grant): State<Grant>, mut request: Request, next: Next) -> Response {
    DefaultBodyLimit::max(grant.body).apply(&mut request);
    let answer = tokio::time::timeout(grant.time, read_to_the_end(grant.body, request, next));
    let mut response = match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => too_slow().into_response(),
        Err(panic) => panicked(panic.as_ref()).into_response(),
    };
    if grant.browsers {
        headers::add(response.headers_mut());
    }
    response
}

fn too_slow() -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request took too long; send it again")
        .retryable(true)
}

fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(panic = text.unwrap_or("?"), "a request handler panicked");
    Problem::internal()
}
