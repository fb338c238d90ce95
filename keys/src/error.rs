//! What can go wrong with a key file, said so that the reader knows what to do.

use std::io;
use std::path::{Path, PathBuf};

/// A key file that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else on this machine can read the file.
    #[error("{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}")]
    Exposed {
        /// The file concerned.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not the PEM document it should be.
    #[error("{path} is not {expected}")]
    Malformed {
        /// The file concerned.
        path: PathBuf,
        /// What should have been there.
        expected: &'static str,
    },
    /// Decryption did not give a key.
    #[error("{path} does not open with this passphrase, or the file is damaged")]
    WrongPassphrase {
        /// The file concerned.
        path: PathBuf,
    },
    /// The cryptographic library refused to make a key.
    #[error("a new key could not be made")]
    Generate,
    /// The token that holds the key refused, or is not there.
    #[error(transparent)]
    Token(#[from] crate::TokenError),
}

impl KeyError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), source }
    }
}

/// The place that holds a key did not sign.
#[derive(Debug, thiserror::Error)]
#[error("the key did not sign: {0}")]
pub struct SignError(
    /// Why, in the words of the place that holds the key.
    pub String,
);
