//! PBES2 (RFC 8018): how a key at rest is locked with a passphrase.
//!
//! scrypt makes guessing expensive, AES-256-CBC hides the key; both as OpenSSL reads them. The cost is the most that
//! OpenSSL's default memory limit of 32 MiB opens without extra flags.

use pkcs8::der::pem::PemLabel;
use pkcs8::der::{Decode, asn1::AnyRef};
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters, ScryptParams};
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, LineEnding, ObjectIdentifier, PrivateKeyInfo,
    SecretDocument,
};
use zeroize::Zeroizing;

use crate::{KeyError, Passphrase};

/// What a secret that is not a key pair is marked with inside the envelope: hmacWithSHA256 (RFC 8018 appendix B.1.2).
const HMAC_SECRET: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const LABEL: &str = "PRIVATE KEY";

const SCRYPT_N: u64 = 1 << 14;
const SCRYPT_R: u16 = 8;
const SCRYPT_P: u16 = 5;

/// Writes PKCS#8 DER as `PRIVATE KEY` PEM.
pub(crate) fn to_pem(der: &[u8]) -> Option<Zeroizing<String>> {
    SecretDocument::try_from(der).ok()?.to_pem(LABEL, LineEnding::LF).ok()
}

/// Reads `PRIVATE KEY` PEM.
pub(crate) fn from_pem(pem: &[u8]) -> Option<SecretDocument> {
    let (label, document) = SecretDocument::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    (label == LABEL).then_some(document)
}

/// Locks PKCS#8 DER into `ENCRYPTED PRIVATE KEY` PEM.
pub(crate) fn seal(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| KeyError::Generate)?;
    let (salt, rest) = random.split_at(16);
    let iv: &[u8; 16] = rest.try_into().expect("32 - 16 = 16");
    let kdf = ScryptParams {
        salt,
        cost_parameter: SCRYPT_N,
        block_size: SCRYPT_R,
        parallelization: SCRYPT_P,
        key_length: None,
    };
    let parameters = Parameters { kdf: Kdf::Scrypt(kdf), encryption: EncryptionScheme::Aes256Cbc { iv } };
    PrivateKeyInfo::try_from(der)
        .and_then(|key| key.encrypt_with_params(parameters, passphrase.as_bytes()))
        .and_then(|sealed| Ok(sealed.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF)?))
        .map_err(|_| KeyError::Generate)
}

/// Why an envelope did not open.
pub(crate) enum Unopened {
    NotAnEnvelope,
    WrongPassphrase,
}

/// Opens `ENCRYPTED PRIVATE KEY` PEM of ours or of OpenSSL's; the answer is PKCS#8 DER.
pub(crate) fn open(pem: &[u8], passphrase: &Passphrase) -> Result<SecretDocument, Unopened> {
    let pem = std::str::from_utf8(pem).map_err(|_| Unopened::NotAnEnvelope)?;
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| Unopened::NotAnEnvelope)?;
    EncryptedPrivateKeyInfo::validate_pem_label(label).map_err(|_| Unopened::NotAnEnvelope)?;
    let envelope =
        EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| Unopened::NotAnEnvelope)?;
    envelope.decrypt(passphrase.as_bytes()).map_err(|_| Unopened::WrongPassphrase)
}

/// Dresses a raw secret as PKCS#8, so that it fits the same envelope.
pub(crate) fn wrap_secret(secret: &[u8]) -> Option<SecretDocument> {
    let algorithm = AlgorithmIdentifierRef { oid: HMAC_SECRET, parameters: Some(AnyRef::NULL) };
    SecretDocument::try_from(PrivateKeyInfo::new(algorithm, secret)).ok()
}

/// Takes a raw secret out of its PKCS#8 dress.
pub(crate) fn unwrap_secret(document: &SecretDocument) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateKeyInfo::try_from(document.as_bytes()).ok()?;
    (key.algorithm.oid == HMAC_SECRET).then(|| Zeroizing::new(key.private_key.to_vec()))
}
