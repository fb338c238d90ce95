//! What every form must carry: an origin that is ours, and a token that we gave to this browser.

use std::sync::Arc;

use aws_lc_rs::hmac;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, header};

use crate::http::App;
use crate::http::pages::{Message, page};

/// Makes and checks form tokens: an HMAC over what ties the form to one browser. Nothing is stored.
pub(crate) struct Tokens(hmac::Key);

impl Tokens {
    pub(crate) fn new(secret: &[u8; 16]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    pub(crate) fn token(&self, browser: &str) -> String {
        hex::encode(hmac::sign(&self.0, browser.as_bytes()))
    }

    pub(crate) fn fits(&self, browser: &str, token: &str) -> bool {
        let Ok(token) = hex::decode(token) else { return false };
        !browser.is_empty() && hmac::verify(&self.0, browser.as_bytes(), &token).is_ok()
    }
}

/// Refuses whatever changes something unless it comes from one of our own pages.
pub(crate) async fn same_origin(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || ours(&request, app.origin.as_deref()) {
        return next.run(request).await;
    }
    let text = "This form was not sent from a page of this portal, so nothing was done. \
                Open the portal and fill in the form there.";
    page(StatusCode::FORBIDDEN, &Message { account: None, title: "Not done", text })
}

fn ours(request: &Request, configured: Option<&str>) -> bool {
    let Some(origin) = text(request.headers(), &header::ORIGIN) else { return false };
    match configured {
        Some(configured) => origin == configured,
        None => {
            let asked = request.uri().authority().map(http::uri::Authority::as_str);
            asked
                .or_else(|| text(request.headers(), &header::HOST))
                .is_some_and(|host| origin.strip_prefix("https://") == Some(host))
        }
    }
}

/// A header's text.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter();
    let mut pairs = all.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_token_fits_the_browser_it_was_made_for_and_no_other() {
        let tokens = Tokens::new(&[1; 16]);
        let token = tokens.token("a");
        assert!(tokens.fits("a", &token));
        assert!(!tokens.fits("b", &token));
        assert!(!tokens.fits("a", ""));
        assert!(!tokens.fits("", &tokens.token("")), "a browser that shows nothing has no token");
        assert!(!Tokens::new(&[2; 16]).fits("a", &token));
    }

    #[test]
    fn only_our_own_origin_passes() {
        let check = |origin: Option<&str>, configured: Option<&str>| {
            let mut request = http::Request::post("/x").header("host", "portal.example:8444");
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            ours(&request.body(Body::empty()).unwrap(), configured)
        };
        assert!(check(Some("https://portal.example:8444"), None));
        let foreign =
            ["https://portal.example", "http://portal.example:8444", "https://evil.example", "null"];
        for foreign in foreign {
            assert!(!check(Some(foreign), None), "{foreign}");
        }
        assert!(!check(None, None), "a form without an origin does not come from a browser's page");
        assert!(check(Some("https://outside.example"), Some("https://outside.example")));
        assert!(!check(Some("https://portal.example:8444"), Some("https://outside.example")));
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, "xa=1; a=2; b=3".parse().unwrap());
        assert_eq!(cookie(&headers, "a"), Some("2"));
        assert_eq!(cookie(&headers, "c"), None);
    }
}
