//! What is committed, for reading: the same from a ledger on disk and from one in memory.

use journal::FrameRef;
use serde::de::DeserializeOwned;

use crate::{
    error::ReadError,
    event::{Entry, Event},
    ledger::Ledger,
};

/// Committed state, and the commits themselves.
pub trait Reads {
    /// What happens there.
    type Event: Event;

    /// Returns the committed record under `key`.
    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError>;

    /// Returns up to `limit` committed records whose key starts with `prefix`, in key order, starting behind `after`.
    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, T)>, ReadError>;

    /// Reads a commit back.
    fn entry(&self, frame: &FrameRef) -> Result<Entry<Self::Event>, ReadError>;

    /// Returns a committed counter; one that was never touched is 0.
    fn counter(&self, key: &[u8]) -> Result<i64, ReadError> {
        Ok(self.get(key)?.unwrap_or(0))
    }
}

impl<E: Event> Reads for Ledger<E> {
    type Event = E;

    fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        Self::get(self, key)
    }

    fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, T)>, ReadError> {
        Self::scan(self, prefix, after, limit)
    }

    fn entry(&self, frame: &FrameRef) -> Result<Entry<E>, ReadError> {
        Self::entry(self, frame)
    }
}
