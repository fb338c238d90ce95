//! Files that only their owner may read, written so that a power cut leaves the old file or the new one, never half.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::KeyError;

/// Writes `bytes` to `path` with mode 0600, replacing what is there in one step.
///
/// # Errors
/// When the file system refuses; the old file, if any, is then still whole.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let draft = Draft::write(path, bytes).map_err(KeyError::io(path))?;
    fs::rename(&draft.path, path).and_then(|()| sync_parent(path)).map_err(KeyError::io(path))
}

/// Writes `bytes` to a new file `path` with mode 0600; a file that exists is never touched.
///
/// # Errors
/// When the file exists already (`AlreadyExists`) or the file system refuses.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let draft = Draft::write(path, bytes).map_err(KeyError::io(path))?;
    // A link, unlike a rename, refuses to replace.
    fs::hard_link(&draft.path, path).map_err(KeyError::io(path))?;
    drop(draft);
    sync_parent(path).map_err(KeyError::io(path))
}

/// Reads a file that only its owner may read, up to 1 MiB; the bytes are wiped when dropped.
///
/// # Errors
/// When the file cannot be read, or when its mode lets group or others in.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    const AT_MOST: u64 = 1 << 20;
    let file = File::open(path).map_err(KeyError::io(path))?;
    let metadata = file.metadata().map_err(KeyError::io(path))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: path.to_owned(), mode });
    }
    // Room for the whole file at once: a growing vector would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(AT_MOST) as usize + 1));
    file.take(AT_MOST).read_to_end(&mut bytes).map_err(KeyError::io(path))?;
    Ok(bytes)
}

/// A file next to its target that disappears unless it became the target.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, bytes: &[u8]) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut tag = [0; 8];
        aws_lc_rs::rand::fill(&mut tag).map_err(|_| io::Error::other("no randomness"))?;
        let tag = u64::from_ne_bytes(tag);
        let path = target.with_file_name(format!(".{}.{tag:016x}.tmp", name.to_string_lossy()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let draft = Self { path };
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Gone already after a rename; nobody reads it otherwise.
        let _ = fs::remove_file(&self.path);
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_private_file_is_for_its_owner_alone_and_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        write_private(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_private(&path).unwrap().as_slice(), b"two");
        assert_eq!(names(dir.path()), ["secret"]);
    }

    #[test]
    fn creating_never_touches_a_file_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        create_private(&path, b"one").unwrap();
        let refused = create_private(&path, b"two").unwrap_err();
        assert!(
            matches!(refused, KeyError::Io { source, .. } if source.kind() == io::ErrorKind::AlreadyExists),
            "an existing key is kept"
        );
        assert_eq!(read_private(&path).unwrap().as_slice(), b"one");
        assert_eq!(names(dir.path()), ["secret"]);
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        write_private(&path, b"one").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_private(&path).unwrap_err().to_string();
            assert!(refused.contains("chmod 600"), "{mode:o}: {refused}");
        }
    }
}
