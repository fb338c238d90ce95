//! An elliptic-curve key pair in memory: what both kinds of key file hold once they are open.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    KeyPair,
};
use zeroize::Zeroizing;

use crate::{Algorithm, KeyError, SignError};

pub(crate) struct Pair {
    algorithm: Algorithm,
    keys: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl Pair {
    pub(crate) fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let keys = EcdsaKeyPair::generate(curve(algorithm)).map_err(|_| KeyError::Generate)?;
        Self::new(algorithm, keys).ok_or(KeyError::Generate)
    }

    /// Reads an unencrypted PKCS#8 document, of whichever curve we know.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        [Algorithm::P256, Algorithm::P384]
            .into_iter()
            .find_map(|algorithm| Self::new(algorithm, EcdsaKeyPair::from_pkcs8(curve(algorithm), der).ok()?))
    }

    pub(crate) fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = self.keys.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    pub(crate) fn point(&self) -> &[u8] {
        self.keys.public_key().as_ref()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.keys
            .sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|_| SignError("the cryptographic library refused".to_owned()))
    }

    fn new(algorithm: Algorithm, keys: EcdsaKeyPair) -> Option<Self> {
        let spki = keys.public_key().as_der().ok()?.as_ref().to_vec();
        Some(Self { algorithm, keys, spki })
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

fn curve(algorithm: Algorithm) -> &'static EcdsaSigningAlgorithm {
    match algorithm {
        Algorithm::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
        Algorithm::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
    }
}
