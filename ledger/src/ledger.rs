//! The handle that everybody else holds.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
};

use journal::{FrameRef, Reader, Seq};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};

use crate::{
    changes::View,
    core::{Asked, Committed, Decision},
    error::{CommitError, OpenError, ReadError, Unavailable},
    event::{Entry, Event, Said, Stamp},
    index::Index,
    recovery,
    writer::{self, Channels, Message},
};

/// How many commits may wait for the writer; whoever comes later waits for a place.
const QUEUE: usize = 1024;
/// How many entries a slow listener may be behind before it has to take a new look.
const BACKLOG: usize = 1024;

/// How a ledger is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// How its journal is kept.
    pub journal: journal::Options,
    /// The memory that the index may use as a cache, in bytes.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { journal: journal::Options::default(), cache_bytes: 32 << 20 }
    }
}

/// Whether commits are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// They are.
    Open,
    /// Storage failed. Final: stop, and let the next start verify what is on disk.
    Failed {
        /// The first failure.
        why: String,
    },
}

/// A daemon's durable truth. Cheap to clone; all clones are the same ledger.
#[derive(Debug)]
pub struct Ledger<E> {
    queue: Sender<Message<E>>,
    places: Arc<Semaphore>,
    index: Index,
    reader: Reader,
    entries: broadcast::Sender<Arc<Entry<E>>>,
    seq: watch::Receiver<Seq>,
    status: watch::Receiver<Status>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl<E> Clone for Ledger<E> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            places: self.places.clone(),
            index: self.index.clone(),
            reader: self.reader.clone(),
            entries: self.entries.clone(),
            seq: self.seq.clone(),
            status: self.status.clone(),
            thread: self.thread.clone(),
        }
    }
}

impl<E: Event> Ledger<E> {
    /// Opens the ledger in `dir`, making it if need be, verifies the journal, and brings the index up to date.
    ///
    /// Blocks for as long as that takes. One process at a time: a second one gets [`journal::OpenError::InUse`].
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let core = recovery::open::<E>(dir, options)?;
        let (queue, messages) = channel();
        let (entries, _) = broadcast::channel(BACKLOG);
        let (seq_sender, seq) = watch::channel(core.applied());
        let (status_sender, status) = watch::channel(Status::Open);
        let (index, reader) = (core.index().clone(), core.reader());
        let channels = Channels { entries: entries.clone(), seq: seq_sender, status: status_sender };
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer::run(core, &messages, &channels))
            .map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self {
            queue,
            places: Arc::new(Semaphore::new(QUEUE)),
            index,
            reader,
            entries,
            seq,
            status,
            thread,
        })
    }

    /// Lets `decide` look at the state and say what happens; returns once that is on disk.
    ///
    /// The closure runs in the writer thread, after every earlier commit and before every later one; it reads state
    /// by key and must not block. Also a refusal waits for the disk, because it may rest on a commit of the same batch.
    ///
    /// Dropping the returned future does not undo the commit.
    pub async fn commit<T, R, F>(&self, stamp: Stamp, decide: F) -> Result<Committed<T>, CommitError<R>>
    where
        F: FnOnce(&View<'_>) -> Result<Decision<E, T>, R> + Send + 'static,
        T: Send + 'static,
        R: Send + 'static,
    {
        let place = self.places.clone().acquire_owned().await.map_err(|_| Unavailable::Closed)?;
        let (reply, answer) = oneshot::channel();
        let turn = Asked { stamp: Some(stamp), decide: Some(decide), verdict: None, reply };
        self.queue.send(Message::Commit(Box::new(turn), place)).map_err(|_| Unavailable::Closed)?;
        answer.await.map_err(|_| Unavailable::Closed)?
    }

    /// Returns the committed record under `key`.
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        let stored = self.index.get(key)?;
        stored.map(|(_, json)| serde_json::from_slice(&json).map_err(ReadError::index)).transpose()
    }

    /// Returns a committed counter; one that was never touched is 0.
    pub fn counter(&self, key: &[u8]) -> Result<i64, ReadError> {
        Ok(self.get(key)?.unwrap_or(0))
    }

    /// Returns up to `limit` committed records whose key starts with `prefix`, in key order, starting behind `after`.
    pub fn scan<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, T)>, ReadError> {
        let records = self.index.scan(prefix, after, limit)?.into_iter();
        records
            .map(|(key, json)| Ok((key, serde_json::from_slice(&json).map_err(ReadError::index)?)))
            .collect()
    }

    /// Reads a commit back from the journal.
    pub fn entry(&self, frame: &FrameRef) -> Result<Entry<E>, ReadError> {
        let (payload, hash) = self.reader.read(frame)?;
        let unreadable = |why: String| ReadError::Unreadable { seq: frame.seq, why };
        match Said::parse(&payload).map_err(|error| unreadable(error.to_string()))? {
            Said::Events(said) => {
                Ok(Entry { seq: frame.seq, hash, at: said.at, actor: said.actor, events: said.events })
            }
            Said::Nothing | Said::Checkpoint(_) => Err(unreadable("it holds no events".to_owned())),
        }
    }

    /// Every commit from now on, in order, once it is on disk and in the index.
    ///
    /// A listener that falls behind is told so by the channel and takes a new look at the state.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry<E>>> {
        self.entries.subscribe()
    }

    /// The number of the last committed frame, as it changes.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Seq> {
        self.seq.clone()
    }

    /// The number of the last committed frame.
    #[must_use]
    pub fn seq(&self) -> Seq {
        *self.seq.borrow()
    }

    /// Whether commits are taken.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Waits until storage has failed, and says why; never returns while all is well.
    pub async fn failed(&self) -> String {
        let mut status = self.status.clone();
        loop {
            if let Status::Failed { why } = &*status.borrow_and_update() {
                return why.clone();
            }
            if status.changed().await.is_err() {
                // Closed in good order.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Finishes what is queued, forces the index to disk and lets go of the folder once all clones are dropped.
    pub async fn close(self) {
        self.places.close();
        // If the writer is gone already, there is nothing left to finish.
        let _ = self.queue.send(Message::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic in the writer would have ended the process.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}
