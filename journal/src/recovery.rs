//! Reading a journal to its end, and deciding what the end is.
//!
//! Everything up to the highest `durable` that any frame speaks of must be whole and chained.
//! Beyond it lies at most the batch that was being written when the power went: it is cut at its first bad frame.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crate::{
    error::{OpenError, at},
    frame::{self, Found, Hash, Seq},
    reader::FrameRef,
    segment,
};

/// Where the next frame goes.
#[derive(Debug)]
pub(crate) struct End {
    /// First sequence number of the segment that is written now.
    pub(crate) segment: Seq,
    /// Where in it the next frame starts, in bytes.
    pub(crate) offset: u64,
    /// The number of the last frame, 0 when there is none.
    pub(crate) last: Seq,
    /// The hash of the last frame.
    pub(crate) head: Hash,
    /// Whether bytes of a torn batch follow `offset` and must be zeroed before anything is written.
    pub(crate) torn: bool,
}

/// Reads every frame of the segments that start with `firsts`, shows each to `inspect`, and finds the end.
pub(crate) fn read_to_end(
    dir: &Path,
    firsts: &[Seq],
    mut inspect: impl FnMut(FrameRef, &[u8]),
) -> Result<End, OpenError> {
    let mut end = End { segment: 1, offset: segment::HEADER as u64, last: 0, head: [0; 32], torn: false };
    for (i, &first) in firsts.iter().enumerate() {
        let path = segment::path(dir, first);
        let bytes = fs::read(&path).map_err(at(&path))?;
        if first != end.last + 1 {
            let what = format!("the segment with frame {} is missing", end.last + 1);
            return Err(OpenError::Damaged { segment: path, offset: 0, what });
        }
        segment::check(&path, &bytes, first, &end.head)?;
        end.segment = first;
        end.offset = segment::HEADER as u64;
        let stop = walk(&bytes, first, &mut end, &mut inspect);
        let rest = &bytes[usize::try_from(end.offset).expect("an offset in a buffer")..];
        let zeros = rest.iter().all(|&b| b == 0);
        if i + 1 < firsts.len() {
            // The next segment was begun only after this one was synced whole.
            if !zeros {
                return Err(damaged(path, &end, stop.unwrap_or("bytes after the last frame")));
            }
        } else if !zeros {
            let durable = durable_beyond(rest, end.last);
            if durable > end.last {
                let what = stop.unwrap_or("bytes after the last frame");
                let what =
                    format!("{what}, where frame {} was once on disk (up to {durable} were)", end.last + 1);
                return Err(damaged(path, &end, &what));
            }
            end.torn = true;
        }
    }
    Ok(end)
}

/// Walks the good and chained frames of one segment; says why it stopped, unless nothing more was written.
fn walk(
    bytes: &[u8],
    first: Seq,
    end: &mut End,
    inspect: &mut impl FnMut(FrameRef, &[u8]),
) -> Option<&'static str> {
    loop {
        let offset = usize::try_from(end.offset).expect("an offset in a buffer");
        match frame::decode(&bytes[offset.min(bytes.len())..]) {
            Found::Frame(found) if found.seq != end.last + 1 => return Some("a frame out of its order"),
            Found::Frame(found) if found.prev != end.head => {
                return Some("a frame that breaks the hash chain");
            }
            Found::Frame(found) => {
                inspect(FrameRef { segment: first, offset: end.offset, seq: found.seq }, found.payload);
                end.last = found.seq;
                end.head = found.hash;
                end.offset += frame::room(found.payload.len()) as u64;
                end.offset = end.offset.min(bytes.len() as u64);
            }
            Found::Nothing => return None,
            Found::Garbage(what) => return Some(what),
        }
    }
}

/// The highest `durable` of any frame that can still be recognised in what follows the last good one.
fn durable_beyond(rest: &[u8], last: Seq) -> Seq {
    let mut highest = 0;
    for at in (0..rest.len().saturating_sub(frame::HEADER)).step_by(8) {
        // Cheap tests first: a torn batch is short, the zeros behind it are long.
        let seq = frame::number(rest, at + 16, 8);
        if seq <= last || frame::number(rest, at + 8, 2) != u64::from(frame::VERSION) {
            continue;
        }
        if let Found::Frame(found) = frame::decode(&rest[at..]) {
            highest = highest.max(found.durable);
        }
    }
    highest
}

fn damaged(segment: PathBuf, end: &End, what: &str) -> OpenError {
    OpenError::Damaged { segment, offset: end.offset, what: what.to_owned() }
}

/// Zeroes what follows the end, so that nothing of a torn batch can ever be taken for a frame.
pub(crate) fn cut(file: &fs::File, end: &End, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = end.offset;
    while offset < bytes {
        let n = (bytes - offset).min(zeros.len() as u64);
        file.write_all_at(&zeros[..usize::try_from(n).expect("at most a MiB")], offset)?;
        offset += n;
    }
    file.sync_all()
}
