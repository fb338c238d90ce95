//! The one thread that writes.
//!
//! Whatever queued during the last sync is the next batch; there is no timer on the way to an answer.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, broadcast, oneshot, watch};

use crate::{
    core::{Completed, Core, Turn},
    error::ReadError,
    event::{Entry, Event},
    ledger::Status,
};

/// The most commits that share one sync.
const BATCH: usize = 256;
/// How long a silent journal waits before it writes down how far it is on disk.
const IDLE: Duration = Duration::from_millis(50);
/// How long the writer stays awake after an answer.
const AWAKE: Duration = Duration::from_micros(50);
/// How often the index is forced to disk.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often the room on the disk is measured: less is used up in that time than the ballast holds.
const MEASURE: Duration = Duration::from_millis(5);
/// How often a checkpoint is signed, if anything happened and not so much that one was due earlier.
const SIGNATURE: Duration = Duration::from_secs(60);

/// What reaches the writer.
pub(crate) enum Message<E> {
    /// A commit, and its place in the bounded queue.
    Commit(Box<dyn Turn<E>>, OwnedSemaphorePermit),
    /// Sign a checkpoint over everything that was committed so far, and say when that is done.
    Sign(oneshot::Sender<()>),
    /// Somebody read nonsense from the index.
    Doubt(ReadError),
    /// Finish what is queued, then stop.
    Stop,
}

/// Where the writer tells what happened.
pub(crate) struct Channels<E> {
    pub(crate) entries: broadcast::Sender<Arc<Entry<E>>>,
    pub(crate) seq: watch::Sender<journal::Seq>,
    pub(crate) status: watch::Sender<Status>,
}

/// What to do beside the batch.
#[derive(Debug, Default)]
struct Orders {
    stop: bool,
    doubt: Option<ReadError>,
    sign: Vec<oneshot::Sender<()>>,
}

impl Orders {
    fn is_empty(&self) -> bool {
        !self.stop && self.doubt.is_none() && self.sign.is_empty()
    }
}

/// Runs until it is told to stop or nobody can reach it any more.
pub(crate) fn run<E: Event>(mut core: Core, queue: &Receiver<Message<E>>, channels: &Channels<E>) {
    let _guard = AbortOnPanic;
    let begin = now().0;
    let (mut checkpointed, mut signed, mut measured) = (begin, begin, begin);
    let mut awake = false;
    loop {
        let mut batch = Vec::new();
        let mut orders = Orders::default();
        match wait(queue, std::mem::take(&mut awake)) {
            Ok(message) => take(message, &mut batch, &mut orders),
            Err(RecvTimeoutError::Timeout) => core.mark(),
            Err(RecvTimeoutError::Disconnected) => orders.stop = true,
        }
        while orders.is_empty() && batch.len() < BATCH {
            let Ok(message) = queue.try_recv() else { break };
            take(message, &mut batch, &mut orders);
        }
        let (instant, time) = now();
        if !batch.is_empty() {
            awake = true;
            // Only when something is to be written: ballast that is let go earlier is eaten by whoever fills the disk.
            if instant.duration_since(measured) >= MEASURE {
                core.measure();
                measured = instant;
            }
            end(core.commit(batch), channels);
        }
        let signature_due = core.signature_due() || instant.duration_since(signed) >= SIGNATURE;
        let checkpoint_due = instant.duration_since(checkpointed) >= CHECKPOINT;
        let ready = core.checkpoint_ready().is_some();
        if orders.is_empty() && !signature_due && !checkpoint_due && !ready && core.failed().is_none() {
            continue;
        }
        if let Some(error) = orders.doubt {
            core.doubt_index(&error);
        }
        if orders.stop || signature_due || !orders.sign.is_empty() {
            core.sign(time);
            signed = instant;
            for asked in orders.sign {
                // Whoever asked may be gone.
                let _ = asked.send(());
            }
        }
        if orders.stop {
            core.end();
        } else {
            core.checkpoint();
            if checkpoint_due {
                core.want_checkpoint();
                checkpointed = instant;
            }
        }
        if let Some(why) = core.failed() {
            let failed = Status::Failed { why: why.to_string() };
            channels.status.send_if_modified(|status| std::mem::replace(status, failed.clone()) != failed);
        }
        if orders.stop {
            return;
        }
    }
}

/// Waits for a message; after a batch a moment awake, since whoever was just answered often asks again.
fn wait<E>(queue: &Receiver<Message<E>>, awake: bool) -> Result<Message<E>, RecvTimeoutError> {
    let begin = now().0;
    while awake && now().0.duration_since(begin) < AWAKE {
        match queue.try_recv() {
            Ok(message) => return Ok(message),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => std::hint::spin_loop(),
        }
    }
    queue.recv_timeout(IDLE)
}

/// Adds a message to what is done in this round.
fn take<E>(message: Message<E>, batch: &mut Vec<Box<dyn Turn<E>>>, orders: &mut Orders) {
    match message {
        Message::Commit(turn, place) => {
            batch.push(turn);
            // It is in memory either way; what bounds memory is the queue behind it.
            drop(place);
        }
        Message::Sign(asked) => orders.sign.push(asked),
        Message::Doubt(error) => orders.doubt = Some(error),
        Message::Stop => orders.stop = true,
    }
}

/// Tells what happened, and then those who waited: who has an answer finds everything as it says.
fn end<E>(mut completed: Completed<E>, channels: &Channels<E>) {
    let entries = std::mem::take(&mut completed.entries);
    if let Some(last) = entries.last().map(|entry| entry.seq) {
        for entry in entries {
            // Nobody listening is fine.
            let _ = channels.entries.send(entry);
        }
        channels.seq.send_replace(last);
    }
    completed.answer();
}

#[expect(clippy::disallowed_methods, reason = "the writer thread is a shell: it alone paces the checkpoints")]
fn now() -> (Instant, OffsetDateTime) {
    (Instant::now(), OffsetDateTime::now_utc())
}

/// A panic in the writer leaves nobody who knows what is on disk: the process ends, and the next start finds out.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}
