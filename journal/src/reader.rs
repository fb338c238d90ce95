//! Reading single frames back, from any thread.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::ReadError,
    frame::{self, Found, HEADER, Hash, MAX_PAYLOAD, Seq},
    segment,
};

/// Where a frame lies. Small enough to be kept in an index instead of what the frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRef {
    /// First sequence number of the segment.
    pub segment: Seq,
    /// Byte in the segment where the frame starts.
    pub offset: u64,
    /// Its sequence number.
    pub seq: Seq,
}

/// Reads frames of a journal, also while it is being written.
#[derive(Debug, Clone)]
pub struct Reader {
    dir: PathBuf,
}

impl Reader {
    /// Reads the journal in `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Returns the payload of one frame and its hash, after checking its checksum and number.
    pub fn read(&self, at: &FrameRef) -> Result<(Vec<u8>, Hash), ReadError> {
        let path = segment::path(&self.dir, at.segment);
        let io = |source| ReadError::Io { path: path.clone(), source };
        let damaged = |what: &str| ReadError::Damaged { seq: at.seq, what: what.to_owned() };
        let file = File::open(&path).map_err(io)?;
        let mut bytes = vec![0; HEADER];
        file.read_exact_at(&mut bytes, at.offset).map_err(io)?;
        let length = usize::try_from(frame::number(&bytes, 0, 4)).expect("four bytes");
        if length > MAX_PAYLOAD {
            return Err(damaged("a length larger than a frame may be"));
        }
        bytes.resize(HEADER + length, 0);
        file.read_exact_at(&mut bytes[HEADER..], at.offset + HEADER as u64).map_err(io)?;
        match frame::decode(&bytes) {
            Found::Frame(found) if found.seq == at.seq => {
                let hash = found.hash;
                Ok((bytes.split_off(HEADER), hash))
            }
            Found::Frame(_) => Err(damaged("another frame is in its place")),
            Found::Nothing => Err(damaged("nothing is in its place")),
            Found::Garbage(what) => Err(damaged(what)),
        }
    }
}
