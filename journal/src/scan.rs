//! One segment, read front to back: its good frames, and what stands behind them.
//!
//! A segment can be read without the ones before it: a frame says itself which hash it follows, so only the seams are
//! left to compare, and segments are read on all cores at once.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    error::{OpenError, at},
    frame::{self, Found, Frame, HEADER, Hash, Seq},
    reader::FrameRef,
    segment,
    window::Window,
};

/// What one segment holds.
#[derive(Debug)]
pub(crate) struct Scan<S> {
    /// The file.
    pub(crate) path: PathBuf,
    /// The number of its first frame.
    pub(crate) first: Seq,
    /// The hash that its first frame follows.
    pub(crate) prev: Hash,
    /// The number of its last good frame; `first - 1` where it has none.
    pub(crate) last: Seq,
    /// The hash of its last good frame, or `prev`.
    pub(crate) head: Hash,
    /// Where the next frame would start, in bytes.
    pub(crate) offset: u64,
    /// What stands behind the last good frame, where that is not zeros to the end of the file.
    pub(crate) behind: Option<&'static str>,
    /// The highest `durable` of any frame in it, good or behind a bad one.
    pub(crate) durable: Seq,
    /// What the caller gathered from the good frames.
    pub(crate) gathered: S,
}

/// Reads the segment that starts with frame `first`, and shows every good frame to `gather`.
pub(crate) fn scan<S: Default>(
    dir: &Path,
    first: Seq,
    gather: &(impl Fn(&mut S, FrameRef, &Frame<'_>) + ?Sized),
) -> Result<Scan<S>, OpenError> {
    let path = segment::path(dir, first);
    let file = File::open(&path).map_err(at(&path))?;
    let len = file.metadata().map_err(at(&path))?.len();
    let mut window = Window::new(file, len);
    let prev = segment::check(&path, window.at(0, segment::HEADER).map_err(at(&path))?, first, len)?;
    let offset = segment::HEADER as u64;
    let gathered = S::default();
    let mut scan =
        Scan { path, first, prev, last: first - 1, head: prev, offset, behind: None, durable: 0, gathered };
    scan.behind = scan.walk(&mut window, gather)?;
    if let Some(what) = scan.behind {
        scan.look_behind(&mut window, len, what)?;
    } else if window.nonzero(scan.offset).map_err(at(&scan.path))?.is_some() {
        scan.look_behind(&mut window, len, "bytes after the last frame")?;
    }
    Ok(scan)
}

impl<S> Scan<S> {
    /// Damage at the end of what is good.
    pub(crate) fn damaged(&self, what: impl Into<String>) -> OpenError {
        let what = format!("frame {}: {}", self.last + 1, what.into());
        OpenError::Damaged { segment: self.path.clone(), offset: self.offset, what }
    }

    /// Walks the good and chained frames; says why it stopped, unless nothing more was written.
    fn walk(
        &mut self,
        window: &mut Window,
        gather: &(impl Fn(&mut S, FrameRef, &Frame<'_>) + ?Sized),
    ) -> Result<Option<&'static str>, OpenError> {
        loop {
            let wanted = frame::wanted(window.at(self.offset, HEADER).map_err(at(&self.path))?);
            match frame::decode(window.at(self.offset, wanted).map_err(at(&self.path))?) {
                Found::Frame(found) if found.seq != self.last + 1 => {
                    return Ok(Some("a frame out of its order"));
                }
                Found::Frame(found) if found.prev != self.head => {
                    return Ok(Some("a frame that breaks the hash chain"));
                }
                Found::Frame(found) => {
                    let place = FrameRef { segment: self.first, offset: self.offset, seq: found.seq };
                    gather(&mut self.gathered, place, &found);
                    self.last = found.seq;
                    self.head = found.hash;
                    self.durable = self.durable.max(found.durable);
                    self.offset += found.room();
                }
                Found::Newer(version) => {
                    let (segment, offset) = (self.path.clone(), self.offset);
                    return Err(OpenError::Newer { segment, offset, version: version.into() });
                }
                Found::Nothing => return Ok(None),
                Found::Garbage(what) => return Ok(Some(what)),
            }
        }
    }

    /// Looks for frames behind a bad place: what they say of `durable` tells a torn batch from damage.
    fn look_behind(&mut self, window: &mut Window, len: u64, what: &'static str) -> Result<(), OpenError> {
        self.behind = Some(what);
        let mut offset = self.offset;
        while offset < len {
            // Zeros are long, what is torn is short.
            let Some(found) = window.nonzero(offset).map_err(at(&self.path))? else { return Ok(()) };
            // A mark begins with four zeros, and its checksum may be zero too, once in four billion.
            offset = offset.max((found & !7).saturating_sub(8));
            let header = window.at(offset, HEADER).map_err(at(&self.path))?;
            let likely = header.len() == HEADER
                && frame::number(header, 16, 8) > self.last
                && frame::number(header, 8, 2) >= u64::from(frame::VERSION);
            if likely {
                let wanted = frame::wanted(header);
                match frame::decode(window.at(offset, wanted).map_err(at(&self.path))?) {
                    Found::Frame(found) => self.durable = self.durable.max(found.durable),
                    Found::Newer(version) => {
                        let segment = self.path.clone();
                        return Err(OpenError::Newer { segment, offset, version: version.into() });
                    }
                    Found::Nothing | Found::Garbage(_) => {}
                }
            }
            offset += 8;
        }
        Ok(())
    }
}
