//! Opening a ledger: the journal decides, the index follows.

use std::{cell::RefCell, path::Path};

use journal::{Journal, Seq};
use tracing::{info, warn};

use crate::{
    changes::{Changes, Overlay},
    core::{Core, apply},
    error::{OpenError, ReadError},
    event::{Applied, Event, Said},
    index::Index,
    ledger::Options,
};

/// How many frames are applied to the index in one batch.
const BATCH: u64 = 1000;
/// How often a long rebuild tells how far it is, in frames.
const PROGRESS: u64 = 100_000;

/// Opens journal and index below `dir`, and brings the index up to the journal's end.
pub(crate) fn open<E: Event>(dir: &Path, options: &Options) -> Result<Core, OpenError> {
    let mut checkpoint = 0;
    let mut last_events = 0;
    let mut unreadable = None;
    let journal_dir = dir.join("journal");
    let journal = Journal::open(&journal_dir, options.journal.clone(), |at, payload| {
        // A whole parse of every frame would make a start slow; what is replayed is parsed below.
        if payload.starts_with(b"{\"index_checkpoint\"") {
            match Said::<E>::parse(payload) {
                Ok(Said::Checkpoint(seq)) => checkpoint = seq,
                Ok(_) => {}
                Err(source) => unreadable = Some(OpenError::Unreadable { seq: at.seq, source }),
            }
        } else if !payload.is_empty() {
            last_events = at.seq;
        }
    })?;
    if let Some(error) = unreadable {
        return Err(error);
    }
    let index_dir = dir.join("index");
    let index = match usable::<E>(&index_dir, options.cache_bytes, checkpoint) {
        Ok((index, applied)) if applied > last_events => {
            drop(index);
            let journal = journal.last();
            return Err(OpenError::IndexAhead { index_dir, index: applied, journal_dir, journal });
        }
        Ok((index, _)) => index,
        Err(why) => {
            if index_dir.exists() {
                warn!(why, "the index is set aside and rebuilt from the journal");
            }
            Index::set_aside(&index_dir)?;
            checkpoint = 0;
            new::<E>(&index_dir, options.cache_bytes)?
        }
    };
    replay::<E>(&journal, &index, checkpoint + 1, last_events)?;
    Ok(Core::new(journal, index, last_events, checkpoint))
}

/// Opens an index that can be caught up, and tells how far it is; an `Err` says why it has to be rebuilt.
fn usable<E: Event>(dir: &Path, cache_bytes: u64, checkpoint: Seq) -> Result<(Index, Seq), String> {
    if !dir.exists() {
        return Err("there is none".to_owned());
    }
    let index = Index::open(dir, cache_bytes)?;
    let applied = index.applied().map_err(|error| error.to_string())?;
    match index.version().map_err(|error| error.to_string())? {
        Some(version) if version == u64::from(E::INDEX_VERSION) => {}
        found => return Err(format!("it was built by rules {found:?}, ours are {}", E::INDEX_VERSION)),
    }
    if applied < checkpoint {
        return Err(format!("it ends at frame {applied}, but was once on disk up to {checkpoint}"));
    }
    Ok((index, applied))
}

fn new<E: Event>(dir: &Path, cache_bytes: u64) -> Result<Index, OpenError> {
    let failed = |why: String| OpenError::Index { dir: dir.to_owned(), why };
    let index = Index::open(dir, cache_bytes).map_err(failed)?;
    index.set_version(u64::from(E::INDEX_VERSION)).map_err(|error| failed(error.to_string()))?;
    Ok(index)
}

/// Applies the frames `from..=to` to the index.
fn replay<E: Event>(journal: &Journal, index: &Index, from: Seq, to: Seq) -> Result<(), OpenError> {
    if from > to {
        return Ok(());
    }
    info!(from, to, "bringing the index up to date");
    let failed = |error: ReadError| OpenError::Index { dir: "index".into(), why: error.to_string() };
    let failure = RefCell::new(None);
    let mut overlay = Overlay::default();
    let mut applied = index.applied().map_err(failed)?;
    journal.replay(from, |frame, payload| {
        let said =
            Said::<E>::parse(payload).map_err(|source| OpenError::Unreadable { seq: frame.seq, source })?;
        if let Said::Events(said) = said {
            let at = Applied { seq: frame.seq, at: said.at, actor: &said.actor, frame };
            apply(&said.events, &at, &mut Changes::new(index, &mut overlay, &failure, frame.seq));
            applied = applied.max(frame.seq);
        }
        if let Some(error) = failure.borrow_mut().take() {
            return Err(failed(error));
        }
        if frame.seq % BATCH == 0 || frame.seq == to {
            index.write(Box::new(overlay.iter()), applied).map_err(failed)?;
            overlay = Overlay::default();
        }
        if frame.seq % PROGRESS == 0 {
            info!(frame = frame.seq, of = to, "rebuilding the index");
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
        assert_eq!(core.commit::<Tick>(vec![Box::new(turn)]).len(), 1);
    }

    #[test]
    fn a_frame_that_the_index_holds_already_is_not_applied_twice() {
        let dir = TempDir::new().unwrap();
        let journal = journal::Options { segment_bytes: 1 << 16 };
        let options = Options { journal, cache_bytes: 1 << 20 };
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
