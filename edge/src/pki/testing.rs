//! Requests as line PCs make them, for the tests of this crate.

use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};

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
