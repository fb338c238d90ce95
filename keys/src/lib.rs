//! Where private keys live, behind one signing trait.
//!
//! A key is created in its place and never leaves it: whoever holds a [`SigningKey`] can sign and can read the
//! public half, and nothing else. Three places exist: a file that only its owner may read ([`FileKey`]), a PKCS#8 file
//! encrypted with a passphrase ([`EncryptedKey`]), which `openssl pkcs8` can read too, and a PKCS#11 token ([`TokenKey`]).

mod asn1;
mod derived;
mod encrypted;
mod envelope;
mod error;
mod file;
mod pair;
mod passphrase;
mod pkcs11;
mod private;
mod terminal;
mod token_uri;

pub use encrypted::{EncryptedKey, create_encrypted_secret, open_encrypted_secret};
pub use error::{KeyError, SignError};
pub use file::FileKey;
pub use passphrase::{Passphrase, PassphraseError};
pub use pkcs11::{TokenError, TokenKey};
pub use private::{create_private, read_private, write_private};
pub use token_uri::{TokenUri, TokenUriError};
pub use zeroize::Zeroizing;

/// The elliptic curve of a key, and with it the hash it signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
}

/// A private key that can be used but not read.
pub trait SigningKey: Send + Sync {
    /// The curve, and with it the hash that [`sign`](Self::sign) applies.
    fn algorithm(&self) -> Algorithm;

    /// The public half as DER `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
    fn public_key_der(&self) -> &[u8];

    /// The public half as an uncompressed point (SEC 1 section 2.3.3): the bits inside `SubjectPublicKeyInfo`.
    fn public_point(&self) -> &[u8];

    /// Hashes and signs `message`; the answer is a DER `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).
    ///
    /// # Errors
    /// When the place that holds the key does not answer; a file key, once opened, has no way to fail.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}
