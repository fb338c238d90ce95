//! A group commit, from decisions to answers, without a thread.
//!
//! ```text
//! decide each ─▶ stage frames, apply to the overlay ─▶ one write, one fdatasync ─▶ overlay into the index ─▶ answer each
//! ```
//!
//! A failed read, write or sync latches: this value then refuses everything, with the reason.

use std::{cell::RefCell, sync::Arc};

use journal::{FrameRef, Journal, Reader, Seq, WriteError};
use time::OffsetDateTime;
use tokio::sync::oneshot;
use tracing::warn;

use crate::{
    changes::{Changes, Overlay, View},
    checkpoint::{CheckpointKey, Uncovered},
    error::{CommitError, ReadError, Unavailable},
    event::{Applied, Entry, Event, IndexCheckpoint, Payload, Signed, Stamp},
    index::Index,
    space::Space,
    tree::{Reach, Tree},
};

/// How many frames may be written before a checkpoint is signed over them.
const UNSIGNED: usize = 1000;

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

/// A batch that has ended: what happened, in order, and who waits to hear of it.
pub(crate) struct Completed<E> {
    turns: Vec<(Box<dyn Turn<E>>, Fate)>,
    pub(crate) entries: Vec<Arc<Entry<E>>>,
}

impl<E> Completed<E> {
    fn lost(turns: Vec<Box<dyn Turn<E>>>, why: &Unavailable) -> Self {
        let turns = turns.into_iter().map(|turn| (turn, Fate::Lost(why.clone()))).collect();
        Self { turns, entries: Vec::new() }
    }

    /// Answers everybody.
    pub(crate) fn answer(self) {
        self.turns.into_iter().for_each(|(turn, fate)| turn.answer(fate));
    }
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
    space: Space,
    /// The last frame that carried events.
    applied: Seq,
    /// The last frame up to which the index is known to be on disk.
    checkpoint: Seq,
    /// What signs checkpoints, and what it has still to cover.
    signing: Option<(CheckpointKey, Uncovered)>,
    /// The last frame with events that a signed checkpoint covers.
    signed: Seq,
    /// Where a payload is written before it is staged.
    json: Vec<u8>,
    failed: Option<Unavailable>,
    /// Why nothing can be committed just now.
    short: Option<Unavailable>,
}

impl Core {
    pub(crate) fn new(journal: Journal, index: Index, space: Space, applied: Seq, checkpoint: Seq) -> Self {
        let short = space.make_room().err();
        let json = Vec::new();
        Self {
            journal,
            index,
            space,
            applied,
            checkpoint,
            signing: None,
            signed: 0,
            json,
            failed: None,
            short,
        }
    }

    /// Looks how much room there is for what has been begun, and makes some if there is little.
    pub(crate) fn measure(&mut self) {
        self.short = self.space.make_room().err();
    }

