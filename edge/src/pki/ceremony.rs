//! What a ceremony makes: a request for another root, our own root's successor certificate, a proof of possession.

use aws_lc_rs::{
    encoding::AsDer,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use keys::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    ISSUING, PkiError,
    authority::{leaf, params, sign},
    signer::Signer,
};

/// Makes a request (PKCS#10, PEM) for an issuing CA with this key, to be signed by a root of somebody else.
pub(crate) fn ca_request(key: &dyn SigningKey, box_id: &str, name: Option<&str>) -> Result<String, PkiError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(box_id, name, key);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.serialize_request(&Signer(key))?.pem()?)
}

/// Makes another issuing CA below our own root. Its name differs from the one before, so that nobody mixes them up, and
/// it does not outlive the root.
pub(crate) fn successor(
    key: &dyn SigningKey,
    root: &CertificateDer<'_>,
    root_key: &dyn SigningKey,
    box_id: &str,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    let (_, parsed) = X509Certificate::from_der(root)
        .map_err(|_| PkiError::Certificate("the root's certificate does not parse".to_owned()))?;
    let (begin, end) =
        (parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime());
    let mut params = params(ISSUING, box_id, now, serial);
    params.distinguished_name = subject(box_id, None, key);
    params.not_before = params.not_before.max(begin);
    params.not_after = params.not_after.min(end);
    params.use_authority_key_identifier_extension = true;
    let issuer = Issuer::from_ca_cert_der(root, Signer(root_key))?;
    Ok(params.signed_by(&Signer(key), &issuer)?.into())
}

/// The name of an issuing CA: its box, and the begin of its key's hash.
fn subject(box_id: &str, name: Option<&str>, key: &dyn SigningKey) -> DistinguishedName {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.public_key_der());
    let short = box_id.get(..8).unwrap_or(box_id);
    let fallback = format!("Edge issuing CA {short} {}", hex::encode(&hash.as_ref()[..4]));
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, format!("Edge {box_id}"));
    subject.push(DnType::CommonName, name.unwrap_or(&fallback));
    subject
}

/// Makes a certificate for the code that somebody else named, good for a day. Its key is made here, used by nobody, and
/// gone with the return.
pub(crate) fn proof(
    code: &str,
    ca: &CertificateDer<'_>,
    ca_key: &dyn SigningKey,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    let failed = |what: &str| PkiError::Certificate(what.to_owned());
    let (_, parsed) =
        X509Certificate::from_der(ca).map_err(|_| failed("the CA's certificate does not parse"))?;
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
        .map_err(|_| failed("no key could be made"))?;
    let spki = pair.public_key().as_der().map_err(|_| failed("no key could be made"))?;
    let mut params = leaf(code, 1, now, serial);
    params.not_before = (now - Duration::hours(1)).max(parsed.validity().not_before.to_datetime());
    params.not_after = params.not_before + Duration::days(1);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(params, spki.as_ref(), ca, ca_key)
}
