//! Claim codes at rest: sealed with AES-256-GCM, because DPS, which holds the salt to compare them with, may be away.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cloud_sync::claim::ClaimCode;
use keys::{KeyError, Zeroizing, create_private, read_private};

/// The key that seals what people typed.
pub struct Seal {
    cipher: RandomizedNonceKey,
    marks: hmac::Key,
}

/// The key file is there, but is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] KeyError),
    /// The file does not hold 32 bytes in hex.
    #[error(
        "{0} is not a sealing key (64 hex digits); restore it from the backup, sealed claim codes need it"
    )]
    NotAKey(String),
}

impl Seal {
    /// Writes a new key to `path`, which must not exist.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn create(path: &Path, random: &[u8; 32]) -> Result<(), KeyError> {
        create_private(path, Zeroizing::new(hex::encode(random)).as_bytes())
    }

    /// Opens the key in `path`.
    ///
    /// # Errors
    /// When the file cannot be read, can be read by others, or is not a key.
    pub fn open(path: &Path) -> Result<Self, SealError> {
        let text = read_private(path)?;
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim_ascii(), key.as_mut_slice())
            .ok()
            .and_then(|()| Self::new(&key))
            .ok_or_else(|| SealError::NotAKey(path.display().to_string()))
    }

    fn new(key: &[u8; 32]) -> Option<Self> {
        // Two uses, two keys.
        let parent = hmac::Key::new(hmac::HMAC_SHA256, key);
        let cipher = hmac::sign(&parent, b"portal claim cipher");
        let marks = hmac::sign(&parent, b"portal request marks");
        Some(Self {
            cipher: RandomizedNonceKey::new(&AES_256_GCM, cipher.as_ref()).ok()?,
            marks: hmac::Key::new(hmac::HMAC_SHA256, marks.as_ref()),
        })
    }

    /// Seals a code for the device `id`; what comes out opens for that device only.
    #[must_use]
    pub fn close(&self, code: &ClaimCode, id: &str) -> String {
        let mut text = code.bits().to_vec();
        let nonce = self
            .cipher
            .seal_in_place_append_tag(Aad::from(id.as_bytes()), &mut text)
            .expect("ten bytes are not too much for AES-GCM");
        BASE64_STANDARD.encode([nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens what was sealed for the device `id`.
    #[must_use]
    pub fn reveal(&self, sealed: &str, id: &str) -> Option<ClaimCode> {
        let bytes = BASE64_STANDARD.decode(sealed).ok()?;
        let (nonce, text) = bytes.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(text.to_vec());
        let bits = self.cipher.open_in_place(nonce, Aad::from(id.as_bytes()), &mut text).ok()?;
        Some(ClaimCode::from_bits((&*bits).try_into().ok()?))
    }

    /// A mark by which a request is known again, and that says nothing about the code in it.
    #[must_use]
    pub fn mark(&self, parts: &[&[u8]]) -> String {
        let mut context = hmac::Context::with_key(&self.marks);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        hex::encode(context.sign())
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_code_opens_with_the_same_key_for_the_same_device_only() {
        let code = ClaimCode::from_bits([9; 10]);
        let seal = Seal::new(&[1; 32]).unwrap();
        let sealed = seal.close(&code, "gw-1");
        assert_eq!(seal.reveal(&sealed, "gw-1"), Some(code.clone()));
        assert_eq!(seal.reveal(&sealed, "gw-2"), None);
        assert_eq!(Seal::new(&[2; 32]).unwrap().reveal(&sealed, "gw-1"), None);
        assert_ne!(sealed, seal.close(&code, "gw-1"), "the same code never looks the same");
    }

    #[test]
    fn what_is_not_sealed_does_not_open_and_does_not_panic() {
        let seal = Seal::new(&[1; 32]).unwrap();
        for text in ["", "x", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(seal.reveal(text, "gw-1"), None, "{text}");
        }
    }

    #[test]
    fn marks_tell_requests_apart_by_every_part() {
        let seal = Seal::new(&[1; 32]).unwrap();
        assert_eq!(seal.mark(&[b"a", b"b"]), seal.mark(&[b"a", b"b"]));
        assert_ne!(seal.mark(&[b"a", b"b"]), seal.mark(&[b"ab", b""]));
    }

    #[test]
    fn a_key_file_is_read_back_and_a_broken_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("seal.key");
        Seal::create(&path, &[3; 32]).unwrap();
        Seal::open(&path).unwrap();
        keys::write_private(&path, b"short").unwrap();
        assert!(Seal::open(&path).unwrap_err().to_string().contains("seal.key"));
    }
}
