//! What we take of a certificate signing request (RFC 2986): the public key, and the proof that its holder asked.
//!
//! The name is compared with the id; every wish in it is ignored, and a wish to be a CA is refused.

use azure_iot::RegistrationId;
use thiserror::Error;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::ParsedExtension,
    oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY},
    pem::Pem,
    prelude::FromDer,
};

/// The largest request that is looked at, in bytes of PEM.
const LONGEST: usize = 16 << 10;

/// A request whose holder has proved to have the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Csr {
    /// The public key, DER `SubjectPublicKeyInfo`.
    pub(crate) spki: Vec<u8>,
    /// The common name, if there is one.
    pub(crate) common_name: Option<String>,
}

/// Why a request is not signed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum CsrError {
    #[error("the csr is not a PKCS#10 request in PEM ({0}); make one with: openssl req -new -key device.key")]
    Malformed(&'static str),
    #[error("the csr's signature does not fit its key; make the request again with the device's own key")]
    Signature,
    #[error("the csr's key is not P-256; make one with: openssl ecparam -name prime256v1 -genkey")]
    Key,
    #[error(
        "the csr asks to be a certificate authority; units are never one, drop basicConstraints and keyCertSign"
    )]
    WantsCa,
}

impl CsrError {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "csr-malformed",
            Self::Signature => "csr-signature",
            Self::Key => "csr-key-unsupported",
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

    /// Reads exactly one request, and verifies its signature.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, CsrError> {
        let (rest, request) = X509CertificationRequest::from_der(der)
            .map_err(|_| CsrError::Malformed("its DER does not parse"))?;
        if !rest.is_empty() {
            return Err(CsrError::Malformed("bytes follow the request"));
        }
        let info = &request.certification_request_info;
        let algorithm = &info.subject_pki.algorithm;
        let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        if algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
            return Err(CsrError::Key);
        }
        // Uncompressed, the one form that every device stack reads.
        if info.subject_pki.subject_public_key.data.len() != 65
            || info.subject_pki.subject_public_key.data[0] != 4
        {
            return Err(CsrError::Key);
        }
        request.verify_signature().map_err(|_| CsrError::Signature)?;
        let wants_ca = request.requested_extensions().is_some_and(|mut extensions| {
            extensions.any(|extension| match extension {
                ParsedExtension::BasicConstraints(basic) => basic.ca,
                ParsedExtension::KeyUsage(usage) => usage.key_cert_sign() || usage.crl_sign(),
                _ => false,
            })
        });
        if wants_ca {
            return Err(CsrError::WantsCa);
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
        Ok(Self { spki: info.subject_pki.raw.to_vec(), common_name })
    }

    /// Whether its common name leaves room for `id`: none, or the same.
    pub(crate) fn fits(&self, id: &RegistrationId) -> bool {
        self.common_name.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(id.as_ref()))
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
            assert!(matches!(Csr::parse(text), Err(CsrError::Malformed(_))), "{text}");
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
        let good = Csr::from_der(&der);
        for bit in 0..der.len() * 8 {
            let mut bad = der.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The parser is lenient about a few bits of the outer frame; what was signed is what counts.
            let found = Csr::from_der(&bad);
            assert!(found.is_err() || found == good, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes: Vec<u8>) {
            prop_assert!(Csr::parse(&pem(&bytes)).is_err());
        }
    }
}
