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
//! | 24..32 | zero |
//! | 32..64 | SHA-256 of the frame before its first; zero in the first segment |
//!
//! It gets its name only when it is whole on disk, so a named segment with a bad header is damage, never a torn start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{OpenError, at},
    frame::{Hash, Seq, number},
};

/// The bytes before the first frame.
pub const HEADER: usize = 64;
const MAGIC: &[u8; 8] = b"EDGEJRNL";
const VERSION: u32 = 1;
const UNNAMED: &str = "next.tmp";

/// The file that starts with frame `first`.
#[must_use]
pub fn path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{first:020}.segment"))
}

/// The first sequence numbers of the segments in `dir`, in order; removes what an interrupted creation left.
pub(crate) fn list(dir: &Path) -> Result<Vec<Seq>, OpenError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let name = entry.map_err(at(dir))?.file_name();
        let name = name.to_string_lossy();
        if name == UNNAMED {
            fs::remove_file(dir.join(UNNAMED)).map_err(at(dir.join(UNNAMED)))?;
        } else if let Some(first) = name.strip_suffix(".segment") {
            let Ok(first) = first.parse() else {
                let what = "a segment whose name is not a number".to_owned();
                return Err(OpenError::Damaged { segment: dir.join(&*name), offset: 0, what });
            };
            firsts.push(first);
        }
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes the segment that starts with frame `first`: every block written, synced, then named, then the name synced.
pub(crate) fn create(dir: &Path, first: Seq, prev: &Hash, bytes: u64) -> io::Result<File> {
    let unnamed = dir.join(UNNAMED);
    let made = fill(&unnamed, first, prev, bytes).and_then(|file| {
        fs::rename(&unnamed, path(dir, first))?;
        sync_dir(dir)?;
        Ok(file)
    });
    if made.is_err() {
        // Best effort: the next open removes it as well.
        let _ = fs::remove_file(&unnamed);
    }
    made
}

fn fill(path: &Path, first: Seq, prev: &Hash, bytes: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    // Written zeros, not only reserved blocks: an overwrite then changes no metadata, which halves the cost of a sync.
    let zeros = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let n = left.min(zeros.len() as u64);
        file.write_all(&zeros[..usize::try_from(n).expect("at most a MiB")])?;
        left -= n;
    }
    std::os::unix::fs::FileExt::write_all_at(&file, &header(first, prev), 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Makes changes of names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn header(first: Seq, prev: &Hash) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..24].copy_from_slice(&first.to_le_bytes());
    header[32..].copy_from_slice(prev);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..12]), &header[16..]);
    header[12..16].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Checks the header of the segment at `segment`, which should start with frame `first` after a frame with hash `prev`.
pub(crate) fn check(segment: &Path, bytes: &[u8], first: Seq, prev: &Hash) -> Result<(), OpenError> {
    let damaged = |what: &str| OpenError::Damaged { segment: segment.into(), offset: 0, what: what.into() };
    let Some(found) = bytes.first_chunk::<HEADER>() else {
        return Err(damaged("the segment is shorter than its header"));
    };
    if &found[..8] != MAGIC {
        return Err(damaged("this is not a journal segment"));
    }
    let version = u32::try_from(number(found, 8, 4)).expect("four bytes");
    if version > VERSION {
        return Err(OpenError::Newer { segment: segment.into(), version });
    }
    if found != &header(first, prev) {
        return Err(damaged("the header does not continue the segment before it"));
    }
    Ok(())
}
