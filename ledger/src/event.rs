//! What a program brings to its ledger.
//!
//! A frame of the journal is JSON that a person can read with a support call:
//! `{"at":"2026-11-23T14:32:07Z","actor":"token:L1-rig","events":[…]}`.
//! One commit is one frame, so its events are all there or none is.

use journal::{FrameRef, Hash, Seq};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use crate::{changes::Changes, checkpoint::SignedCheckpoint};

/// Something that happened, as it is stored for ever.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of the events and of [`Event::apply`]. Raise it with every new event, and whenever `apply` would build
    /// another index from the same events: an older index is rebuilt, and an older program refuses a newer index.
    const INDEX_VERSION: u32 = 1;

    /// Turns the event into changes of the index.
    ///
    /// Called once when it happens and again whenever the index is brought up to date, always in the order of the
    /// journal. It may use `self`, `at` and what it reads from `changes`, and nothing else: no clock, no I/O.
    /// It must not panic: what was accepted once has to be readable for ever.
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>);
}

/// When, by whom and where an event was written.
#[derive(Debug, Clone, Copy)]
pub struct Applied<'a> {
    /// The frame's number.
    pub seq: Seq,
    /// The time that the decision was given.
    pub at: OffsetDateTime,
    /// Who decided.
    pub actor: &'a str,
    /// Where the frame lies, for an index record that wants to refer to it.
    pub frame: FrameRef,
}

/// Who commits, and when; both come from outside.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The time now.
    pub at: OffsetDateTime,
    /// Who: `token:NAME`, `uid:1000`, `sync`, …
    pub actor: String,
}

/// One commit as it stands in the journal.
#[derive(Debug, Clone)]
pub struct Entry<E> {
    /// The frame's number.
    pub seq: Seq,
    /// The frame's hash, which stands for everything up to it.
    pub hash: Hash,
    /// The time that the decision was given.
    pub at: OffsetDateTime,
    /// Who decided.
    pub actor: String,
    /// What happened, in order.
    pub events: Vec<E>,
}

/// The payload of a frame.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Payload<E> {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) events: Vec<E>,
}

/// The ledger's own frame: the index holds everything up to `index_checkpoint`, safely on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexCheckpoint {
    pub(crate) index_checkpoint: Seq,
}

/// The ledger's other own frame.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    pub(crate) signed_checkpoint: SignedCheckpoint,
}

/// Of which kind a payload is, without parsing it: a start looks at every frame, and replays few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    IndexCheckpoint,
    SignedCheckpoint,
    Events,
}

impl Kind {
    pub(crate) fn of(payload: &[u8]) -> Self {
        if payload.is_empty() {
            Self::Nothing
        } else if payload.starts_with(b"{\"index_checkpoint\"") {
            Self::IndexCheckpoint
        } else if payload.starts_with(b"{\"signed_checkpoint\"") {
            Self::SignedCheckpoint
        } else {
            Self::Events
        }
    }
}

/// What a frame says.
#[derive(Debug)]
pub(crate) enum Said<E> {
    Nothing,
    IndexCheckpoint(Seq),
    SignedCheckpoint(Box<SignedCheckpoint>),
    Events(Payload<E>),
}

impl<E: DeserializeOwned> Said<E> {
    /// Reads a frame's payload.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(match Kind::of(payload) {
            Kind::Nothing => Self::Nothing,
            Kind::IndexCheckpoint => {
                Self::IndexCheckpoint(serde_json::from_slice::<IndexCheckpoint>(payload)?.index_checkpoint)
            }
            Kind::SignedCheckpoint => {
                Self::SignedCheckpoint(Box::new(serde_json::from_slice::<Signed>(payload)?.signed_checkpoint))
            }
            Kind::Events => Self::Events(serde_json::from_slice(payload)?),
        })
    }
}
