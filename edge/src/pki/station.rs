//! Client certificates of stations: an authority of their own, which signs nothing else.

use keys::SigningKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{
    PkiError,
    authority::{Authority, leaf, sign},
    signer::Signer,
};

/// Signs stations' client certificates. It stands beside the root: the root's key is locked away when it is made.
pub(crate) const STATIONS: Authority =
    Authority { name: "stations", subject: "stations CA", path_length: Some(0), years: 50 };

/// Makes a station's certificate, good for client authentication until `expires`.
pub(crate) fn station_certificate(
    name: &str,
    spki: &[u8],
    authority: &CertificateDer<'_>,
    authority_key: &dyn SigningKey,
    (now, expires): (OffsetDateTime, OffsetDateTime),
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    let mut params = leaf(name, 0, now, serial);
    params.not_after = expires;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(params, spki, authority, authority_key)
}

/// Makes a request (PKCS#10, PEM) for a key of one's own.
pub(crate) fn request(name: &str, key: &dyn SigningKey) -> Result<String, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params.serialize_request(&Signer(key))?.pem()?)
}
