//! Issuing a leaf: drafted, held against the lint, signed. Pure but for the signature.

use std::collections::BTreeMap;

use azure_iot::RegistrationId;
use keys::SigningKey;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    PkiError,
    draft::{Draftsman, Leaf},
    lint::{Authority, Linted, Wanted, lint},
    trial::Trial,
};
use crate::{
    fingerprint::sha256,
    profile::{DEFAULT, ProfileConfig},
};

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
    /// Of the certificate, hex.
    sha256: String,
    pub(super) authority: Authority,
    pub(super) draftsman: Draftsman,
    profiles: BTreeMap<String, ProfileConfig>,
}

impl Issuer {
    /// Takes the issuing CA's certificate and key; refuses ones that do not belong together, and a profile of which a
    /// trial does not pass the lint.
    pub(crate) fn new(
        certificate: CertificateDer<'static>,
        key: Box<dyn SigningKey>,
        profiles: BTreeMap<String, ProfileConfig>,
        now: OffsetDateTime,
    ) -> Result<Self, PkiError> {
        let wrong = |what: &str| PkiError::Certificate(what.to_owned());
        let (_, parsed) = X509Certificate::from_der(&certificate)
            .map_err(|_| wrong("the issuing CA's certificate does not parse"))?;
        if parsed.public_key().raw != key.public_key_der() {
            return Err(wrong(
                "issuing.pem and its key do not belong together; restore both from the same backup",
            ));
        }
        let authority = Authority::new(&certificate, key.algorithm())?;
        let draftsman = Draftsman::new(&certificate, key.as_ref())?;
        let sha256 = sha256(&certificate);
        let mut issuer = Self { key, certificate, sha256, authority, draftsman, profiles };
        issuer.profiles.entry(DEFAULT.to_owned()).or_default();
        let mut trial = Trial::default();
        for (name, profile) in &issuer.profiles {
            trial.run(&issuer, profile, now).map_err(|error| match error {
                PkiError::Lint(broken) => PkiError::Profile { name: name.clone(), broken },
                other => other,
            })?;
        }
        Ok(issuer)
    }

    /// SHA-256 of the issuing CA's certificate, hex.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// When the issuing CA begins.
    pub(crate) fn not_before(&self) -> OffsetDateTime {
        self.authority.not_before
    }

    /// The issuing CA's certificate and key, for what is not a unit.
    pub(crate) fn authority(&self) -> (&CertificateDer<'static>, &dyn SigningKey) {
        (&self.certificate, self.key.as_ref())
    }

    /// When the issuing CA ends.
    pub(crate) fn not_after(&self) -> OffsetDateTime {
        self.authority.not_after
    }

    /// A profile by its name, with the name as it is kept.
    pub(crate) fn profile(&self, name: &str) -> Option<(&str, &ProfileConfig)> {
        self.profiles.get_key_value(name).map(|(name, profile)| (name.as_str(), profile))
    }

    /// The names of the profiles.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = &str> {
        self.profiles.keys().map(String::as_str)
    }

    /// Signs a leaf for `id` with the public key `spki` (DER). Time and serial are the caller's.
    pub(crate) fn issue(
        &self,
        profile: &ProfileConfig,
        id: &RegistrationId,
        spki: &[u8],
        now: OffsetDateTime,
        serial: [u8; 17],
    ) -> Result<Issued, PkiError> {
        let (linted, leaf) = self.lint(profile, id, spki, now, serial)?;
        let der = linted.sign(self.key.as_ref())?;
        let (not_before, not_after) = (leaf.not_before, leaf.not_after);
        Ok(Issued { der, serial: hex::encode(serial), not_before, not_after })
    }

    /// Drafts a leaf, and holds the draft against the lint.
    pub(super) fn lint<'a>(
        &self,
        profile: &ProfileConfig,
        id: &'a RegistrationId,
        spki: &'a [u8],
        now: OffsetDateTime,
        serial: [u8; 17],
    ) -> Result<(Linted, Leaf<'a>), PkiError> {
        // Certificates know whole seconds.
        let now = now.replace_nanosecond(0).unwrap_or(now);
        let not_before = profile.not_before(now, self.authority.not_before);
        // A validity that no calendar holds is drafted with the last date there is, and refused by the lint.
        let not_after = profile.not_after(now).unwrap_or(crate::profile::NO_END);
        let leaf = Leaf { id, spki, serial, not_before, not_after };
        let draft = self.draftsman.draft(profile, leaf)?;
        let wanted = Wanted { authority: &self.authority, profile, id, spki, serial: &serial, now };
        Ok((lint(draft, wanted)?, leaf))
    }
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey};
    use tempfile::TempDir;
    use time::macros::datetime;
    use x509_parser::{
        extensions::ParsedExtension,
        prelude::{TbsCertificate, X509Extension},
    };

    use super::*;
    use crate::{
        key::KeyType,
        pki::{
            testing::{NOW, issuer, profile},
            throw_away,
        },
    };

    const SERIAL: [u8; 17] = [1; 17];

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
        let profile = profile("validity = '7300d'");
        let issuer = issuer(&dir, Algorithm::P256);
        let device = FileKey::create(&dir.path().join("device"), Algorithm::P256).unwrap();
        let mut serial = [0xAB; 17];
        serial[0] = 1;
        let issued =
            issuer.issue(&profile, &"gw-01".parse().unwrap(), device.public_key_der(), NOW, serial).unwrap();
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
        let issuer = issuer(&dir, Algorithm::P256);
        let device = FileKey::create(&dir.path().join("device"), Algorithm::P256).unwrap();
        let (profile, id) = (profile("validity = 'none'"), "gw-01".parse().unwrap());
        let issued = issuer.issue(&profile, &id, device.public_key_der(), NOW, SERIAL).unwrap();
        assert!(issued.der.windows(15).any(|at| at == b"99991231235959Z"));
    }

    #[test]
    fn the_bytes_that_passed_the_lint_are_the_bytes_that_are_signed() {
        let dir = TempDir::new().unwrap();
        let id = "gw-01".parse().unwrap();
        for (algorithm, kind) in [(Algorithm::P256, KeyType::P384), (Algorithm::P384, KeyType::Rsa2048)] {
            let issuer = issuer(&dir, algorithm);
            let profile = profile("keys = ['p384', 'rsa2048']\nhardware_module = '1.3.6.1.4.1.32473.1'");
            let spki = throw_away(kind).unwrap();
            let (linted, _) = issuer.lint(&profile, &id, &spki, NOW, SERIAL).unwrap();
            let bytes = linted.bytes().to_vec();
            let signed = linted.sign(issuer.key.as_ref()).unwrap();
            let (rest, certificate) = X509Certificate::from_der(&signed).unwrap();
            assert!(rest.is_empty());
            assert_eq!(TbsCertificate::as_ref(&certificate), bytes);
            assert_eq!(
                issuer.issue(&profile, &id, &spki, NOW, SERIAL).map(|issued| tbs(&issued.der)).unwrap(),
                bytes
            );
            // The signature is over just these, by this key, as both algorithm fields say.
            assert_eq!(certificate.signature_algorithm, certificate.tbs_certificate.signature);
            let (_, authority) = X509Certificate::from_der(&issuer.certificate).unwrap();
            certificate.verify_signature(Some(authority.public_key())).unwrap();
        }
    }

    fn tbs(der: &[u8]) -> Vec<u8> {
        TbsCertificate::as_ref(&X509Certificate::from_der(der).unwrap().1).to_vec()
    }
}
