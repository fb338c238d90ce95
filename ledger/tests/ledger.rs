//! A ledger on a real disk: what was answered is there afterwards, whatever becomes of the index.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use ledger::{
    Applied, Changes, CommitError, Decision, Event, Ledger, OpenError, Options, SpaceOptions, Stamp, Status,
    Unavailable,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::OffsetDateTime;

/// A till: every account has a balance, every deposit is counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Till {
    Opened { account: String },
    Deposited { account: String, amount: i64 },
    Closed { account: String },
}

impl Event for Till {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::Opened { account } => {
                changes.put(format!("account/{account}").as_bytes(), &0);
                changes.add(b"n/opened", 1);
            }
            Self::Deposited { account, amount } => {
                changes.add(format!("account/{account}").as_bytes(), *amount);
                changes.add(b"n/deposits", 1);
                changes.put(format!("last/{account}").as_bytes(), &at.frame);
            }
            Self::Closed { account } => changes.remove(format!("account/{account}").as_bytes()),
        }
    }
}

fn options() -> Options {
    Options {
        journal: journal::Options { segment_bytes: 16 << 10 },
        cache_bytes: 1 << 20,
        space: SpaceOptions { floor: 0, ballast: 0 },
        ..Options::default()
    }
}

fn open(dir: &Path) -> Ledger<Till> {
    Ledger::open(dir, &options()).unwrap()
}

fn stamp() -> Stamp {
    Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "test".to_owned() }
}

fn opened(account: &str) -> Till {
    Till::Opened { account: account.to_owned() }
}

fn deposited(account: &str, amount: i64) -> Till {
    Till::Deposited { account: account.to_owned(), amount }
}

async fn write(ledger: &Ledger<Till>, events: Vec<Till>) {
    let decision = move |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events, answer: () });
    ledger.commit(stamp(), decision).await.unwrap();
}

/// Everything that the index holds for the program.
fn dump(ledger: &Ledger<Till>) -> Vec<(String, serde_json::Value)> {
    let all = |prefix: &str| ledger.scan(prefix.as_bytes(), None, usize::MAX).unwrap();
    let records = ["account/", "last/", "n/"].into_iter().flat_map(all);
    records.map(|(key, value)| (String::from_utf8(key).unwrap(), value)).collect()
}

#[tokio::test]
async fn what_was_committed_is_there_after_reopening_and_can_be_read_back() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a"), deposited("a", 5)]).await;
    write(&ledger, vec![deposited("a", 7)]).await;
    ledger.close().await;

    let ledger = open(dir.path());
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(12));
    let entry = ledger.entry(&ledger.get(b"last/a").unwrap().unwrap()).unwrap();
    assert_eq!((entry.actor.as_str(), entry.events), ("test", vec![deposited("a", 7)]));
}

#[tokio::test]
async fn what_was_answered_is_in_the_file_at_that_moment() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    // As a killed process leaves it: nothing was closed.
    let copied = TempDir::new().unwrap();
    fs::create_dir(copied.path().join("ledger")).unwrap();
    copy(&dir.path().join("journal"), &copied.path().join("ledger/journal"));
    assert_eq!(open(&copied.path().join("ledger")).counter(b"n/opened").unwrap(), 1);
}

#[tokio::test]
async fn checking_and_writing_is_one_step() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    let attempts = (0..64).map(|_| {
        ledger.commit(stamp(), |view: &ledger::View<'_>| match view.get::<i64>(b"account/a") {
            None => Ok(Decision { events: vec![opened("a")], answer: "new" }),
            Some(_) => Err("taken"),
        })
    });
    let mut won = 0;
    for attempt in futures_util::future::join_all(attempts).await {
        match attempt {
            Ok(committed) => {
                won += 1;
                assert_eq!((committed.seq, committed.answer), (Some(1), "new"));
            }
            Err(error) => assert!(matches!(error, CommitError::Refused("taken"))),
        }
    }
    assert_eq!((won, ledger.counter(b"n/opened").unwrap(), ledger.seq()), (1, 1, 1));
}

