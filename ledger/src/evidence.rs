//! Evidence: some frames of a journal, with what proves that they stood there, in one file that can be checked on another
//! machine with nothing but the root certificate.
//!
//! The file is text, a JSON object a line:
//!
//! | line | what |
//! | --- | --- |
//! | `{"evidence":…}` | who made it, when, of what, and how many frames follow |
//! | `{"certificate":…}` | certificates that the frames' content refers to, DER in base64 |
//! | `{"checkpoint":…}` | the signed checkpoints that cover the frames, with the certificates of their key |
//! | `{"frame":…}` | a frame, and its way up to the Merkle root of its checkpoint |
//! | `{"seal":…}` | SHA-256 of all lines before, and a signature over it: nothing was left out later |

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use journal::{Hash, Seq, frame};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    audit::{AuditError, CheckSignature, Gathered},
    checkpoint::{CheckpointKey, SignedCheckpoint},
    event::Event,
    merkle,
};

/// The version of the file.
const VERSION: u32 = 1;

/// What the file says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    version: u32,
    /// The box whose journal it is of.
    #[serde(rename = "box")]
    pub box_id: String,
    /// What was asked for, in words.
    pub selection: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// How many frames there are.
    pub frames: usize,
}

impl Header {
    /// A header of this version.
    #[must_use]
    pub fn new(box_id: String, selection: String, made_at: OffsetDateTime, frames: usize) -> Self {
        Self { version: VERSION, box_id, selection, made_at, frames }
    }
}

/// A frame, and its way up to the root of the checkpoint that covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenFrame {
    /// Its number.
    pub seq: Seq,
    /// What was known to be on disk when it was written.
    durable: Seq,
    /// The hash of the frame before it, hex.
    prev: String,
    /// What it carries: JSON, as text, byte for byte.
    pub payload: String,
    /// The last frame that its checkpoint covers.
    checkpoint: Seq,
    /// The hashes beside its way up, nearest first, hex.
    path: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    sha256: String,
    key: String,
    signature: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Evidence(Header),
    Certificate(String),
    Checkpoint(Box<SignedCheckpoint>),
    Frame(Box<ProvenFrame>),
    Seal(Seal),
}

/// Frames with their proofs, as they are taken from a journal.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The checkpoints that cover them.
    pub checkpoints: Vec<SignedCheckpoint>,
    /// The frames.
    pub frames: Vec<ProvenFrame>,
}

/// Why no evidence can be given.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The journal is not what was written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// No signed checkpoint covers a frame yet.
    #[error(
        "frame {seq} is not covered by a signed checkpoint yet; start the daemon, it signs within a minute"
    )]
    Unsigned {
        /// The frame.
        seq: Seq,
    },
}

/// Takes the frames `wanted` from the journal in `dir`.
pub fn collect<E: Event>(dir: &Path, wanted: &BTreeSet<Seq>) -> Result<Proven, CollectError> {
    type Part = (Gathered, Vec<(Seq, Seq, Hash, String)>);
    let gather = |part: &mut Part, _, frame: &frame::Frame<'_>| {
        part.0.note::<E>(frame);
        if wanted.contains(&frame.seq) {
            let payload = String::from_utf8_lossy(frame.payload).into_owned();
            part.1.push((frame.seq, frame.durable, frame.prev, payload));
        }
    };
    let (_, parts) = journal::read::<Part>(dir, gather).map_err(AuditError::from)?;
    let (segments, taken): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let whole = Gathered::join(segments)?;
    let (mut frames, mut used) = (Vec::new(), BTreeMap::new());
    for (seq, durable, prev, payload) in taken.into_iter().flatten() {
        let at = whole.checkpoints.partition_point(|(_, checkpoint)| checkpoint.seq < seq);
        let (_, checkpoint) = whole.checkpoints.get(at).ok_or(CollectError::Unsigned { seq })?;
        let place = |seq: Seq| usize::try_from(seq).unwrap_or(usize::MAX);
        let covered = &whole.hashes[place(checkpoint.from - 1)..place(checkpoint.seq)];
        let path = merkle::path(covered, place(seq - checkpoint.from));
        frames.push(ProvenFrame {
            seq,
            durable,
            prev: hex::encode(prev),
            payload,
            checkpoint: checkpoint.seq,
            path: path.iter().map(hex::encode).collect(),
        });
        used.insert(checkpoint.seq, checkpoint.clone());
    }
    Ok(Proven { checkpoints: used.into_values().collect(), frames })
}

/// Writes the file. `certificates` (DER) are those that the content of the frames refers to.
pub fn write(
    header: Header,
    certificates: &[Vec<u8>],
    proven: &Proven,
    key: &CheckpointKey,
) -> Result<String, String> {
    let mut lines = vec![Line::Evidence(header)];
    lines.extend(certificates.iter().map(|der| Line::Certificate(STANDARD.encode(der))));
    lines.extend(proven.checkpoints.iter().map(|found| Line::Checkpoint(Box::new(found.clone()))));
    lines.extend(proven.frames.iter().map(|found| Line::Frame(Box::new(found.clone()))));
    let mut text = String::new();
    for line in &lines {
        text.push_str(&print(line));
    }
    let sha256 = hex::encode(frame::sha256(text.as_bytes()));
    let signature = STANDARD.encode((key.sign)(&seal_message(&sha256))?);
    text.push_str(&print(&Line::Seal(Seal { sha256, key: key.key.clone(), signature })));
    Ok(text)
}

