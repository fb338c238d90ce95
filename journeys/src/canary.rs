//! Looks for secrets where none may be, however they may be written: raw, as hex, as base64 at every alignment, as a list
//! of numbers, and broken into lines.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// So many bytes of a secret's spelling are enough to know it by.
const LENGTH: usize = 16;

/// Secrets to look for.
#[derive(Debug)]
pub struct Canary {
    spellings: HashMap<[u8; LENGTH], String>,
    /// Whether any spelling begins with these three bytes: most places are done with at the first look.
    begins: Vec<bool>,
}

/// A secret that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where.
    pub file: PathBuf,
    /// Which, and how it is spelt.
    pub what: String,
}

impl Default for Canary {
    fn default() -> Self {
        Self { spellings: HashMap::new(), begins: vec![false; 1 << 24] }
    }
}

fn begin(bytes: &[u8]) -> usize {
    bytes[..3].iter().fold(0, |begin, byte| begin << 8 | usize::from(*byte))
}

impl Canary {
    /// Looks for `secret` too, at least 32 bytes; `name` is how it is told.
    ///
    /// # Panics
    /// When the secret is too short to be known by parts of it.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        assert!(secret.len() >= 2 * LENGTH, "{name} is too short");
        let (head, tail) = (&secret[..LENGTH], &secret[secret.len() - LENGTH..]);
        self.spell(name, "raw", head);
        self.spell(name, "raw, its end", tail);
        for (part, bytes) in [("", head), (", its end", tail)] {
            self.spell(name, &format!("hex{part}"), hex(bytes).as_bytes());
            self.spell(name, &format!("upper-case hex{part}"), hex(bytes).to_uppercase().as_bytes());
        }
        // In base64, three bytes are four characters: a secret may begin at each of the three.
        for skip in 0..3 {
            let part = &secret[skip..skip + 12];
            self.spell(name, "base64", STANDARD_NO_PAD.encode(part).as_bytes());
            self.spell(name, "base64 for URLs", URL_SAFE_NO_PAD.encode(part).as_bytes());
        }
        self.spell(name, "a list of numbers", numbers(secret, ", ").as_bytes());
        self.spell(name, "a dense list of numbers", numbers(secret, ",").as_bytes());
    }

    fn spell(&mut self, name: &str, how: &str, spelling: &[u8]) {
        if let Some(known) = spelling.first_chunk::<LENGTH>() {
            self.begins[begin(known)] = true;
            self.spellings.insert(*known, format!("{name}, {how}"));
        }
    }

    /// Everything that is found in the files below `place`, or in the file `place`.
    pub fn look(&self, place: &Path) -> Result<Vec<Found>> {
        let mut found = Vec::new();
        let mut places = vec![place.to_owned()];
        while let Some(place) = places.pop() {
            let kind = fs::symlink_metadata(&place).with_context(|| place.display().to_string())?.file_type();
            if kind.is_dir() {
                for entry in fs::read_dir(&place)? {
                    places.push(entry?.path());
                }
            } else if kind.is_file() {
                let bytes = fs::read(&place)?;
                let whole = self.in_bytes(&bytes).into_iter().chain(self.in_bytes(&joined(&bytes)));
                found.extend(whole.map(|what| Found { file: place.clone(), what }));
            }
        }
        Ok(found)
    }

    fn in_bytes(&self, bytes: &[u8]) -> Vec<String> {
        let known = bytes.windows(LENGTH).filter(|at| self.begins[begin(at)]);
        known.filter_map(|at| self.spellings.get(at).cloned()).collect()
    }
}

/// The bytes without line ends, also those that stand in JSON: a spelling may be broken by them.
fn joined(bytes: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match (first, after.first()) {
            (b'\n' | b'\r', _) => rest = after,
            (b'\\', Some(b'n' | b'r')) => rest = &after[1..],
            _ => {
                joined.push(*first);
                rest = after;
            }
        }
    }
    joined
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn numbers(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between)
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// What is found in a file that holds this.
    fn look(canary: &Canary, bytes: &[u8]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/file"), bytes).unwrap();
        canary.look(dir.path()).unwrap().into_iter().map(|found| found.what).collect()
    }

    #[test]
    fn a_secret_is_found_however_it_is_spelt() {
        let secret: Vec<u8> = (0..32).map(|n: u8| n.wrapping_mul(167).wrapping_add(13)).collect();
        let mut canary = Canary::default();
        canary.add("it", &secret);
        for before in 0..6 {
            let within = [&vec![7; before][..], &secret, &[7; 5]].concat();
            let pem: String = STANDARD
                .encode([&within[..], &within].concat())
                .as_bytes()
                .chunks(10)
                .map(|line| format!("{}\n", String::from_utf8_lossy(line)))
                .collect();
            for spelling in [
                within.clone(),
                hex(&within).into_bytes(),
                hex(&within).to_uppercase().into_bytes(),
                STANDARD.encode(&within).into_bytes(),
                URL_SAFE_NO_PAD.encode(&within).into_bytes(),
                format!("{within:?}").into_bytes(),
                numbers(&within, ",").into_bytes(),
                pem.replace('\n', "\\n").into_bytes(),
                pem.into_bytes(),
                secret[..16].to_vec(),
                secret[16..].to_vec(),
            ] {
                assert!(!look(&canary, &spelling).is_empty(), "{}", String::from_utf8_lossy(&spelling));
            }
        }
        assert!(look(&canary, &secret[..15]).is_empty());
        assert!(look(&canary, &[0; 4096]).is_empty());
    }
}
