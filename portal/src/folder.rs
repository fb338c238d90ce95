//! The portal's state folder: which file is where, and that one process at a time works in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use ledger::{Ledger, OpenError, Options};

use crate::event::PortalEvent;

/// Why the state folder cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// `portal init` has not run here.
    #[error("{0} is not a portal's state folder; run: portal init --state {0}")]
    NotInitialised(PathBuf),
    /// Another portal, or a command, is at work.
    #[error("{0} is in use by a running portal; stop it first, e.g. systemctl stop portal")]
    InUse(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The ledger in it does not open.
    #[error(transparent)]
    Ledger(#[from] OpenError),
}

/// A state folder that this process alone works in.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Enters a folder that `portal init` has made.
    ///
    /// # Errors
    /// When it was not initialised or is in use.
    pub fn enter(path: &Path) -> Result<Self, FolderError> {
        if !path.join(SEAL_KEY).exists() {
            return Err(FolderError::NotInitialised(path.to_owned()));
        }
        Self::lock(path)
    }

    /// Enters a folder that may be new.
    pub(crate) fn lock(path: &Path) -> Result<Self, FolderError> {
        let lock = path.join("portal.lock");
        let io = |source| FolderError::Io { path: lock.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock).map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Opens the ledger; blocks for as long as its verification takes.
    ///
    /// # Errors
    /// When the ledger does not open; its text says what to do.
    pub fn ledger(&self, options: &Options) -> Result<Ledger<PortalEvent>, FolderError> {
        Ok(Ledger::open(&self.path.join("ledger"), options)?)
    }

    /// The key that seals claim codes.
    #[must_use]
    pub fn seal_key(&self) -> PathBuf {
        self.path.join(SEAL_KEY)
    }

    /// The server certificate that `portal init` made.
    #[must_use]
    pub fn server_certificate(&self) -> PathBuf {
        self.path.join("server.pem")
    }

    /// The key of that certificate.
    #[must_use]
    pub fn server_key(&self) -> PathBuf {
        self.path.join("server.key")
    }

    /// What browsers must trust.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.path.join("root.pem")
    }
}

const SEAL_KEY: &str = "seal.key";
