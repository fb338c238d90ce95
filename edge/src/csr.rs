//! What we take of a certificate signing request (RFC 2986): the public key, and the proof that its holder asked.
//!
//! The name is compared with the id; every wish in it is ignored, and a wish to be a CA is refused.

#[cfg(test)]
mod hostile;

use azure_iot::RegistrationId;
use thiserror::Error;
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{ParsedExtension, X509Extension},
    oid_registry::{
        OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_KEY_USAGE,
    },
    pem::Pem,
    prelude::{FromDer, X509Version},
};

use crate::{
    der::{self, BIT_STRING, OID, SEQUENCE},
    key::{KeyRefusal, KeyType, check_key},
};

/// The largest request that is looked at, in bytes of PEM.
const LONGEST: usize = 16 << 10;

/// A request whose holder has proved to have the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csr {
    /// The public key, DER `SubjectPublicKeyInfo`.
    pub(crate) spki: Vec<u8>,
    /// What kind of key it is.
    pub(crate) kind: KeyType,
    /// The common name, if there is one.
    pub(crate) common_name: Option<String>,
}

/// Why a request is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CsrError {
    #[error("the csr is not a PKCS#10 request in PEM ({0}); make one with: openssl req -new -key device.key")]
    Malformed(&'static str),
    #[error("the csr is not DER as X.690 wants it ({0}); make one with: openssl req -new -key device.key")]
    NotDer(#[from] der::NotDer),
    #[error("the csr's signature does not fit its key; make the request again with the device's own key")]
    Signature,
    #[error("the csr is signed with an algorithm that proves nothing here; sign it with SHA-256 or SHA-384")]
    SignatureAlgorithm,
    #[error("the csr's key {0}; make one with: openssl ecparam -name prime256v1 -genkey")]
    Key(KeyRefusal),
    #[error(
        "the csr asks to be a certificate authority; units are never one, drop basicConstraints and keyCertSign"
    )]
    WantsCa,
}

impl CsrError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::NotDer(_) | Self::Key(KeyRefusal::Malformed(_)) => "csr-malformed",
            Self::Signature => "csr-signature",
            Self::SignatureAlgorithm => "csr-signature-algorithm",
            Self::Key(KeyRefusal::Unsupported(_)) => "csr-key-unsupported",
            Self::Key(KeyRefusal::Weak(_)) => "csr-key-weak",
            Self::WantsCa => "csr-wants-ca",
        }
    }
}

impl Csr {
    /// Reads PEM with exactly one request, and verifies its signature.
    pub(crate) fn parse(pem: &str) -> Result<Self, CsrError> {
        if pem.len() > LONGEST {
            return Err(CsrError::Malformed("it is longer than 16 KiB"));
        }
        let mut blocks = Pem::iter_from_buffer(pem.as_bytes());
        let block =
            blocks.next().and_then(Result::ok).ok_or(CsrError::Malformed("no PEM block was found"))?;
        if blocks.next().is_some() {
            return Err(CsrError::Malformed("there is more than one PEM block"));
        }
        if !matches!(block.label.as_str(), "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") {
            return Err(CsrError::Malformed("the PEM block is not a CERTIFICATE REQUEST"));
        }
        Self::from_der(&block.contents)
    }

    /// Reads one request in DER, and verifies its signature.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        if der.len() > LONGEST {
            return Err(CsrError::Malformed("it is longer than 16 KiB"));
        }
        der::check(der)?;
        frame(der)?;
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| CsrError::Malformed("it is DER, but no request"))?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed("bytes follow the request"));
        }
        let info = &request.certification_request_info;
        if info.version != X509Version::V1 {
            return Err(CsrError::Malformed("its version is not 0"));
        }
        // What costs time comes last, and only for keys whose size is known.
        let spki = info.subject_pki.raw;
        let kind = KeyType::of(spki).map_err(CsrError::Key)?;
        let attributes = info.attributes();
        if (1..attributes.len())
            .any(|i| attributes[..i].iter().any(|attribute| attribute.oid == attributes[i].oid))
        {
            return Err(CsrError::Malformed("an attribute is there twice"));
        }
        if !proves(&request) {
            return Err(CsrError::SignatureAlgorithm);
        }
        if kind.is_rsa() {
            check_key(spki).map_err(CsrError::Key)?;
        }
        // No signature is verified by a point off its curve; if none is, it is worth finding out whose fault that is.
        request
            .verify_signature()
            .map_err(|_| check_key(spki).map_or_else(CsrError::Key, |_| CsrError::Signature))?;
        for extension in requested(&request) {
            wants(extension)?;
        }
        let mut names = info.subject.iter_common_name();
        let common_name = match (names.next(), names.next()) {
            (None, _) => None,
            (Some(name), None) => {
                let name = name.as_str().map_err(|_| CsrError::Malformed("its common name is not text"))?;
                (!name.is_empty()).then(|| name.to_owned())
            }
            (Some(_), Some(_)) => return Err(CsrError::Malformed("it has more than one common name")),
        };
        Ok(Self { spki: spki.to_vec(), kind, common_name })
    }

    /// Whether its common name leaves room for `id`: none, or the same.
    pub(crate) fn fits(&self, id: &RegistrationId) -> bool {
        self.common_name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(id.as_ref()))
    }
}

