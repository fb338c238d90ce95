//! A group commit, from decisions to answers, without a thread.
//!
//! ```text
//! decide each ─▶ stage frames, apply to the overlay ─▶ one write, one fdatasync ─▶ index in one batch ─▶ answer each
//! ```
//!
//! A failed read, write or sync latches: this value then refuses everything, with the reason.

use std::{cell::RefCell, sync::Arc};

use journal::{FrameRef, Journal, Reader, Seq, WriteError};
use tokio::sync::oneshot;

use crate::{
    changes::{Changes, Overlay, View},
    error::{CommitError, ReadError, Unavailable},
    event::{Applied, Checkpoint, Entry, Event, Payload, Stamp},
    index::Index,
};

/// What a decision wants to have written, and what it answers once that is on disk.
#[derive(Debug)]
pub struct Decision<E, T> {
    /// What happened; with none, nothing is written.
    pub events: Vec<E>,
    /// The answer.
    pub answer: T,
}

/// A decision that is on disk, together with everything that it looked at.
#[derive(Debug)]
pub struct Committed<T> {
    /// The frame that holds its events, if it had any.
    pub seq: Option<Seq>,
    /// The answer.
    pub answer: T,
}

/// A commit on its way through the core.
pub(crate) trait Turn<E>: Send {
    /// Looks at the state and says what to write; `None` for nothing.
    fn decide(&mut self, view: &View<'_>) -> Option<(Stamp, Vec<E>)>;
    /// Tells the caller how it ended.
    fn answer(self: Box<Self>, fate: Fate);
}

/// How a turn ended, as far as the disk is concerned.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Durable(Option<Seq>),
    Lost(Unavailable),
}

/// A [`Decision`] closure and the caller who waits for it.
pub(crate) struct Asked<T, R, F> {
    pub(crate) stamp: Option<Stamp>,
    pub(crate) decide: Option<F>,
    pub(crate) verdict: Option<Result<T, R>>,
    pub(crate) reply: oneshot::Sender<Result<Committed<T>, CommitError<R>>>,
}

