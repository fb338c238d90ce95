//! A certificate for a portal that was given none: the one door to `rcgen`.
//!
//! The root's key is never written: nobody can make another certificate that browsers with this root would trust.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SerialNumber,
};
use time::{Duration, OffsetDateTime};

/// How long such a certificate is good for: what browsers accept at most.
const VALIDITY: Duration = Duration::days(825);

/// A root, and a server certificate under it.
pub(crate) struct Certificates {
    pub(crate) root: String,
    pub(crate) server: String,
    pub(crate) server_key: String,
}

/// Makes a root and a server certificate for `names` (DNS names or addresses).
pub(crate) fn make(
    names: Vec<String>,
    serials: [[u8; 16]; 2],
    now: OffsetDateTime,
) -> Result<Certificates, rcgen::Error> {
    let [root_serial, server_serial] = serials.map(|mut serial| {
        // Positive, and never shorter than it looks.
        serial[0] = serial[0] & 0x7f | 0x40;
        SerialNumber::from(serial.to_vec())
    });
    let mut root = parameters(vec![], "Portal root", root_serial, now)?;
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let root_key = KeyPair::generate()?;
    let root_certificate = root.self_signed(&root_key)?;

    let common_name = names.first().cloned().unwrap_or_else(|| "portal".to_owned());
    let mut server = parameters(names, &common_name, server_serial, now)?;
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let server_certificate = server.signed_by(&server_key, &Issuer::new(root, root_key))?;
    Ok(Certificates {
        root: root_certificate.pem(),
        server: server_certificate.pem(),
        server_key: server_key.serialize_pem(),
    })
}

fn parameters(
    names: Vec<String>,
    common_name: &str,
    serial: SerialNumber,
    now: OffsetDateTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    parameters.serial_number = Some(serial);
    parameters.not_before = now - Duration::hours(1);
    parameters.not_after = now + VALIDITY;
    Ok(parameters)
}