/// Checks the outermost values, about which the parser is lenient: nobody has signed them.
fn frame(der: &[u8]) -> Result<(), der::NotDer> {
    let (_, rest) = der::expect(der::only(der, SEQUENCE)?, SEQUENCE)?;
    let (algorithm, rest) = der::expect(rest, SEQUENCE)?;
    der::expect(algorithm, OID)?;
    // A signature is whole bytes: where its last bit is zero, one bit left over would be good DER as well.
    match der::only(rest, BIT_STRING)?.first() {
        Some(0) => Ok(()),
        _ => Err(der::NotDer::Value),
    }
}

/// Whether the signature is of a kind that proves anything: no MD5, no SHA-1.
fn proves(request: &X509CertificationRequest<'_>) -> bool {
    [
        OID_SIG_ECDSA_WITH_SHA256,
        OID_SIG_ECDSA_WITH_SHA384,
        OID_PKCS1_SHA256WITHRSA,
        OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA,
        OID_PKCS1_RSASSAPSS,
    ]
    .contains(&request.signature_algorithm.algorithm)
}

/// The extensions that a request asks for.
fn requested<'a>(request: &'a X509CertificationRequest<'_>) -> impl Iterator<Item = &'a X509Extension<'a>> {
    let attributes = request.certification_request_info.iter_attributes();
    attributes
        .filter_map(|attribute| match attribute.parsed_attribute() {
            ParsedCriAttribute::ExtensionRequest(request) => Some(&request.extensions),
            _ => None,
        })
        .flatten()
}

/// Refuses a wish to be an authority: whoever asks for that here has mistaken the door, or means harm.
fn wants(extension: &X509Extension<'_>) -> Result<(), CsrError> {
    match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(basic) if basic.ca => Err(CsrError::WantsCa),
        ParsedExtension::KeyUsage(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            Err(CsrError::WantsCa)
        }
        ParsedExtension::ParseError { .. }
            if [OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_KEY_USAGE].contains(&extension.oid) =>
        {
            Err(CsrError::Malformed("its basicConstraints or keyUsage cannot be read"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pki::testing::{csr, csr_that_wants, pem};

    #[test]
    fn the_key_and_the_name_are_taken() {
        let found = Csr::parse(&csr(Some("GW-01"))).unwrap();
        assert_eq!(found.common_name.as_deref(), Some("GW-01"));
        assert_eq!(found.spki.len(), 91);
        assert!(found.fits(&"gw-01".parse().unwrap()) && !found.fits(&"gw-02".parse().unwrap()));
        assert_eq!(Csr::parse(&csr(None)).unwrap().common_name, None);
    }

    #[test]
    fn a_wish_to_be_an_authority_is_refused_by_name() {
        assert_eq!(Csr::parse(&csr_that_wants(true, false)), Err(CsrError::WantsCa));
        assert_eq!(Csr::parse(&csr_that_wants(false, true)), Err(CsrError::WantsCa));
        assert!(Csr::parse(&csr_that_wants(false, false)).is_ok());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let good = csr(Some("a"));
        for text in
            ["", "hello", &good.replace("REQUEST", "X"), &format!("{good}{good}"), &"x".repeat(20_000)]
        {
            assert_eq!(Csr::parse(text).unwrap_err().code(), "csr-malformed", "{text}");
        }
    }

    #[test]
    fn a_request_that_is_cut_anywhere_is_refused() {
        let der = x509_parser::pem::parse_x509_pem(csr(Some("a")).as_bytes()).unwrap().1.contents;
        for end in 0..der.len() {
            assert!(Csr::from_der(&der[..end]).is_err(), "{end}");
        }
        assert!(Csr::from_der(&[&der[..], &[0]].concat()).is_err());
    }

    #[test]
    fn a_flipped_bit_never_makes_another_key_or_name() {
        let der = x509_parser::pem::parse_x509_pem(csr(Some("a")).as_bytes()).unwrap().1.contents;
        for bit in 0..der.len() * 8 {
            let mut bad = der.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Csr::from_der(&bad).is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(Csr::parse(&pem(&bytes)).is_err());
        }
    }
}
