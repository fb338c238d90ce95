//! The handle that everybody else holds.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use journal::{FrameRef, Hash, Reader, Seq};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};

use crate::{
    changes::View,
    checkpoint::CheckpointKey,
    core::{Asked, Committed, Decision},
    desk::Desk,
    error::{CommitError, OpenError, ReadError, Unavailable},
    event::{Entry, Event, Said, Stamp},
    index::Index,
    recovery,
    space::{Floor, Space, SpaceOptions},
    writer::{self, Channels, Writer},
};

/// How many commits may wait to be written; whoever comes later waits for a place.
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
    /// How much room is kept on the disk.
    pub space: SpaceOptions,
    /// What signs checkpoints; none are written without it.
    pub checkpoint_key: Option<CheckpointKey>,
}

impl Default for Options {
    fn default() -> Self {
        let (journal, space) = (journal::Options::default(), SpaceOptions::default());
        Self { journal, cache_bytes: 32 << 20, space, checkpoint_key: None }
    }
}

/// Whether commits are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// They are.
    Open,
    /// Nothing new is begun, because the disk is nearly full; goes by by itself.
    Full {
        /// How much is free, and how much is needed.
        why: String,
    },
    /// Storage failed. Final: stop, and let the next start verify what is on disk.
    Failed {
        /// The first failure.
        why: String,
    },
}

/// A daemon's durable truth. Cheap to clone; all clones are the same ledger.
#[derive(Debug)]
pub struct Ledger<E> {
    desk: Arc<Owned<E>>,
    places: Arc<Semaphore>,
    index: Index,
    space: Space,
    floor: Arc<Floor>,
    reader: Reader,
    entries: broadcast::Sender<Arc<Entry<E>>>,
    seq: watch::Receiver<Seq>,
    status: watch::Receiver<Status>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// The desk, as long as somebody may bring something to it.
#[derive(Debug)]
struct Owned<E>(Arc<Desk<E>>);

impl<E> Drop for Owned<E> {
    fn drop(&mut self) {
        // Who closed the ledger has said so already.
        self.0.order(|orders| orders.stop = true);
    }
}

impl<E> Clone for Ledger<E> {
    fn clone(&self) -> Self {
        Self {
            desk: self.desk.clone(),
            places: self.places.clone(),
            index: self.index.clone(),
            space: self.space.clone(),
            floor: self.floor.clone(),
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
        let (entries, _) = broadcast::channel(BACKLOG);
        let (seq_sender, seq) = watch::channel(core.applied());
        let (status_sender, status) = watch::channel(Status::Open);
        let (index, reader) = (core.index().clone(), core.reader());
        let channels = Channels { entries: entries.clone(), seq: seq_sender, status: status_sender };
        let desk = Arc::new(Desk::new(Writer::new(core, channels)));
        let work = desk.clone();
        let thread = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || work.run())
            .map_err(|source| OpenError::Io { path: dir.to_owned(), source })?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self {
            desk: Arc::new(Owned(desk)),
            places: Arc::new(Semaphore::new(QUEUE)),
            index,
            space: Space::new(dir, options.space),
            floor: Arc::default(),
            reader,
            entries,
            seq,
            status,
            thread,
        })
    }

    /// Lets `decide` look at the state and say what happens; returns once that is on disk.
    ///
    /// The closure runs after every earlier commit and before every later one, in a thread that may wait for the disk; it
    /// reads state by key and must not block. Also a refusal waits for the disk, because it may rest on a commit of the same batch.
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
        self.desk.0.commit(Box::new(turn), place)?;
        answer.await.map_err(|_| Unavailable::Closed)?
    }

    /// Whether there is room on the disk for something new; asked before work is begun that would have to be thrown away.
    pub fn room(&self) -> Result<(), Unavailable> {
        self.floor.is_kept(&self.space, writer::now().0)
    }

    /// Has a checkpoint signed over everything that was committed so far; returns once it is on disk.
    pub async fn sign(&self) {
        let (done, signed) = oneshot::channel();
        if self.desk.0.order(|orders| orders.sign.push(done)) {
            // If the ledger ends meanwhile, it signs as its last act.
            let _ = signed.await;
        }
    }

    /// Returns the committed record under `key`.
    pub fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, ReadError> {
        self.doubt(self.index.get(key).and_then(|stored| {
            stored.map(|(_, json)| serde_json::from_slice(&json).map_err(ReadError::index)).transpose()
        }))
    }

    /// An index that reads as nonsense is not read any further: the writer sets it aside and ends the ledger.
    fn doubt<T>(&self, read: Result<T, ReadError>) -> Result<T, ReadError> {
        if let Err(ReadError::Index { why }) = &read {
            // Without anybody who could look, it has ended already.
            self.desk.0.order(|orders| orders.doubt = Some(ReadError::index(why)));
        }
        read
    }

    /// SHA-256 over the whole index: the same for everybody who has built it from the same frames.
    pub fn fingerprint(&self) -> Result<Hash, ReadError> {
        self.doubt(self.index.fingerprint())
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
        self.doubt(self.index.scan(prefix, after, limit).and_then(|records| {
            let read = |(key, json): (_, Vec<u8>)| {
                Ok((key, serde_json::from_slice(&json).map_err(ReadError::index)?))
            };
            records.into_iter().map(read).collect()
        }))
    }

    /// Reads a commit back from the journal.
    pub fn entry(&self, frame: &FrameRef) -> Result<Entry<E>, ReadError> {
        let (payload, hash) = self.reader.read(frame)?;
        let unreadable = |why: String| ReadError::Unreadable { seq: frame.seq, why };
        match Said::parse(&payload).map_err(|error| unreadable(error.to_string()))? {
            Said::Events(said) => {
                Ok(Entry { seq: frame.seq, hash, at: said.at, actor: said.actor, events: said.events })
            }
            Said::Nothing | Said::IndexCheckpoint(_) | Said::SignedCheckpoint(_) => {
                Err(unreadable("it holds no events".to_owned()))
            }
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
        match (&*self.status.borrow(), self.room()) {
            (Status::Open, Err(full)) => Status::Full { why: full.to_string() },
            (status, _) => status.clone(),
        }
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
        // A panic in the writer would have ended the process.
        let _ = tokio::task::spawn_blocking(move || self.close_blocking()).await;
    }

    /// The same for who is not async; blocks meanwhile.
    pub fn close_blocking(self) {
        self.places.close();
        // If it has ended already, there is nothing left to finish.
        self.desk.0.order(|orders| orders.stop = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // As above.
            let _ = thread.join();
        }
    }
}
