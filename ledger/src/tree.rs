//! The one door to sled: a tree of small records that can be rebuilt from the journal.
//!
//! A value is the number of the frame that last changed it (8 bytes, big-endian) and then JSON.
//! Every batch also sets `applied`, so the tree is always the state after some frame.
//! sled's own `flush` does not survive a power cut, so a checkpoint syncs its file ourselves.
//! Beside the folder lies `index.version`, the rules that it was built by.

use std::{
    collections::BTreeMap,
    fs, io,
    ops::{Bound, Deref},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256};
use journal::{Hash, Seq};
use tracing::warn;

use crate::error::{OpenError, ReadError};

/// Key of the last frame that the tree holds: its number and its hash. No program key starts with a zero byte.
const APPLIED: &[u8] = b"\0applied";

/// How often the lock of a tree that was closed just now is asked for, 10 ms apart.
const PATIENCE: u32 = 500;

/// A stored value: who wrote it last, and the JSON.
pub(crate) type Stored = (Seq, Vec<u8>);

/// Keys, each with what is under it from now on, or nothing.
pub(crate) type Batch = BTreeMap<Vec<u8>, Option<Stored>>;

/// The last frame that a tree holds, and its hash.
pub(crate) type Reach = (Seq, Hash);

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
    pub(crate) fn version(dir: &Path) -> io::Result<Option<u32>> {
        match fs::read_to_string(dir.with_extension("version")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(text?.trim().parse().ok()),
        }
    }

    /// Says by which rules the tree in `dir` is built.
    pub(crate) fn set_version(dir: &Path, version: u32) -> io::Result<()> {
        let path = dir.with_extension("version");
        let draft = path.with_extension("version.tmp");
        fs::write(&draft, format!("{version}\n"))?;
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
        let Some((seq, hash)) = self.get(APPLIED)? else { return Ok(None) };
        let hash =
            hash.try_into().map_err(|_| ReadError::index("the hash of its last frame is cut short"))?;
        Ok(Some((seq, hash)))
    }

    /// Its folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// SHA-256 over every record, in the order of the keys: the same for every tree that was built from the same frames.
    pub(crate) fn fingerprint(&self) -> Result<Hash, ReadError> {
        let mut context = Context::new(&SHA256);
        let mut records = self.db.iter();
        while let Some((key, value)) = caught(|| records.next().transpose())? {
            for part in [&key, &value] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        Ok(hash)
    }

    /// Returns what is stored under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        caught(|| self.db.get(key))?.map(|value| unpack(&value)).transpose()
    }

    /// Shows the records between two keys, in order, until `visit` has enough and says `false`.
    pub(crate) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
        mut visit: impl FnMut(&[u8], Stored) -> bool,
    ) -> Result<(), ReadError> {
        let mut records = self.db.range::<&[u8], _>((from, to));
        while let Some((key, value)) = caught(|| records.next().transpose())? {
            if !visit(&key, unpack(&value)?) {
                break;
            }
        }
        Ok(())
    }

    /// Applies changes in one step, after which the tree is the state after frame `reach`.
    pub(crate) fn write(&self, changes: &Batch, (seq, hash): Reach) -> Result<(), ReadError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some((seq, json)) => batch.insert(key.as_slice(), pack(*seq, json)),
                None => batch.remove(key.as_slice()),
            }
        }
        batch.insert(APPLIED, pack(seq, &hash));
        caught(|| self.db.apply_batch(batch))
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

fn pack(seq: Seq, json: &[u8]) -> Vec<u8> {
    [&seq.to_be_bytes(), json].concat()
}

fn unpack(value: &[u8]) -> Result<Stored, ReadError> {
    let (seq, json) = value.split_first_chunk::<8>().ok_or_else(|| ReadError::index("a record cut short"))?;
    Ok((Seq::from_be_bytes(*seq), json.to_vec()))
}
