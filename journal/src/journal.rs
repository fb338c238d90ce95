//! The writing end.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    error::{OpenError, ReadError, WriteError, at},
    frame::{self, Found, Hash, MAX_PAYLOAD, Seq},
    reader::{FrameRef, Reader},
    recovery, segment,
};

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The size of a segment, in bytes; a frame must fit. Segments that exist keep theirs.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20 }
    }
}

/// The one writer of a folder of segments.
///
/// [`Journal::stage`] as many frames as are waiting, then [`Journal::sync`] once: that is group commit.
/// Any failed write or sync is final for this value; open the folder again to learn what is on disk.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    options: Options,
    file: File,
    /// First sequence number of the segment in `file`.
    segment: Seq,
    /// Its size in bytes.
    capacity: u64,
    /// Where the staged frames will be written.
    offset: u64,
    staged: Vec<u8>,
    last: Seq,
    head: Hash,
    durable: Seq,
    /// Whether the last frame is a mark, so that an idle journal falls silent.
    marked: bool,
    failed: Option<String>,
    /// Held for the lock on it; the operating system releases it whenever and however the process ends.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `dir`, making the folder if need be, and reads it to its end.
    ///
    /// Every frame is shown to `inspect` in order. A torn tail is cut; damage to what was once on disk is an error.
    pub fn open(
        dir: &Path,
        options: Options,
        inspect: impl FnMut(FrameRef, &[u8]),
    ) -> Result<Self, OpenError> {
        make_dir(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let mut firsts = segment::list(dir)?;
        if firsts.is_empty() {
            let path = segment::path(dir, 1);
            segment::create(dir, 1, &[0; 32], options.segment_bytes).map_err(at(path))?;
            firsts.push(1);
        }
        let end = recovery::read_to_end(dir, &firsts, inspect)?;
        let path = segment::path(dir, end.segment);
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        let capacity = file.metadata().map_err(at(&path))?.len();
        if end.torn {
            recovery::cut(&file, &end, capacity).map_err(at(&path))?;
        }
        // What a killed process wrote but did not sync was read from memory; before anyone relies on it, it goes to disk.
        file.sync_all().map_err(at(&path))?;
        Ok(Self {
            dir: dir.to_owned(),
            options,
            file,
            segment: end.segment,
            capacity,
            offset: end.offset,
            staged: Vec::new(),
            last: end.last,
            head: end.head,
            durable: end.last,
            marked: true,
            failed: None,
            _lock: lock,
        })
    }

    /// The number of the last frame, staged ones included; 0 in an empty journal.
    #[must_use]
    pub fn last(&self) -> Seq {
        self.last
    }

    /// The hash of the last frame, staged ones included: one value that stands for everything before it.
    #[must_use]
    pub fn head(&self) -> Hash {
        self.head
    }

    /// The number of the last frame that is on disk.
    #[must_use]
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// Reads frames back, from any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(&self.dir)
    }

    /// Shows every synced frame from number `from` on to `visit`, in order, until it fails.
    pub fn replay<E: From<ReadError>>(
        &self,
        from: Seq,
        mut visit: impl FnMut(FrameRef, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |what: String| ReadError::Damaged { seq: from, what };
        let mut firsts = segment::list(&self.dir).map_err(|error| damaged(error.to_string()))?;
        let begin = firsts.partition_point(|&first| first <= from).saturating_sub(1);
        for first in firsts.drain(begin..) {
            let path = segment::path(&self.dir, first);
            let bytes = fs::read(&path).map_err(|source| ReadError::Io { path, source })?;
            let mut offset = segment::HEADER;
            while let Found::Frame(found) = frame::decode(&bytes[offset.min(bytes.len())..]) {
                if found.seq >= from {
                    visit(FrameRef { segment: first, offset: offset as u64, seq: found.seq }, found.payload)?;
                }
                if found.seq == self.durable {
                    return Ok(());
                }
                offset += frame::room(found.payload.len());
            }
        }
        Ok(())
    }

    /// Adds a frame to what the next [`Journal::sync`] writes.
    ///
    /// Where the segment is full, what was staged before is written and synced first and a new segment is begun.
    pub fn stage(&mut self, payload: &[u8]) -> Result<FrameRef, WriteError> {
        self.usable()?;
        let room = frame::room(payload.len()) as u64;
        if payload.len() > MAX_PAYLOAD || room + segment::HEADER as u64 > self.options.segment_bytes {
            return Err(WriteError::TooLarge { bytes: payload.len() });
        }
        if self.offset + self.staged.len() as u64 + room > self.capacity {
            self.sync()?;
            self.begin_segment()?;
        }
        let at = FrameRef {
            segment: self.segment,
            offset: self.offset + self.staged.len() as u64,
            seq: self.last + 1,
        };
        self.head = frame::encode(at.seq, self.durable, &self.head, payload, &mut self.staged);
        self.last = at.seq;
        self.marked = payload.is_empty();
        Ok(at)
    }

    /// Writes what was staged and returns once it is on disk. Does nothing if nothing was staged.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        self.usable()?;
        if self.staged.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all_at(&self.staged, self.offset).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            return Err(self.fail(&error));
        }
        self.offset += self.staged.len() as u64;
        self.staged.clear();
        self.durable = self.last;
        Ok(())
    }

    /// Writes a mark, if the last frame is not one already, so that the journal itself says how far it is on disk.
    pub fn mark(&mut self) -> Result<(), WriteError> {
        if self.marked {
            return Ok(());
        }
        self.sync()?;
        self.stage(&[])?;
        self.sync()
    }

    fn begin_segment(&mut self) -> Result<(), WriteError> {
        match segment::create(&self.dir, self.last + 1, &self.head, self.options.segment_bytes) {
            Ok(file) => {
                self.file = file;
                self.segment = self.last + 1;
                self.capacity = self.options.segment_bytes;
                self.offset = segment::HEADER as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(WriteError::Full),
            Err(error) => Err(self.fail(&error)),
        }
    }

    fn usable(&self) -> Result<(), WriteError> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(WriteError::Failed { why: why.clone() }))
    }

    /// Remembers the first failure. A failed sync is never tried again: the kernel may already have dropped the pages.
    fn fail(&mut self, error: &io::Error) -> WriteError {
        let why = format!("{}: {error}", segment::path(&self.dir, self.segment).display());
        self.failed = Some(why.clone());
        WriteError::Failed { why }
    }
}

/// Makes `dir`, private to this user, and its name durable.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    dir.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), segment::sync_dir)
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
    }
}
