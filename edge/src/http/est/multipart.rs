//! A key and its certificate in one answer (RFC 7030 4.4.2, RFC 2046), wiped when it was sent.

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::header;
use zeroize::Zeroizing;

use super::pkcs7::MEDIA_TYPE;

/// Base64 has no hyphen, so no line of it is taken for this.
const BOUNDARY: &str = "est-server-key";
/// What names it to the client.
const MIXED: &str = "multipart/mixed; boundary=est-server-key";

/// The answer: `key` is PKCS#8 DER, `certificates` is PKCS#7 DER.
pub(super) fn key_and_certificate(key: &[u8], certificates: &[u8]) -> Response {
    let headers = [(header::CONTENT_TYPE, MIXED), (header::CACHE_CONTROL, "no-store")];
    (headers, Bytes::from_owner(body(key, certificates))).into_response()
}

fn body(key: &[u8], certificates: &[u8]) -> Zeroizing<String> {
    let key = Zeroizing::new(STANDARD.encode(key));
    let certificates = STANDARD.encode(certificates);
    // Room for all of it at once: a string that grows leaves copies behind.
    let mut body = Zeroizing::new(String::with_capacity(key.len() + certificates.len() + 512));
    for (media_type, base64) in [("application/pkcs8", key.as_str()), (MEDIA_TYPE, certificates.as_str())] {
        for part in ["--", BOUNDARY, "\r\nContent-Type: ", media_type, "\r\n"] {
            body.push_str(part);
        }
        body.push_str("Content-Transfer-Encoding: base64\r\n\r\n");
        body.push_str(base64);
        body.push_str("\r\n");
    }
    for part in ["--", BOUNDARY, "--\r\n"] {
        body.push_str(part);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_parts_are_told_apart_and_nothing_was_copied() {
        let built = body(b"key", b"certificate");
        let expected = "--est-server-key\r\nContent-Type: application/pkcs8\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                        a2V5\r\n--est-server-key\r\nContent-Type: application/pkcs7-mime; smime-type=certs-only\r\n\
                        Content-Transfer-Encoding: base64\r\n\r\nY2VydGlmaWNhdGU=\r\n--est-server-key--\r\n";
        assert_eq!(built.as_str(), expected);
        assert!(MIXED.ends_with(BOUNDARY));
        let large = body(&[7; 5000], &[9; 5000]);
        assert!(large.len() < large.capacity(), "it never grew: {} of {}", large.len(), large.capacity());
    }
}
