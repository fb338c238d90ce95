//! Signed checkpoints: what the journal held at a moment, said with a key of its own.
//!
//! A hash chain shows that nothing was changed between two frames, but whoever can write the whole file can also make a
//! new chain. A signature over the head cannot be made anew without the key. It also covers the Merkle root of the frames
//! since the checkpoint before, so that one frame can be proven without showing the others.

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use journal::{Hash, Seq};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::merkle;

/// A checkpoint as it stands in the journal, in a frame of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCheckpoint {
    /// When it was signed.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The first frame that the checkpoint before did not cover.
    pub from: Seq,
    /// The last frame that this one covers.
    pub seq: Seq,
    /// The hash of frame `seq`, hex: it stands for everything up to it.
    pub head: String,
    /// The Merkle root of the hashes of the frames `from..=seq`, hex.
    pub root: String,
    /// SHA-256 of the signing key's SubjectPublicKeyInfo, hex.
    pub key: String,
    /// The certificates of the key, DER in base64, its own first; only where no earlier checkpoint shows them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
    /// The signature over [`SignedCheckpoint::message`], base64.
    pub signature: String,
}

impl SignedCheckpoint {
    /// What is signed: everything but the signature and the certificates, a line each.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let at = self.at.format(&Rfc3339).unwrap_or_default();
        let Self { from, seq, head, root, key, .. } = self;
        format!("edge ledger checkpoint 1\n{at}\n{from}\n{seq}\n{head}\n{root}\n{key}\n").into_bytes()
    }
}

/// Signs a message; the error says what stands in the way.
pub type Sign = Arc<dyn Fn(&[u8]) -> Result<Vec<u8>, String> + Send + Sync>;

/// The key that checkpoints are signed with. Where it lives is the program's business.
#[derive(Clone)]
pub struct CheckpointKey {
    /// SHA-256 of its SubjectPublicKeyInfo, hex.
    pub key: String,
    /// Its certificates, DER, its own first.
    pub certificates: Vec<Vec<u8>>,
    /// Signs.
    pub sign: Sign,
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The frames that no checkpoint covers yet.
#[derive(Debug, Default, Clone)]
pub(crate) struct Uncovered {
    /// The number of the first of them; 0 while there is none.
    from: Seq,
    hashes: Vec<Hash>,
    /// The key whose certificates were shown last.
    shown: Option<String>,
}

impl Uncovered {
    /// A frame was written, or read.
    pub(crate) fn push(&mut self, seq: Seq, hash: Hash) {
        if self.hashes.is_empty() {
            self.from = seq;
        }
        self.hashes.push(hash);
    }

    /// A checkpoint was written, or read: the frames before its own are covered.
    pub(crate) fn covered(&mut self, checkpoint: &SignedCheckpoint) {
        self.hashes.clear();
        if !checkpoint.certificates.is_empty() {
            self.shown = Some(checkpoint.key.clone());
        }
    }

    /// Goes on with what the next segment holds.
    pub(crate) fn then(&mut self, next: Self, covered: bool) {
        if covered {
            self.hashes.clear();
        }
        if self.hashes.is_empty() {
            self.from = next.from;
        }
        self.hashes.extend(next.hashes);
        self.shown = next.shown.or(self.shown.take());
    }

    /// Whether frame `seq`, or one after it, is among them.
    pub(crate) fn reaches(&self, seq: Seq) -> bool {
        !self.hashes.is_empty() && seq >= self.from
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// A checkpoint over all of them.
    pub(crate) fn sign(&self, key: &CheckpointKey, at: OffsetDateTime) -> Result<SignedCheckpoint, String> {
        let Some(head) = self.hashes.last() else { return Err("there is nothing to sign".to_owned()) };
        let shown = self.shown.as_ref() == Some(&key.key);
        let certificates = if shown { &[][..] } else { &key.certificates };
        let mut checkpoint = SignedCheckpoint {
            at,
            from: self.from,
            seq: self.from + self.hashes.len() as u64 - 1,
            head: hex::encode(head),
            root: hex::encode(merkle::root(&self.hashes)),
            key: key.key.clone(),
            certificates: certificates.iter().map(|der| STANDARD.encode(der)).collect(),
            signature: String::new(),
        };
        checkpoint.signature = STANDARD.encode((key.sign)(&checkpoint.message())?);
        Ok(checkpoint)
    }
}
