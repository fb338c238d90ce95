//! What can go wrong, split by what the caller has to do about it.

use std::{io, path::PathBuf};

use journal::Seq;
use thiserror::Error;

use crate::block::CutShort;

/// Why a ledger did not open.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The journal refused; its text says what to do.
    #[error(transparent)]
    Journal(#[from] journal::OpenError),
    /// The journal holds a frame that this program cannot read.
    #[error("frame {seq} of the journal does not parse ({source}); was it written by a newer version?")]
    Unreadable {
        /// The frame.
        seq: Seq,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A frame could not be read back for the index.
    #[error(transparent)]
    Frame(#[from] journal::ReadError),
    /// The index knows of frames that the journal does not have: acknowledged work is missing.
    #[error(
        "the index in {} knows frame {index}, but the journal in {} ends at {journal}: \
         acknowledged frames are missing; restore the journal, or delete the index only if that loss is accepted",
        index_dir.display(), journal_dir.display()
    )]
    IndexAhead {
        /// The index's folder.
        index_dir: PathBuf,
        /// The highest frame that it holds.
        index: Seq,
        /// The journal's folder.
        journal_dir: PathBuf,
        /// The last frame there.
        journal: Seq,
    },
    /// The index was built by a later version of this program, so the journal may hold what this one does not know.
    #[error(
        "the index in {} was built by a later version of this program (rules {found}, ours are {ours}); \
         use that version, nothing was changed",
        index_dir.display()
    )]
    Newer {
        /// The index's folder.
        index_dir: PathBuf,
        /// The version found.
        found: String,
        /// Ours.
        ours: String,
    },
    /// The index can be neither used nor rebuilt.
    #[error("the index in {}: {why}", dir.display())]
    Index {
        /// Its folder.
        dir: PathBuf,
        /// What is wrong.
        why: String,
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

/// Why a ledger takes no commit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// Storage failed; final until a restart has verified what is on disk.
    #[error("storage failed: {why}")]
    Failed {
        /// The first failure.
        why: String,
    },
    /// The disk is full. Nothing was written; the next try may work.
    #[error("the disk is full: {} MiB are free, {} MiB are needed", free >> 20, needed >> 20)]
    Full {
        /// Free bytes.
        free: u64,
        /// Bytes that have to be free.
        needed: u64,
    },
    /// The commit is larger than a frame may be. Nothing was written.
    #[error("the commit is too large to be stored")]
    TooLarge,
    /// The program is stopping.
    #[error("the ledger is closed")]
    Closed,
}

/// How a commit ended, when not well.
#[derive(Debug, Error)]
pub enum CommitError<R> {
    /// The decision itself said no.
    #[error("refused")]
    Refused(R),
    /// The ledger could not keep it.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why something could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The index cannot be read, or holds something else than asked for.
    #[error("the index cannot be read: {why}")]
    Index {
        /// What is wrong.
        why: String,
    },
    /// The frame cannot be read.
    #[error(transparent)]
    Frame(#[from] journal::ReadError),
    /// The frame is not one of this program's.
    #[error("frame {seq} does not parse: {why}")]
    Unreadable {
        /// The frame.
        seq: Seq,
        /// What the parser said.
        why: String,
    },
}

impl ReadError {
    pub(crate) fn index(why: impl ToString) -> Self {
        Self::Index { why: why.to_string() }
    }
}

impl From<CutShort> for ReadError {
    fn from(_: CutShort) -> Self {
        Self::index("a block cut short")
    }
}