impl<E, T, R, F> Turn<E> for Asked<T, R, F>
where
    T: Send,
    R: Send,
    F: FnOnce(&View<'_>) -> Result<Decision<E, T>, R> + Send,
{
    fn decide(&mut self, view: &View<'_>) -> Option<(Stamp, Vec<E>)> {
        let decide = self.decide.take()?;
        match decide(view) {
            Ok(Decision { events, answer }) => {
                self.verdict = Some(Ok(answer));
                if events.is_empty() { None } else { Some((self.stamp.take()?, events)) }
            }
            Err(refusal) => {
                self.verdict = Some(Err(refusal));
                None
            }
        }
    }

    fn answer(self: Box<Self>, fate: Fate) {
        let result = match (fate, self.verdict) {
            (Fate::Lost(why), _) => Err(CommitError::Unavailable(why)),
            (Fate::Durable(seq), Some(Ok(answer))) => Ok(Committed { seq, answer }),
            (Fate::Durable(_), Some(Err(refusal))) => Err(CommitError::Refused(refusal)),
            (Fate::Durable(_), None) => Err(CommitError::Unavailable(Unavailable::Closed)),
        };
        // A caller who went away does not change what is on disk.
        let _ = self.reply.send(result);
    }
}

/// The journal, its index, and the rule by which they change together.
pub(crate) struct Core {
    journal: Journal,
    index: Index,
    /// The last frame that carried events.
    applied: Seq,
    /// The last frame up to which the index is known to be on disk.
    checkpoint: Seq,
    failed: Option<Unavailable>,
}

impl Core {
    pub(crate) fn new(journal: Journal, index: Index, applied: Seq, checkpoint: Seq) -> Self {
        Self { journal, index, applied, checkpoint, failed: None }
    }

    /// The index, for reading what is committed.
    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    /// Reads frames back.
    pub(crate) fn reader(&self) -> Reader {
        self.journal.reader()
    }

    /// The last frame that carried events.
    pub(crate) fn applied(&self) -> Seq {
        self.applied
    }

    /// Why nothing can be committed any more.
    pub(crate) fn failed(&self) -> Option<&Unavailable> {
        self.failed.as_ref()
    }

    /// Runs one group commit and answers every turn; returns what happened, in order.
    pub(crate) fn commit<E: Event>(&mut self, turns: Vec<Box<dyn Turn<E>>>) -> Vec<Arc<Entry<E>>> {
        if let Some(why) = self.failed.clone() {
            turns.into_iter().for_each(|turn| turn.answer(Fate::Lost(why.clone())));
            return Vec::new();
        }
        let failure = RefCell::new(None);
        let mut overlay = Overlay::default();
        let mut entries = Vec::new();
        let mut fates = Vec::with_capacity(turns.len());
        let mut turns = turns;
        for turn in &mut turns {
            let Some((stamp, events)) = turn.decide(&View::new(&self.index, &overlay, &failure)) else {
                fates.push(Fate::Durable(None));
                continue;
            };
            match self.stage(&stamp, &events) {
                Ok(frame) => {
                    let at = Applied { seq: frame.seq, at: stamp.at, actor: &stamp.actor, frame };
                    apply(&events, &at, &mut Changes::new(&self.index, &mut overlay, &failure, frame.seq));
                    let hash = self.journal.head();
                    entries.push(Arc::new(Entry {
                        seq: frame.seq,
                        hash,
                        at: stamp.at,
                        actor: stamp.actor,
                        events,
                    }));
                    fates.push(Fate::Durable(Some(frame.seq)));
                }
                Err(why) => fates.push(Fate::Lost(why)),
            }
        }
        let read = failure.into_inner().map_or(Ok(()), |error| Err(latch(&error)));
        let synced = read.and_then(|()| self.journal.sync().map_err(unavailable));
        if let Err(why) = synced {
            self.failed = Some(why.clone());
            turns.into_iter().for_each(|turn| turn.answer(Fate::Lost(why.clone())));
            return Vec::new();
        }
        // On disk: from here on every answer is yes, even if the index now fails.
        if let Err(error) = self.index_batch(&overlay, entries.last().map(|entry| entry.seq)) {
            self.failed = Some(latch(&error));
        }
        for (turn, fate) in turns.into_iter().zip(fates) {
            turn.answer(fate);
        }
        entries
    }

    /// Writes how far the journal is on disk, when it falls idle.
    pub(crate) fn mark(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.journal.mark()
        {
            self.failed = Some(unavailable(error));
        }
    }

    /// Forces the index to disk and says so in the journal, so that a restart need not replay what is there.
    pub(crate) fn checkpoint(&mut self) {
        if self.failed.is_some() || self.checkpoint == self.applied {
            return;
        }
        let done = self.index.sync().map_err(|error| latch(&error)).and_then(|()| {
            let payload =
                serde_json::to_vec(&Checkpoint { index_checkpoint: self.applied }).expect("a number");
            self.journal.stage(&payload).and_then(|_| self.journal.sync()).map_err(unavailable)
        });
        match done {
            Ok(()) => self.checkpoint = self.applied,
            // The next segment waits for space; so does the checkpoint, which is only a convenience.
            Err(Unavailable::Full) => {}
            Err(why) => self.failed = Some(why),
        }
    }

    fn stage<E: Event>(&mut self, stamp: &Stamp, events: &[E]) -> Result<FrameRef, Unavailable> {
        let payload = Payload { at: stamp.at, actor: stamp.actor.clone(), events: events.iter().collect() };
        let payload = serde_json::to_vec(&payload).expect("events are plain data");
        self.journal.stage(&payload).map_err(|error| {
            let why = unavailable(error);
            if matches!(why, Unavailable::Failed { .. }) {
                self.failed = Some(why.clone());
            }
            why
        })
    }

    fn index_batch(&mut self, overlay: &Overlay, last: Option<Seq>) -> Result<(), ReadError> {
        let Some(last) = last else {
            debug_assert!(overlay.is_empty(), "only events change the overlay");
            return Ok(());
        };
        self.index.write(Box::new(overlay.iter()), last)?;
        self.applied = last;
        Ok(())
    }
}

/// Applies the events of one frame in order. Live commits and recovery both come through here.
pub(crate) fn apply<E: Event>(events: &[E], at: &Applied<'_>, changes: &mut Changes<'_>) {
    for event in events {
        event.apply(at, changes);
    }
}

fn unavailable(error: WriteError) -> Unavailable {
    match error {
        WriteError::Full => Unavailable::Full,
        WriteError::TooLarge { .. } => Unavailable::TooLarge,
        WriteError::Failed { why } => Unavailable::Failed { why },
    }
}

fn latch(error: &ReadError) -> Unavailable {
    Unavailable::Failed { why: error.to_string() }
}
