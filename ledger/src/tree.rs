//! The one door to sled: a tree of small records that can be rebuilt from the journal.
//!
//! A value is the number of the frame that last changed it (8 bytes, big-endian) and then JSON.
//! Neighbouring records lie together in one of sled's, a [`block`].
//! Every batch also sets `applied`, so the tree is always the state after some frame.
//! sled's own `flush` does not survive a power cut, so a checkpoint syncs its file ourselves.
//! Beside the folder lies `index.version`, the rules that it was built by.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    ops::{Bound, Deref, RangeBounds},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use journal::{Hash, Seq};
use tracing::warn;

use crate::{
    block::{self, Block, CutShort},
    error::{OpenError, ReadError},
};

/// How records lie in sled. Raise it when that changes: an index of another layout is rebuilt.
pub(crate) const LAYOUT: u32 = 2;

/// Key of the last frame that the tree holds: its number and its hash. No program key starts with a zero byte.
const APPLIED: &[u8] = b"\0applied";

/// Greater than every key: no program key starts with this byte either.
const BEYOND: &[u8] = &[0xff];

/// How often the lock of a tree that was closed just now is asked for, 10 ms apart.
const PATIENCE: u32 = 500;

/// A stored value: who wrote it last, and the JSON.
pub(crate) type Stored = (Seq, Vec<u8>);

/// Keys, each with what is under it from now on, or nothing.
pub(crate) type Batch = BTreeMap<Vec<u8>, Option<Stored>>;

/// The last frame that a tree holds, and its hash.
pub(crate) type Reach = (Seq, Hash);

/// What an index was built by; in `index.version` as `events.layout`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The version of a program's events and of what they do to the index.
    pub(crate) events: u32,
    /// [`LAYOUT`].
    pub(crate) layout: u32,
}

impl Rules {
    /// Whether one of them is newer than `ours`.
    pub(crate) fn exceed(self, ours: Self) -> bool {
        self.events > ours.events || self.layout > ours.layout
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.events, self.layout)
    }
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: PathBuf,
    db: Db,
}

/// sled's own. When it goes it syncs once more, and panics where that fails; an index is no reason to end like that.
#[derive(Debug)]
struct Db(Option<sled::Db>);

impl Deref for Db {
    type Target = sled::Db;

    fn deref(&self) -> &sled::Db {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        let db = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            warn!("the index was not closed in good order; the next start catches it up, or rebuilds it");
        }
    }
}

impl Tree {
    /// Opens the tree in `dir`; an `Err` means that it has to be rebuilt.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, String> {
        remove_interrupted_snapshots(dir).map_err(|error| error.to_string())?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let mut opened = caught(|| config.open());
        for _ in 0..PATIENCE {
            // Nobody but us has the journal, so who still has the lock is a thread of sled that ends just now.
            if !opened.as_ref().is_err_and(|error| error.to_string().contains("could not acquire lock")) {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            opened = caught(|| config.open());
        }
        let db = opened.map_err(|error| error.to_string())?;
        Ok(Self { dir: dir.to_owned(), db: Db(Some(db)) })
    }

