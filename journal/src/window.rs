//! A file seen through a window that moves: a segment is read once, front to back, in little memory.

use std::{fs::File, io, os::unix::fs::FileExt};

/// How much is read at a time, in bytes.
const CHUNK: u64 = 2 << 20;

/// The file, and the part of it that is in memory.
#[derive(Debug)]
pub(crate) struct Window {
    file: File,
    len: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Looks at `file`, which has `len` bytes.
    pub(crate) fn new(file: File, len: u64) -> Self {
        Self { file, len, start: 0, bytes: Vec::new() }
    }

    /// The bytes from `offset` on: `want` of them, or fewer where the file ends.
    pub(crate) fn at(&mut self, offset: u64, want: usize) -> io::Result<&[u8]> {
        let end = offset.saturating_add(want as u64).min(self.len);
        if offset >= end {
            return Ok(&[]);
        }
        if offset < self.start || end > self.start + self.bytes.len() as u64 {
            let reach = end.max(offset + CHUNK).min(self.len) - offset;
            self.bytes.resize(usize::try_from(reach).map_err(io::Error::other)?, 0);
            self.file.read_exact_at(&mut self.bytes, offset)?;
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).map_err(io::Error::other)?;
        Ok(&self.bytes[from..from + usize::try_from(end - offset).map_err(io::Error::other)?])
    }

    /// The first byte from `offset` on that is not zero.
    pub(crate) fn nonzero(&mut self, mut offset: u64) -> io::Result<Option<u64>> {
        while offset < self.len {
            self.at(offset, 1)?;
            // All that is in memory; asking for more would read the same again for every step of the caller.
            let bytes = &self.bytes[usize::try_from(offset - self.start).map_err(io::Error::other)?..];
            if let Some(found) = bytes.iter().position(|&b| b != 0) {
                return Ok(Some(offset + found as u64));
            }
            offset += bytes.len() as u64;
        }
        Ok(None)
    }
}
