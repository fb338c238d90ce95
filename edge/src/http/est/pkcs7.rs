//! Certificates as they go out: PKCS#7 without a signature ("certs-only", RFC 5652), base64.

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use cms::content_info::ContentInfo;
use http::{HeaderName, HeaderValue, header};
use tracing::error;
use web::Problem;
use x509_cert::{
    PkiPath,
    der::{self, Decode, Encode},
};

/// The media type of certificates.
pub(super) const MEDIA_TYPE: &str = "application/pkcs7-mime; smime-type=certs-only";
/// RFC 7030 wants this header, RFC 8951 ignores it; clients of both kinds are about.
const TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// The answer with these certificates (DER) and no others.
pub(super) fn certificates(certificates: &[&[u8]]) -> Result<Response, Problem> {
    Ok(answer(MEDIA_TYPE, &certs_only(certificates)?))
}

/// An answer in base64, without line breaks.
pub(super) fn answer(media_type: &'static str, der: &[u8]) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
        (TRANSFER_ENCODING, HeaderValue::from_static("base64")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (headers, STANDARD.encode(der)).into_response()
}

/// The DER of a PKCS#7 with these certificates (DER).
pub(super) fn certs_only(certificates: &[&[u8]]) -> Result<Vec<u8>, Problem> {
    encode(certificates).map_err(|error| {
        error!(%error, "certificates cannot be put into PKCS#7");
        Problem::internal()
    })
}

fn encode(certificates: &[&[u8]]) -> der::Result<Vec<u8>> {
    let path = certificates
        .iter()
        .map(|der| x509_cert::Certificate::from_der(der))
        .collect::<Result<PkiPath, _>>()?;
    ContentInfo::try_from(path)?.to_der()
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey};
    use time::macros::datetime;

    use super::*;
    use crate::pki::make_root;

    #[test]
    fn what_goes_in_is_in_it_byte_for_byte() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, serial: u8| {
            let key = FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
            make_root(&key, "0123456789abcdef", datetime!(2026-11-28 12:00 UTC), [serial; 17]).unwrap()
        };
        let (first, second) = (make("a", 1), make("b", 2));
        let pkcs7 = certs_only(&[&first, &second]).unwrap();
        for certificate in [&first, &second] {
            assert!(pkcs7.windows(certificate.len()).any(|window| window == &certificate[..]));
        }
        assert!(certs_only(&[b"no certificate"]).is_err());
    }
}
