//! Requests as line PCs make them, and an authority to ask, for the tests of this crate.

use keys::{Algorithm, FileKey};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use time::{OffsetDateTime, macros::datetime};

use super::{ISSUING, Issuer, make, make_root};
use crate::profile::ProfileConfig;

/// When tests issue.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-23 12:00:00.5 UTC);

/// An issuing CA with a key of this kind, three days old, with no profile but the default.
pub(crate) fn issuer(dir: &TempDir, algorithm: Algorithm) -> Issuer {
    let key =
        |name: &str| FileKey::create(&dir.path().join(format!("{name}-{algorithm:?}")), algorithm).unwrap();
    let (root_key, issuing_key) = (key("root"), key("issuing"));
    let (box_id, born) = ("0123456789abcdef", NOW - time::Duration::days(3));
    let root = make_root(&root_key, box_id, born, [1; 17]).unwrap();
    let issuing = make(ISSUING, &issuing_key, &root, &root_key, box_id, born, [2; 17]).unwrap();
    Issuer::new(issuing, Box::new(issuing_key), [].into(), NOW).unwrap()
}

/// A profile as it stands in a configuration.
pub(crate) fn profile(text: &str) -> ProfileConfig {
    toml::from_str(text).unwrap()
}

fn params(name: Option<&str>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(name) = name {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    params
}

/// A request with a fresh key.
pub(crate) fn csr(name: Option<&str>) -> String {
    params(name).serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// A request that asks for more than it should.
pub(crate) fn csr_that_wants(ca: bool, cert_sign: bool) -> String {
    let mut params = params(Some("a"));
    if ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params.key_usages =
        vec![if cert_sign { KeyUsagePurpose::KeyCertSign } else { KeyUsagePurpose::DigitalSignature }];
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// Any bytes as a PEM block that claims to be a request.
pub(crate) fn pem(bytes: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(bytes)
    )
}
