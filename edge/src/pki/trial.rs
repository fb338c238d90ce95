//! A trial of a profile: one draft for every kind of key that it allows, with keys that are thrown away.
//!
//! Nothing is signed; what a profile would lead to is known before the first unit stands on the line.

use std::collections::{BTreeMap, btree_map::Entry};

use aws_lc_rs::{
    encoding::AsDer,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
        KeyPair,
    },
};
use time::OffsetDateTime;

use super::{Issuer, PkiError};
use crate::{key::KeyType, profile::ProfileConfig};

/// The longest id there is.
const ID: &str = "trial-0000000000000000000000000000000000000000000000000000000000";
/// Any serial will do that looks like one.
const SERIAL: [u8; 17] = *b"\x01trial of profile";

/// One key of every kind that was needed so far: an RSA key takes its time.
#[derive(Debug, Default)]
pub(super) struct Trial(BTreeMap<KeyType, Vec<u8>>);

impl Trial {
    /// Drafts what `profile` would lead to, and holds it against the lint.
    pub(super) fn run(
        &mut self,
        issuer: &Issuer,
        profile: &ProfileConfig,
        now: OffsetDateTime,
    ) -> Result<(), PkiError> {
        let id = ID.parse().map_err(|_| PkiError::Certificate("the trial's id is none".to_owned()))?;
        // Without a kind of its own the draft is made all the same, for the lint to say so.
        let none = [KeyType::P256];
        let kinds = if profile.keys.is_empty() { &none[..] } else { &profile.keys };
        for kind in kinds {
            let spki = match self.0.entry(*kind) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(throw_away(*kind)?),
            };
            issuer.lint(profile, &id, spki, now, SERIAL)?;
        }
        Ok(())
    }
}

/// The public half (DER `SubjectPublicKeyInfo`) of a new key that nobody keeps.
pub(crate) fn throw_away(kind: KeyType) -> Result<Vec<u8>, PkiError> {
    let spki = match kind {
        KeyType::P256 => elliptic(&ECDSA_P256_SHA256_ASN1_SIGNING),
        KeyType::P384 => elliptic(&ECDSA_P384_SHA384_ASN1_SIGNING),
        KeyType::Rsa2048 => modular(KeySize::Rsa2048),
        KeyType::Rsa3072 => modular(KeySize::Rsa3072),
    };
    spki.map_err(|_| PkiError::Certificate("no key could be made for a trial of a profile".to_owned()))
}

fn elliptic(curve: &'static EcdsaSigningAlgorithm) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    Ok(EcdsaKeyPair::generate(curve)?.public_key().as_der()?.as_ref().to_vec())
}

fn modular(size: KeySize) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    Ok(rsa::KeyPair::generate(size)?.public_key().as_der()?.as_ref().to_vec())
}