    /// The rules that the tree in `dir` was built by; `None` where there is none, or nobody knows.
    pub(crate) fn rules(dir: &Path) -> io::Result<Option<Rules>> {
        let text = match fs::read_to_string(dir.with_extension("version")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        // The first layout had no number.
        let (events, layout) = text.trim().split_once('.').unwrap_or((text.trim(), "1"));
        let numbers = events.parse().ok().zip(layout.parse().ok());
        Ok(numbers.map(|(events, layout)| Rules { events, layout }))
    }

    /// Says by which rules the tree in `dir` is built.
    pub(crate) fn set_rules(dir: &Path, rules: Rules) -> io::Result<()> {
        let path = dir.with_extension("version");
        let draft = path.with_extension("version.tmp");
        fs::write(&draft, format!("{rules}\n"))?;
        fs::File::open(&draft)?.sync_all()?;
        fs::rename(&draft, &path)
    }

    /// Moves an unusable index out of the way; it is kept, until the next one, for whoever wants to know why.
    pub(crate) fn set_aside(dir: &Path) -> Result<(), OpenError> {
        Self::forget_aside(dir)?;
        match fs::rename(dir, dir.with_extension("unusable")) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(OpenError::Io { path: dir.to_owned(), source })
            }
            _ => Ok(()),
        }
    }

    /// Removes an index that was moved out of the way.
    pub(crate) fn forget_aside(dir: &Path) -> Result<(), OpenError> {
        let path = dir.with_extension("unusable");
        match fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(OpenError::Io { path, source }),
            _ => Ok(()),
        }
    }

    /// The last frame that the tree holds; `None` in a new one.
    pub(crate) fn applied(&self) -> Result<Option<Reach>, ReadError> {
        let Some(value) = caught(|| self.db.get(APPLIED))? else { return Ok(None) };
        let (seq, hash) = unpack(&value)?;
        let hash =
            hash.try_into().map_err(|_| ReadError::index("the hash of its last frame is cut short"))?;
        Ok(Some((seq, hash)))
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// SHA-256 over every record, in the order of the keys: the same for every tree that was built from the same frames,
    /// however its records came to lie in blocks.
    pub(crate) fn fingerprint(&self) -> Result<Hash, ReadError> {
        let mut context = Context::new(&SHA256);
        let mut add = |part: &[u8]| {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        };
        let mut blocks = self.db.iter();
        while let Some((key, block)) = caught(|| blocks.next().transpose())? {
            if key == APPLIED {
                add(&key);
                add(&block);
                continue;
            }
            for record in Block(&block).records() {
                let (key, value) = record.ok_or(CutShort)?;
                add(key);
                add(value);
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Ok(hash)
    }

    /// Returns what is stored under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        let Some((_, block)) = self.block_of(key)? else { return Ok(None) };
        Block(&block).get(key)?.map(unpack).transpose()
    }

    /// The block that `key` belongs to.
    fn block_of(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, ReadError> {
        let found = caught(|| self.db.range(..=key).next_back().transpose())?;
        Ok(found.filter(|(at, _)| at != APPLIED))
    }

    /// Shows the records between two keys, in order, until `visit` has enough and says `false`.
    ///
    /// A block may be parted while this goes on: no record is shown twice, and none is left out.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        mut visit: impl FnMut(&[u8], Stored) -> bool,
    ) -> Result<(), ReadError> {
        let start = match from {
            Bound::Included(key) | Bound::Excluded(key) => self.block_of(key)?.map(|(at, _)| at),
            Bound::Unbounded => None,
        };
        // Without a block to begin in, everything lies behind `from`.
        let start = start.map_or(Bound::Excluded(APPLIED.to_vec()), |at| Bound::Included(at.to_vec()));
        let mut from = from.map(<[u8]>::to_vec);
        let mut blocks = self.db.range((start, Bound::Unbounded));
        while let Some((_, block)) = caught(|| blocks.next().transpose())? {
            let mut last = None;
            for record in Block(&block).records() {
                let (key, value) = record.ok_or(CutShort)?;
                if !within(from.as_ref().map(Vec::as_slice), Bound::Unbounded, key) {
                    continue;
                }
                if !within(Bound::Unbounded, to, key) || !visit(key, unpack(value)?) {
                    return Ok(());
                }
                last = Some(key);
            }
            if let Some(last) = last {
                from = Bound::Excluded(last.to_vec());
            }
        }
        Ok(())
    }

    /// Applies changes in one step, after which the tree is the state after frame `reach`.
    pub(crate) fn write(&self, changes: &Batch, (seq, hash): Reach) -> Result<(), ReadError> {
        let mut batch = sled::Batch::default();
        let mut changes = changes.iter().peekable();
        // The block of the next change, where looking for the end of one has found it.
        let mut ahead = None;
        while let Some((first, _)) = changes.peek() {
            let found = match ahead.take() {
                Some(found) => found,
                None => self.block_of(first)?,
            };
            let (at, block) =
                found.clone().unwrap_or_else(|| (first.as_slice().into(), sled::IVec::default()));
            let last = Block(&block).last()?.unwrap_or_default();
            let (mut mine, mut end) = (Vec::new(), None::<sled::IVec>);
            while let Some(change) = changes.peek().copied() {
                let key = change.0.as_slice();
                // Up to its last key a block is known; what lies behind that may belong to another one.
                if !mine.is_empty() && key > last && end.as_ref().is_none_or(|end| key >= end.as_ref()) {
                    let other = self.block_of(key)?;
                    if other.as_ref().map(|(at, _)| at) != found.as_ref().map(|(at, _)| at) {
                        ahead = Some(other);
                        break;
                    }
                    end = self.after(found.as_ref().map_or(APPLIED, |(at, _)| at))?;
                }
                mine.push(change);
                changes.next();
            }
            let parts = block::change(Block(&block), mine.into_iter())?;
            if parts.is_empty() && !block.is_empty() {
                batch.remove(&at);
            }
            for (key, block) in parts {
                batch.insert(key.map_or_else(|| at.clone(), Into::into), block);
            }
        }
        batch.insert(APPLIED, pack(seq, &hash));
        caught(|| self.db.apply_batch(batch))
    }

    /// The key of the block behind the one at `at`, or one that no key reaches.
    fn after(&self, at: &[u8]) -> Result<Option<sled::IVec>, ReadError> {
        let next =
            caught(|| self.db.range::<&[u8], _>((Bound::Excluded(at), Bound::Unbounded)).next().transpose())?;
        Ok(Some(next.map_or_else(|| BEYOND.into(), |(at, _)| at)))
    }

    /// Forces the tree to disk: sled's flush, then a real sync of its file.
    pub(crate) fn sync(&self) -> Result<(), ReadError> {
        caught(|| self.db.flush())?;
        sync_all(&self.dir).map_err(ReadError::index)
    }
}

/// Syncs every file of the tree, and then their names. What is large lies in files of its own, which sled never syncs.
fn sync_all(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        match fs::File::open(&path) {
            // A snapshot that was replaced meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) if path.is_dir() => sync_all(&path)?,
            file => file?.sync_all()?,
        }
    }
    fs::File::open(dir)?.sync_all()
}