#[tokio::test]
async fn a_refusal_or_a_repeat_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    let refused = ledger.commit(stamp(), |_: &ledger::View<'_>| Err::<Decision<Till, ()>, _>("no")).await;
    assert!(matches!(refused, Err(CommitError::Refused("no"))));
    write(&ledger, vec![]).await;
    assert_eq!(ledger.seq(), 1);
}

#[tokio::test]
async fn listeners_hear_of_commits_in_order_and_after_the_index_has_them() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    let mut entries = ledger.subscribe();
    write(&ledger, vec![opened("a")]).await;
    write(&ledger, vec![deposited("a", 1)]).await;
    assert_eq!(entries.recv().await.unwrap().events, vec![opened("a")]);
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(1));
    assert_eq!(entries.recv().await.unwrap().seq, 2);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = TempDir::new().unwrap();
    let _ledger = open(dir.path());
    let second = Ledger::<Till>::open(dir.path(), &options());
    assert!(matches!(second, Err(OpenError::Journal(journal::OpenError::InUse { .. }))));
}

#[tokio::test]
async fn an_index_ahead_of_the_journal_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    ledger.close().await;
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let error = Ledger::<Till>::open(dir.path(), &options()).unwrap_err();
    assert!(matches!(error, OpenError::IndexAhead { index: 1, journal: 0, .. }), "{error}");
}

#[tokio::test]
async fn a_corrupt_index_heals_by_itself() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a"), deposited("a", 3)]).await;
    let before = dump(&ledger);
    ledger.close().await;
    let db = dir.path().join("index/db");
    let mut bytes = fs::read(&db).unwrap();
    bytes.fill(0xA5);
    fs::write(&db, bytes).unwrap();
    assert_eq!(dump(&open(dir.path())), before);
}

#[tokio::test]
async fn an_older_index_is_noticed_and_rebuilt() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    ledger.close().await;
    copy(&dir.path().join("index"), &dir.path().join("old"));
    let ledger = open(dir.path());
    write(&ledger, vec![deposited("a", 3)]).await;
    let before = dump(&ledger);
    ledger.close().await;
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    fs::rename(dir.path().join("old"), dir.path().join("index")).unwrap();
    assert_eq!(dump(&open(dir.path())), before);
    assert!(dir.path().join("index.unusable").exists());
}

#[tokio::test]
async fn a_failed_disk_refuses_everybody_from_then_on() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("state");
    let ledger = open(&path);
    write(&ledger, vec![opened("a")]).await;
    fs::rename(&path, dir.path().join("gone")).unwrap();
    // The next segment cannot be made: its folder is gone.
    let why = loop {
        let events = vec![deposited(&"a".repeat(1000), 1)];
        let decision = move |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events, answer: () });
        if let Err(error) = ledger.commit(stamp(), decision).await {
            break error;
        }
    };
    assert!(matches!(why, CommitError::Unavailable(Unavailable::Failed { .. })));
    ledger.failed().await;
    assert!(matches!(ledger.status(), Status::Failed { .. }));
    let again =
        ledger.commit(stamp(), |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events: vec![], answer: () }));
    assert!(matches!(again.await, Err(CommitError::Unavailable(Unavailable::Failed { .. }))));
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(0), "reading goes on");
}

#[tokio::test]
async fn a_closed_ledger_says_so() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    let other = ledger.clone();
    ledger.close().await;
    let late = other.commit(stamp(), |_: &ledger::View<'_>| {
        Ok::<_, ()>(Decision { events: vec![opened("a")], answer: () })
    });
    assert!(matches!(late.await, Err(CommitError::Unavailable(Unavailable::Closed))));
}

/// The same till with later rules.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Later(Till);

impl Event for Later {
    const INDEX_VERSION: u32 = 2;
    fn apply(&self, _: &Applied<'_>, changes: &mut Changes<'_>) {
        changes.add(b"n/events", 1);
    }
}

