//! What a browser is told about our pages.

use axum::{Router, response::Response};
use http::{HeaderName, HeaderValue, header};
use tower::util::MapResponseLayer;

const POLICY: &str =
    "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// What every answer carries, unless its handler has said otherwise.
static ALWAYS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Not "no-referrer": with that, browsers send `Origin: null` with our own forms, and the check fails.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
];

/// Adds the headers that keep a page to itself: no foreign scripts, no frames, no guessing of types.
///
/// One layer for all of them: each costs every request an allocation or two.
pub fn security_headers<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(MapResponseLayer::new(|mut response: Response| {
        let headers = response.headers_mut();
        headers.reserve(ALWAYS.len());
        for (name, value) in &ALWAYS {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        response
    }))
}
