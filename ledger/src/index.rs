//! The index: a tree on disk, and what was changed so recently that it is not in the tree yet.
//!
//! ```text
//! commit ─▶ recent (memory) ─▶ one thread, some changes at a time ─▶ Tree
//! read   ─▶ what was read lately, else recent, else what is just being written, else Tree
//! ```
//!
//! A commit is safe in the journal before it comes here, so nobody waits for the tree: changes are gathered in memory,
//! what is changed often is written once, and a reader sees both as one.

use std::{
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use journal::{Hash, Seq};

use crate::{
    cache::Cache,
    error::ReadError,
    space::Space,
    tree::{Batch, Reach, Stored, Tree},
};

/// A key and the JSON under it.
pub(crate) type Found = (Vec<u8>, Vec<u8>);

/// How many changes are gathered before they are written, unless somebody waits for them.
const GATHERED: usize = 2048;
/// How long they are gathered.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long the tree may take for anything.
const HANGS: Duration = Duration::from_secs(10);
/// How many changes may be in memory; whoever brings more waits for the tree.
const MOST: usize = 8192;

/// The same while the disk is full.
const MOST_WITHOUT_ROOM: usize = 128 * 1024;

/// The index. Cheap to clone; all clones are the same index.
#[derive(Debug, Clone)]
pub(crate) struct Index(Arc<Handle>);

/// Its last owner waits for the thread, and with it for the tree to be closed.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    tree: Tree,
    space: Space,
    state: Mutex<State>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct State {
    recent: Batch,
    /// What is being written to the tree now.
    writing: Arc<Batch>,
    /// What was read from the tree.
    cache: Cache,
    /// The last frame whose changes came here.
    reach: Option<Reach>,
    /// The last frame whose changes are in the tree.
    written: Seq,
    /// The last frame up to which the tree is known to be on disk.
    synced: Seq,
    /// Somebody wants the tree to be on disk.
    sync: bool,
    /// Somebody waits for everything to be in the tree.
    drain: bool,
    stop: bool,
    /// The thread is somewhere in sled, and will not come back.
    hangs: bool,
    failed: Option<String>,
}

impl Index {
    /// Opens the index in `dir`; an `Err` means that it has to be rebuilt.
    pub(crate) fn open(dir: &Path, cache_bytes: u64, space: Space) -> Result<Self, String> {
        let tree = Tree::open(dir, cache_bytes)?;
        let reach = tree.applied().map_err(|error| error.to_string())?;
        let written = reach.map_or(0, |(seq, _)| seq);
        let state = Mutex::new(State { reach, written, ..State::default() });
        let shared = Arc::new(Shared { tree, space, state, turned: Condvar::new() });
        let work = shared.clone();
        let thread = thread::Builder::new().name("ledger-index".to_owned()).spawn(move || work.run());
        let thread = Some(thread.map_err(|error| error.to_string())?);
        Ok(Self(Arc::new(Handle { shared, thread })))
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        self.0.shared.tree.dir()
    }

    /// The last frame that it holds; `None` in a new one.
    pub(crate) fn reach(&self) -> Option<Reach> {
        self.0.shared.lock().reach
    }

    /// Returns what is stored under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        let shared = &self.0.shared;
        let look = {
            let mut state = shared.lock();
            state.check()?;
            let State { recent, writing, cache, .. } = &mut *state;
            if let Some(found) = cache.get(key).or_else(|| recent.get(key)).or_else(|| writing.get(key)) {
                return Ok(found.clone());
            }
            cache.look()
        };
        // What was written to the tree meanwhile is there.
        let found = shared.tree.get(key)?;
        shared.lock().cache.keep(look, key, &found);
        Ok(found)
    }

    /// Returns up to `limit` records whose key starts with `prefix`, in key order, starting behind `after`.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Found>, ReadError> {
        let mut found = Vec::new();
        let mut from = match after {
            Some(after) => Bound::Excluded(after.to_vec()),
            None => Bound::Included(prefix.to_vec()),
        };
        while found.len() < limit {
            let (recent, end) = self.0.shared.recent(prefix, &from, limit - found.len())?;
            let to = end.as_ref().map_or(Bound::Unbounded, |end| Bound::Included(end.as_slice()));
            self.0.shared.merge(prefix, (from.as_ref().map(Vec::as_slice), to), recent, limit, &mut found)?;
            let Some(end) = end else { break };
            from = Bound::Excluded(end);
        }
        Ok(found)
    }

    /// Takes the changes of frames up to `reach`, all of them or, after a crash, none.
    ///
    /// Waits only where the tree falls behind by more than memory is meant to hold.
    pub(crate) fn write(&self, changes: Batch, reach: Reach) -> Result<(), ReadError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        // On a full disk the tree waits for room, and memory is what there is.
        let waits = |len: usize| len > MOST_WITHOUT_ROOM || (len > MOST && shared.space.is_roomy());
        if waits(state.recent.len()) {
            state = shared.until(state, |state| state.recent.len() <= MOST);
        }
        state.check()?;
        // The thread sleeps until there is something, and then until there is enough: it is not woken for every commit.
        let (was_empty, was_few) = (state.recent.is_empty(), state.recent.len() < GATHERED);
        state.cache.committed(&changes);
        state.recent.extend(changes);
        state.reach = Some(reach);
        let wake = was_empty || (was_few && state.recent.len() >= GATHERED);
        drop(state);
        if wake {
            shared.turned.notify_all();
        }
        Ok(())
    }

    /// Asks for the tree to be forced to disk; [`Index::synced`] tells when and how far that was done.
    pub(crate) fn want_sync(&self) {
        self.0.shared.lock().sync = true;
        self.0.shared.turned.notify_all();
    }

    /// The last frame up to which the tree is known to be on disk, since it was opened.
    pub(crate) fn synced(&self) -> Result<Seq, ReadError> {
        let state = self.0.shared.lock();
        state.check()?;
        Ok(state.synced)
    }

    /// Forces everything to disk, and waits for it.
    pub(crate) fn sync(&self) -> Result<(), ReadError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        let wanted = state.reach.map_or(0, |(seq, _)| seq);
        state.sync = true;
        shared.turned.notify_all();
        shared.until(state, |state| state.synced >= wanted && !state.sync).check()
    }

    /// SHA-256 over every record: the same for every index that was built from the same frames.
    pub(crate) fn fingerprint(&self) -> Result<Hash, ReadError> {
        let shared = &self.0.shared;
        let mut state = shared.lock();
        let wanted = state.reach.map_or(0, |(seq, _)| seq);
        state.drain = true;
        shared.turned.notify_all();
        shared.until(state, |state| state.written >= wanted && !state.drain).check()?;
        shared.tree.fingerprint()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let hangs = {
            let mut state = self.shared.lock();
            state.stop = true;
            state.hangs
        };
        self.shared.turned.notify_all();
        if let Some(thread) = self.thread.take().filter(|_| !hangs) {
            // A panic in it was caught, and told as a failure.
            let _ = thread.join();
        }
    }
}