#[tokio::test]
async fn an_older_index_version_is_rebuilt_and_a_newer_one_refused_untouched() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a"), deposited("a", 3)]).await;
    ledger.close().await;
    let ledger = Ledger::<Later>::open(dir.path(), &options()).unwrap();
    assert_eq!((ledger.counter(b"n/events").unwrap(), ledger.counter(b"n/opened").unwrap()), (2, 0));
    ledger.close().await;
    let before = files(dir.path());
    let error = Ledger::<Till>::open(dir.path(), &options()).unwrap_err();
    assert!(error.to_string().contains("2.2") && matches!(error, OpenError::Newer { .. }), "{error}");
    assert_eq!(files(dir.path()), before, "nothing was changed");
}

/// Every file below `dir` with what is in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

#[tokio::test]
async fn an_index_of_another_journal_is_rebuilt() {
    let (ours, theirs) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for (dir, account) in [(&ours, "a"), (&theirs, "b")] {
        let ledger = open(dir.path());
        write(&ledger, vec![opened(account)]).await;
        ledger.close().await;
    }
    fs::remove_dir_all(ours.path().join("index")).unwrap();
    fs::rename(theirs.path().join("index"), ours.path().join("index")).unwrap();
    let ledger = open(ours.path());
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(0));
    assert_eq!(ledger.get::<i64>(b"account/b").unwrap(), None);
}

#[tokio::test]
async fn an_index_that_reads_as_nonsense_ends_the_ledger_and_is_rebuilt() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    // A record of another shape than asked for is what a broken index looks like.
    assert!(ledger.get::<Vec<String>>(b"account/a").is_err());
    let why = ledger.failed().await;
    assert!(why.contains("rebuilt at the next start"), "{why}");
    ledger.close().await;
    let ledger = open(dir.path());
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(0));
}

#[tokio::test]
async fn a_full_disk_refuses_and_is_no_failure() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path());
    write(&ledger, vec![opened("a")]).await;
    ledger.room().unwrap();
    ledger.close().await;
    // As if the disk were nearly full: nobody has that much.
    let full = Options { space: SpaceOptions { floor: 1 << 62, ballast: 1 << 62 }, ..options() };
    let ledger = Ledger::<Till>::open(dir.path(), &full).unwrap();
    assert!(matches!(ledger.room(), Err(Unavailable::Full { .. })));
    assert!(matches!(ledger.status(), Status::Full { .. }));
    let events = vec![deposited("a", 1)];
    let decision = move |_: &ledger::View<'_>| Ok::<_, ()>(Decision { events, answer: () });
    let refused = ledger.commit(stamp(), decision).await;
    assert!(matches!(refused, Err(CommitError::Unavailable(Unavailable::Full { .. }))), "{refused:?}");
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(0), "reading goes on");
    ledger.close().await;
    let ledger = open(dir.path());
    write(&ledger, vec![deposited("a", 1)]).await;
    assert_eq!(ledger.get::<i64>(b"account/a").unwrap(), Some(1));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn any_event() -> impl Strategy<Value = Till> {
    let account = prop_oneof![Just("a"), Just("b"), Just("c")];
    (account, 0..3, -9i64..9).prop_map(|(account, kind, amount)| match kind {
        0 => opened(account),
        1 => deposited(account, amount),
        _ => Till::Closed { account: account.to_owned() },
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Law 6: replay and live use the same `apply`; the index can be deleted at any time, and any earlier state of it
    /// that is caught up ends in the same place.
    #[test]
    fn a_rebuilt_index_is_the_live_one(commits in prop::collection::vec(prop::collection::vec(any_event(), 1..4), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let ledger = open(dir.path());
            let half = commits.len() / 2;
            for events in &commits[..half] {
                write(&ledger, events.clone()).await;
            }
            ledger.close().await;
            let ledger = open(dir.path());
            for events in &commits[half..] {
                write(&ledger, events.clone()).await;
            }
            let live = dump(&ledger);
            ledger.close().await;
            let ledger = open(dir.path());
            assert_eq!(dump(&ledger), live);
            ledger.close().await;
            fs::remove_dir_all(dir.path().join("index")).unwrap();
            assert_eq!(dump(&open(dir.path())), live);
        });
    }
}
