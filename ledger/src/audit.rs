//! Checking a journal from outside: reads everything, changes nothing, needs no key and no daemon, and may be done while
//! one is running.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use journal::{Frame, FrameRef, Hash, Seq};
use thiserror::Error;

use crate::{
    checkpoint::SignedCheckpoint,
    error::ReadError,
    event::{Event, Kind, Said},
    merkle,
};

pub use journal::{Copied, OpenError as CopyError, Reader, Tail, copy};

/// What a journal was found to be.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The number of the last frame; all before it are there.
    pub last: Seq,
    /// Its hash: one value that stands for all of them.
    pub head: Hash,
    /// What stands behind the last frame, where that is not nothing: a batch that was never acknowledged, or is just being
    /// written.
    pub torn: Option<&'static str>,
    /// How many signed checkpoints there are.
    pub checkpoints: usize,
    /// The last frame that one of them covers.
    pub signed: Seq,
}

/// What is wrong with a journal.
#[derive(Debug, Error)]
pub enum AuditError {
    /// Its frames are not what was written; the text names segment, byte and frame.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// A frame is whole, and is none of this program's.
    #[error("frame {seq} does not parse: {source}")]
    Unreadable {
        /// The frame.
        seq: Seq,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A signed checkpoint does not fit what it speaks of.
    #[error("frame {seq}, the checkpoint over frames {from} to {to}: {what}")]
    Checkpoint {
        /// The frame that holds the checkpoint.
        seq: Seq,
        /// The first frame that it speaks of.
        from: Seq,
        /// The last one.
        to: Seq,
        /// What is wrong.
        what: String,
    },
}

/// Checks a signature: the certificates of the key (DER, its own first), what the key is called, what was signed, and the
/// signature. The error says what is wrong.
pub type CheckSignature<'a> = &'a dyn Fn(&[Vec<u8>], &str, &[u8], &[u8]) -> Result<(), String>;

/// What is known of one segment, or of the whole journal.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The hash of every frame, in order.
    pub(crate) hashes: Vec<Hash>,
    /// Every signed checkpoint, and the frame that holds it.
    pub(crate) checkpoints: Vec<(Seq, SignedCheckpoint)>,
    unreadable: Option<(Seq, serde_json::Error)>,
}

impl Gathered {
    pub(crate) fn note<E: Event>(&mut self, frame: &Frame<'_>) {
        self.hashes.push(frame.hash);
        match Said::<E>::parse(frame.payload) {
            Ok(Said::SignedCheckpoint(checkpoint)) => self.checkpoints.push((frame.seq, *checkpoint)),
            Ok(_) => {}
            Err(error) => {
                self.unreadable.get_or_insert((frame.seq, error));
            }
        }
    }

    fn then(mut self, next: Self) -> Self {
        self.hashes.extend(next.hashes);
        self.checkpoints.extend(next.checkpoints);
        self.unreadable = self.unreadable.or(next.unreadable);
        self
    }

    /// Puts the segments together and checks that every checkpoint fits the frames that it speaks of, without looking at
    /// its signature. Every checkpoint gets the certificates of its key.
    pub(crate) fn join(segments: Vec<Self>) -> Result<Self, AuditError> {
        let mut whole = segments.into_iter().fold(Self::default(), Self::then);
        if let Some((seq, source)) = whole.unreadable {
            return Err(AuditError::Unreadable { seq, source });
        }
        let mut certificates = BTreeMap::new();
        let mut signed = 0;
        for (seq, checkpoint) in &mut whole.checkpoints {
            fits(*seq, checkpoint, signed, &whole.hashes).map_err(|what| wrong(*seq, checkpoint, what))?;
            signed = checkpoint.seq;
            if checkpoint.certificates.is_empty() {
                let known = certificates.get(&checkpoint.key).cloned();
                let unknown = || wrong(*seq, checkpoint, "nothing shows the certificate of its key");
                checkpoint.certificates = known.ok_or_else(unknown)?;
            } else {
                certificates.insert(checkpoint.key.clone(), checkpoint.certificates.clone());
            }
        }
        Ok(whole)
    }
}

