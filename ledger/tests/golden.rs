//! What version 1 wrote is read by every later version; what a later one wrote is refused and left alone.
//!
//! `golden/1.json` is a ledger's folder as this code has written it: file by file, in hex, trailing zeros left out. It is
//! made anew with `LEDGER_GOLDEN=write cargo test -p ledger --test golden`, once per version of the format, never to make a
//! test pass.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use journal::segment;
use ledger::{
    Applied, Changes, CheckpointKey, Decision, Event, Ledger, OpenError, Options, SpaceOptions, Stamp,
    audit::audit,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::OffsetDateTime;

/// Something that happened.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    text: String,
}

impl Event for Note {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        changes.put(format!("note/{}", self.text).as_bytes(), &at.frame);
        changes.add(b"n/notes", 1);
    }
}

/// A file of the folder: its size, and its bytes up to the last that is not zero.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    bytes: usize,
    hex: String,
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/1.json")
}

fn options() -> Options {
    // No real signature: whoever has the folder cannot check one without the key, and the key is thrown away.
    let sign = Arc::new(|message: &[u8]| Ok(journal::frame::sha256(message).to_vec()));
    let key = CheckpointKey { key: "golden".to_owned(), certificates: vec![b"golden".to_vec()], sign };
    Options {
        journal: journal::Options { segment_bytes: 4 << 10 },
        cache_bytes: 1 << 20,
        space: SpaceOptions { floor: 0, ballast: 0 },
        checkpoint_key: Some(key),
    }
}

fn check(_: &[Vec<u8>], _: &str, message: &[u8], signature: &[u8]) -> Result<(), String> {
    if signature == journal::frame::sha256(message) { Ok(()) } else { Err("forged".to_owned()) }
}

async fn write(dir: &Path) {
    let ledger = Ledger::<Note>::open(dir, &options()).unwrap();
    for n in 0..12 {
        let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "golden".to_owned() };
        let events = vec![Note { text: format!("note {n} {}", "x".repeat(n * 40)) }];
        let decide = move |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events, answer: () });
        ledger.commit(stamp, decide).await.unwrap();
    }
    ledger.close().await;
}

/// Writes the folder down, without the index: it is made anew anyway.
fn keep(dir: &Path) {
    let journal = dir.join("journal");
    let mut files = vec![dir.join("index.version")];
    files.extend(segment::list(&journal).unwrap().into_iter().map(|first| segment::path(&journal, first)));
    let kept = files.into_iter().map(|path| {
        let bytes = fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
        let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
        (name, Kept { bytes: bytes.len(), hex: hex::encode(&bytes[..end]) })
    });
    let text = serde_json::to_string_pretty(&kept.collect::<BTreeMap<_, _>>()).unwrap();
    fs::create_dir_all(golden().parent().unwrap()).unwrap();
    fs::write(golden(), text + "\n").unwrap();
}

/// Makes a folder of what was written down.
fn unpack(dir: &Path) {
    let kept: BTreeMap<String, Kept> = serde_json::from_slice(&fs::read(golden()).unwrap()).unwrap();
    for (name, file) in kept {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut bytes = hex::decode(file.hex).unwrap();
        bytes.resize(file.bytes, 0);
        fs::write(path, bytes).unwrap();
    }
}

#[tokio::test]
async fn what_version_1_wrote_is_read() {
    if std::env::var_os("LEDGER_GOLDEN").is_some() {
        let made = TempDir::new().unwrap();
        write(made.path()).await;
        keep(made.path());
    }
    let dir = TempDir::new().unwrap();
    unpack(dir.path());
    let found = audit::<Note>(&dir.path().join("journal"), &check).unwrap();
    assert!(found.checkpoints >= 1 && found.signed >= 12 && found.torn.is_none(), "{found:?}");
    let ledger = Ledger::<Note>::open(dir.path(), &options()).unwrap();
    assert_eq!(ledger.counter(b"n/notes").unwrap(), 12);
    let frame = ledger.get(b"note/note 0 ").unwrap().unwrap();
    let entry = ledger.entry(&frame).unwrap();
    assert_eq!((entry.actor.as_str(), entry.at), ("golden", OffsetDateTime::UNIX_EPOCH));
    assert_eq!(entry.events, vec![Note { text: "note 0 ".to_owned() }]);
    // And it goes on from there.
    let decide = |_: &ledger::View<'_>| {
        Ok::<_, ()>(Decision { events: vec![Note { text: "later".to_owned() }], answer: () })
    };
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "later".to_owned() };
    ledger.commit(stamp, decide).await.unwrap();
    ledger.close().await;
    assert!(audit::<Note>(&dir.path().join("journal"), &check).unwrap().signed > found.signed);
}

#[tokio::test]
async fn what_a_later_version_wrote_is_refused_and_left_alone() {
    for (name, at, value) in [("index.version", 0, b'2'), ("journal/00000000000000000001.segment", 8, 2)] {
        let dir = TempDir::new().unwrap();
        unpack(dir.path());
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = value;
        fs::write(&path, &bytes).unwrap();
        let error = Ledger::<Note>::open(dir.path(), &options()).unwrap_err();
        let newer =
            matches!(error, OpenError::Newer { .. } | OpenError::Journal(journal::OpenError::Newer { .. }));
        assert!(newer, "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        assert!(!dir.path().join("index").exists(), "nothing was made");
    }
}
