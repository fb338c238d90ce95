//! Errors as RFC 9457 says: `application/problem+json` with a stable code and a sentence that says what to do.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Map, Value};

/// When to ask again where nothing better is known.
const AGAIN: Duration = Duration::from_secs(5);

/// An error for the caller. The cause goes to the log, never in here.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retryable: bool,
    retry_after: Option<Duration>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem with a stable code, such as `line-unknown`, and a sentence that says what to do.
    ///
    /// Asking again later helps for 429 and 503, unless [`Problem::retryable`] says otherwise.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let retryable = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self { status, code, detail: detail.into(), retryable, retry_after: None, more: Map::new() }
    }

    /// Says whether asking the same again later may help.
    #[must_use]
    pub fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }

    /// Says when asking the same again may help, in whole seconds: also as `Retry-After`.
    #[must_use]
    pub fn retry_after(self, retry_after: Duration) -> Self {
        Self { retryable: true, retry_after: Some(retry_after), ..self }
    }

    /// Adds a member, such as the certificate that exists already.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// Whether asking the same again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }

    /// The sentence that says what to do.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Something went wrong that the caller can do nothing about; the log says what.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "an internal error; the log of the server says more",
        )
    }

    /// No such path.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "there is nothing at this address; check the path")
    }

    /// The path exists, but not for this method.
    #[must_use]
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "this address does not take that method",
        )
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
    retryable: bool,
    #[serde(flatten)]
    more: &'a Map<String, Value>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            kind: format!("urn:problem-type:{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            retryable: self.retryable,
            more: &self.more,
        };
        let body = serde_json::to_vec(&body).expect("a problem is plain data");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let pressed = matches!(self.status.as_u16(), 429 | 503 | 507);
        if let Some(after) = self.retry_after.or((self.retryable && pressed).then_some(AGAIN)) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