fn wrong(seq: Seq, checkpoint: &SignedCheckpoint, what: impl Into<String>) -> AuditError {
    AuditError::Checkpoint { seq, from: checkpoint.from, to: checkpoint.seq, what: what.into() }
}

fn fits(seq: Seq, checkpoint: &SignedCheckpoint, signed: Seq, hashes: &[Hash]) -> Result<(), &'static str> {
    if checkpoint.from != signed + 1 || checkpoint.seq + 1 != seq || checkpoint.from > checkpoint.seq {
        return Err("it leaves frames out");
    }
    let place = |seq: Seq| usize::try_from(seq).unwrap_or(usize::MAX);
    let covered =
        hashes.get(place(signed)..place(checkpoint.seq)).ok_or("it speaks of frames that are not there")?;
    if covered.last().map(hex::encode).as_ref() != Some(&checkpoint.head) {
        return Err("its head is not the hash of that frame");
    }
    if hex::encode(merkle::root(covered)) != checkpoint.root {
        return Err("its root is not that of those frames");
    }
    Ok(())
}

impl SignedCheckpoint {
    /// Checks the signature.
    pub(crate) fn check(&self, check: CheckSignature<'_>) -> Result<(), String> {
        let decode = |text: &String| STANDARD.decode(text).map_err(|error| format!("not base64: {error}"));
        let certificates = self.certificates.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        check(&certificates, &self.key, &self.message(), &decode(&self.signature)?)
    }
}

/// Checks every frame of the journal in `dir` and every signed checkpoint in it.
pub fn audit<E: Event>(dir: &Path, check: CheckSignature<'_>) -> Result<Audit, AuditError> {
    let (end, segments) =
        journal::read(dir, |gathered: &mut Gathered, _: FrameRef, frame| gathered.note::<E>(frame))?;
    let whole = Gathered::join(segments)?;
    for (seq, checkpoint) in &whole.checkpoints {
        checkpoint.check(check).map_err(|what| wrong(*seq, checkpoint, what))?;
    }
    Ok(Audit {
        last: end.last,
        head: end.head,
        torn: end.torn,
        checkpoints: whole.checkpoints.len(),
        signed: whole.checkpoints.last().map_or(0, |(_, checkpoint)| checkpoint.seq),
    })
}

/// One commit of a journal, read from outside.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The frame's number.
    pub seq: Seq,
    /// The frame's hash.
    pub hash: Hash,
    /// What it says, as JSON: `{"at","actor","events"}`.
    pub json: &'a str,
}

/// Shows every commit of the journal in `dir`, oldest first, to `visit`, until it fails; the ledger's own frames are left
/// out. Frames are checked one by one; [`audit`] checks the whole.
pub fn records<X: From<ReadError>>(
    dir: &Path,
    mut visit: impl FnMut(Record<'_>) -> Result<(), X>,
) -> Result<(), X> {
    let read = Reader::new(dir).frames(1, Seq::MAX, |_, frame| match Kind::of(frame.payload) {
        Kind::Events => {
            let json = std::str::from_utf8(frame.payload);
            let why = |_| journal::ReadError::Damaged { seq: frame.seq, what: "it is no text".to_owned() };
            let record = Record { seq: frame.seq, hash: frame.hash, json: json.map_err(why)? };
            visit(record).map_err(Stop::Visitor)
        }
        Kind::Nothing | Kind::IndexCheckpoint | Kind::SignedCheckpoint => Ok(()),
    });
    read.map_err(|stop| match stop {
        Stop::Read(error) => X::from(error.into()),
        Stop::Visitor(error) => error,
    })
}

/// Why a walk through the records ended early.
enum Stop<X> {
    Read(journal::ReadError),
    Visitor(X),
}

impl<X> From<journal::ReadError> for Stop<X> {
    fn from(error: journal::ReadError) -> Self {
        Self::Read(error)
    }
}
