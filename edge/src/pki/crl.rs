//! Signing the list of revoked certificates (RFC 5280 5).

use keys::SigningKey;
use rcgen::{
    CertificateRevocationListParams, KeyIdMethod, RevocationReason, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::{
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
};

use super::{PkiError, signer::Signer};

/// A list to be signed.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) number: u64,
    pub(crate) this_update: OffsetDateTime,
    pub(crate) next_update: OffsetDateTime,
    pub(crate) entries: Vec<Entry>,
}

/// A certificate on it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Hex.
    pub(crate) serial: String,
    /// Since when.
    pub(crate) at: OffsetDateTime,
    /// Whether the unit has another one; else it is no more.
    pub(crate) superseded: bool,
}

/// Signs `list` with the key of the CA whose certificate is given, and with no other; returns DER.
pub(crate) fn sign(
    certificate: &CertificateDer<'_>,
    key: &dyn SigningKey,
    list: &List,
) -> Result<Vec<u8>, PkiError> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|_| PkiError::Certificate("the issuing CA's certificate does not parse".to_owned()))?;
    if parsed.public_key().raw != key.public_key_der() {
        return Err(PkiError::Certificate("the key is not that of the CA whose list it is".to_owned()));
    }
    let issuer = rcgen::Issuer::from_ca_cert_der(certificate, Signer(key))?;
    let revoked = list.entries.iter().map(|entry| {
        let serial = hex::decode(&entry.serial)
            .map_err(|_| PkiError::Certificate(format!("'{}' is no serial number", entry.serial)))?;
        let reason = if entry.superseded {
            RevocationReason::Superseded
        } else {
            RevocationReason::CessationOfOperation
        };
        Ok(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&serial),
            // Lists know whole seconds.
            revocation_time: entry.at.replace_nanosecond(0).unwrap_or(entry.at),
            reason_code: Some(reason),
            invalidity_date: None,
        })
    });
    let params = CertificateRevocationListParams {
        this_update: list.this_update,
        next_update: list.next_update,
        crl_number: SerialNumber::from(list.number),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect::<Result<_, PkiError>>()?,
        key_identifier_method: KeyIdMethod::PreSpecified(key_identifier(&parsed)?),
    };
    Ok(params.signed_by(&issuer)?.der().to_vec())
}

/// The subject key identifier, as it stands in the CA's certificate: whoever made that has chosen how.
fn key_identifier(certificate: &X509Certificate<'_>) -> Result<Vec<u8>, PkiError> {
    let wrong =
        || PkiError::Certificate("the issuing CA's certificate has no subject key identifier".to_owned());
    let found = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    });
    found.ok_or_else(wrong)
}
