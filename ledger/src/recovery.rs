//! Opening a ledger: the journal decides, the index follows.

use std::{cell::RefCell, path::Path};

use journal::{Frame, FrameRef, Hash, Journal, Seq, Verified};
use tracing::{info, warn};

use crate::{
    changes::{Changes, Overlay},
    checkpoint::Uncovered,
    core::{Core, apply},
    error::{OpenError, ReadError},
    event::{Applied, Event, Kind, Said},
    index::Index,
    ledger::Options,
    space::Space,
    tree::{LAYOUT, Reach, Rules, Tree},
};

/// How many frames are applied to the index in one batch.
const BATCH: u64 = 100;
/// How often a long rebuild tells how far it is, in frames.
const PROGRESS: u64 = 50_000;

/// What a start has to know of a segment, or of the whole journal.
#[derive(Debug, Default)]
struct Known {
    /// The last frame with events, and its hash.
    events: Option<(Seq, Hash)>,
    /// What the last index checkpoint says.
    checkpoint: Option<Seq>,
    /// The frames behind the last signed checkpoint, of this segment if `covered`.
    uncovered: Uncovered,
    covered: bool,
    /// The first of the ledger's own frames that does not parse.
    unreadable: Option<(Seq, serde_json::Error)>,
}

impl Known {
    /// Notes one frame. A whole parse of every frame would make a start slow; what is replayed is parsed later.
    fn note(&mut self, signs: bool, frame: &Frame<'_>) {
        match Kind::of(frame.payload) {
            Kind::Nothing => {}
            Kind::Events => self.events = Some((frame.seq, frame.hash)),
            Kind::IndexCheckpoint | Kind::SignedCheckpoint => {
                match Said::<serde::de::IgnoredAny>::parse(frame.payload) {
                    Ok(Said::IndexCheckpoint(seq)) => self.checkpoint = Some(seq),
                    Ok(Said::SignedCheckpoint(checkpoint)) => {
                        self.uncovered.covered(&checkpoint);
                        self.covered = true;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        self.unreadable.get_or_insert((frame.seq, error));
                    }
                }
            }
        }
        if signs {
            self.uncovered.push(frame.seq, frame.hash);
        }
    }

    /// Goes on with the next segment.
    fn then(&mut self, next: Self) {
        self.events = next.events.or(self.events);
        self.checkpoint = next.checkpoint.or(self.checkpoint);
        self.uncovered.then(next.uncovered, next.covered);
        if self.unreadable.is_none() {
            self.unreadable = next.unreadable;
        }
    }
}

/// Opens journal and index below `dir`, and brings the index up to the journal's end.
pub(crate) fn open<E: Event>(dir: &Path, options: &Options) -> Result<Core, OpenError> {
    let index_dir = dir.join("index");
    let io = |source| OpenError::Io { path: index_dir.clone(), source };
    let ours = rules::<E>();
    let rules = Tree::rules(&index_dir).map_err(io)?;
    if let Some(found) = rules.filter(|found| found.exceed(ours)) {
        return Err(OpenError::Newer { index_dir, found: found.to_string(), ours: ours.to_string() });
    }
    let journal_dir = dir.join("journal");
    let signs = options.checkpoint_key.is_some();
    let gather = |known: &mut Known, _: FrameRef, frame: &Frame<'_>| known.note(signs, frame);
    let (verified, segments) = Verified::read(&journal_dir, options.journal.clone(), gather)?;
    let mut known = Known::default();
    segments.into_iter().for_each(|segment| known.then(segment));
    if let Some((seq, source)) = known.unreadable {
        return Err(OpenError::Unreadable { seq, source });
    }
    let last_events = known.events.map_or(0, |(seq, _)| seq);
    let checkpoint = known.checkpoint.unwrap_or(0);
    let space = Space::new(dir, options.space);
    // On a full disk not even the index opens, so the ballast goes first; if that is not enough, the opening tells.
    let _ = space.make_room();
    let usable = usable::<E>(&index_dir, options.cache_bytes, &space, rules, checkpoint);
    if let Ok(index) = &usable
        && let Some((index, _)) = index.reach().filter(|(reach, _)| *reach > last_events)
    {
        let journal = verified.end().last;
        return Err(OpenError::IndexAhead { index_dir, index, journal_dir, journal });
    }
    let journal = verified.begin()?;
    let usable = usable.and_then(|index| {
        check_ancestry(&journal, index.reach(), known.events)?;
        Ok(index)
    });
    let usable = usable.and_then(|index| match replay::<E>(&journal, &index, checkpoint + 1, last_events) {
        Err(OpenError::Index { why, .. }) => Err(why),
        other => Ok(other.map(|()| index)),
    });
    let index = match usable {
        Ok(index) => index?,
        Err(why) => {
            if index_dir.exists() {
                warn!(why, "the index is set aside and rebuilt from the journal");
            }
            Tree::set_aside(&index_dir)?;
            if space.above_floor().is_err() {
                // Nobody wants to know so much that there is no room for the new one.
                Tree::forget_aside(&index_dir)?;
            }
            let index = new::<E>(&index_dir, options.cache_bytes, &space)?;
            replay::<E>(&journal, &index, 1, last_events)?;
            index
        }
    };
    space.restock();
    let core = Core::new(journal, index, space, last_events, checkpoint);
    Ok(match &options.checkpoint_key {
        Some(key) => core.signing(key.clone(), known.uncovered),
        None => core,
    })
}

