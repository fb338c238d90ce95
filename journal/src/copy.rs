//! A copy of a journal, also while it is being written.
//!
//! Segments that are full never change: they are copied once. Of the one that is being written, everything up to the last
//! frame that was known to be on disk is taken, so that a copy never holds what the journal itself may still lose.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use crate::{
    error::{OpenError, at},
    frame::{Hash, Seq},
    recovery,
    scan::scan,
    segment,
    window::Window,
};

/// How much is copied of the segment that was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// Up to the last frame that was known to be on disk: somebody may be writing.
    Durable,
    /// All of it: nobody writes, as in a copy.
    Whole,
}

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The number of its last frame.
    pub last: Seq,
    /// The hash of its last frame.
    pub head: Hash,
    /// How many segments were copied; the others were there already.
    pub segments: usize,
}

/// Brings the copy in `to` up to the journal in `from`, and checks every frame of it.
///
/// What is in `to` has to be an earlier copy of the same journal, or nothing.
pub fn copy(from: &Path, to: &Path, tail: Tail) -> Result<Copied, OpenError> {
    let firsts = segment::list(from)?;
    let copied = segment::list(to)?;
    let mut segments = 0;
    for (i, &first) in firsts.iter().enumerate() {
        let (source, target) = (segment::path(from, first), segment::path(to, first));
        let sealed = i + 1 < firsts.len();
        // A segment that has a successor in the copy was copied whole.
        if sealed && copied.iter().any(|&later| later > first) && same_length(&source, &target) {
            continue;
        }
        let whole = sealed || tail == Tail::Whole;
        let end = if whole { None } else { Some(durable_end(from, first, i > 0)?) };
        if end.is_some_and(|end| end == segment::HEADER as u64) && i > 0 {
            // Nothing that is known to be on disk is in it yet.
            break;
        }
        copy_one(&source, &target, end).map_err(at(&target))?;
        segments += 1;
    }
    segment::sync_dir(to).map_err(at(to))?;
    let (end, _) = recovery::read::<()>(to, |(), _, _| ())?;
    Ok(Copied { last: end.last, head: end.head, segments })
}

fn same_length(a: &Path, b: &Path) -> bool {
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if a.len() == b.len())
}

/// Where the last frame that was known to be on disk ends, in the segment that is being written.
fn durable_end(dir: &Path, first: Seq, successor: bool) -> Result<u64, OpenError> {
    // Where each frame ends, and the highest that is known to be on disk: a segment is begun once all before it are.
    let gather = |ends: &mut (Seq, Vec<u64>), place: crate::FrameRef, frame: &crate::Frame<'_>| {
        ends.0 = ends.0.max(frame.durable);
        ends.1.push(place.offset + frame.room());
    };
    let scanned = scan::<(Seq, Vec<u64>)>(dir, first, &gather)?;
    let (durable, ends) = scanned.gathered;
    let durable = if successor { durable.max(first - 1) } else { durable };
    let known = usize::try_from((durable + 1).saturating_sub(first)).unwrap_or(usize::MAX);
    Ok(ends.into_iter().take(known).next_back().unwrap_or(segment::HEADER as u64))
}

/// Copies a segment, whole or up to `end`, the rest zeros; it gets its name when it is on disk.
fn copy_one(source: &Path, target: &Path, end: Option<u64>) -> io::Result<()> {
    let file = File::open(source)?;
    let len = file.metadata()?.len();
    let draft = target.with_extension("tmp");
    let mut options = OpenOptions::new();
    let out = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.set_len(len)?;
    let (mut window, mut offset, end) = (Window::new(file, len), 0, end.unwrap_or(len));
    while offset < end {
        let bytes =
            window.at(offset, usize::try_from((end - offset).min(1 << 20)).map_err(io::Error::other)?)?;
        out.write_all_at(bytes, offset)?;
        offset += bytes.len() as u64;
    }
    out.sync_all()?;
    fs::rename(&draft, target)
}
