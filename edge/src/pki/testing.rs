//! Requests as line PCs make them, and an authority to ask, for the tests of this crate.

use keys::{Algorithm, FileKey};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PublicKeyData, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::{ISSUING, Issuer, make, make_root};
use crate::profile::ProfileConfig;

/// When tests issue.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-23 12:00:00.5 UTC);

/// An issuing CA with a key of this kind, three days old, with no profile but the default.
pub(crate) fn issuer(dir: &TempDir, algorithm: Algorithm) -> Issuer {
    let key =
        |name: &str| FileKey::create(&dir.path().join(format!("{name}-{algorithm:?}")), algorithm).unwrap();
    let (root_key, issuing_key) = (key("root"), key("issuing"));
    let (box_id, born) = ("0123456789abcdef", NOW - Duration::days(3));
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

/// A root of somebody else, for the tests of this crate.
pub(crate) struct Above {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: KeyPair,
    now: OffsetDateTime,
}

impl Above {
    pub(crate) fn root(now: OffsetDateTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = ca_params("Plant root", now).self_signed(&key).unwrap().into();
        Self { certificate, key, now }
    }

    /// An authority below it, with a wish.
    pub(crate) fn below(&self, wish: fn(&mut CertificateParams)) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let spki = SubjectPublicKeyInfo::from_der(&key.subject_public_key_info()).unwrap();
        let mut params = ca_params("Hall", self.now);
        wish(&mut params);
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate, &self.key).unwrap();
        (params.signed_by(&spki, &issuer).unwrap().into(), key)
    }
}

fn ca_params(name: &str, now: OffsetDateTime) -> CertificateParams {
    let mut params = params(Some(name));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (now - Duration::days(1), now + Duration::days(3650));
    params
}

/// Signs an issuing CA for a key of ours.
pub(crate) fn authority(
    spki: &[u8],
    above: &CertificateDer<'_>,
    above_key: &KeyPair,
    now: OffsetDateTime,
    wish: fn(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = ca_params("Issuing", now);
    wish(&mut params);
    let issuer = rcgen::Issuer::from_ca_cert_der(above, above_key).unwrap();
    params.signed_by(&SubjectPublicKeyInfo::from_der(spki).unwrap(), &issuer).unwrap().into()
}

/// What may be wrong with a CA.
pub(crate) mod wishes {
    use super::{
        BasicConstraints, CertificateParams, Duration, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    };

    pub(crate) type Wish = fn(&mut CertificateParams);

    pub(crate) const NO_CA: Wish = |params| params.is_ca = IsCa::ExplicitNoCa;
    pub(crate) const NO_CERT_SIGN: Wish = |params| params.key_usages = vec![KeyUsagePurpose::CrlSign];
    pub(crate) const NO_CRL_SIGN: Wish = |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    pub(crate) const OVER: Wish = |params| params.not_after = params.not_before + Duration::hours(1);
    pub(crate) const SERVERS_ONLY: Wish =
        |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    pub(crate) const NO_CA_BELOW: Wish = |params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
}
