//! What the disk itself allows: frames of our size written one after the other into a file that is there already.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::committers::Slice;

/// The size of the file, that of a segment.
const FILE: u64 = 64 << 20;
/// The size of a frame: a record, the JSON around it, and the header, as the journal pads it.
const FRAME: u64 = 1688;

/// Writes and syncs frame after frame for as long as `length`, round and round in one file.
pub(crate) fn slice(dir: &Path, length: Duration) -> Result<Slice> {
    fs::create_dir_all(dir)?;
    let path = dir.join("file");
    let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
    if file.metadata()?.len() < FILE {
        for _ in 0..FILE >> 20 {
            file.write_all(&[0; 1 << 20])?;
        }
        file.sync_all()?;
    }
    let frame = vec![b'r'; usize::try_from(FRAME)?];
    let mut offset = 0;
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < length {
        let begun = Instant::now();
        file.write_all_at(&frame, offset)?;
        file.sync_data()?;
        latencies.push(begun.elapsed());
        offset = if offset + 2 * FRAME > FILE { 0 } else { offset + FRAME };
    }
    Ok(Slice { seconds: start.elapsed().as_secs_f64(), latencies })
}