impl State {
    /// Whether somebody wants the thread to write now.
    fn is_waited_for(&self) -> bool {
        self.sync || self.drain || self.stop
    }

    fn check(&self) -> Result<(), ReadError> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(ReadError::index(why)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the thread has got so far, or has failed.
    fn until<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        done: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        let waits = |state: &mut State| !done(state) && state.failed.is_none();
        let waited = self.turned.wait_timeout_while(state, HANGS, waits);
        let (mut state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            // After some failed writes sled waits for ever for what will never be on disk.
            let full = !self.space.is_roomy();
            let why = if full { "the disk is full" } else { "sled does not end" };
            state.failed = Some(format!("{why}: waited {} s", HANGS.as_secs()));
            state.hangs = !full;
        }
        state
    }

    /// Writes what comes, until it is told to stop and nothing is left, or the tree fails.
    fn run(&self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            while self.turn()? {}
            Ok::<_, ReadError>(())
        }));
        let why = match worked {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "sled panics".to_owned(),
        };
        self.lock().failed = Some(why);
        self.turned.notify_all();
    }

    /// Writes once; `false` when there is nothing more to do for ever.
    fn turn(&self) -> Result<bool, ReadError> {
        let mut state = self.lock();
        while state.recent.is_empty() && !state.is_waited_for() {
            state = self.turned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let gathers = |state: &mut State| state.recent.len() < GATHERED && !state.is_waited_for();
        let gathered = self.turned.wait_timeout_while(state, PATIENCE, gathers);
        (state, _) = gathered.unwrap_or_else(PoisonError::into_inner);
        if !self.space.is_roomy() {
            // sled does not survive a full disk. What waits is in the journal, and in memory: it can wait.
            if state.stop {
                return Ok(false);
            }
            drop(self.turned.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner));
            return Ok(true);
        }
        let (sync, stop) = (std::mem::take(&mut state.sync), state.stop);
        state.drain = false;
        let reach = state.reach;
        state.writing = Arc::new(std::mem::take(&mut state.recent));
        let writing = state.writing.clone();
        drop(state);
        self.turned.notify_all();
        if let Some(reach) = reach.filter(|_| !writing.is_empty()) {
            self.tree.write(&writing, reach)?;
        }
        if sync {
            self.tree.sync()?;
        }
        let mut state = self.lock();
        state.writing = Arc::default();
        state.written = reach.map_or(0, |(seq, _)| seq);
        if sync {
            state.synced = state.written;
        }
        let more = !stop || !state.recent.is_empty();
        drop(state);
        self.turned.notify_all();
        Ok(more)
    }

    /// The first changes in memory behind `from`: up to `limit`, and, where there may be more, the key of the last one.
    fn recent(
        &self,
        prefix: &[u8],
        from: &Bound<Vec<u8>>,
        limit: usize,
    ) -> Result<(Batch, Option<Vec<u8>>), ReadError> {
        let state = self.lock();
        state.check()?;
        let (mut found, mut end) = (Batch::new(), None::<Vec<u8>>);
        for layer in [&*state.writing, &state.recent] {
            let range = layer.range::<[u8], _>((from.as_ref().map(Vec::as_slice), Bound::Unbounded));
            let mine: Vec<_> = range.take_while(|(key, _)| key.starts_with(prefix)).take(limit).collect();
            // Of two layers that both end early, only what lies before the nearer end is known.
            if let Some((last, _)) = mine.last().filter(|_| mine.len() == limit)
                && end.as_ref().is_none_or(|end| end > *last)
            {
                end = Some((*last).clone());
            }
            found.extend(mine.into_iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        if let Some(end) = &end {
            found.retain(|key, _| key <= end);
        }
        Ok((found, end))
    }

    /// Adds what the tree holds in a range, as changed by `recent`, until `limit` is reached.
    fn merge(
        &self,
        prefix: &[u8],
        (from, to): (Bound<&[u8]>, Bound<&[u8]>),
        recent: Batch,
        limit: usize,
        found: &mut Vec<Found>,
    ) -> Result<(), ReadError> {
        let mut recent = recent.into_iter().peekable();
        self.tree.range(from, to, |key, (_, json)| {
            if !key.starts_with(prefix) {
                return false;
            }
            let mut changed = false;
            while let Some((newer, value)) = recent.next_if(|(newer, _)| newer.as_slice() <= key) {
                changed |= newer.as_slice() == key;
                found.extend(value.map(|(_, json)| (newer, json)));
            }
            if !changed {
                found.push((key.to_vec(), json));
            }
            found.len() < limit
        })?;
        for (newer, value) in recent {
            found.extend(value.map(|(_, json)| (newer, json)));
        }
        found.truncate(limit);
        Ok(())
    }
}

/// The layers of a scan, for a test: what they come to is what a single map would show.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;
    use crate::space::SpaceOptions;

    fn open(dir: &TempDir) -> Index {
        let space = Space::new(dir.path(), SpaceOptions { floor: 0, ballast: 0 });
        Index::open(&dir.path().join("index"), 1 << 20, space).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn recent_changes_and_the_tree_read_as_one(
            writes in prop::collection::vec(prop::collection::vec((0u8..24, any::<Option<u8>>()), 1..12), 1..12),
            limit in 1usize..9,
        ) {
            let dir = TempDir::new().unwrap();
            let index = open(&dir);
            let mut model = BTreeMap::new();
            for (n, write) in writes.iter().enumerate() {
                let seq = n as u64 + 1;
                let mut changes = Batch::new();
                for (key, value) in write {
                    // Two prefixes, so that a scan has neighbours.
                    let key = format!("{}/{key:02}", if key % 2 == 0 { "a" } else { "b" }).into_bytes();
                    changes.insert(key.clone(), value.map(|value| (seq, vec![value])));
                    match value {
                        Some(value) => model.insert(key, vec![*value]),
                        None => model.remove(&key),
                    };
                }
                index.write(changes, (seq, [0; 32])).unwrap();
                if n % 3 == 0 {
                    index.fingerprint().unwrap();
                }
                let mut pages = Vec::new();
                loop {
                    let after = pages.last().map(|(key, _): &Found| key.clone());
                    let page = index.scan(b"b/", after.as_deref(), limit).unwrap();
                    prop_assert!(page.len() <= limit);
                    if page.is_empty() { break }
                    pages.extend(page);
                }
                let expected: Vec<Found> = model.iter().filter(|(key, _)| key.starts_with(b"b/")).map(|(key, value)| (key.clone(), value.clone())).collect();
                prop_assert_eq!(&pages, &expected);
                for (key, value) in &model {
                    prop_assert_eq!(index.get(key).unwrap().map(|(_, json)| json), Some(value.clone()));
                }
            }
            drop(index);
            let index = open(&dir);
            prop_assert_eq!(index.reach().map(|(seq, _)| seq), Some(writes.len() as u64));
            prop_assert_eq!(index.scan(b"", None, usize::MAX).unwrap().into_iter().filter(|(key, _)| key[0] != 0).collect::<BTreeMap<_, _>>(), model);
        }
    }
}
