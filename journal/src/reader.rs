//! Reading frames back, from any thread, one by one or in order.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::ReadError,
    frame::{self, Found, Frame, HEADER, Hash, MAX_PAYLOAD, Seq},
    segment,
    window::Window,
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
            Found::Newer(_) => Err(damaged("a frame of a newer format is in its place")),
            Found::Garbage(what) => Err(damaged(what)),
        }
    }

    /// Returns the hash of frame `seq`; `None` where the journal does not have it.
    pub fn hash(&self, seq: Seq) -> Result<Option<Hash>, ReadError> {
        let mut hash = None;
        self.frames(seq, seq, |_, frame| {
            hash = Some(frame.hash);
            Ok::<_, ReadError>(())
        })?;
        Ok(hash)
    }

    /// Shows the frames `from..=to` to `visit`, in order, until it fails; ends early where the journal does.
    pub fn frames<E: From<ReadError>>(
        &self,
        from: Seq,
        to: Seq,
        mut visit: impl FnMut(FrameRef, &Frame<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let damaged = |what: String| ReadError::Damaged { seq: from, what };
        let firsts = segment::list(&self.dir).map_err(|error| damaged(error.to_string()))?;
        let begin = firsts.partition_point(|&first| first <= from).saturating_sub(1);
        let mut next = from.max(1);
        for &first in firsts.get(begin..).unwrap_or_default().iter().take_while(|first| **first <= to) {
            let path = segment::path(&self.dir, first);
            let io = |source| ReadError::Io { path: path.clone(), source };
            let file = File::open(&path).map_err(io)?;
            let len = file.metadata().map_err(io)?.len();
            let (mut window, mut offset) = (Window::new(file, len), segment::HEADER as u64);
            loop {
                let wanted = frame::wanted(window.at(offset, HEADER).map_err(io)?);
                let Found::Frame(found) = frame::decode(window.at(offset, wanted).map_err(io)?) else {
                    break;
                };
                if found.seq > to {
                    return Ok(());
                }
                if found.seq >= next {
                    if found.seq > next {
                        return Err(damaged(format!("frame {next} is missing")).into());
                    }
                    next += 1;
                    visit(FrameRef { segment: first, offset, seq: found.seq }, &found)?;
                }
                offset += found.room();
            }
        }
        Ok(())
    }
}