/// What an index of ours is built by.
fn rules<E: Event>() -> Rules {
    Rules { events: E::INDEX_VERSION, layout: LAYOUT }
}

/// Opens an index that can be caught up, and tells how far it is; an `Err` says why it has to be rebuilt.
fn usable<E: Event>(
    dir: &Path,
    cache_bytes: u64,
    space: &Space,
    found: Option<Rules>,
    checkpoint: Seq,
) -> Result<Index, String> {
    if !dir.exists() {
        return Err("there is none".to_owned());
    }
    let ours = rules::<E>();
    if found != Some(ours) {
        let found = found.map_or("unknown rules".to_owned(), |found| format!("rules {found}"));
        return Err(format!("it was built by {found}, ours are {ours}"));
    }
    let index = Index::open(dir, cache_bytes, space.clone())?;
    let reach = index.reach().map_or(0, |(seq, _)| seq);
    if reach < checkpoint {
        return Err(format!("it ends at frame {reach}, but was once on disk up to {checkpoint}"));
    }
    Ok(index)
}

/// An index may be of another journal, such as the one before a restore: the hash of its last frame tells.
fn check_ancestry(journal: &Journal, applied: Option<Reach>, events: Option<Reach>) -> Result<(), String> {
    let Some((seq, hash)) = applied else { return Ok(()) };
    let found = match events.filter(|(last, _)| *last == seq) {
        Some((_, hash)) => Some(hash),
        None => journal.reader().hash(seq).map_err(|error| error.to_string())?,
    };
    if found == Some(hash) { Ok(()) } else { Err(format!("its frame {seq} is not the journal's")) }
}

fn new<E: Event>(dir: &Path, cache_bytes: u64, space: &Space) -> Result<Index, OpenError> {
    let failed = |why: String| OpenError::Index { dir: dir.to_owned(), why };
    let index = Index::open(dir, cache_bytes, space.clone()).map_err(failed)?;
    Tree::set_rules(dir, rules::<E>()).map_err(|error| failed(error.to_string()))?;
    Ok(index)
}

/// Applies the frames `from..=to` to the index.
fn replay<E: Event>(journal: &Journal, index: &Index, from: Seq, to: Seq) -> Result<(), OpenError> {
    if from > to {
        return Ok(());
    }
    info!(from, to, "bringing the index up to date");
    let failed = |error: ReadError| OpenError::Index { dir: index.dir().to_owned(), why: error.to_string() };
    let failure = RefCell::new(None);
    let mut overlay = Overlay::default();
    let begin = index.reach();
    let begin_seq = begin.map_or(0, |(seq, _)| seq);
    let mut reach = begin;
    journal.reader().frames(from, to, |place, frame| {
        let unreadable = |source| OpenError::Unreadable { seq: frame.seq, source };
        if let Said::Events(said) = Said::<E>::parse(frame.payload).map_err(unreadable)? {
            let at = Applied { seq: frame.seq, at: said.at, actor: &said.actor, frame: place };
            let mut changes = Changes::new(index, &mut overlay, &failure, frame.seq, begin_seq);
            apply(&said.events, &at, &mut changes);
            if frame.seq > begin_seq {
                reach = Some((frame.seq, frame.hash));
            }
        }
        if let Some(error) = failure.borrow_mut().take() {
            return Err(failed(error));
        }
        // What the index holds already is not called newer before all of it was seen again.
        if (frame.seq % BATCH == 0 && frame.seq >= begin_seq || frame.seq == to)
            && let Some(reach) = reach
        {
            index.write(std::mem::take(&mut overlay).into_batch(), reach).map_err(failed)?;
        }
        if frame.seq % PROGRESS == 0 {
            let percent = (frame.seq - from + 1) * 100 / (to - from + 1);
            info!(frame = frame.seq, of = to, percent, "rebuilding the index");
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};
    use tempfile::TempDir;
    use time::OffsetDateTime;
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        changes::View,
        core::{Asked, Decision},
        event::Stamp,
    };

    /// Counts itself.
    #[derive(Serialize, Deserialize)]
    struct Tick;

    impl Event for Tick {
        fn apply(&self, _: &Applied<'_>, changes: &mut Changes<'_>) {
            changes.add(b"ticks", 1);
        }
    }

    fn tick(core: &mut Core) {
        let decide = |_: &View<'_>| Ok::<_, ()>(Decision { events: vec![Tick], answer: () });
        let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "test".to_owned() };
        let (reply, _answer) = oneshot::channel();
        let turn = Asked { stamp: Some(stamp), decide: Some(decide), verdict: None, reply };
        assert_eq!(core.commit::<Tick>(vec![Box::new(turn)]).entries.len(), 1);
    }

    #[test]
    fn a_frame_that_the_index_holds_already_is_not_applied_twice() {
        let dir = TempDir::new().unwrap();
        let journal = journal::Options { segment_bytes: 1 << 16 };
        let options = Options { journal, cache_bytes: 1 << 20, ..Options::default() };
        let ticks = |core: &Core| {
            core.index().get(b"ticks").unwrap().map(|(_, json)| String::from_utf8(json).unwrap())
        };
        for expected in 1..4 {
            let mut core = open::<Tick>(dir.path(), &options).unwrap();
            tick(&mut core);
            // The index reaches the disk, and the process dies before it can say so: replay begins at frame 1.
            core.index().sync().unwrap();
            assert_eq!(ticks(&core), Some(expected.to_string()));
            drop(core);
            assert_eq!(ticks(&open::<Tick>(dir.path(), &options).unwrap()), Some(expected.to_string()));
        }
    }
}
