//! The files of a journal.
//!
//! A segment is named `{first sequence number, 20 digits}.segment`, preallocated, and starts with a header:
//!
//! | bytes | what |
//! | --- | --- |
//! | 0..8 | `EDGEJRNL` |
//! | 8..12 | format version, 1 |
//! | 12..16 | CRC-32C of bytes 0..12 and 16..64 |
//! | 16..24 | sequence number of its first frame |
//! | 24..32 | the size of the file in bytes |
//! | 32..64 | SHA-256 of the frame before its first; zero in the first segment |
//!
//! It gets its name only when it is whole on disk, so a named segment with a bad header is damage, never a torn start.
//! Its zeros are written ahead, as [`SPARE`], so that a full segment costs the writer two small syncs.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use crate::{
    error::{OpenError, at},
    frame::{Hash, Seq, number},
};

/// The bytes before the first frame.
pub const HEADER: usize = 64;
/// A segment that has no frame and no number yet: zeros, on disk.
pub const SPARE: &str = "spare";
const MAGIC: &[u8; 8] = b"EDGEJRNL";
const VERSION: u32 = 1;
/// A spare that is not whole yet.
const UNFINISHED: &str = "spare.tmp";
/// How much is written between two syncs of a spare, so that the commits of a running writer are not held up for long.
const STEP: u64 = 8 << 20;

/// The file that starts with frame `first`.
#[must_use]
pub fn path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{first:020}.segment"))
}

/// The first sequence numbers of the segments in `dir`, in order.
pub fn list(dir: &Path) -> Result<Vec<Seq>, OpenError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let name = entry.map_err(at(dir))?.file_name();
        let name = name.to_string_lossy();
        if let Some(first) = name.strip_suffix(".segment") {
            let number = first.parse().ok().filter(|first| path(dir, *first).ends_with(&*name));
            let Some(first) = number else {
                let what = "a segment whose name is not a number of 20 digits".to_owned();
                return Err(OpenError::Damaged { segment: dir.join(&*name), offset: 0, what });
            };
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Removes spares of an earlier process: one may have been on its way to become a segment.
pub(crate) fn remove_spares(dir: &Path) -> io::Result<()> {
    for name in [SPARE, UNFINISHED] {
        match fs::remove_file(dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Writes a spare of `bytes` bytes, every block of it, and syncs it.
pub(crate) fn make_spare(dir: &Path, bytes: u64) -> io::Result<()> {
    let unfinished = dir.join(UNFINISHED);
    let made = fill(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, dir.join(SPARE)));
    if made.is_err() {
        // Best effort: the next open removes it as well.
        let _ = fs::remove_file(&unfinished);
    }
    made
}

/// Makes the segment that starts with frame `first`, from the spare if there is one: header, sync, name, sync.
pub(crate) fn create(dir: &Path, first: Seq, prev: &Hash, bytes: u64) -> io::Result<File> {
    let spare = dir.join(SPARE);
    if !spare.metadata().is_ok_and(|found| found.len() == bytes) {
        make_spare(dir, bytes)?;
    }
    let file = OpenOptions::new().read(true).write(true).open(&spare)?;
    file.write_all_at(&header(first, prev, bytes), 0)?;
    file.sync_all()?;
    fs::rename(&spare, path(dir, first))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Writes zeros, not only reserved blocks: an overwrite then changes no metadata, which halves the cost of a sync.
fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    let zeros = Zeros::new();
    // Past the page cache, where the file system can: zeros are not worth the copying, nor the memory.
    let aligned = bytes.is_multiple_of(Zeros::ALIGNMENT as u64);
    let direct = options.truncate(false).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path);
    let direct = direct.and_then(|direct| zeros.write(&direct, 0, bytes.min(STEP)).map(|()| direct));
    let (file, mut written) = match direct {
        Ok(direct) if aligned => (direct, bytes.min(STEP)),
        Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(error),
        _ => (file, 0),
    };
    while written < bytes {
        let end = bytes.min(written + STEP);
        zeros.write(&file, written, end)?;
        file.sync_data()?;
        written = end;
    }
    file.sync_all()
}

/// A buffer of zeros that begins where a disk wants it to.
struct Zeros(Vec<u8>);

impl Zeros {
    const LEN: usize = 1 << 20;
    const ALIGNMENT: usize = 4096;

    fn new() -> Self {
        Self(vec![0; Self::LEN + Self::ALIGNMENT])
    }

    /// Writes zeros from `from` to `to`.
    fn write(&self, file: &File, from: u64, to: u64) -> io::Result<()> {
        let zeros = &self.0[self.0.as_ptr().align_offset(Self::ALIGNMENT)..][..Self::LEN];
        let mut at = from;
        while at < to {
            let n = (to - at).min(Self::LEN as u64);
            file.write_all_at(&zeros[..usize::try_from(n).map_err(io::Error::other)?], at)?;
            at += n;
        }
        Ok(())
    }
}

/// Makes changes of names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn header(first: Seq, prev: &Hash, bytes: u64) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    header[24..32].copy_from_slice(&bytes.to_le_bytes());
    header[32..].copy_from_slice(prev);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Checks the header of the segment at `segment`, a file of `len` bytes that should start with frame `first`; returns
/// the hash of the frame before it.
pub(crate) fn check(segment: &Path, start: &[u8], first: Seq, len: u64) -> Result<Hash, OpenError> {
    let damaged = |what: String| OpenError::Damaged { segment: segment.into(), offset: 0, what };
    let Some(found) = start.first_chunk::<HEADER>() else {
        return Err(damaged("the segment is shorter than its header".to_owned()));
    };
    if &found[..8] != MAGIC {
        return Err(damaged("this is not a journal segment".to_owned()));
    }
    let version = u32::try_from(number(found, 8, 4)).unwrap_or(u32::MAX);
    if version > VERSION {
        return Err(OpenError::Newer { segment: segment.into(), offset: 0, version });
    }
    let mut prev = [0; 32];
    prev.copy_from_slice(&found[32..]);
    let bytes = number(found, 24, 8);
    if found != &header(first, &prev, bytes) {
        return Err(damaged("the header is not what was written".to_owned()));
    }
    if bytes != len {
        return Err(damaged(format!("the file has {len} bytes, but was made with {bytes}")));
    }
    Ok(prev)
}
