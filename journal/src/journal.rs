//! The writing end.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
};

use crate::{
    error::{OpenError, WriteError, at},
    frame::{self, Frame, Hash, MAX_PAYLOAD, Seq},
    reader::{FrameRef, Reader},
    recovery::{self, End},
    segment,
};

/// What the disk is written in.
const PAGE: u64 = 4096;

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

/// A journal that was read to its end and found whole, and that nobody else can open; nothing was changed yet.
///
/// Whoever has doubts about what it holds drops it, and it stays as it was.
#[derive(Debug)]
pub struct Verified {
    dir: PathBuf,
    options: Options,
    end: End,
    lock: File,
}

impl Verified {
    /// Reads the journal in `dir`, making the folder if need be.
    ///
    /// Every frame is shown to `gather`, in order within a segment; each segment gathers into a value of its own, and
    /// these come back in order. A torn tail is no error; damage to what was once on disk is.
    pub fn read<S: Default + Send>(
        dir: &Path,
        options: Options,
        gather: impl Fn(&mut S, FrameRef, &Frame<'_>) + Sync,
    ) -> Result<(Self, Vec<S>), OpenError> {
        make_dir(dir).map_err(at(dir))?;
        let lock = lock(dir)?;
        let (end, gathered) = recovery::read(dir, gather)?;
        Ok((Self { dir: dir.to_owned(), options, end, lock }, gathered))
    }

    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> &End {
        &self.end
    }

    /// Cuts a torn tail, and goes on behind the last frame.
    pub fn begin(self) -> Result<Journal, OpenError> {
        let Self { dir, options, end, lock } = self;
        segment::remove_spares(&dir).map_err(at(&dir))?;
        let path = segment::path(&dir, end.segment);
        if !path.exists() {
            segment::create(&dir, end.segment, &end.head, options.segment_bytes).map_err(at(&path))?;
        }
        let file = OpenOptions::new().read(true).write(true).open(&path).map_err(at(&path))?;
        let capacity = file.metadata().map_err(at(&path))?.len();
        if end.torn.is_some() {
            recovery::cut(&file, &end, capacity).map_err(at(&path))?;
        }
        // What a killed process wrote but did not sync was read from memory; before anyone relies on it, it goes to disk.
        file.sync_all().map_err(at(&path))?;
        Ok(Journal {
            dir,
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
            spare: None,
            _lock: lock,
        })
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
    /// Whoever writes the zeros of the next segment, once this one is half full.
    spare: Option<JoinHandle<()>>,
    /// Held for the lock on it; the operating system releases it whenever and however the process ends.
    _lock: File,
}

impl Journal {
    /// Opens the journal in `dir`, making the folder if need be: reads it to its end and goes on there.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Verified::read::<()>(dir, options, |(), _, _| ()).and_then(|(verified, _)| verified.begin())
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
        let end = self.offset + self.staged.len() as u64;
        // Zeros up to the end of the page: of a page that is written whole, nothing has to be read first.
        let padding = end.next_multiple_of(PAGE).min(self.capacity) - end;
        self.staged.resize(self.staged.len() + usize::try_from(padding).unwrap_or(0), 0);
        let written = self.file.write_all_at(&self.staged, self.offset).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            return Err(self.fail(&error));
        }
        self.staged.clear();
        self.offset = end;
        self.durable = self.last;
        if self.offset > self.capacity / 2 && self.spare.is_none() {
            self.prepare_spare();
        }
        Ok(())
    }

    /// Has the next segment written ahead. Without one, as on a full disk, the next segment is made when it is needed,
    /// and what stands in the way is met there.
    fn prepare_spare(&mut self) {
        let (dir, bytes) = (self.dir.clone(), self.options.segment_bytes);
        let work = move || drop(segment::make_spare(&dir, bytes));
        self.spare = thread::Builder::new().name("journal-spare".to_owned()).spawn(work).ok();
    }

    fn wait_for_spare(&mut self) {
        if let Some(spare) = self.spare.take() {
            // What it has not done is done by whoever needs it.
            let _ = spare.join();
        }
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
        self.wait_for_spare();
        match segment::create(&self.dir, self.last + 1, &self.head, self.options.segment_bytes) {
            Ok(file) => {
                self.file = file;
                self.segment = self.last + 1;
                self.capacity = self.options.segment_bytes;
                self.offset = segment::HEADER as u64;
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(WriteError::Full { needed: self.options.segment_bytes })
            }
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

impl Drop for Journal {
    fn drop(&mut self) {
        self.wait_for_spare();
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
