//! Certificates as clients send them, and as DPS describes them.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use azure_iot::enrollment::CertificateInfo;
use base64::{Engine, engine::general_purpose::STANDARD};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{SECONDS, http::Refused};

/// What a certificate is known by: SHA-256 of its DER, upper-case hex.
pub(super) type Thumbprint = String;

/// Reads a certificate in any of the three spellings that real clients send: base64 of DER, PEM, base64 of PEM.
pub(super) fn read(text: &str) -> Result<CertificateInfo, Refused> {
    let invalid =
        || Refused::invalid("The certificate is not a valid base64 string value, or not a certificate.");
    let text = text.trim();
    let der = if text.starts_with("-----BEGIN") {
        pem(text.as_bytes()).ok_or_else(invalid)?
    } else {
        let joined: String = text.split_whitespace().collect();
        let bytes = STANDARD.decode(joined).map_err(|_| invalid())?;
        if bytes.starts_with(b"-----BEGIN") { pem(&bytes).ok_or_else(invalid)? } else { bytes }
    };
    describe(&der).ok_or_else(invalid)
}

fn pem(bytes: &[u8]) -> Option<Vec<u8>> {
    x509_parser::pem::parse_x509_pem(bytes).ok().map(|(_, block)| block.contents)
}

pub(super) fn thumbprint(der: &[u8]) -> Thumbprint {
    hex::encode_upper(digest(&SHA256, der))
}

fn describe(der: &[u8]) -> Option<CertificateInfo> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let time = |at: OffsetDateTime| at.format(SECONDS).ok();
    Some(CertificateInfo {
        subject_name: certificate.subject().to_string(),
        sha1_thumbprint: hex::encode_upper(digest(&SHA1_FOR_LEGACY_USE_ONLY, der)),
        sha256_thumbprint: thumbprint(der),
        issuer_name: certificate.issuer().to_string(),
        not_before_utc: time(certificate.validity().not_before.to_datetime())?,
        not_after_utc: time(certificate.validity().not_after.to_datetime())?,
        serial_number: hex::encode_upper(certificate.raw_serial()),
        version: 3,
    })
}

/// What a device presented in its handshake, as far as DPS looks at it.
#[derive(Debug, Clone)]
pub(super) struct Presented {
    pub(super) common_name: String,
    pub(super) thumbprint: Thumbprint,
}

/// Reads a device's certificate, and refuses one that is not valid now.
pub(super) fn presented(der: Option<&[u8]>, now: OffsetDateTime) -> Result<Presented, Refused> {
    let refused = |message: &str| Refused::unauthorized(message);
    let der = der.ok_or_else(|| refused("A client certificate is required."))?;
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| refused("Invalid certificate."))?;
    let validity = certificate.validity();
    if now < validity.not_before.to_datetime() || now > validity.not_after.to_datetime() {
        return Err(refused("Invalid certificate: it is not valid at this time."));
    }
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    Ok(Presented { common_name: name.unwrap_or_default().to_owned(), thumbprint: thumbprint(der) })
}
