//! What a stranger can find out about a journal with nothing but the public key.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use journal::{frame, segment};
use ledger::{
    Applied, Changes, CheckpointKey, Decision, Event, Ledger, Options, Seq, SpaceOptions, Stamp,
    audit::{AuditError, audit},
    evidence,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::OffsetDateTime;

/// Something that happened.
#[derive(Debug, Serialize, Deserialize)]
struct Note(String);

impl Event for Note {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        changes.put(self.0.as_bytes(), &at.seq);
    }
}

/// A key whose certificate is just its public half.
fn key() -> CheckpointKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let public = pair.public_key().as_ref().to_vec();
    let sign = move |message: &[u8]| {
        pair.sign(&SystemRandom::new(), message)
            .map(|signature| signature.as_ref().to_vec())
            .map_err(|error| error.to_string())
    };
    CheckpointKey { key: hex::encode(&public), certificates: vec![public], sign: Arc::new(sign) }
}

/// Says whether a signature holds.
type Trust = Box<dyn Fn(&[Vec<u8>], &str, &[u8], &[u8]) -> Result<(), String>>;

/// Trusts this one key.
fn trust(key: &CheckpointKey) -> Trust {
    let trusted = key.certificates.clone();
    Box::new(move |certificates, name, message, signature| {
        if certificates != trusted || name != hex::encode(&trusted[0]) {
            return Err("a stranger's key".to_owned());
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &trusted[0])
            .verify(message, signature)
            .map_err(|_| "a signature that does not hold".to_owned())
    })
}

fn open(dir: &Path, key: &CheckpointKey) -> Ledger<Note> {
    let options = Options {
        journal: journal::Options { segment_bytes: 8 << 10 },
        cache_bytes: 1 << 20,
        space: SpaceOptions { floor: 0, ballast: 0 },
        checkpoint_key: Some(key.clone()),
    };
    Ledger::open(dir, &options).unwrap()
}

async fn write(ledger: &Ledger<Note>, text: &str) -> Seq {
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "test".to_owned() };
    let events = vec![Note(text.to_owned())];
    let decide = move |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events, answer: () });
    ledger.commit(stamp, decide).await.unwrap().seq.unwrap()
}

/// Three commits, a stop, three more, a stop: two checkpoints at least.
async fn two_days(dir: &Path, key: &CheckpointKey) -> Vec<Seq> {
    let mut seqs = Vec::new();
    for day in 0..2 {
        let ledger = open(dir, key);
        for n in 0..3 {
            seqs.push(write(&ledger, &format!("{day}-{n}")).await);
        }
        ledger.close().await;
    }
    seqs
}

#[tokio::test]
async fn a_journal_is_covered_by_checkpoints_that_follow_each_other() {
    let (dir, key) = (TempDir::new().unwrap(), key());
    let seqs = two_days(dir.path(), &key).await;
    let ledger = open(dir.path(), &key);
    let last = write(&ledger, "today").await;
    ledger.sign().await;
    let found = audit::<Note>(&dir.path().join("journal"), &trust(&key)).unwrap();
    assert!(found.checkpoints >= 3, "{found:?}");
    assert!(found.signed >= last && last > seqs[5], "{found:?}");
    // What happens after a checkpoint, and is cut off, is signed at the next occasion.
    write(&ledger, "later").await;
    let copied = TempDir::new().unwrap();
    fs::create_dir(copied.path().join("journal")).unwrap();
    for first in segment::list(&dir.path().join("journal")).unwrap() {
        let (from, to) =
            [dir.path(), copied.path()].map(|dir| segment::path(&dir.join("journal"), first)).into();
        fs::copy(from, to).unwrap();
    }
    open(copied.path(), &key).close().await;
    let found = audit::<Note>(&copied.path().join("journal"), &trust(&key)).unwrap();
    assert!(found.signed > last, "{found:?}");
}

#[tokio::test]
async fn every_changed_byte_of_a_journal_is_found() {
    let (dir, key) = (TempDir::new().unwrap(), key());
    two_days(dir.path(), &key).await;
    let journal = dir.path().join("journal");
    let trusted = trust(&key);
    for first in segment::list(&journal).unwrap() {
        let path = segment::path(&journal, first);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x01;
            fs::write(&path, &bad).unwrap();
            let found = audit::<Note>(&journal, &trusted);
            assert!(found.is_err() || found.is_ok_and(|found| found.torn.is_some()), "byte {at} of {first}");
        }
        fs::write(&path, &whole).unwrap();
    }
    let found = audit::<Note>(&journal, &trusted).unwrap();
    assert_eq!(found.torn, None);
}

