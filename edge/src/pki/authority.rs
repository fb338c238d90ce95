//! The authorities and the server certificate, as they are made by `edge init` and renewed by the daemon.

use std::net::IpAddr;

use keys::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};

use super::{PkiError, signer::Signer};

/// What kind of authority: its name in subject and file, whether it may sign others, and how long it lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authority {
    pub(crate) name: &'static str,
    pub(super) subject: &'static str,
    pub(super) path_length: Option<u8>,
    pub(super) years: i64,
}

/// The anchor of everything that this box signs.
pub(crate) const ROOT: Authority = Authority { name: "root", subject: "root", path_length: None, years: 60 };
/// Signs units, and nothing else.
pub(crate) const ISSUING: Authority =
    Authority { name: "issuing", subject: "issuing CA", path_length: Some(0), years: 50 };
/// Signs what this box itself needs on the floor.
pub(crate) const FLOOR: Authority =
    Authority { name: "floor", subject: "floor CA", path_length: Some(0), years: 50 };

const DAY: Duration = Duration::days(1);

/// Makes the root: it signs itself.
pub(crate) fn make_root(
    key: &dyn SigningKey,
    box_id: &str,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    make_own(ROOT, key, box_id, now, serial)
}

/// Makes an authority that signs itself.
pub(crate) fn make_own(
    authority: Authority,
    key: &dyn SigningKey,
    box_id: &str,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    Ok(params(authority, box_id, now, serial).self_signed(&Signer(key))?.into())
}

/// Makes the authority for the public key of `key`, signed by the root.
pub(crate) fn make(
    authority: Authority,
    key: &dyn SigningKey,
    root: &CertificateDer<'_>,
    root_key: &dyn SigningKey,
    box_id: &str,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    let issuer = Issuer::from_ca_cert_der(root, Signer(root_key))?;
    let mut params = params(authority, box_id, now, serial);
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(&Signer(key), &issuer)?.into())
}

pub(super) fn params(
    authority: Authority,
    box_id: &str,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, format!("Edge {box_id}"));
    params
        .distinguished_name
        .push(DnType::CommonName, format!("Edge {} {}", authority.subject, &box_id[..8]));
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = now - DAY;
    params.not_after = now + Duration::days(authority.years * 365);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.is_ca = IsCa::Ca(
        authority.path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained),
    );
    params
}

/// Makes a server certificate for `names` (DNS names and addresses), good for a year.
pub(crate) fn server_certificate(
    spki: &[u8],
    names: &[String],
    floor: &CertificateDer<'_>,
    floor_key: &dyn SigningKey,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    let mut params = leaf(names.first().map_or("edge", String::as_str), 365, now, serial);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    for name in names {
        params.subject_alt_names.push(match name.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    sign(params, spki, floor, floor_key)
}

/// Makes the certificate of the key that signs the journal's checkpoints, good for ten years: signatures are checked
/// long after they were made, but by somebody who was shown when.
pub(crate) fn checkpoint_certificate(
    spki: &[u8],
    floor: &CertificateDer<'_>,
    floor_key: &dyn SigningKey,
    now: OffsetDateTime,
    serial: [u8; 17],
) -> Result<CertificateDer<'static>, PkiError> {
    sign(leaf(CHECKPOINT, 3650, now, serial), spki, floor, floor_key)
}

/// The common name of a checkpoint certificate: what tells it from a server's.
pub(crate) const CHECKPOINT: &str = "edge journal checkpoint";

/// What all leaves of the floor have in common.
pub(super) fn leaf(name: &str, days: i64, now: OffsetDateTime, serial: [u8; 17]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = now - DAY;
    params.not_after = now + Duration::days(days);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn sign(
    params: CertificateParams,
    spki: &[u8],
    floor: &CertificateDer<'_>,
    floor_key: &dyn SigningKey,
) -> Result<CertificateDer<'static>, PkiError> {
    let issuer = Issuer::from_ca_cert_der(floor, Signer(floor_key))?;
    Ok(params.signed_by(&SubjectPublicKeyInfo::from_der(spki)?, &issuer)?.into())
}
