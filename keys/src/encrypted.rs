//! A key, or another secret, in a file that only a passphrase opens.

use std::path::Path;

use zeroize::Zeroizing;

use crate::envelope::Unopened;
use crate::pair::Pair;
use crate::{Algorithm, KeyError, Passphrase, SignError, SigningKey, create_private, envelope, read_private};

/// A key in a PKCS#8 file encrypted with PBES2 (scrypt, AES-256-CBC) of mode 0600: for certificate authorities.
///
/// `openssl pkcs8 -in FILE` and `openssl pkey -in FILE` read it.
#[derive(Debug)]
pub struct EncryptedKey(Pair);

impl EncryptedKey {
    /// Makes a new key and writes it, locked with `passphrase`, to `path`, which must not exist yet.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, algorithm: Algorithm, passphrase: &Passphrase) -> Result<Self, KeyError> {
        let pair = Pair::generate(algorithm)?;
        create_private(path, envelope::seal(&pair.to_pkcs8()?, passphrase)?.as_bytes())?;
        Ok(Self(pair))
    }

    /// Opens the key in `path` with `passphrase`. The first of a passphrase takes about a tenth of a second, on purpose.
    ///
    /// # Errors
    /// When the file cannot be read, can be read by others, does not open, or is not a P-256 or P-384 key.
    pub fn open(path: &Path, passphrase: &Passphrase) -> Result<Self, KeyError> {
        let der = unlock(path, passphrase)?;
        Pair::from_pkcs8(der.as_bytes())
            .map(Self)
            .ok_or_else(|| KeyError::Malformed { path: path.to_owned(), expected: "a P-256 or P-384 key" })
    }
}

impl SigningKey for EncryptedKey {
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

/// Writes a raw secret (an HMAC key, say), locked with `passphrase` as a key would be, to a new file `path`.
///
/// # Errors
/// When the file exists or cannot be written.
pub fn create_encrypted_secret(path: &Path, secret: &[u8], passphrase: &Passphrase) -> Result<(), KeyError> {
    let document = envelope::wrap_secret(secret).ok_or(KeyError::Generate)?;
    create_private(path, envelope::seal(document.as_bytes(), passphrase)?.as_bytes())
}

/// Opens a secret that [`create_encrypted_secret`] wrote; the bytes are wiped when dropped.
///
/// # Errors
/// When the file cannot be read, can be read by others, does not open, or holds something else.
pub fn open_encrypted_secret(path: &Path, passphrase: &Passphrase) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    envelope::unwrap_secret(&unlock(path, passphrase)?)
        .ok_or_else(|| KeyError::Malformed { path: path.to_owned(), expected: "a secret (it may be a key)" })
}

fn unlock(path: &Path, passphrase: &Passphrase) -> Result<pkcs8::SecretDocument, KeyError> {
    let pem = read_private(path)?;
    envelope::open(&pem, passphrase).map_err(|why| match why {
        Unopened::NotAnEnvelope => KeyError::Malformed {
            path: path.to_owned(),
            expected: "an encrypted PKCS#8 PEM file (ENCRYPTED PRIVATE KEY)",
        },
        Unopened::WrongPassphrase => KeyError::WrongPassphrase { path: path.to_owned() },
    })
}

#[cfg(test)]
mod tests {
    use pkcs8::der::Decode;
    use pkcs8::pkcs5::EncryptionScheme;

    use super::*;

    fn words(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    #[test]
    fn an_encrypted_key_opens_with_its_passphrase_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        let made = EncryptedKey::create(&path, Algorithm::P384, &words("right")).unwrap();
        let opened = EncryptedKey::open(&path, &words("right")).unwrap();
        assert_eq!(made.public_key_der(), opened.public_key_der());
        // CBC notices a wrong passphrase by its padding (255 of 256); the parser notices the rest.
        for wrong in 0..5 {
            let refused = EncryptedKey::open(&path, &words(&format!("wrong {wrong}"))).unwrap_err();
            assert!(
                matches!(refused, KeyError::WrongPassphrase { .. } | KeyError::Malformed { .. }),
                "{refused}"
            );
        }
    }

    #[test]
    fn the_envelope_is_the_one_that_openssl_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        EncryptedKey::create(&path, Algorithm::P256, &words("right")).unwrap();
        let pem = std::fs::read_to_string(&path).unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{pem}");
        let (_, document) = pkcs8::SecretDocument::from_pem(&pem).unwrap();
        let envelope = pkcs8::EncryptedPrivateKeyInfo::from_der(document.as_bytes()).unwrap();
        let EncryptionScheme::Pbes2(parameters) = envelope.encryption_algorithm else { panic!("not PBES2") };
        assert_eq!(parameters.kdf.oid().to_string(), "1.3.6.1.4.1.11591.4.11", "scrypt");
        assert_eq!(parameters.encryption.oid().to_string(), "2.16.840.1.101.3.4.1.42", "aes256-CBC");
        let scrypt = parameters.kdf.scrypt().unwrap();
        let memory = 128 * u64::from(scrypt.block_size) * scrypt.cost_parameter;
        assert!(memory <= 16 << 20, "OpenSSL refuses above 32 MiB, buffers included");
    }

    #[test]
    fn the_key_itself_is_nowhere_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        let made = EncryptedKey::create(&path, Algorithm::P256, &words("right")).unwrap();
        let (_, document) =
            pkcs8::SecretDocument::from_pem(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let contains = |needle: &[u8]| document.as_bytes().windows(needle.len()).any(|at| at == needle);
        assert!(!contains(made.public_point()), "the plain document is not inside");
    }

    #[test]
    fn a_secret_travels_in_the_same_envelope_and_is_not_taken_for_a_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("claim.key");
        create_encrypted_secret(&path, &[7; 32], &words("right")).unwrap();
        assert_eq!(open_encrypted_secret(&path, &words("right")).unwrap().as_slice(), &[7; 32]);
        assert!(matches!(EncryptedKey::open(&path, &words("right")), Err(KeyError::Malformed { .. })));
        let key = dir.path().join("ca.key");
        EncryptedKey::create(&key, Algorithm::P256, &words("right")).unwrap();
        assert!(matches!(open_encrypted_secret(&key, &words("right")), Err(KeyError::Malformed { .. })));
    }

    #[test]
    fn an_existing_key_is_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        let made = EncryptedKey::create(&path, Algorithm::P256, &words("right")).unwrap();
        EncryptedKey::create(&path, Algorithm::P256, &words("right")).unwrap_err();
        let opened = EncryptedKey::open(&path, &words("right")).unwrap();
        assert_eq!(made.public_key_der(), opened.public_key_der());
    }
}
