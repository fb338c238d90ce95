//! What a program brings to its ledger.
//!
//! A frame of the journal is JSON that a person can read with a support call:
//! `{"at":"2026-11-23T14:32:07Z","actor":"token:L1-rig","events":[…]}`.
//! One commit is one frame, so its events are all there or none is.

use journal::{FrameRef, Hash, Seq};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use crate::changes::Changes;

/// Something that happened, as it is stored for ever.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The version of [`Event::apply`]. Raise it whenever `apply` would build another index from the same events:
    /// an index of another version is rebuilt.
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
pub(crate) struct Checkpoint {
    pub(crate) index_checkpoint: Seq,
}

/// What a frame says.
pub(crate) enum Said<E> {
    Nothing,
    Checkpoint(Seq),
    Events(Payload<E>),
}

impl<E: Event> Said<E> {
    /// Reads a frame's payload.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, serde_json::Error> {
        if payload.is_empty() {
            return Ok(Self::Nothing);
        }
        if payload.starts_with(b"{\"index_checkpoint\"") {
            return serde_json::from_slice::<Checkpoint>(payload)
                .map(|found| Self::Checkpoint(found.index_checkpoint));
        }
        serde_json::from_slice(payload).map(Self::Events)
    }
}
