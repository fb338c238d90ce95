//! Reading a journal to its end, and deciding what the end is.
//!
//! Everything up to the highest `durable` that any frame speaks of must be whole and chained.
//! Beyond it lies at most the batch that was being written when the power went: it is cut at its first bad frame.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    error::OpenError,
    frame::{Frame, Hash, Seq},
    reader::FrameRef,
    scan::{Scan, scan},
    segment,
};

/// As many threads as read segments, at most: each holds a window of a few MiB.
const READERS: usize = 8;

/// Where a journal ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// First sequence number of the segment that is written now.
    pub segment: Seq,
    /// Where in it the next frame starts, in bytes.
    pub offset: u64,
    /// The number of the last frame, 0 when there is none.
    pub last: Seq,
    /// The hash of the last frame.
    pub head: Hash,
    /// What stands behind the last frame instead of zeros: a batch that was torn by the end of the process that wrote
    /// it, or is just being written. It was never acknowledged.
    pub torn: Option<&'static str>,
}

/// Reads and checks every frame of the journal in `dir` without changing anything, also while it is being written.
///
/// Every good frame is shown to `gather`, in order within a segment; the segments are read at the same time, so each
/// gathers into a value of its own, and these come back in order.
pub fn read<S: Default + Send>(
    dir: &Path,
    gather: impl Fn(&mut S, FrameRef, &Frame<'_>) + Sync,
) -> Result<(End, Vec<S>), OpenError> {
    let firsts = segment::list(dir)?;
    let mut end = End { segment: 1, offset: segment::HEADER as u64, last: 0, head: [0; 32], torn: None };
    let mut gathered = Vec::with_capacity(firsts.len());
    let count = firsts.len();
    for (i, scan) in scan_all(dir, &firsts, &gather).into_iter().enumerate() {
        let scan = scan?;
        let damaged = |what: String| OpenError::Damaged { segment: scan.path.clone(), offset: 0, what };
        if scan.first != end.last + 1 {
            return Err(damaged(format!("the segment with frame {} is missing", end.last + 1)));
        }
        if scan.prev != end.head {
            return Err(damaged("the header does not continue the segment before it".to_owned()));
        }
        if let Some(what) = scan.behind {
            // The next segment was begun only after this one was synced whole.
            if i + 1 < count {
                return Err(scan.damaged(what));
            }
            if scan.durable > scan.last {
                let next = scan.last + 1;
                let what =
                    format!("{what}, where frame {next} was once on disk (up to {} were)", scan.durable);
                return Err(scan.damaged(what));
            }
        }
        end = End {
            segment: scan.first,
            offset: scan.offset,
            last: scan.last,
            head: scan.head,
            torn: scan.behind,
        };
        gathered.push(scan.gathered);
    }
    Ok((end, gathered))
}

/// Scans every segment, on all cores, and returns the results in order.
fn scan_all<S: Default + Send>(
    dir: &Path,
    firsts: &[Seq],
    gather: &(impl Fn(&mut S, FrameRef, &Frame<'_>) + Sync),
) -> Vec<Result<Scan<S>, OpenError>> {
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS).min(firsts.len());
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::with_capacity(firsts.len()));
    let work = || {
        while let Some(first) = firsts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let scan = scan(dir, *first, gather);
            found.lock().unwrap_or_else(PoisonError::into_inner).push((*first, scan));
        }
    };
    thread::scope(|scope| {
        for _ in 1..readers {
            scope.spawn(work);
        }
        work();
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_by_key(|(first, _)| *first);
    found.into_iter().map(|(_, scan)| scan).collect()
}

/// Zeroes what follows the end, so that nothing of a torn batch can ever be taken for a frame.
pub(crate) fn cut(file: &fs::File, end: &End, bytes: u64) -> std::io::Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = end.offset;
    while offset < bytes {
        let n = (bytes - offset).min(zeros.len() as u64);
        file.write_all_at(&zeros[..usize::try_from(n).map_err(std::io::Error::other)?], offset)?;
        offset += n;
    }
    file.sync_all()
}
