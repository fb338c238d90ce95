//! Requests as they come in: `application/pkcs10`, base64 of DER.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use web::Problem;

/// The largest request that is looked at, in bytes of DER.
const LONGEST: usize = 16 << 10;

/// The DER of a PKCS#10 request. As an extractor it answers 400, 413 or 415 by itself.
#[derive(Debug, Clone)]
pub(in crate::http) struct Pkcs10(pub(super) Vec<u8>);

impl<S: Send + Sync> FromRequest<S> for Pkcs10 {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        is_pkcs10(request.headers())?;
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => too_large(),
                status => {
                    Problem::new(status, "body-unreadable", "the body did not arrive whole; send it again")
                }
            })?;
        decode(&body).map(Self)
    }
}

fn is_pkcs10(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/pkcs10") {
        return Ok(());
    }
    let detail = "send the request (PKCS#10, base64 of DER) with Content-Type: application/pkcs10";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-pkcs10", detail))
}

fn too_large() -> Problem {
    let detail = "the body is larger than this address takes; a request has at most 16 KiB";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
}

/// Decodes base64 as RFC 8951 3.1 wants it: RFC 4648 section 4, and white space, which older clients send, does not count.
/// A header `Content-Transfer-Encoding` is not looked at.
pub(crate) fn decode(body: &[u8]) -> Result<Vec<u8>, Problem> {
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(text).map_err(|_| {
        let detail = "the body is not base64 (RFC 4648 section 4, with padding); \
                      make it with: openssl req -in device.csr -outform DER | openssl base64";
        Problem::new(StatusCode::BAD_REQUEST, "base64-malformed", detail)
    })?;
    if der.len() > LONGEST {
        return Err(too_large());
    }
    Ok(der)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_wrapping_of_base64_is_read_and_nothing_else() {
        let der: Vec<u8> = (0..=255).chain([1]).collect();
        let text = STANDARD.encode(&der);
        let wrapped = |end: &str| {
            text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + end).collect::<String>()
        };
        for body in
            [text.clone(), wrapped("\n"), wrapped("\r\n"), wrapped(" \t\r\n"), format!("\r\n{text}\r\n")]
        {
            assert_eq!(decode(body.as_bytes()).unwrap(), der, "{body}");
        }
        let url_safe = base64::engine::general_purpose::URL_SAFE.encode(&der);
        assert!(url_safe.contains('-') && url_safe.contains('_') && text.ends_with('='));
        let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{text}\n-----END CERTIFICATE REQUEST-----\n");
        for body in
            [url_safe, text.trim_end_matches('=').to_owned(), format!("{text}="), pem, "\u{e4}".to_owned()]
        {
            let problem = decode(body.as_bytes()).unwrap_err();
            assert_eq!((problem.status().as_u16(), problem.code()), (400, "base64-malformed"), "{body}");
        }
        assert_eq!(decode(STANDARD.encode(vec![0; LONGEST + 1]).as_bytes()).unwrap_err().status(), 413);
    }

    #[test]
    fn only_pkcs10_is_read() {
        let check = |value: &str, good: bool| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_pkcs10(&headers).is_ok(), good, "{value}");
        };
        check("application/pkcs10", true);
        check("Application/PKCS10; charset=us-ascii", true);
        check("application/pkcs7-mime", false);
        check("application/pkcs10x", false);
        assert_eq!(is_pkcs10(&HeaderMap::new()).unwrap_err().status(), 415);
    }
}
