//! A ledger without disk and without thread, for simulations: the same decisions, events and `apply`, inline.
//!
//! A copy of it is a backup.

use std::{cell::RefCell, collections::BTreeMap, ops::Bound};

use journal::{FrameRef, Hash, Seq, frame::HEADER};
use serde::de::DeserializeOwned;

use crate::{
    changes::{Changes, Lookup, Overlay, View},
    core::{Committed, Decision, apply},
    error::{CommitError, ReadError, Unavailable},
    event::{Applied, Entry, Event, Payload, Said, Stamp},
    reads::Reads,
    tree::Stored,
};

/// The records of an index.
#[derive(Debug, Clone, Default)]
struct Records(BTreeMap<Vec<u8>, Stored>);

impl Lookup for Records {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        Ok(self.0.get(key).cloned())
    }
}

/// A ledger in memory.
#[derive(Debug, Clone)]
pub struct Memory<E> {
    records: Records,
    /// The payloads of all frames, as a journal would have them.
    frames: Vec<Vec<u8>>,
    events: std::marker::PhantomData<E>,
}

impl<E> Default for Memory<E> {
    fn default() -> Self {
        Self { records: Records::default(), frames: Vec::new(), events: std::marker::PhantomData }
    }
}

impl<E: Event> Memory<E> {
    /// Lets `decide` look at the state and say what happens, as [`crate::Ledger::commit`] does.
    pub fn commit<T, R>(
        &mut self,
        stamp: Stamp,
        decide: impl FnOnce(&View<'_>) -> Result<Decision<E, T>, R>,
    ) -> Result<Committed<T>, CommitError<R>> {
        let failure = RefCell::new(None);
        let mut overlay = Overlay::default();
        let decided = decide(&View::new(&self.records, &overlay, &failure));
        check(&failure)?;
        let Decision { events, answer } = decided.map_err(CommitError::Refused)?;
        if events.is_empty() {
            return Ok(Committed { seq: None, answer });
        }
        let seq = self.frames.len() as Seq + 1;
        let frame = FrameRef { segment: 0, offset: seq - 1, seq };
        let at = Applied { seq, at: stamp.at, actor: &stamp.actor, frame };
        apply(&events, &at, &mut Changes::new(&self.records, &mut overlay, &failure, seq, 0));
        check(&failure)?;
        let payload = Payload { at: stamp.at, actor: stamp.actor.clone(), events: events.iter().collect() };
        self.frames.push(serde_json::to_vec(&payload).expect("events are plain data"));
        for (key, value) in overlay.into_batch() {
            match value {
                Some(value) => self.records.0.insert(key, value),
                None => self.records.0.remove(&key),
            };
        }
        Ok(Committed { seq: Some(seq), answer })
    }

    /// The number of the last frame.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.frames.len() as Seq
    }

    /// What a journal of these frames takes on disk, in bytes.
    #[must_use]
    pub fn journal_bytes(&self) -> u64 {
        self.frames.iter().map(|payload| (HEADER + payload.len().next_multiple_of(8)) as u64).sum()
    }
}

impl<E: Event> Reads for Memory<E> {
    type Event = E;

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        let found = self.records.0.get(key);
        found.map(|(_, json)| serde_json::from_slice(json).map_err(ReadError::index)).transpose()
    }

    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, T)>, ReadError> {
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let found = self.records.0.range::<[u8], _>((from, Bound::Unbounded));
        let found = found.take_while(|(key, _)| key.starts_with(prefix)).take(limit);
        let read = |(key, (_, json)): (&Vec<u8>, &Stored)| {
            Ok((key.clone(), serde_json::from_slice(json).map_err(ReadError::index)?))
        };
        found.map(read).collect()
    }

    fn entry(&self, frame: &FrameRef) -> Result<Entry<E>, ReadError> {
        let unreadable = |why: &dyn ToString| ReadError::Unreadable { seq: frame.seq, why: why.to_string() };
        let at = usize::try_from(frame.offset).map_err(|error| unreadable(&error))?;
        let payload = self.frames.get(at).ok_or_else(|| unreadable(&"there is no such frame"))?;
        let Said::Events(said) = Said::parse(payload).map_err(|error| unreadable(&error))? else {
            return Err(unreadable(&"it holds no events"));
        };
        // There is no chain in memory; what stands for a frame is its number.
        let mut hash = Hash::default();
        hash[..8].copy_from_slice(&frame.seq.to_be_bytes());
        Ok(Entry { seq: frame.seq, hash, at: said.at, actor: said.actor, events: said.events })
    }
}

fn check(failure: &RefCell<Option<ReadError>>) -> Result<(), Unavailable> {
    match failure.borrow_mut().take() {
        Some(error) => Err(Unavailable::Failed { why: error.to_string() }),
        None => Ok(()),
    }
}
