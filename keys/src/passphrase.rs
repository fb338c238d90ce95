//! The words that open an encrypted key, and the three places they may come from.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::derived::{Derivation, Derived, Key};
use crate::{KeyError, read_private, terminal};

/// A passphrase: wiped when dropped, never printed.
///
/// Clones remember together what was derived from it, so that many keys cost little more than one.
#[derive(Clone)]
pub struct Passphrase {
    words: Zeroizing<String>,
    derived: Derived,
}

/// No usable passphrase.
#[derive(Debug, thiserror::Error)]
pub enum PassphraseError {
    /// The file with the passphrase cannot be used.
    #[error(transparent)]
    File(#[from] KeyError),
    /// Nothing, or only a line end, was given.
    #[error("{from} holds an empty passphrase")]
    Empty {
        /// Where it was looked for.
        from: String,
    },
    /// The passphrase is not text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// The file concerned.
        path: PathBuf,
    },
    /// systemd handed this process no credentials.
    #[error(
        "no credential directory; start through systemd with LoadCredential={name}:… or use a file instead"
    )]
    NoCredentials {
        /// The credential that was wanted.
        name: String,
    },
    /// A credential is named by a file name, not by a path.
    #[error("credential name {name:?} must be a plain file name")]
    BadCredentialName {
        /// The name as it was given.
        name: String,
    },
    /// There is nobody to ask.
    #[error("no terminal to ask for the passphrase on; give it in a file or as a credential")]
    NoTerminal {
        /// What the system said.
        source: std::io::Error,
    },
    /// The two entries of a new passphrase differ.
    #[error("the two entries differ; nothing was written")]
    Mismatch,
}

impl Passphrase {
    /// Takes a passphrase that is already in memory.
    ///
    /// # Errors
    /// When it is empty.
    pub fn new(words: String) -> Result<Self, PassphraseError> {
        let words = Zeroizing::new(words);
        if words.is_empty() {
            return Err(PassphraseError::Empty { from: "the given text".to_owned() });
        }
        Ok(words.into())
    }

    /// Reads the passphrase from a file that only its owner may read; one line end at its end is not part of it.
    ///
    /// # Errors
    /// When the file cannot be read, is readable by others, is not text, or is empty.
    pub fn from_file(path: &Path) -> Result<Self, PassphraseError> {
        let bytes = read_private(path)?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| PassphraseError::NotText { path: path.to_owned() })?
            .trim_end_matches('\n')
            .trim_end_matches('\r');
        if text.is_empty() {
            return Err(PassphraseError::Empty { from: path.display().to_string() });
        }
        Ok(Zeroizing::new(text.to_owned()).into())
    }

    /// Reads the systemd credential `name` (`LoadCredential=`, `LoadCredentialEncrypted=`).
    ///
    /// # Errors
    /// When systemd handed over no such credential, or as [`from_file`](Self::from_file).
    pub fn from_credential(name: &str) -> Result<Self, PassphraseError> {
        let folder = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::from_credential_in(folder.as_deref(), name)
    }

    fn from_credential_in(folder: Option<&Path>, name: &str) -> Result<Self, PassphraseError> {
        if name.is_empty() || name.contains('/') || name == ".." || name == "." {
            return Err(PassphraseError::BadCredentialName { name: name.to_owned() });
        }
        let folder = folder.ok_or_else(|| PassphraseError::NoCredentials { name: name.to_owned() })?;
        Self::from_file(&folder.join(name))
    }

    /// Asks the person at the terminal, without showing what is typed.
    ///
    /// # Errors
    /// When the process has no terminal, or nothing was typed.
    pub fn prompt(question: &str) -> Result<Self, PassphraseError> {
        let words = terminal::ask(question).map_err(|source| PassphraseError::NoTerminal { source })?;
        if words.is_empty() {
            return Err(PassphraseError::Empty { from: "the answer".to_owned() });
        }
        Ok(words.into())
    }

    /// Asks twice, so that a typing error does not lock a new key for ever.
    ///
    /// # Errors
    /// As [`prompt`](Self::prompt), and when the two entries differ.
    pub fn prompt_new(question: &str) -> Result<Self, PassphraseError> {
        let first = Self::prompt(question)?;
        let again = Self::prompt("the same again")?;
        if first.words != again.words {
            return Err(PassphraseError::Mismatch);
        }
        Ok(first)
    }

    /// The words as bytes, for whoever derives a key or checks a hash with them.
    pub fn as_bytes(&self) -> &[u8] {
        self.words.as_bytes()
    }

    /// The key of a file that was locked with `derivation`; `None` where that cannot be carried out.
    pub(crate) fn key(&self, derivation: Derivation) -> Option<Key> {
        self.derived.key(derivation, self.as_bytes())
    }

    /// The key of a new file, and with what it was derived; `None` where the system has no randomness.
    pub(crate) fn own_key(&self) -> Option<(Derivation, Key)> {
        self.derived.own(self.as_bytes())
    }
}

impl From<Zeroizing<String>> for Passphrase {
    fn from(words: Zeroizing<String>) -> Self {
        Self { words, derived: Derived::default() }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write_private;

    #[test]
    fn the_line_end_of_a_passphrase_file_is_not_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        for written in ["correct horse", "correct horse\n", "correct horse\r\n"] {
            write_private(&path, written.as_bytes()).unwrap();
            assert_eq!(Passphrase::from_file(&path).unwrap().as_bytes(), b"correct horse", "{written:?}");
        }
    }

    #[test]
    fn an_empty_passphrase_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("words");
        write_private(&path, b"\n").unwrap();
        assert!(matches!(Passphrase::from_file(&path), Err(PassphraseError::Empty { .. })));
        assert!(matches!(Passphrase::new(String::new()), Err(PassphraseError::Empty { .. })));
    }

    #[test]
    fn a_credential_is_found_by_its_plain_name_only() {
        let dir = tempfile::tempdir().unwrap();
        write_private(&dir.path().join("ca"), b"words").unwrap();
        assert_eq!(Passphrase::from_credential_in(Some(dir.path()), "ca").unwrap().as_bytes(), b"words");
        for name in ["", "..", "../ca", "a/b"] {
            let refused = Passphrase::from_credential_in(Some(dir.path()), name);
            assert!(matches!(refused, Err(PassphraseError::BadCredentialName { .. })), "{name:?}");
        }
        let refused = Passphrase::from_credential_in(None, "ca");
        assert!(matches!(refused, Err(PassphraseError::NoCredentials { .. })));
    }

    #[test]
    fn a_passphrase_never_prints_itself() {
        let words = Passphrase::new("correct horse".to_owned()).unwrap();
        assert_eq!(format!("{words:?}"), "Passphrase(…)");
    }
}
