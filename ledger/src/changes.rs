//! State as a decision and an event see it: the index, overlaid with what the running batch has changed.

use std::{cell::RefCell, collections::HashSet};

use journal::Seq;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::ReadError,
    index::Index,
    tree::{Batch, Stored},
};

/// Where a record is found that the running batch has not changed.
pub(crate) trait Lookup: std::fmt::Debug {
    /// Returns what is stored under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError>;
}

impl Lookup for Index {
    fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        Self::get(self, key)
    }
}

/// What a batch has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    changes: Batch,
    /// Where a record is written before it is kept, so that what is kept takes no more than it needs.
    json: Vec<u8>,
}

impl Overlay {
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The changes, for the index.
    pub(crate) fn into_batch(self) -> Batch {
        self.changes
    }
}

/// Reads state by key. What it shows includes every commit before this one, those of the same batch too.
#[derive(Debug)]
pub struct View<'a> {
    index: &'a dyn Lookup,
    overlay: &'a Overlay,
    /// The first read that failed: the batch must then not be acknowledged.
    failure: &'a RefCell<Option<ReadError>>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        index: &'a dyn Lookup,
        overlay: &'a Overlay,
        failure: &'a RefCell<Option<ReadError>>,
    ) -> Self {
        Self { index, overlay, failure }
    }

    /// Returns the record under `key`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        read(self.index, self.overlay, self.failure, key)
    }

    /// Returns a counter; one that was never touched is 0.
    #[must_use]
    pub fn counter(&self, key: &[u8]) -> i64 {
        self.get(key).unwrap_or(0)
    }
}

/// Reads state by key and changes it, on behalf of one frame.
///
/// A frame is applied once: where the index already holds what this frame or a later one wrote under a key, as it may
/// while it is caught up, [`Changes::put`], [`Changes::remove`] and [`Changes::add`] leave it alone.
#[derive(Debug)]
pub struct Changes<'a> {
    index: &'a dyn Lookup,
    overlay: &'a mut Overlay,
    failure: &'a RefCell<Option<ReadError>>,
    seq: Seq,
    /// The last frame that the index may hold already; 0 while living.
    reach: Seq,
    /// The keys that this frame has changed already, and may change again.
    touched: HashSet<Vec<u8>>,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(
        index: &'a dyn Lookup,
        overlay: &'a mut Overlay,
        failure: &'a RefCell<Option<ReadError>>,
        seq: Seq,
        reach: Seq,
    ) -> Self {
        Self { index, overlay, failure, seq, reach, touched: HashSet::new() }
    }

    /// Returns the record under `key`.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Option<T> {
        read(self.index, self.overlay, self.failure, key)
    }

    /// Returns a counter; one that was never touched is 0.
    #[must_use]
    pub fn counter(&self, key: &[u8]) -> i64 {
        self.get(key).unwrap_or(0)
    }

    /// Tells whether what is stored under `key` already includes this frame, as it may while an index is caught up.
    ///
    /// An event that derives a change from the record asks this first.
    #[must_use]
    pub fn includes(&self, key: &[u8]) -> bool {
        self.seq <= self.reach
            && !self.touched.contains(key)
            && stored(self.index, self.overlay, self.failure, key).is_some_and(|(seq, _)| seq >= self.seq)
    }

    /// Stores `value` under `key`.
    pub fn put<T: Serialize>(&mut self, key: &[u8], value: &T) {
        let mut json = std::mem::take(&mut self.overlay.json);
        json.clear();
        serde_json::to_writer(&mut json, value).expect("records are plain data");
        self.set(key, |seq| Some((seq, json.as_slice().to_vec())));
        self.overlay.json = json;
    }

    /// Removes the record under `key`.
    pub fn remove(&mut self, key: &[u8]) {
        self.set(key, |_| None);
    }

    /// Changes a counter.
    pub fn add(&mut self, key: &[u8], delta: i64) {
        let sum = self.counter(key).saturating_add(delta);
        self.put(key, &sum);
    }

    fn set(&mut self, key: &[u8], value: impl FnOnce(Seq) -> Option<Stored>) {
        if !self.includes(key) {
            if self.seq <= self.reach {
                self.touched.insert(key.to_vec());
            }
            self.overlay.changes.insert(key.to_vec(), value(self.seq));
        }
    }
}

fn stored(
    index: &dyn Lookup,
    overlay: &Overlay,
    failure: &RefCell<Option<ReadError>>,
    key: &[u8],
) -> Option<Stored> {
    if let Some(value) = overlay.changes.get(key) {
        return value.clone();
    }
    index.get(key).unwrap_or_else(|error| {
        failure.borrow_mut().get_or_insert(error);
        None
    })
}

fn read<T: DeserializeOwned>(
    index: &dyn Lookup,
    overlay: &Overlay,
    failure: &RefCell<Option<ReadError>>,
    key: &[u8],
) -> Option<T> {
    let (_, json) = stored(index, overlay, failure, key)?;
    serde_json::from_slice(&json)
        .map_err(|error| {
            let key = String::from_utf8_lossy(key);
            failure.borrow_mut().get_or_insert(ReadError::index(format!("{key}: {error}")));
        })
        .ok()
}
