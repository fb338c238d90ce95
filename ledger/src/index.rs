//! The one door to sled: a tree of small records that can be rebuilt from the journal.
//!
//! A value is the number of the frame that last changed it (8 bytes, big-endian) and then JSON.
//! One batch per group commit also sets `applied`, so the tree is always the state after some frame.
//! sled's own `flush` does not survive a power cut, so a checkpoint syncs its file ourselves.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use journal::Seq;

use crate::error::{OpenError, ReadError};

/// Key of the number of the last frame that the tree holds. No program key starts with a zero byte.
const APPLIED: &[u8] = b"\0applied";
/// Key of the version of the rules that the tree was built by.
const VERSION: &[u8] = b"\0version";

/// A stored value: who wrote it last, and the JSON.
pub(crate) type Stored = (Seq, Vec<u8>);

/// A key and the JSON under it.
pub(crate) type Found = (Vec<u8>, Vec<u8>);

/// What a group commit changes: key to value, or to nothing.
pub(crate) type Batch<'a> = Box<dyn Iterator<Item = (&'a [u8], Option<&'a Stored>)> + 'a>;

/// The tree.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    dir: PathBuf,
    db: sled::Db,
}

impl Index {
    /// Opens the tree in `dir`; an `Err` means that it has to be rebuilt.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, String> {
        remove_interrupted_snapshots(dir).map_err(|error| error.to_string())?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = config.open().map_err(|error| error.to_string())?;
        Ok(Self { dir: dir.to_owned(), db })
    }

    /// Moves an unusable index out of the way; it is kept for whoever wants to know why.
    pub(crate) fn set_aside(dir: &Path) -> Result<(), OpenError> {
        let aside = dir.with_extension("unusable");
        let io = |source| OpenError::Io { path: dir.to_owned(), source };
        if aside.exists() {
            fs::remove_dir_all(&aside).map_err(io)?;
        }
        if dir.exists() {
            fs::rename(dir, &aside).map_err(io)?;
        }
        Ok(())
    }

    /// The last frame that the tree holds; 0 in a new one.
    pub(crate) fn applied(&self) -> Result<Seq, ReadError> {
        Ok(self.get(APPLIED)?.map_or(0, |(seq, _)| seq))
    }

    /// The version of the rules that the tree was built by; `None` in a new one.
    pub(crate) fn version(&self) -> Result<Option<u64>, ReadError> {
        Ok(self.get(VERSION)?.map(|(version, _)| version))
    }

    /// Says by which rules the tree is built.
    pub(crate) fn set_version(&self, version: u64) -> Result<(), ReadError> {
        self.db.insert(VERSION, pack(version, &[])).map(drop).map_err(ReadError::index)
    }

    /// Returns what is stored under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Stored>, ReadError> {
        self.db.get(key).map_err(ReadError::index)?.map(|value| unpack(&value)).transpose()
    }

    /// Returns up to `limit` records whose key starts with `prefix`, in key order, starting behind `after`.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Found>, ReadError> {
        let start = after.map_or_else(|| prefix.to_vec(), |after| [after, &[0]].concat());
        let mut found = Vec::new();
        for record in self.db.range(start..) {
            let (key, value) = record.map_err(ReadError::index)?;
            if found.len() == limit || !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), unpack(&value)?.1));
        }
        Ok(found)
    }

    /// Applies a group commit in one step, after which the tree is the state after frame `applied`.
    pub(crate) fn write(&self, changes: Batch<'_>, applied: Seq) -> Result<(), ReadError> {
        let mut batch = sled::Batch::default();
        for (key, value) in changes {
            match value {
                Some((seq, json)) => batch.insert(key, pack(*seq, json)),
                None => batch.remove(key),
            }
        }
        batch.insert(APPLIED, pack(applied, &[]));
        self.db.apply_batch(batch).map_err(ReadError::index)
    }

    /// Forces the tree to disk: sled's flush, then a real sync of its file.
    pub(crate) fn sync(&self) -> Result<(), ReadError> {
        self.db.flush().map_err(ReadError::index)?;
        let sync = |name: &str| fs::File::open(self.dir.join(name)).and_then(|file| file.sync_all());
        sync("db").and_then(|()| sync("conf")).and_then(|()| sync("")).map_err(ReadError::index)
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
