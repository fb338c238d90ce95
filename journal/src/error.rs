//! What can go wrong, split by what the caller has to do about it.

use std::{io, path::PathBuf};

use thiserror::Error;

use crate::frame::Seq;

/// Why a journal did not open. Nothing on disk was changed, except where noted.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has the folder open.
    #[error("{} is in use by another process; stop it first", dir.display())]
    InUse {
        /// The journal's folder.
        dir: PathBuf,
    },
    /// Something that was once synced is not there any more, or not what it was.
    #[error("{}, byte {offset}: {what}; restore this folder from a backup, nothing was changed", segment.display())]
    Damaged {
        /// The segment file.
        segment: PathBuf,
        /// Where in the file the trouble starts, in bytes.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// The data was written by a later version of this program.
    #[error(
        "{}, byte {offset}, has format version {version}, newer than this program understands (1); \
         use the program that wrote it, nothing was changed",
        segment.display()
    )]
    Newer {
        /// The segment file.
        segment: PathBuf,
        /// Where in the file, in bytes.
        offset: u64,
        /// The version found.
        version: u32,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// Why a frame was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The disk is full. Nothing was begun: the journal is as good as before, and the next try may work.
    #[error("no space left for a new journal segment of {needed} bytes")]
    Full {
        /// The size of a segment, in bytes.
        needed: u64,
    },
    /// The payload is larger than [`crate::MAX_PAYLOAD`]. The journal is as good as before.
    #[error("a payload of {bytes} bytes is larger than a frame may be")]
    TooLarge {
        /// The size of the payload, in bytes.
        bytes: usize,
    },
    /// A write or sync failed. Final: what is on disk is unknown until the journal is opened again.
    #[error("the journal cannot be written any more: {why}")]
    Failed {
        /// The first failure.
        why: String,
    },
}

/// Why a frame could not be read back.
#[derive(Debug, Error)]
pub enum ReadError {
    /// What is there is not the frame that was written.
    #[error("frame {seq} is damaged: {what}")]
    Damaged {
        /// The frame asked for.
        seq: Seq,
        /// What is wrong with it.
        what: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The segment file.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
}

/// Adds the path to an I/O error.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.into();
    move |source| OpenError::Io { path, source }
}