/// Writes a journal anew with one word changed, every checksum and every hash made to fit: all that is left is the
/// signature.
fn forge(journal: &Path, from: &str, to: &str) {
    let (mut prev, mut out) = ([0; 32], Vec::new());
    let first = segment::path(journal, 1);
    let bytes = fs::read(&first).unwrap();
    let mut at = segment::HEADER;
    while let frame::Found::Frame(found) = frame::decode(&bytes[at..]) {
        let payload = String::from_utf8_lossy(found.payload).replace(from, to);
        prev = frame::encode(found.seq, found.durable, &prev, payload.as_bytes(), &mut out);
        at += frame::room(found.payload.len());
    }
    let mut forged = bytes.clone();
    forged[segment::HEADER..].fill(0);
    forged[segment::HEADER..segment::HEADER + out.len()].copy_from_slice(&out);
    fs::write(&first, forged).unwrap();
}

#[tokio::test]
async fn a_journal_that_was_written_anew_lacks_the_signature() {
    let (dir, key) = (TempDir::new().unwrap(), key());
    two_days(dir.path(), &key).await;
    let journal = dir.path().join("journal");
    assert_eq!(segment::list(&journal).unwrap(), [1], "one segment is easier to forge");
    forge(&journal, "0-1", "0-9");
    let error = audit::<Note>(&journal, &trust(&key)).unwrap_err();
    assert!(matches!(error, AuditError::Checkpoint { .. }), "{error}");
    assert!(audit::<Note>(&journal, &trust(&self::key())).is_err(), "and nobody else's key helps");
}

#[tokio::test]
async fn evidence_holds_elsewhere_and_every_changed_byte_is_found() {
    let (dir, key) = (TempDir::new().unwrap(), key());
    let seqs = two_days(dir.path(), &key).await;
    let journal = dir.path().join("journal");
    let wanted = BTreeSet::from([seqs[1], seqs[4]]);
    let proven = evidence::collect::<Note>(&journal, &wanted).unwrap();
    let header =
        evidence::Header::new("box".to_owned(), "two notes".to_owned(), OffsetDateTime::UNIX_EPOCH, 2);
    let text = evidence::write(header, &[b"a certificate".to_vec()], &proven, &key).unwrap();
    let trusted = trust(&key);
    let found = evidence::verify(&text, &trusted).unwrap();
    assert_eq!(found.frames.iter().map(|frame| frame.seq).collect::<BTreeSet<_>>(), wanted);
    assert!(found.frames[0].payload.contains("0-1") && found.frames[1].payload.contains("1-1"));
    for at in 0..text.len() {
        for flip in [0x01, 0x02, 0x20] {
            let mut bad = text.clone().into_bytes();
            bad[at] ^= flip;
            let Ok(bad) = String::from_utf8(bad) else { continue };
            assert!(evidence::verify(&bad, &trusted).is_err(), "byte {at} of the evidence");
        }
    }
    for cut in 1..text.len() {
        assert!(evidence::verify(&text[..cut], &trusted).is_err(), "{cut} bytes are left");
    }
    assert!(evidence::verify(&text, &trust(&self::key())).is_err());
    // Whoever leaves out a line and makes a new sum still has no seal.
    let fewer: String =
        text.lines().filter(|line| !line.contains("0-1")).map(|line| format!("{line}\n")).collect();
    assert!(evidence::verify(&fewer, &trusted).is_err());
}

#[tokio::test]
async fn what_is_not_signed_yet_is_no_evidence() {
    let (dir, key) = (TempDir::new().unwrap(), key());
    let ledger = open(dir.path(), &key);
    let seq = write(&ledger, "now").await;
    let journal = dir.path().join("journal");
    let wanted = BTreeSet::from([seq]);
    let error = evidence::collect::<Note>(&journal, &wanted).unwrap_err();
    assert!(error.to_string().contains("not covered by a signed checkpoint yet"), "{error}");
    ledger.sign().await;
    assert_eq!(evidence::collect::<Note>(&journal, &wanted).unwrap().frames.len(), 1);
}
