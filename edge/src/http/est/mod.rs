//! EST, Enrollment over Secure Transport (RFC 7030, clarified by RFC 8951): certificates for whoever speaks the standard.
//!
//! Another way to ask, and no other rules: every operation ends in `issuance` or in `life`.

pub(crate) mod body;
mod ca;
mod enroll;
mod label;
mod multipart;
mod pkcs7;
mod reenroll;
mod server_key;

pub(super) use ca::{cacerts, csrattrs};
pub(super) use enroll::simpleenroll;
pub(super) use reenroll::simplereenroll;
pub(super) use server_key::serverkeygen;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use web::Problem;

/// After how many seconds a client asks again when nothing can be issued now.
const ASK_AGAIN: HeaderValue = HeaderValue::from_static("60");

/// What a client is told that gets no certificate.
///
/// Where nothing can be issued *now*, RFC 7030 4.2.3 has an answer of its own: 202 and when to ask again. It is no
/// promise; nothing was signed and nothing was written.
fn refusal(problem: Problem) -> Response {
    let later = match problem.status() {
        StatusCode::INSUFFICIENT_STORAGE => true,
        StatusCode::SERVICE_UNAVAILABLE => !matches!(problem.code(), "stopping" | "superseded"),
        _ => false,
    };
    if !later {
        return problem.into_response();
    }
    let headers = [
        (header::RETRY_AFTER, ASK_AGAIN),
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (StatusCode::ACCEPTED, headers, format!("{}\n", problem.detail())).into_response()
}
