//! What the disk itself allows: frames of our size written one after the other into a file that is there already.
//!
//! Once as a loop, and once behind a thread as every store is, which tells what handing over and waking up cost.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    committers::{RECORD, Slice},
    group::Peer,
};

/// The size of the file, that of a segment.
const FILE: u64 = 64 << 20;
/// The size of a frame: a record, the JSON around it, and the header, as the journal pads it.
const FRAME: u64 = 1688;

/// A file of written blocks, filled round and round.
pub(crate) struct Bare {
    file: File,
    /// Where the next frame goes.
    offset: u64,
}

impl Bare {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(dir.join("file"))?;
        if file.metadata()?.len() < FILE {
            for _ in 0..FILE >> 20 {
                file.write_all(&[0; 1 << 20])?;
            }
            file.sync_all()?;
        }
        Ok(Self { file, offset: 0 })
    }

    fn write(&mut self, frames: &[u8]) -> Result<()> {
        if self.offset + frames.len() as u64 > FILE {
            self.offset = 0;
        }
        self.file.write_all_at(frames, self.offset)?;
        self.file.sync_data()?;
        self.offset += frames.len() as u64;
        Ok(())
    }
}

impl Peer for Bare {
    fn commit(&mut self, records: &[(u64, String)]) -> Result<()> {
        let frame = usize::try_from(FRAME)?;
        let mut frames = vec![0; records.len() * frame];
        for (frame, (_, record)) in frames.chunks_mut(frame).zip(records) {
            frame[..RECORD].copy_from_slice(record.as_bytes());
        }
        self.write(&frames)
    }

    /// The last frame, whatever its number: there are no keys here.
    fn get(&self, _: u64) -> Result<Option<Vec<u8>>> {
        let mut record = vec![0; RECORD];
        self.file.read_exact_at(&mut record, self.offset - FRAME)?;
        Ok(Some(record))
    }
}

/// Writes and syncs frame after frame for as long as `length`.
pub(crate) fn slice(mut bare: Bare, length: Duration) -> Result<Slice> {
    let frame = vec![b'r'; usize::try_from(FRAME)?];
    let mut latencies = Vec::new();
    let start = Instant::now();
    while start.elapsed() < length {
        let begun = Instant::now();
        bare.write(&frame)?;
        latencies.push(begun.elapsed());
    }
    Ok(Slice { seconds: start.elapsed().as_secs_f64(), latencies })
}