    /// Signs checkpoints with `key`, beginning with the frames in `uncovered`.
    pub(crate) fn signing(self, key: CheckpointKey, uncovered: Uncovered) -> Self {
        let signed = if uncovered.reaches(self.applied) { 0 } else { self.applied };
        Self { signing: Some((key, uncovered)), signed, ..self }
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

    /// Lets every turn decide, writes what they want to have written, and waits until it is on disk; then what happened
    /// is in the index, and may be told.
    pub(crate) fn commit<E: Event>(&mut self, mut turns: Vec<Box<dyn Turn<E>>>) -> Completed<E> {
        if let Some(why) = self.failed.clone().or_else(|| self.short.clone()) {
            return Completed::lost(turns, &why);
        }
        let (mut overlay, mut entries) = (Overlay::default(), Vec::with_capacity(turns.len()));
        let fates = self.decide(&mut turns, &mut overlay, &mut entries);
        self.sync();
        if let Some(why) = &self.failed {
            return Completed::lost(turns, why);
        }
        // On disk: from here on every answer is yes, even if the index now fails.
        if let Err(error) = self.index_batch(overlay, entries.last().map(|entry| (entry.seq, entry.hash))) {
            self.doubt_index(&error);
        }
        Completed { turns: turns.into_iter().zip(fates).collect(), entries }
    }

    /// Lets every turn decide, stages what they want to have written, and applies it to the overlay.
    fn decide<E: Event>(
        &mut self,
        turns: &mut [Box<dyn Turn<E>>],
        overlay: &mut Overlay,
        entries: &mut Vec<Arc<Entry<E>>>,
    ) -> Vec<Fate> {
        let failure = RefCell::new(None);
        let index = self.index.clone();
        let mut fates = Vec::with_capacity(turns.len());
        for turn in turns {
            let Some((stamp, events)) = turn.decide(&View::new(&index, overlay, &failure)) else {
                fates.push(Fate::Durable(None));
                continue;
            };
            match self.stage(&stamp, &events) {
                Ok(frame) => {
                    let at = Applied { seq: frame.seq, at: stamp.at, actor: &stamp.actor, frame };
                    apply(&events, &at, &mut Changes::new(&index, overlay, &failure, frame.seq, 0));
                    let Stamp { at, actor } = stamp;
                    let hash = self.journal.head();
                    entries.push(Arc::new(Entry { seq: frame.seq, hash, at, actor, events }));
                    fates.push(Fate::Durable(Some(frame.seq)));
                }
                Err(why) => fates.push(Fate::Lost(why)),
            }
        }
        if let Some(error) = failure.into_inner() {
            self.doubt_index(&error);
        }
        fates
    }

    fn sync(&mut self) {
        if self.failed.is_none()
            && let Err(error) = self.journal.sync()
        {
            self.latch(unavailable(error));
        }
    }

    /// Writes how far the journal is on disk, when it falls idle.
    pub(crate) fn mark(&mut self) {
        if self.failed.is_some() {
            return;
        }
        let before = self.journal.last();
        match self.journal.mark() {
            Ok(()) if self.journal.last() > before => self.written(),
            Ok(()) => {}
            Err(error) => self.latch(unavailable(error)),
        }
    }

    /// Has the index forced to disk, beside the commits.
    pub(crate) fn want_checkpoint(&mut self) {
        self.space.restock();
        if self.failed.is_none() && self.checkpoint < self.applied && self.short.is_none() {
            self.index.want_sync();
        }
    }

    /// How far the index is on disk, if that is further than the journal says.
    pub(crate) fn checkpoint_ready(&mut self) -> Option<Seq> {
        if self.failed.is_some() {
            return None;
        }
        match self.index.synced() {
            Ok(synced) => Some(synced).filter(|synced| *synced > self.checkpoint),
            Err(error) => {
                self.doubt_index(&error);
                None
            }
        }
    }

    /// Says in the journal how far the index is on disk, if that is news: a restart need not replay what is there.
    pub(crate) fn checkpoint(&mut self) {
        let Some(synced) = self.checkpoint_ready() else { return };
        match self.write_own(&IndexCheckpoint { index_checkpoint: synced }) {
            Ok(()) => self.checkpoint = synced,
            // The next segment waits for space; so does the checkpoint, which is only a convenience.
            Err(Unavailable::Full { .. }) => {}
            Err(why) => self.latch(why),
        }
    }

    /// Whether so much was written that a checkpoint is to be signed without waiting for the minute to end.
    pub(crate) fn signature_due(&self) -> bool {
        self.signing.as_ref().is_some_and(|(_, uncovered)| uncovered.len() >= UNSIGNED)
    }

    /// Signs a checkpoint over everything that none covers yet, if there is anything worth it.
    pub(crate) fn sign(&mut self, at: OffsetDateTime) {
        let Some((key, uncovered)) = &self.signing else { return };
        if self.failed.is_some() || self.signed == self.applied || uncovered.len() == 0 {
            return;
        }
        let checkpoint = match uncovered.sign(key, at) {
            Ok(checkpoint) => checkpoint,
            Err(why) => {
                warn!(why, "a checkpoint could not be signed; the next one covers more");
                return;
            }
        };
        let signed = Signed { signed_checkpoint: checkpoint };
        if let Some((_, uncovered)) = &mut self.signing {
            // Its own frame is the first that the next one covers.
            uncovered.covered(&signed.signed_checkpoint);
        }
        match self.write_own(&signed) {
            Ok(()) | Err(Unavailable::Full { .. }) => self.signed = self.applied,
            Err(why) => self.latch(why),
        }
    }

    /// Nothing will be committed any more: what is left is an index on disk, and a journal that says so.
    pub(crate) fn end(&mut self) {
        let behind = self.failed.is_none() && self.checkpoint < self.applied;
        // Without room the index stays behind; the next start catches it up.
        if behind
            && self.space.make_room().is_ok()
            && self.space.is_roomy()
            && let Err(error) = self.index.sync()
        {
            self.doubt_index(&error);
        }
        self.checkpoint();
        self.mark();
    }

    /// Somebody has read nonsense from the index.
    pub(crate) fn doubt_index(&mut self, error: &ReadError) -> Unavailable {
        let why = format!("{error}; the index is set aside, and rebuilt at the next start");
        if matches!(error, ReadError::Index { .. }) {
            // Under its new name nobody takes it for an index, whatever happens now.
            let _ = Tree::set_aside(self.index.dir());
        }
        let why = Unavailable::Failed { why };
        self.latch(why.clone());
        why
    }

    fn latch(&mut self, why: Unavailable) {
        self.failed.get_or_insert(why);
    }

    /// Writes a frame of the ledger's own.
    fn write_own(&mut self, own: &impl serde::Serialize) -> Result<(), Unavailable> {
        let payload = serde_json::to_vec(own).expect("plain data");
        self.journal.stage(&payload).map_err(unavailable)?;
        self.written();
        self.journal.sync().map_err(unavailable)
    }

    /// Notes the frame that was just staged for the next checkpoint.
    fn written(&mut self) {
        if let Some((_, uncovered)) = &mut self.signing {
            uncovered.push(self.journal.last(), self.journal.head());
        }
    }

    fn stage<E: Event>(&mut self, stamp: &Stamp, events: &[E]) -> Result<FrameRef, Unavailable> {
        let payload = Payload { at: stamp.at, actor: stamp.actor.clone(), events: events.iter().collect() };
        self.json.clear();
        serde_json::to_writer(&mut self.json, &payload).expect("events are plain data");
        let frame = self.journal.stage(&self.json).map_err(|error| {
            let why = unavailable(error);
            if matches!(why, Unavailable::Failed { .. }) {
                self.latch(why.clone());
            }
            why
        })?;
        self.written();
        Ok(frame)
    }

    fn index_batch(&mut self, overlay: Overlay, last: Option<Reach>) -> Result<(), ReadError> {
        let Some(last) = last else {
            debug_assert!(overlay.is_empty(), "only events change the overlay");
            return Ok(());
        };
        self.index.write(overlay.into_batch(), last)?;
        self.applied = last.0;
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
        WriteError::Full { needed } => Unavailable::Full { free: 0, needed },
        WriteError::TooLarge { .. } => Unavailable::TooLarge,
        WriteError::Failed { why } => Unavailable::Failed { why },
    }
}