/// Of some damage sled does not say that it is there: it panics.
fn caught<T>(act: impl FnOnce() -> sled::Result<T>) -> Result<T, ReadError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(ReadError::index),
        Err(_) => Err(ReadError::index("sled panics on it")),
    }
}

/// A kill while sled writes a snapshot leaves a file that it later takes for a broken snapshot (spacejam/sled#1527).
fn remove_interrupted_snapshots(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn within(from: Bound<&[u8]>, to: Bound<&[u8]>, key: &[u8]) -> bool {
    RangeBounds::<[u8]>::contains(&(from, to), key)
}

fn pack(seq: Seq, json: &[u8]) -> Vec<u8> {
    [&seq.to_be_bytes(), json].concat()
}

fn unpack(value: &[u8]) -> Result<Stored, ReadError> {
    let (seq, json) = value.split_first_chunk::<8>().ok_or_else(|| ReadError::index("a record cut short"))?;
    Ok((Seq::from_be_bytes(*seq), json.to_vec()))
}

/// Blocks, for a test: whatever was written in whatever order, the tree reads as one map.
#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// Keys that come in order, keys that come in no order, and what is done with them: values of some size, or removal.
    fn writes() -> impl Strategy<Value = Vec<Vec<(u16, bool, Option<usize>)>>> {
        let value = prop::option::weighted(0.8, 0usize..300);
        prop::collection::vec(prop::collection::vec((0u16..400, any::<bool>(), value), 1..60), 1..20)
    }

    fn all(tree: &Tree, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<(Vec<u8>, Stored)> {
        let mut found = Vec::new();
        tree.range(from, to, |key, stored| {
            found.push((key.to_vec(), stored));
            true
        })
        .unwrap();
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn blocks_read_as_one_map(writes in writes(), around in 0u16..400) {
            let dir = TempDir::new().unwrap();
            let tree = Tree::open(&dir.path().join("index"), 1 << 20).unwrap();
            let mut model = BTreeMap::new();
            for (n, write) in writes.iter().enumerate() {
                let mut changes = Batch::new();
                for (key, in_order, len) in write {
                    let name = if *in_order { format!("a/{n:04}/{key:04}") } else { format!("h/{:04x}", key.wrapping_mul(40503)) };
                    changes.insert(name.into_bytes(), len.map(|len| (n as u64 + 1, vec![b'x'; len])));
                }
                for (key, value) in &changes {
                    match value {
                        Some(value) => model.insert(key.clone(), value.clone()),
                        None => model.remove(key),
                    };
                }
                tree.write(&changes, (n as u64 + 1, [7; 32])).unwrap();
            }
            prop_assert_eq!(tree.applied().unwrap(), Some((writes.len() as u64, [7; 32])));
            let model: Vec<_> = model.into_iter().collect();
            prop_assert_eq!(&all(&tree, Bound::Unbounded, Bound::Unbounded), &model);
            for (key, value) in &model {
                let found = tree.get(key).unwrap();
                prop_assert_eq!(found.as_ref(), Some(value));
            }
            let key = format!("h/{around:04x}").into_bytes();
            let behind: Vec<_> = model.iter().filter(|(found, _)| *found > key).cloned().collect();
            prop_assert_eq!(all(&tree, Bound::Excluded(&key), Bound::Unbounded), behind);
            let upto: Vec<_> = model.iter().filter(|(found, _)| *found <= key).cloned().collect();
            prop_assert_eq!(all(&tree, Bound::Unbounded, Bound::Included(&key)), upto);
            let absent = !model.iter().any(|(found, _)| *found == key);
            prop_assert_eq!(tree.get(&key).unwrap().is_none(), absent);
            for entry in tree.db.iter() {
                let (at, block) = entry.unwrap();
                if at == APPLIED {
                    continue;
                }
                let keys: Vec<_> = Block(&block).records().map(|record| record.unwrap().0).collect();
                prop_assert!(!keys.is_empty() && keys[0] >= at.as_ref(), "a block lies under a key not above its own");
                prop_assert!(keys.len() == 1 || block.len() <= block::FULL);
            }
        }
    }

    #[test]
    fn what_comes_in_order_fills_blocks_and_what_does_not_stays_small() {
        let dir = TempDir::new().unwrap();
        let tree = Tree::open(&dir.path().join("index"), 1 << 20).unwrap();
        for n in 0..40_u32 {
            let mut changes = Batch::new();
            for i in n * 50..(n + 1) * 50 {
                changes.insert(format!("order/{i:08}").into_bytes(), Some((1, vec![b'x'; 40])));
                let hash = i.wrapping_mul(2_654_435_761);
                changes.insert(format!("hash/{hash:08x}").into_bytes(), Some((1, vec![b'x'; 40])));
            }
            tree.write(&changes, (n.into(), [0; 32])).unwrap();
        }
        let sizes = |prefix: &[u8]| {
            let sizes: Vec<usize> = tree.db.scan_prefix(prefix).map(|entry| entry.unwrap().1.len()).collect();
            sizes.iter().sum::<usize>() / sizes.len()
        };
        let (ordered, hashed) = (sizes(b"order/"), sizes(b"hash/"));
        assert!(ordered > 1500, "blocks that were filled in order hold {ordered} bytes");
        assert!((150..700).contains(&hashed), "blocks that were filled in no order hold {hashed} bytes");
    }

    #[test]
    fn a_block_that_is_cut_short_is_said_to_be() {
        let dir = TempDir::new().unwrap();
        let tree = Tree::open(&dir.path().join("index"), 1 << 20).unwrap();
        tree.write(&Batch::from([(b"k".to_vec(), Some((1, b"12".to_vec())))]), (1, [0; 32])).unwrap();
        let whole = tree.db.get(b"k").unwrap().unwrap();
        for len in 1..whole.len() {
            tree.db.insert(b"k", &whole[..len]).unwrap();
            assert!(tree.get(b"k").is_err(), "{len} of {}", whole.len());
            assert!(tree.fingerprint().is_err());
            assert!(tree.range(Bound::Unbounded, Bound::Unbounded, |_, _| true).is_err());
        }
    }
}
