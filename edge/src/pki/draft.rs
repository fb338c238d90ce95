//! Drafts a leaf: the bytes that are to be signed, and no signature.

use azure_iot::RegistrationId;
use keys::{Algorithm, SigningKey};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, PublicKeyData,
    SerialNumber, SignatureAlgorithm,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use yasna::{Tag, models::ObjectIdentifier};

use super::PkiError;
use crate::{
    der::{self, BIT_STRING, SEQUENCE},
    key::KeyType,
    profile::ProfileConfig,
};

/// id-ce-subjectAltName and id-ce-certificatePolicies (RFC 5280 4.2.1.6, 4.2.1.4).
const SUBJECT_ALT_NAME: &[u64] = &[2, 5, 29, 17];
const CERTIFICATE_POLICIES: &[u64] = &[2, 5, 29, 32];
/// id-on-hardwareModuleName (RFC 4108 5).
const HARDWARE_MODULE_NAME: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 4];
/// id-at-serialNumber (RFC 5280, appendix A.1).
const SERIAL_NUMBER: &[u64] = &[2, 5, 4, 5];

/// The public half of the issuer's key. Its signature is an empty one: what it signs is never a certificate.
#[derive(Debug)]
struct Blank {
    algorithm: Algorithm,
    point: Vec<u8>,
}

impl PublicKeyData for Blank {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.algorithm {
            Algorithm::P256 => &PKCS_ECDSA_P256_SHA256,
            Algorithm::P384 => &PKCS_ECDSA_P384_SHA384,
        }
    }
}

impl rcgen::SigningKey for Blank {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// The key that is certified. The library reads one by writing every algorithm that it knows; we know ours.
struct Subject<'a> {
    algorithm: &'static SignatureAlgorithm,
    bits: &'a [u8],
}

impl<'a> Subject<'a> {
    /// Takes a DER `SubjectPublicKeyInfo` of a kind that we certify.
    fn read(spki: &'a [u8]) -> Result<Self, PkiError> {
        let malformed = |why: String| PkiError::Certificate(format!("a key: {why}"));
        let algorithm = match KeyType::of(spki).map_err(|why| malformed(why.to_string()))? {
            KeyType::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyType::P384 => &PKCS_ECDSA_P384_SHA384,
            // Of an RSA algorithm only its name goes with a key, and that is the same for every digest.
            KeyType::Rsa2048 | KeyType::Rsa3072 => &PKCS_RSA_SHA256,
        };
        let bits = der::only(spki, SEQUENCE).and_then(der::read);
        let bits = bits.and_then(|(_, bits)| der::only(bits, BIT_STRING));
        let bits = bits.map_err(|error| malformed(error.to_string()))?;
        // The first octet counts the bits that are left over, of which a key has none.
        Ok(Self { algorithm, bits: bits.get(1..).unwrap_or_default() })
    }
}

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// What a certificate shall say, apart from what the profile says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf<'a> {
    pub(crate) id: &'a RegistrationId,
    /// DER `SubjectPublicKeyInfo`.
    pub(crate) spki: &'a [u8],
    pub(crate) serial: [u8; 17],
    /// Whole seconds.
    pub(crate) not_before: OffsetDateTime,
    /// Whole seconds.
    pub(crate) not_after: OffsetDateTime,
}

/// Drafts what one authority is to sign.
pub(crate) struct Draftsman(rcgen::Issuer<'static, Blank>);

impl Draftsman {
    pub(crate) fn new(certificate: &CertificateDer<'_>, key: &dyn SigningKey) -> Result<Self, PkiError> {
        let blank = Blank { algorithm: key.algorithm(), point: key.public_point().to_vec() };
        Ok(Self(rcgen::Issuer::from_ca_cert_der(certificate, blank)?))
    }

    /// Returns a DER `TBSCertificate` (RFC 5280 4.1.2).
    pub(crate) fn draft(&self, profile: &ProfileConfig, leaf: Leaf<'_>) -> Result<Vec<u8>, PkiError> {
        self.write(&params(profile, leaf), leaf.spki)
    }

    pub(super) fn write(&self, params: &CertificateParams, spki: &[u8]) -> Result<Vec<u8>, PkiError> {
        let unsigned = params.signed_by(&Subject::read(spki)?, &self.0)?;
        let draft = der::only(unsigned.der(), SEQUENCE).and_then(der::read);
        let (draft, _) = draft.map_err(|error| PkiError::Certificate(format!("a draft: {error}")))?;
        Ok(draft.raw.to_vec())
    }
}

/// The draft in the words of the library.
pub(super) fn params(profile: &ProfileConfig, leaf: Leaf<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = subject(profile, leaf.id);
    params.serial_number = Some(SerialNumber::from_slice(&leaf.serial));
    params.not_before = leaf.not_before;
    params.not_after = leaf.not_after;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    if let Some(hardware) = &profile.hardware_module {
        let content = hardware_module(hardware.arcs(), leaf.id);
        params.custom_extensions.push(CustomExtension::from_oid_content(SUBJECT_ALT_NAME, content));
    }
    if let Some(policy) = &profile.policy {
        let content = policies(policy.arcs());
        params.custom_extensions.push(CustomExtension::from_oid_content(CERTIFICATE_POLICIES, content));
    }
    params
}

fn subject(profile: &ProfileConfig, id: &RegistrationId) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    let optional = [
        (DnType::CountryName, &profile.country),
        (DnType::StateOrProvinceName, &profile.state),
        (DnType::LocalityName, &profile.locality),
        (DnType::OrganizationName, &profile.organization),
        (DnType::OrganizationalUnitName, &profile.organizational_unit),
    ];
    for (kind, value) in optional {
        if let Some(value) = value {
            let printed = kind == DnType::CountryName;
            name.push(kind, if printed { printable(value) } else { DnValue::Utf8String(value.clone()) });
        }
    }
    name.push(DnType::CommonName, id.as_ref());
    if profile.serial_number {
        name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), printable(id.as_ref()));
    }
    name
}

/// A PrintableString, which two attributes have to be; what cannot be one is left for the lint to refuse by its name.
fn printable(text: &str) -> DnValue {
    text.try_into().map_or_else(|_| DnValue::Utf8String(text.to_owned()), DnValue::PrintableString)
}

/// `SubjectAltName` with one `HardwareModuleName { hwType, hwSerialNum }`.
pub(super) fn hardware_module(kind: &[u64], id: &RegistrationId) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|names| {
            names.next().write_tagged_implicit(Tag::context(0), |writer| {
                writer.write_sequence(|other| {
                    other.next().write_oid(&ObjectIdentifier::from_slice(HARDWARE_MODULE_NAME));
                    other.next().write_tagged(Tag::context(0), |writer| {
                        writer.write_sequence(|module| {
                            module.next().write_oid(&ObjectIdentifier::from_slice(kind));
                            module.next().write_bytes(id.as_ref().as_bytes());
                        });
                    });
                });
            });
        });
    })
}

/// `CertificatePolicies` with one policy and no qualifier.
pub(super) fn policies(policy: &[u64]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|policies| {
            policies.next().write_sequence(|policy_information| {
                policy_information.next().write_oid(&ObjectIdentifier::from_slice(policy));
            });
        });
    })
}
