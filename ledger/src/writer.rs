//! The one thread that writes.
//!
//! Whatever queued during the last sync is the next batch; there is no timer on the way to an answer.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};

use crate::{
    core::{Core, Turn},
    event::{Entry, Event},
    ledger::Status,
};

/// The most commits that share one sync.
const BATCH: usize = 256;
/// How long a silent journal waits before it writes down how far it is on disk.
const IDLE: Duration = Duration::from_millis(50);
/// How often the index is forced to disk.
const CHECKPOINT: Duration = Duration::from_secs(5);

/// What reaches the writer.
pub(crate) enum Message<E> {
    /// A commit, and its place in the bounded queue.
    Commit(Box<dyn Turn<E>>, OwnedSemaphorePermit),
    /// Finish what is queued, then stop.
    Stop,
}

/// Where the writer tells what happened.
pub(crate) struct Channels<E> {
    pub(crate) entries: broadcast::Sender<Arc<Entry<E>>>,
    pub(crate) seq: watch::Sender<journal::Seq>,
    pub(crate) status: watch::Sender<Status>,
}

/// Runs until it is told to stop or nobody can reach it any more.
pub(crate) fn run<E: Event>(mut core: Core, queue: &Receiver<Message<E>>, channels: &Channels<E>) {
    let _guard = AbortOnPanic;
    let mut checkpointed = now();
    loop {
        let mut batch = Vec::new();
        let mut stop = false;
        match queue.recv_timeout(IDLE) {
            Ok(message) => {
                stop = take(message, &mut batch);
                while !stop && batch.len() < BATCH {
                    let Ok(message) = queue.try_recv() else { break };
                    stop = take(message, &mut batch);
                }
            }
            Err(RecvTimeoutError::Timeout) => core.mark(),
            Err(RecvTimeoutError::Disconnected) => stop = true,
        }
        if !batch.is_empty() {
            publish(core.commit(batch), channels);
        }
        if stop || checkpointed.elapsed() >= CHECKPOINT {
            core.checkpoint();
            checkpointed = now();
        }
        if stop {
            core.mark();
        }
        if let Some(why) = core.failed() {
            let failed = Status::Failed { why: why.to_string() };
            channels.status.send_if_modified(|status| std::mem::replace(status, failed.clone()) != failed);
        }
        if stop {
            return;
        }
    }
}

/// Adds a commit to the batch; `true` for the order to stop.
fn take<E>(message: Message<E>, batch: &mut Vec<Box<dyn Turn<E>>>) -> bool {
    match message {
        Message::Commit(turn, place) => {
            batch.push(turn);
            // It is in memory either way; what bounds memory is the queue behind it.
            drop(place);
            false
        }
        Message::Stop => true,
    }
}

fn publish<E>(entries: Vec<Arc<Entry<E>>>, channels: &Channels<E>) {
    let Some(last) = entries.last().map(|entry| entry.seq) else { return };
    for entry in entries {
        // Nobody listening is fine.
        let _ = channels.entries.send(entry);
    }
    channels.seq.send_replace(last);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the writer thread is a shell: it alone paces the index checkpoints"
)]
fn now() -> Instant {
    Instant::now()
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
