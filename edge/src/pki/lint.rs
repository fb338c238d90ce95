//! The lint: every leaf passes it before it is signed, and what passed is what is signed.
//!
//! [`lint`] reads the bytes that are to be signed, not what they were made from, and holds them against every rule.
//! Only what broke none becomes a [`Linted`], and [`Linted::sign`] consumes it: the issuing key signs nothing else.

use std::fmt;

use azure_iot::RegistrationId;
use keys::{Algorithm, SigningKey};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, ParsedExtension, TbsCertificate, X509Certificate};
use yasna::models::ObjectIdentifier;

use super::{PkiError, rules};
use crate::{
    der::{self, SEQUENCE, Tlv},
    profile::ProfileConfig,
};

/// What the lint knows of the authority that is to sign.
#[derive(Debug, Clone)]
pub(crate) struct Authority {
    /// Its subject, DER `Name`.
    pub(crate) subject: Vec<u8>,
    /// Its subject key identifier.
    pub(crate) key_id: Vec<u8>,
    pub(crate) not_before: OffsetDateTime,
    pub(crate) not_after: OffsetDateTime,
    pub(crate) algorithm: Algorithm,
}

impl Authority {
    pub(crate) fn new(certificate: &CertificateDer<'_>, algorithm: Algorithm) -> Result<Self, PkiError> {
        let wrong = |what: &str| PkiError::Certificate(format!("the issuing CA's certificate {what}"));
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong("does not parse"))?;
        let key_id = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let validity = parsed.validity();
        Ok(Self {
            subject: parsed.subject().as_raw().to_vec(),
            key_id: key_id.ok_or_else(|| wrong("has no subject key identifier"))?,
            not_before: validity.not_before.to_datetime(),
            not_after: validity.not_after.to_datetime(),
            algorithm,
        })
    }
}

/// What a certificate was to be: what the rules compare it with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) authority: &'a Authority,
    pub(crate) profile: &'a ProfileConfig,
    pub(crate) id: &'a RegistrationId,
    pub(crate) spki: &'a [u8],
    pub(crate) serial: &'a [u8],
    pub(crate) now: OffsetDateTime,
}

/// What the rules look at.
pub(super) struct View<'a> {
    pub(super) tbs: &'a TbsCertificate<'a>,
    /// Begin and end as they are written.
    pub(super) times: [Tlv<'a>; 2],
    pub(super) wanted: Wanted<'a>,
}

/// One thing that holds for every leaf.
pub(super) struct Rule {
    /// Stable; what people search for.
    pub(super) name: &'static str,
    /// What holds, as a sentence.
    pub(super) says: &'static str,
    pub(super) holds: fn(&View<'_>) -> bool,
}

/// A rule that does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) rule: &'static str,
    pub(crate) says: &'static str,
}

/// Why a draft is not signed: every rule that it breaks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) struct Broken(pub(crate) Vec<Finding>);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, Finding { rule, says }) in self.0.iter().enumerate() {
            write!(f, "{}{rule} ({says})", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Broken {
    pub(crate) fn rules(&self) -> Vec<&'static str> {
        self.0.iter().map(|finding| finding.rule).collect()
    }
}

/// The bytes of a draft that broke no rule.
#[derive(Debug)]
pub(crate) struct Linted(Vec<u8>);

/// Holds a DER `TBSCertificate` against every rule.
pub(crate) fn lint(draft: Vec<u8>, wanted: Wanted<'_>) -> Result<Linted, Broken> {
    let broken = match read(&draft) {
        Ok((tbs, times)) => {
            let view = View { tbs: &tbs, times, wanted };
            rules::all()
                .filter(|rule| !(rule.holds)(&view))
                .map(|rule| Finding { rule: rule.name, says: rule.says })
                .collect()
        }
        Err(finding) => vec![finding],
    };
    if broken.is_empty() { Ok(Linted(draft)) } else { Err(Broken(broken)) }
}

fn read(draft: &[u8]) -> Result<(TbsCertificate<'_>, [Tlv<'_>; 2]), Finding> {
    let canonical = Finding { rule: "der", says: "the certificate is one value in DER" };
    let malformed = Finding { rule: "tbs-malformed", says: "the certificate reads as RFC 5280 4.1 has it" };
    der::check(draft).map_err(|_| canonical)?;
    let Ok(([], tbs)) = TbsCertificate::from_der(draft) else { return Err(malformed) };
    // version, serialNumber, signature, issuer, and then validity; without a version, which is a rule, one fewer.
    let fields = || -> Result<[Tlv<'_>; 2], der::NotDer> {
        let mut rest = der::only(draft, SEQUENCE)?;
        let before = if rest.first() == Some(&0xA0) { 4 } else { 3 };
        for _ in 0..before {
            rest = der::read(rest)?.1;
        }
        let (begin, rest) = der::read(der::expect(rest, SEQUENCE)?.0)?;
        Ok([begin, der::read(rest)?.0])
    };
    Ok((tbs, fields().map_err(|_| malformed)?))
}

impl Linted {
    /// The bytes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Signs these bytes, and consumes them; returns the DER `Certificate` (RFC 5280 4.1.1).
    pub(crate) fn sign(self, key: &dyn SigningKey) -> Result<Vec<u8>, PkiError> {
        let signature = key.sign(&self.0)?;
        Ok(yasna::construct_der(|writer| {
            writer.write_sequence(|certificate| {
                certificate.next().write_der(&self.0);
                certificate.next().write_sequence(|algorithm| {
                    let oid = ObjectIdentifier::from_slice(signature_algorithm(key.algorithm()));
                    algorithm.next().write_oid(&oid);
                });
                certificate.next().write_bitvec_bytes(&signature, signature.len() * 8);
            });
        }))
    }
}

/// ecdsa-with-SHA256 and ecdsa-with-SHA384 (RFC 5758 3.2).
pub(super) fn signature_algorithm(algorithm: Algorithm) -> &'static [u64] {
    match algorithm {
        Algorithm::P256 => &[1, 2, 840, 10045, 4, 3, 2],
        Algorithm::P384 => &[1, 2, 840, 10045, 4, 3, 3],
    }
}