fn print(line: &Line) -> String {
    serde_json::to_string(line).expect("plain data") + "\n"
}

fn seal_message(sha256: &str) -> Vec<u8> {
    format!("edge evidence {VERSION}\n{sha256}\n").into_bytes()
}

/// Evidence that holds.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// What it says of itself.
    pub header: Header,
    /// The certificates that the content refers to, DER.
    pub certificates: Vec<Vec<u8>>,
    /// The frames, proven.
    pub frames: Vec<ProvenFrame>,
}

/// Why evidence does not hold.
#[derive(Debug, Error)]
pub enum EvidenceError {
    /// A line is not what was written.
    #[error("line {line}: {what}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The file is not whole.
    #[error("{0}")]
    File(String),
    /// A frame is not proven.
    #[error("frame {seq}: {what}")]
    Frame {
        /// Which.
        seq: Seq,
        /// What is wrong.
        what: String,
    },
}

/// Checks a file, byte for byte.
pub fn verify(text: &str, check: CheckSignature<'_>) -> Result<Evidence, EvidenceError> {
    let file = |what: &str| EvidenceError::File(what.to_owned());
    let body = text.strip_suffix('\n').ok_or_else(|| file("the last line is cut short"))?;
    let seal_at = body.rfind('\n').map(|at| at + 1).ok_or_else(|| file("there is no seal"))?;
    let mut header = None;
    let (mut certificates, mut checkpoints, mut frames) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut seal = None;
    for (i, line) in body.split('\n').enumerate() {
        let wrong = |what: String| EvidenceError::Line { line: i + 1, what };
        match parse::<Line>(line).map_err(wrong)? {
            Line::Evidence(found) if i == 0 && found.version == VERSION => header = Some(found),
            Line::Evidence(found) => return Err(wrong(format!("version {} is not known", found.version))),
            Line::Certificate(der) => {
                certificates.push(STANDARD.decode(der).map_err(|error| wrong(error.to_string()))?);
            }
            Line::Checkpoint(found) => {
                found.check(check).map_err(wrong)?;
                checkpoints.insert(found.seq, found);
            }
            Line::Frame(found) => frames.push(*found),
            Line::Seal(found) => seal = Some(found),
        }
    }
    let header = header.ok_or_else(|| file("it is no evidence: the first line does not say so"))?;
    let seal = seal.ok_or_else(|| file("there is no seal"))?;
    if seal.sha256 != hex::encode(frame::sha256(&text.as_bytes()[..seal_at])) {
        return Err(file("it is not what was sealed"));
    }
    let signer = checkpoints.values().find(|checkpoint| checkpoint.key == seal.key);
    let signer = signer.ok_or_else(|| file("the key of the seal signed no checkpoint"))?;
    let decode = |text: &String| STANDARD.decode(text).map_err(|error| file(&error.to_string()));
    let chain = signer.certificates.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
    check(&chain, &seal.key, &seal_message(&seal.sha256), &decode(&seal.signature)?)
        .map_err(|what| file(&format!("the seal: {what}")))?;
    if frames.len() != header.frames {
        return Err(file(&format!("{} frames are there, {} were written", frames.len(), header.frames)));
    }
    for found in &frames {
        let wrong = |what: &str| EvidenceError::Frame { seq: found.seq, what: what.to_owned() };
        let checkpoint =
            checkpoints.get(&found.checkpoint).ok_or_else(|| wrong("its checkpoint is missing"))?;
        proves(found, checkpoint).ok_or_else(|| wrong("it does not lead to the root of its checkpoint"))?;
    }
    Ok(Evidence { header, certificates, frames })
}

fn parse<T: DeserializeOwned + Serialize>(line: &str) -> Result<T, String> {
    let parsed: T = serde_json::from_str(line).map_err(|error| error.to_string())?;
    // One way to write it, so that no byte is without meaning.
    let written = serde_json::to_string(&parsed).map_err(|error| error.to_string())?;
    if written == line { Ok(parsed) } else { Err("it is not written as it was".to_owned()) }
}

fn proves(found: &ProvenFrame, checkpoint: &SignedCheckpoint) -> Option<()> {
    let hash = |text: &String| <Hash>::try_from(hex::decode(text).ok()?).ok();
    let path = found.path.iter().map(hash).collect::<Option<Vec<_>>>()?;
    let own = frame::encode(
        found.seq,
        found.durable,
        &hash(&found.prev)?,
        found.payload.as_bytes(),
        &mut Vec::new(),
    );
    let index = usize::try_from(found.seq.checked_sub(checkpoint.from)?).ok()?;
    let size = usize::try_from((checkpoint.seq + 1).checked_sub(checkpoint.from)?).ok()?;
    (merkle::climb(&own, index, size, &path)? == hash(&checkpoint.root)?).then_some(())
}
