//! The seal of an index that was closed in good order: size and checksum of each of its files.
//!
//! sled notices most damage by itself, but can also take a broken part of its file for an unused one and show older
//! records. An index whose files are not what they were when it was closed is rebuilt.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// What the files of an index were.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    files: Vec<Sealed>,
}

/// One of them.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    name: String,
    bytes: u64,
    crc32c: u32,
}

/// The seal's own file, beside the folder.
fn path(dir: &Path) -> PathBuf {
    dir.with_extension("seal")
}

/// Seals the index in `dir`, which nobody has open any more.
pub(crate) fn put(dir: &Path) -> io::Result<()> {
    let seal = look(dir, true)?;
    let path = path(dir);
    let draft = path.with_extension("seal.tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&serde_json::to_vec(&seal)?)?;
    file.sync_all()?;
    fs::rename(&draft, &path)?;
    sync_parent(&path)
}

/// Breaks the seal of the index in `dir`, and says what was changed since it was put; `None` where all is as it was, or
/// where there is no seal because the index was not closed in good order.
pub(crate) fn broken(dir: &Path) -> io::Result<Option<String>> {
    let path = path(dir);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    // Whatever it says, from now on it is out of date.
    fs::remove_file(&path)?;
    sync_parent(&path)?;
    let Ok(sealed) = serde_json::from_slice::<Seal>(&text) else {
        return Ok(Some("its seal cannot be read".to_owned()));
    };
    let found = look(dir, false)?;
    let changed = sealed.files.iter().find(|file| !found.files.contains(file));
    let changed = changed.or_else(|| found.files.iter().find(|file| !sealed.files.contains(file)));
    Ok(changed.map(|file| format!("{} is not what it was when the index was closed", file.name)))
}

fn look(dir: &Path, sync: bool) -> io::Result<Seal> {
    let mut seal = Seal::default();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut file = File::open(&path)?;
            if sync {
                file.sync_all()?;
            }
            let (bytes, crc32c) = checksum(&mut file)?;
            let name = path.strip_prefix(dir).unwrap_or(&path).to_string_lossy().into_owned();
            seal.files.push(Sealed { name, bytes, crc32c });
        }
    }
    seal.files.sort();
    Ok(seal)
}

fn checksum(file: &mut File) -> io::Result<(u64, u32)> {
    let mut buffer = vec![0; 1 << 20];
    let (mut bytes, mut crc) = (0, 0);
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((bytes, crc));
        }
        crc = crc32c::crc32c_append(crc, &buffer[..n]);
        bytes += n as u64;
    }
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_seal_tells_every_change_once() {
        let dir = TempDir::new().unwrap();
        let index = dir.path().join("index");
        fs::create_dir_all(index.join("blobs")).unwrap();
        let file = index.join("blobs/1");
        fs::write(&file, b"record").unwrap();
        assert_eq!(broken(&index).unwrap(), None, "without a seal nothing is known");
        let check = |change: &dyn Fn(), expected: Option<&str>| {
            fs::write(&file, b"record").unwrap();
            put(&index).unwrap();
            change();
            let found = broken(&index).unwrap();
            assert_eq!(
                found.as_deref().map(|why| why.contains("blobs/1")),
                expected.map(|_| true),
                "{found:?}"
            );
            assert_eq!(broken(&index).unwrap(), None, "it is broken once");
        };
        check(&|| {}, None);
        check(&|| fs::write(&file, b"recorD").unwrap(), Some("changed"));
        check(&|| fs::write(&file, b"record\0").unwrap(), Some("longer"));
        check(&|| fs::remove_file(&file).unwrap(), Some("gone"));
        put(&index).unwrap();
        fs::write(index.join("more"), b"").unwrap();
        assert!(broken(&index).unwrap().unwrap().contains("more"));
        put(&index).unwrap();
        fs::write(dir.path().join("index.seal"), b"{").unwrap();
        assert!(broken(&index).unwrap().unwrap().contains("seal"));
    }
}
