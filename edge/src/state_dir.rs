//! What lies where in the state folder of an appliance.

use std::path::{Path, PathBuf};

/// The state folder.
#[derive(Debug, Clone)]
pub(crate) struct StateDir(PathBuf);

impl StateDir {
    pub(crate) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A certificate: `root`, `issuing`, `floor`, `server`.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.pem"))
    }

    /// The key to it; that of `server` is plain, the others are encrypted.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.0.join(format!("{name}.key"))
    }

    /// The secret that claim codes are derived from, encrypted.
    pub(crate) fn claim_key(&self) -> PathBuf {
        self.0.join("claim.key")
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger")
    }

    /// The journal of the ledger.
    pub(crate) fn journal(&self) -> PathBuf {
        self.ledger().join("journal")
    }

    /// The socket of the command line.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("edge.sock")
    }
}
