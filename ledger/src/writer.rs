//! Who writes: the core, where it tells what happened, and when what is due.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio::sync::{broadcast, watch};

use crate::{
    core::{Completed, Core, Turn},
    desk::Orders,
    event::{Entry, Event},
    ledger::Status,
    space::MEASURE,
};

/// How long a silent journal waits before it writes down how far it is on disk.
pub(crate) const IDLE: Duration = Duration::from_millis(50);
/// How often the index is forced to disk.
const CHECKPOINT: Duration = Duration::from_secs(5);
/// How often a checkpoint is signed, if anything happened and not so much that one was due earlier.
const SIGNATURE: Duration = Duration::from_secs(60);

/// Where the writer tells what happened.
pub(crate) struct Channels<E> {
    pub(crate) entries: broadcast::Sender<Arc<Entry<E>>>,
    pub(crate) seq: watch::Sender<journal::Seq>,
    pub(crate) status: watch::Sender<Status>,
}

/// The only one who writes; whoever has it, writes.
pub(crate) struct Writer<E> {
    core: Core,
    channels: Channels<E>,
    written: Instant,
    checkpointed: Instant,
    measured: Instant,
    signed: Instant,
}

impl<E: Event> Writer<E> {
    pub(crate) fn new(core: Core, channels: Channels<E>) -> Self {
        let begin = now().0;
        Self { core, channels, written: begin, checkpointed: begin, measured: begin, signed: begin }
    }

    /// Writes `batch`, syncs once, and tells everybody.
    pub(crate) fn write(&mut self, batch: Vec<Box<dyn Turn<E>>>) {
        let _guard = AbortOnPanic;
        let begin = now().0;
        // Only when something is to be written: ballast that is let go earlier is eaten by whoever fills the disk.
        if begin.duration_since(self.measured) >= MEASURE {
            self.core.measure();
            self.measured = begin;
        }
        let completed = self.core.commit(batch);
        self.written = now().0;
        self.end(completed);
    }

    /// Tells what happened, and then those who waited: who has an answer finds everything as it says.
    fn end(&self, mut completed: Completed<E>) {
        let entries = std::mem::take(&mut completed.entries);
        if let Some(last) = entries.last().map(|entry| entry.seq) {
            for entry in entries {
                // Nobody listening is fine.
                let _ = self.channels.entries.send(entry);
            }
            self.channels.seq.send_replace(last);
        }
        completed.answer();
    }

    /// Whether something is due that no order asks for, and that cannot wait until it falls silent.
    pub(crate) fn has_something_due(&self) -> bool {
        self.core.signature_due() || self.core.failed().is_some()
    }

    /// How long from now until it has been silent for [`IDLE`]; all of that again, once it has.
    pub(crate) fn rest(&self) -> Duration {
        let rest = IDLE.saturating_sub(now().0.duration_since(self.written));
        if rest.is_zero() { IDLE } else { rest }
    }

    /// Does what was ordered, and what is due.
    pub(crate) fn tend(&mut self, orders: Orders) {
        let _guard = AbortOnPanic;
        let (instant, time) = now();
        if instant.duration_since(self.written) >= IDLE {
            self.core.mark();
        }
        if let Some(error) = orders.doubt {
            self.core.doubt_index(&error);
        }
        let signature_due = self.core.signature_due() || instant.duration_since(self.signed) >= SIGNATURE;
        if orders.stop || signature_due || !orders.sign.is_empty() {
            self.core.sign(time);
            self.signed = instant;
            for asked in orders.sign {
                // Whoever asked may be gone.
                let _ = asked.send(());
            }
        }
        if orders.stop {
            self.core.end();
        } else {
            self.core.checkpoint();
            if instant.duration_since(self.checkpointed) >= CHECKPOINT {
                self.core.want_checkpoint();
                self.checkpointed = instant;
            }
        }
        if let Some(why) = self.core.failed() {
            let failed = Status::Failed { why: why.to_string() };
            let status = &self.channels.status;
            status.send_if_modified(|status| std::mem::replace(status, failed.clone()) != failed);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the writer is a shell: it alone paces the checkpoints")]
pub(crate) fn now() -> (Instant, OffsetDateTime) {
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
