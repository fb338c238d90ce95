//! A key in a file that only its owner may read.

use std::path::Path;

use crate::pair::Pair;
use crate::{Algorithm, KeyError, SignError, SigningKey, create_private, envelope, read_private};

/// A key in an unencrypted PKCS#8 PEM file of mode 0600: for servers that must start without a person.
#[derive(Debug)]
pub struct FileKey(Pair);

impl FileKey {
    /// Makes a new key and writes it to `path`, which must not exist yet.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = Pair::generate(algorithm)?;
        let pem = envelope::to_pem(&pair.to_pkcs8()?).ok_or(KeyError::Generate)?;
        create_private(path, pem.as_bytes())?;
        Ok(Self(pair))
    }

    /// Opens the key in `path`.
    ///
    /// # Errors
    /// When the file cannot be read, can be read by others, or is not a P-256 or P-384 key.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let pem = read_private(path)?;
        envelope::from_pem(&pem).and_then(|der| Pair::from_pkcs8(der.as_bytes())).map(Self).ok_or_else(|| {
            KeyError::Malformed {
                path: path.to_owned(),
                expected: "a P-256 or P-384 key in PKCS#8 PEM (PRIVATE KEY)",
            }
        })
    }
}

impl SigningKey for FileKey {
    fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    fn public_key_der(&self) -> &[u8] {
        self.0.spki()
    }

    fn public_point(&self) -> &[u8] {
        self.0.point()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.0.sign(message)
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_key_that_was_made_is_the_key_that_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::P256, Algorithm::P384] {
            let path = dir.path().join(format!("{algorithm:?}.key"));
            let made = FileKey::create(&path, algorithm).unwrap();
            let opened = FileKey::open(&path).unwrap();
            assert_eq!(opened.algorithm(), algorithm);
            assert_eq!(made.public_key_der(), opened.public_key_der());
            assert!(made.public_key_der().ends_with(made.public_point()));
        }
    }

    #[test]
    fn what_a_key_signs_its_public_half_verifies() {
        let dir = tempfile::tempdir().unwrap();
        let p256 = FileKey::create(&dir.path().join("a"), Algorithm::P256).unwrap();
        let signature = p256.sign(b"message").unwrap();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, p256.public_point())
            .verify(b"message", &signature)
            .unwrap();
        let p384 = FileKey::create(&dir.path().join("b"), Algorithm::P384).unwrap();
        let signature = p384.sign(b"message").unwrap();
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, p384.public_point())
            .verify(b"message", &signature)
            .unwrap();
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.key");
        create_private(&path, b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
        let refused = FileKey::open(&path).unwrap_err().to_string();
        assert!(refused.contains("x.key is not a P-256 or P-384 key"), "{refused}");
    }

    #[test]
    fn a_key_never_prints_itself() {
        let dir = tempfile::tempdir().unwrap();
        let key = FileKey::create(&dir.path().join("a"), Algorithm::P256).unwrap();
        assert_eq!(format!("{key:?}"), "FileKey(Pair { algorithm: P256, .. })");
    }
}
