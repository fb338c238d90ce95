//! The one door to `rcgen`: the root that clients are told to trust, and a certificate for Azure's names.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// Every name under which a client may call.
const NAMES: [&str; 3] = ["*.azure-devices-provisioning.net", "*.azure-devices.net", "localhost"];

/// What is made once per state folder, and what is made from it, all PEM.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) root: String,
    pub(crate) root_key: String,
    pub(crate) server_chain: String,
    pub(crate) server_key: String,
}

/// Makes a root and a server certificate.
pub(crate) fn make(now: OffsetDateTime) -> Result<Pki, rcgen::Error> {
    let root_key = KeyPair::generate()?;
    let mut root = CertificateParams::default();
    root.distinguished_name.push(DnType::CommonName, "Cloud emulator root");
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (root.not_before, root.not_after) = (now - Duration::DAY, now + Duration::days(3650));
    let root_certificate = root.self_signed(&root_key)?;
    let (server_chain, server_key) = server(&Issuer::new(root, &root_key), now)?;
    Ok(Pki { root: root_certificate.pem(), root_key: root_key.serialize_pem(), server_chain, server_key })
}

/// Makes a server certificate from a root that was made before.
pub(crate) fn renew(
    root: &str,
    root_key: &str,
    now: OffsetDateTime,
) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::from_pem(root_key)?;
    server(&Issuer::from_ca_cert_pem(root, &key)?, now)
}

fn server(root: &Issuer<'_, &KeyPair>, now: OffsetDateTime) -> Result<(String, String), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Cloud emulator");
    (params.not_before, params.not_after) = (now - Duration::DAY, now + Duration::days(365));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    for name in NAMES {
        params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
    }
    for last in [1, 2] {
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
    }
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, root)?.pem(), key.serialize_pem()))
}
