//! From a passphrase to the key that opens a file: scrypt (RFC 7914), once for every salt.
//!
//! scrypt is expensive on purpose. What was derived once is remembered as long as the passphrase itself, and what is locked
//! with the same passphrase shares its salt, so a box with many keys pays once. Whoever guesses a passphrase needs no
//! more than one of its files either way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pkcs8::pkcs5::{pbes2::ScryptParams, scrypt};
use zeroize::Zeroizing;

/// The most that OpenSSL's default memory limit of 32 MiB opens without extra flags.
const N: u64 = 1 << 14;
const R: u16 = 8;
const P: u16 = 5;
const SALT: usize = 16;

/// A key for AES-256.
pub(crate) type Key = Zeroizing<[u8; 32]>;

/// With what a key was derived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Derivation {
    salt: Vec<u8>,
    n: u64,
    r: u16,
    p: u16,
}

impl Derivation {
    /// As it stands in a file; `None` where that says it is for a key of another length.
    pub(crate) fn of(parameters: &ScryptParams<'_>) -> Option<Self> {
        parameters.key_length.is_none_or(|length| usize::from(length) == Key::default().len()).then(|| Self {
            salt: parameters.salt.to_vec(),
            n: parameters.cost_parameter,
            r: parameters.block_size,
            p: parameters.parallelization,
        })
    }

    /// Ours, with a salt of its own; `None` where the system has no randomness.
    fn fresh() -> Option<Self> {
        let mut salt = vec![0; SALT];
        aws_lc_rs::rand::fill(&mut salt).ok()?;
        Some(Self { salt, n: N, r: R, p: P })
    }

    /// Whether new files are locked like this.
    fn is_ours(&self) -> bool {
        (self.salt.len(), self.n, self.r, self.p) == (SALT, N, R, P)
    }

    /// As it is written into a file.
    pub(crate) fn parameters(&self) -> ScryptParams<'_> {
        ScryptParams {
            salt: &self.salt,
            cost_parameter: self.n,
            block_size: self.r,
            parallelization: self.p,
            key_length: None,
        }
    }

    /// Takes about a tenth of a second; `None` where the parameters are none.
    fn run(&self, words: &[u8]) -> Option<Key> {
        let parameters = scrypt::Params::try_from(&self.parameters()).ok()?;
        let mut key = Key::default();
        scrypt::scrypt(words, &self.salt, &parameters, key.as_mut_slice()).ok()?;
        Some(key)
    }
}

/// What was derived from one passphrase; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Derived(Arc<Mutex<Vec<(Derivation, Key)>>>);

impl Derived {
    /// The key for a file that was locked with `derivation`.
    pub(crate) fn key(&self, derivation: Derivation, words: &[u8]) -> Option<Key> {
        remembered(&mut self.known(), derivation, words)
    }

    /// The key for a new file, and with what it was derived.
    pub(crate) fn own(&self, words: &[u8]) -> Option<(Derivation, Key)> {
        let mut known = self.known();
        let own = known.iter().map(|(known, _)| known).find(|known| known.is_ours()).cloned();
        let derivation = own.or_else(Derivation::fresh)?;
        let key = remembered(&mut known, derivation.clone(), words)?;
        Some((derivation, key))
    }

    /// Held while a key is derived: who comes meanwhile waits, most likely for the same one.
    fn known(&self) -> MutexGuard<'_, Vec<(Derivation, Key)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remembered(known: &mut Vec<(Derivation, Key)>, derivation: Derivation, words: &[u8]) -> Option<Key> {
    if let Some((_, key)) = known.iter().find(|(known, _)| *known == derivation) {
        return Some(key.clone());
    }
    let key = derivation.run(words)?;
    known.push((derivation, key.clone()));
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_derived_once_for_every_salt_and_is_the_same_without_that() {
        let derived = Derived::default();
        let (derivation, key) = derived.own(b"words").unwrap();
        assert_eq!(derived.own(b"words").unwrap(), (derivation.clone(), key.clone()));
        assert_eq!(derived.clone().key(derivation.clone(), b"words").unwrap(), key);
        assert_eq!(derived.0.lock().unwrap().len(), 1);
        assert_eq!(Derived::default().key(derivation.clone(), b"words").unwrap(), key);
        for other in [
            Derivation { salt: vec![1; SALT], ..derivation.clone() },
            Derivation { n: N / 2, ..derivation.clone() },
            Derivation { r: R / 2, ..derivation.clone() },
            Derivation { p: P - 1, ..derivation.clone() },
        ] {
            assert_ne!(derived.key(other, b"words").unwrap(), key);
        }
        assert_ne!(Derived::default().key(derivation, b"other words").unwrap(), key);
    }

    #[test]
    fn what_others_locked_lends_its_salt_to_nothing_new() {
        let derived = Derived::default();
        let weak = Derivation { salt: vec![1; 8], n: 2, r: 1, p: 1 };
        derived.key(weak.clone(), b"words").unwrap();
        let (own, _) = derived.own(b"words").unwrap();
        assert!(own != weak && own.is_ours());
        let two = (Derived::default().own(b"words").unwrap().0, Derived::default().own(b"words").unwrap().0);
        assert_ne!(two.0, two.1, "every passphrase in memory begins with a salt of its own");
    }

    #[test]
    fn parameters_that_are_none_are_refused() {
        let none = Derivation { salt: vec![1; 16], n: 3, r: 8, p: 1 };
        assert_eq!(Derived::default().key(none, b"words"), None);
    }
}
