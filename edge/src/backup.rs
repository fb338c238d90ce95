//! A copy of everything that makes this box this box, and a new box made of it.
//!
//! A backup is a folder: the certificates and keys as they are (those of the CAs encrypted), and the journal. Its index is
//! not in it: it is rebuilt. Whoever has a backup and the passphrase is the box, so it is kept like the box itself.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use keys::{KeyError, write_private};
use ledger::{
    CommitError, Decision, Ledger, Options, ReadError, Seq, Stamp, View,
    audit::{Copied, Reader, Tail, copy, records},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    EdgeEvent,
    event::{IssuedBy, Restored},
    index::{self, BoxRecord},
    record::Commit,
    state_dir::StateDir,
};

/// The backup's own file: what it is of.
const LABEL: &str = "backup.json";

/// What a backup is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Label {
    version: u32,
    #[serde(rename = "box")]
    pub(crate) box_id: String,
    /// The last frame that it holds.
    pub(crate) seq: Seq,
    /// That frame's hash, hex.
    pub(crate) head: String,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) made_at: OffsetDateTime,
}

/// Why there is no backup, or no restored box.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    #[error("{} is not a state folder: it has no journal", .0.display())]
    NoState(PathBuf),
    #[error("{} is not empty and no backup; choose a new folder", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is a backup of another box, {theirs}; choose another folder", dir.display())]
    OtherBox { dir: PathBuf, theirs: String },
    #[error("{} is no backup: {why}", dir.display())]
    NoBackup { dir: PathBuf, why: String },
    #[error("{} ends with a frame {seq} that this box does not have: it is of another life of this box; choose another folder", dir.display())]
    OtherLife { dir: PathBuf, seq: Seq },
    #[error("this box was restored 254 times; make a new one with edge init")]
    Generations,
    #[error(transparent)]
    Journal(#[from] ledger::audit::CopyError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Open(#[from] ledger::OpenError),
    #[error("{0}")]
    Write(ledger::Unavailable),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

/// Brings the backup in `to` up to the box in `from`, which may be running; returns what it holds now, and how much of it
/// was copied this time.
pub(crate) fn backup(from: &Path, to: &Path, now: OffsetDateTime) -> Result<(Label, Copied), BackupError> {
    let (from, target) = (StateDir::new(from), StateDir::new(to));
    let journal = from.journal();
    if !journal.is_dir() {
        return Err(BackupError::NoState(from.path().to_owned()));
    }
    let box_id = name(&journal)?.ok_or_else(|| BackupError::NoState(from.path().to_owned()))?;
    if to.join(LABEL).exists() {
        let before = read_label(to)?;
        if before.box_id != box_id {
            return Err(BackupError::OtherBox { dir: to.to_owned(), theirs: before.box_id });
        }
        // Before anything is copied over it: what it ends with has to be in this journal.
        let same = Reader::new(&journal).hash(before.seq).map_err(ReadError::from)?.map(hex::encode);
        if before.seq > 0 && same.as_ref() != Some(&before.head) {
            return Err(BackupError::OtherLife { dir: to.to_owned(), seq: before.seq });
        }
    } else if to.is_dir() && fs::read_dir(to).map_err(io_at(to))?.next().is_some() {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    make_dir(&target.journal())?;
    copy_files(&from, &target)?;
    let copied = copy(&journal, &target.journal(), Tail::Durable)?;
    let label = Label { version: 1, box_id, seq: copied.last, head: hex::encode(copied.head), made_at: now };
    let text = serde_json::to_vec_pretty(&label)
        .map_err(|error| BackupError::Io { path: to.join(LABEL), source: error.into() })?;
    write_private(&to.join(LABEL), &text)?;
    Ok((label, copied))
}

/// Makes a box in `to` of the backup in `from`. It issues and sends nothing until it is reconciled.
pub(crate) async fn restore(
    from: &Path,
    to: &Path,
    options: Options,
    now: OffsetDateTime,
) -> Result<(Label, Restored), BackupError> {
    let label = read_label(from)?;
    if to.is_dir() && fs::read_dir(to).map_err(io_at(to))?.next().is_some() {
        return Err(BackupError::NotEmpty(to.to_owned()));
    }
    let (source, target) = (StateDir::new(from), StateDir::new(to));
    make_dir(&target.journal())?;
    let copied = copy(&source.journal(), &target.journal(), Tail::Whole)?;
    if copied.last < label.seq || (copied.last == label.seq && hex::encode(copied.head) != label.head) {
        let why = format!("its journal ends at frame {}, its label says {}", copied.last, label.seq);
        return Err(BackupError::NoBackup { dir: from.to_owned(), why });
    }
    let at = last_commit(&target.journal())?.unwrap_or(label.made_at);
    let ledger = Ledger::<EdgeEvent>::open(&target.ledger(), &options)?;
    let known: Option<BoxRecord> = ledger.get(index::BOX)?;
    let IssuedBy { box_id, generation } =
        known.map(|known| known.issued_by).ok_or_else(|| BackupError::NoState(from.to_owned()))?;
    let generation = generation.checked_add(1).ok_or(BackupError::Generations)?;
    let instance = Uuid::new_v4().simple().to_string();
    let restored = Restored { box_id, generation, instance, seq: copied.last, at };
    let events = vec![EdgeEvent::Restored(restored.clone())];
    let decide = move |_: &View<'_>| Ok::<_, std::convert::Infallible>(Decision { events, answer: () });
    match ledger.commit(Stamp { at: now, actor: "restore".to_owned() }, decide).await {
        Ok(_) => {}
        Err(CommitError::Unavailable(why)) => return Err(BackupError::Write(why)),
        Err(CommitError::Refused(never)) => match never {},
    }
    ledger.close().await;
    // Last: without these it is no box, so one that was half restored does not start.
    copy_files(&source, &target)?;
    Ok((label, restored))
}

/// When the last commit of a journal was made.
fn last_commit(journal: &Path) -> Result<Option<OffsetDateTime>, BackupError> {
    let mut last = String::new();
    records(journal, |record| {
        last.clear();
        last.push_str(record.json);
        Ok::<_, ReadError>(())
    })?;
    Ok(serde_json::from_str::<Commit>(&last).ok().map(|commit| commit.at))
}

/// The name of the box, from its journal.
pub(crate) fn name(journal: &Path) -> Result<Option<String>, BackupError> {
    /// The first event is enough.
    enum Found {
        Name(String),
        Error(ReadError),
    }
    impl From<ReadError> for Found {
        fn from(error: ReadError) -> Self {
            Self::Error(error)
        }
    }
    let look = |record: ledger::audit::Record<'_>| {
        let named = Commit::parse(&record).ok().and_then(|commit| {
            commit.events.into_iter().find_map(|event| match event {
                EdgeEvent::BoxNamed { box_id, .. } => Some(box_id),
                _ => None,
            })
        });
        named.map_or(Ok(()), |name| Err(Found::Name(name)))
    };
    match records(journal, look) {
        Err(Found::Name(name)) => Ok(Some(name)),
        Err(Found::Error(error)) => Err(error.into()),
        Ok(()) => Ok(None),
    }
}

fn read_label(dir: &Path) -> Result<Label, BackupError> {
    let no = |why: String| BackupError::NoBackup { dir: dir.to_owned(), why };
    let text = fs::read(dir.join(LABEL)).map_err(|error| no(format!("{LABEL}: {error}")))?;
    let label: Label = serde_json::from_slice(&text).map_err(|error| no(format!("{LABEL}: {error}")))?;
    if label.version == 1 { Ok(label) } else { Err(no(format!("version {} is not known", label.version))) }
}

/// Copies certificates and keys, with the modes that they need.
fn copy_files(from: &StateDir, to: &StateDir) -> Result<(), BackupError> {
    for entry in fs::read_dir(from.path()).map_err(io_at(from.path()))? {
        let path = entry.map_err(io_at(from.path()))?.path();
        let (Some(extension), Some(name)) = (path.extension(), path.file_name()) else { continue };
        if path.is_file() && (extension == "pem" || extension == "key") {
            write_private(&to.path().join(name), &fs::read(&path).map_err(io_at(&path))?)?;
        }
    }
    Ok(())
}

fn make_dir(dir: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_at(dir))
}
