//! Signing a leaf: pure but for the signature.

use azure_iot::RegistrationId;
use keys::SigningKey;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SerialNumber, SubjectPublicKeyInfo,
};
use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime, macros::datetime};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    PkiError,
    crl::{self, List},
    signer::Signer,
};

/// RFC 5280 4.1.2.5: the end of a certificate that has no well-defined end.
const NO_END: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// What every leaf looks like, apart from its name and key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Profile {
    /// How long it is good for; `None` for no defined end.
    pub(crate) validity: Option<Duration>,
    /// How far back it begins, for devices whose clock is slow.
    pub(crate) backdate: Duration,
}

/// A leaf that was signed.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) der: Vec<u8>,
    /// Hex, as it stands in the certificate.
    pub(crate) serial: String,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
}

/// The issuing CA at work.
pub(crate) struct Issuer {
    key: Box<dyn SigningKey>,
    certificate: CertificateDer<'static>,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
    profile: Profile,
}

impl Issuer {
    /// Takes the issuing CA's certificate and key; refuses ones that do not belong together, and a profile that would
    /// outlive the CA.
    pub(crate) fn new(
        certificate: CertificateDer<'static>,
        key: Box<dyn SigningKey>,
        profile: Profile,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let wrong = |what: &str| PkiError::Certificate(what.to_owned());
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| wrong("the issuing CA's certificate does not parse"))?;
        if parsed.public_key().raw != key.public_key_der() {
            return Err(wrong(
                "issuing.pem and issuing.key do not belong together; restore both from the same backup",
            ));
        }
        let validity = parsed.validity();
        let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
        if profile.validity.is_some_and(|validity| now + validity > not_after) {
            let what = format!(
                "profile.validity reaches beyond the issuing CA, which ends {}; shorten it, or say \"none\" for no defined end",
                not_after.date()
            );
            return Err(wrong(&what));
        }
        Ok(Self { key, certificate, not_before, not_after, profile })
    }

    /// The issuing CA's certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// When the issuing CA ends.
    pub(crate) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    /// Signs a leaf for `id` with the public key `spki` (DER). Time and serial are the caller's.
    pub(crate) fn issue(
        &self,
        id: &RegistrationId,
        spki: &[u8],
        now: OffsetDateTime,
        serial: [u8; 17],
    ) -> Result<Issued, PkiError> {
        // Certificates know whole seconds.
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let not_before = (now - self.profile.backdate).max(self.not_before);
        let not_after = self.profile.validity.map_or(NO_END, |validity| now + validity);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, id.as_ref());
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.not_before = not_before;
        params.not_after = not_after;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = rcgen::Issuer::from_ca_cert_der(&self.certificate, Signer(self.key.as_ref()))?;
        let certificate = params.signed_by(&SubjectPublicKeyInfo::from_der(spki)?, &issuer)?;
        Ok(Issued { der: certificate.der().to_vec(), serial: hex::encode(serial), not_before, not_after })
    }

    /// Signs a list of certificates of this CA that are revoked; returns DER.
    pub(crate) fn crl(&self, list: &List) -> Result<Vec<u8>, PkiError> {
        crl::sign(&self.certificate, self.key.as_ref(), list)
    }
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey};
    use tempfile::TempDir;
    use x509_parser::{extensions::ParsedExtension, prelude::X509Extension};

    use super::*;
    use crate::pki::{ISSUING, make, make_root};

    const NOW: OffsetDateTime = datetime!(2026-11-23 12:00:00.5 UTC);

    fn issuer(dir: &TempDir, validity: Option<Duration>) -> Result<Issuer, PkiError> {
        let key = |name: &str| FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
        let (root_key, issuing_key) = (key("root"), key("issuing"));
        let box_id = "0123456789abcdef";
        let root = make_root(&root_key, box_id, NOW, [1; 17]).unwrap();
        let issuing = make(ISSUING, &issuing_key, &root, &root_key, box_id, NOW, [2; 17]).unwrap();
        Issuer::new(issuing, Box::new(issuing_key), Profile { validity, backdate: Duration::hours(1) }, NOW)
    }

    fn extensions(der: &[u8]) -> Vec<(String, bool)> {
        let (_, leaf) = X509Certificate::from_der(der).unwrap();
        let name = |extension: &X509Extension<'_>| match extension.parsed_extension() {
            ParsedExtension::KeyUsage(usage) => format!("{usage}"),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                format!("client_auth={} any={}", usage.client_auth, usage.any)
            }
            ParsedExtension::BasicConstraints(basic) => format!("ca={}", basic.ca),
            ParsedExtension::SubjectKeyIdentifier(_) => "ski".to_owned(),
            ParsedExtension::AuthorityKeyIdentifier(_) => "aki".to_owned(),
            other => format!("{other:?}"),
        };
        leaf.extensions().iter().map(|extension| (name(extension), extension.critical)).collect()
    }

    #[test]
    fn a_leaf_is_the_profile_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let issuer = issuer(&dir, Some(Duration::days(7300))).unwrap();
        let device = FileKey::create(&dir.path().join("device"), Algorithm::P256).unwrap();
        let mut serial = [0xAB; 17];
        serial[0] = 1;
        let issued = issuer.issue(&"gw-01".parse().unwrap(), device.public_key_der(), NOW, serial).unwrap();
        let (_, leaf) = X509Certificate::from_der(&issued.der).unwrap();
        assert_eq!(leaf.subject().to_string(), "CN=gw-01");
        assert_eq!(leaf.raw_serial(), serial);
        assert_eq!(leaf.validity().not_before.to_datetime(), datetime!(2026-11-23 11:00 UTC));
        assert_eq!(leaf.validity().not_after.to_datetime(), datetime!(2046-11-18 12:00 UTC));
        let expected = [
            ("aki", false),
            ("Digital Signature", true),
            ("client_auth=true any=false", false),
            ("ski", false),
            ("ca=false", true),
        ];
        let mut found = extensions(&issued.der);
        let mut expected: Vec<_> =
            expected.iter().map(|(name, critical)| ((*name).to_owned(), *critical)).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_leaf_without_a_defined_end_says_so_as_the_rfc_wants() {
        let dir = TempDir::new().unwrap();
        let issuer = issuer(&dir, None).unwrap();
        let device = FileKey::create(&dir.path().join("device"), Algorithm::P256).unwrap();
        let issued = issuer.issue(&"gw-01".parse().unwrap(), device.public_key_der(), NOW, [1; 17]).unwrap();
        assert!(issued.der.windows(15).any(|at| at == b"99991231235959Z"));
    }

    #[test]
    fn a_profile_that_would_outlive_the_authority_is_refused() {
        let dir = TempDir::new().unwrap();
        let refused = issuer(&dir, Some(Duration::days(365 * 51))).err().unwrap().to_string();
        assert!(refused.contains("profile.validity"), "{refused}");
    }
}
