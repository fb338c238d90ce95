//! The books balance, whatever happens and in whichever order, also after the index was rebuilt.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use azure_iot::RegistrationId;
use cloud_sync::{
    Cause, CloudEvent, Drift, LinkState, Resolution, State, Want, Why,
    books::{self, Books},
};
use ledger::{Applied, Changes, Decision, Event, Ledger, Options, Stamp, View};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::OffsetDateTime;

/// A program with nothing but wants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Shop {
    Wanted { id: RegistrationId, want: Want, epoch: u32 },
    Begun { id: RegistrationId },
    Cloud(CloudEvent),
}

impl Event for Shop {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::Wanted { id, want, epoch } => books::want(changes, at, id, *want, *epoch),
            Self::Begun { id } => books::begin(changes, at, id, Want::Announce, 1),
            Self::Cloud(event) => books::record(changes, at, event),
        }
    }
}

fn any_event() -> impl Strategy<Value = Shop> {
    let id = prop_oneof![Just("a"), Just("b")].prop_map(|id| id.parse::<RegistrationId>().unwrap());
    let wants = [Want::Announce, Want::Replace, Want::Withdraw, Want::Activate, Want::Deactivate];
    let want = proptest::sample::select(wants.to_vec());
    let why = || Why { code: "missing".into(), detail: String::new() };
    (id, want, 1u32..5, 0..10).prop_map(move |(id, want, epoch, kind)| match kind {
        0 | 1 => Shop::Wanted { id, want, epoch },
        2 | 3 => Shop::Cloud(CloudEvent::Accepted { id, epoch }),
        4 => Shop::Cloud(CloudEvent::Drifted { id, epoch, what: Drift::FormerCertificate, why: None }),
        5 => Shop::Cloud(CloudEvent::Drifted { id, epoch, what: Drift::Missing, why: Some(why()) }),
        6 => Shop::Cloud(CloudEvent::Retried { id, epoch }),
        7 => resolved(id, epoch, Resolution::KeepCloud { sha256: None }),
        8 => resolved(id, epoch, Resolution::ReplaceCloud { etag: "e1".into() }),
        _ => Shop::Cloud(CloudEvent::Held {
            id,
            epoch,
            why: Why { code: "conflict".into(), detail: String::new() },
        }),
    })
}

fn resolved(id: RegistrationId, epoch: u32, resolution: Resolution) -> Shop {
    Shop::Cloud(CloudEvent::Resolved { id, epoch, resolution, reason: "compared".into() })
}

async fn write(ledger: &Ledger<Shop>, events: Vec<Shop>) {
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "test".into() };
    let decide = move |_: &View<'_>| Ok::<_, ()>(Decision { events, answer: () });
    ledger.commit(stamp, decide).await.unwrap();
}

fn open(dir: &TempDir) -> Ledger<Shop> {
    let journal = journal_options();
    Ledger::open(dir.path(), &Options { journal, cache_bytes: 1 << 20, ..Options::default() }).unwrap()
}

fn journal_options() -> journal::Options {
    journal::Options { segment_bytes: 64 << 10 }
}

fn look(ledger: &Ledger<Shop>) -> (Books, Vec<RegistrationId>, Vec<RegistrationId>) {
    let ids = |found: Vec<(Vec<u8>, RegistrationId)>| found.into_iter().map(|(_, id)| id).collect();
    let waiting = books::waiting(ledger, None, 100).unwrap();
    let held = books::held(ledger, None, 100).unwrap();
    (books::balance(ledger).unwrap(), ids(waiting), ids(held))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_books_balance_and_agree_with_the_queue(commits in prop::collection::vec(prop::collection::vec(any_event(), 1..4), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let dir = TempDir::new().unwrap();
            let ledger = open(&dir);
            for events in commits {
                write(&ledger, events).await;
                let (books, waiting, held) = look(&ledger);
                assert!(books.balance(), "{books:?}");
                assert_eq!((books.waiting, books.held), (waiting.len() as i64, held.len() as i64), "{books:?}");
            }
            let live = look(&ledger);
            ledger.close().await;
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
            assert_eq!(look(&open(&dir)), live);
        });
    }
}

#[tokio::test]
async fn what_waits_is_told_oldest_first_and_leaves_the_queue_once_settled() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let id = |id: &str| id.parse::<RegistrationId>().unwrap();
    for name in ["z", "a", "m"] {
        write(&ledger, vec![Shop::Wanted { id: id(name), want: Want::Announce, epoch: 1 }]).await;
    }
    assert_eq!(look(&ledger).1, [id("z"), id("a"), id("m")]);
    write(&ledger, vec![Shop::Cloud(CloudEvent::Accepted { id: id("a"), epoch: 1 })]).await;
    assert_eq!(look(&ledger).1, [id("z"), id("m")]);
    write(&ledger, vec![Shop::Wanted { id: id("z"), want: Want::Replace, epoch: 2 }]).await;
    assert_eq!(look(&ledger).1, [id("m"), id("z")], "a new want queues again");
    let books = books::balance(&ledger).unwrap();
    assert_eq!(books, Books { enqueued: 4, settled: 1, waiting: 2, held: 0, superseded: 1 });
}

#[tokio::test]
async fn what_begins_stands_as_what_is_wanted_for_the_first_time() {
    let (wanted, begun) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (wanted, begun) = (open(&wanted), open(&begun));
    let id = |id: &str| id.parse::<RegistrationId>().unwrap();
    for name in ["b", "a"] {
        write(&wanted, vec![Shop::Wanted { id: id(name), want: Want::Announce, epoch: 1 }]).await;
        write(&begun, vec![Shop::Begun { id: id(name) }]).await;
    }
    assert_eq!(look(&begun), look(&wanted));
    let state = |ledger| books::committed(ledger, &id("a")).unwrap().map(|record| record.state);
    assert_eq!(state(&begun), state(&wanted));
    assert_eq!(look(&begun).0, Books { enqueued: 2, waiting: 2, ..Books::default() });
    for ledger in [&wanted, &begun] {
        write(ledger, vec![Shop::Wanted { id: id("b"), want: Want::Replace, epoch: 2 }]).await;
    }
    assert_eq!(look(&begun), look(&wanted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_reads_while_others_write_reads_books_that_balance() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let (done, reader) = (Arc::new(AtomicBool::new(false)), ledger.clone());
    let writes = done.clone();
    let read = tokio::task::spawn_blocking(move || {
        let mut looks = 0;
        while !writes.load(Ordering::Relaxed) {
            let books = books::balance(&reader).unwrap();
            assert!(books.balance(), "{books:?}");
            looks += 1;
        }
        looks
    });
    for n in 0..1000 {
        let id: RegistrationId = format!("u{n}").parse().unwrap();
        write(&ledger, vec![Shop::Wanted { id: id.clone(), want: Want::Announce, epoch: 1 }]).await;
        write(&ledger, vec![Shop::Cloud(CloudEvent::Accepted { id, epoch: 1 })]).await;
    }
    done.store(true, Ordering::Relaxed);
    assert!(read.await.unwrap() > 1000);
}

#[tokio::test]
async fn what_a_person_decides_leaves_the_held_ones_and_keeps_its_place_in_the_queue() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let id = |id: &str| id.parse::<RegistrationId>().unwrap();
    for name in ["a", "b", "c"] {
        write(&ledger, vec![Shop::Wanted { id: id(name), want: Want::Announce, epoch: 1 }]).await;
    }
    for name in ["a", "b"] {
        let why = Why { code: "conflict".into(), detail: String::new() };
        write(&ledger, vec![Shop::Cloud(CloudEvent::Held { id: id(name), epoch: 1, why })]).await;
    }
    write(&ledger, vec![resolved(id("a"), 1, Resolution::KeepCloud { sha256: Some("AB".into()) })]).await;
    write(&ledger, vec![resolved(id("b"), 1, Resolution::ReplaceCloud { etag: "e1".into() })]).await;
    assert_eq!(
        look(&ledger),
        (
            Books { enqueued: 3, settled: 1, waiting: 2, held: 0, superseded: 0 },
            vec![id("b"), id("c")],
            vec![],
        )
    );
    let standing = books::committed(&ledger, &id("b")).unwrap().unwrap().state;
    assert_eq!(standing, State::Waiting { want: Want::Replace, epoch: 1, etag: Some("e1".into()) });
}

#[tokio::test]
async fn what_has_drifted_counts_once_more_and_waits_in_its_old_place() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    let id = |id: &str| id.parse::<RegistrationId>().unwrap();
    for name in ["a", "b", "c"] {
        write(&ledger, vec![Shop::Wanted { id: id(name), want: Want::Announce, epoch: 1 }]).await;
        write(&ledger, vec![Shop::Cloud(CloudEvent::Accepted { id: id(name), epoch: 1 })]).await;
    }
    let why = Why { code: "missing".into(), detail: String::new() };
    let drifted = |name, what, why| Shop::Cloud(CloudEvent::Drifted { id: id(name), epoch: 1, what, why });
    write(&ledger, vec![drifted("b", Drift::FormerCertificate, None)]).await;
    write(&ledger, vec![drifted("c", Drift::Missing, Some(why.clone()))]).await;
    // A second time it changes nothing.
    write(&ledger, vec![drifted("b", Drift::Missing, Some(why)), drifted("c", Drift::Revived, None)]).await;
    let (books, waiting, held) = look(&ledger);
    assert_eq!(books, Books { enqueued: 5, settled: 3, waiting: 1, held: 1, superseded: 0 });
    assert_eq!((waiting, held), (vec![id("b")], vec![id("c")]));
    write(&ledger, vec![Shop::Cloud(CloudEvent::Accepted { id: id("b"), epoch: 1 })]).await;
    assert_eq!(look(&ledger).0.settled, 4);
}

#[tokio::test]
async fn the_link_is_remembered_with_the_time_of_its_change() {
    let dir = TempDir::new().unwrap();
    let ledger = open(&dir);
    assert_eq!(books::link(&ledger).unwrap(), None);
    let down = LinkState::Down { cause: Cause::Unreachable, detail: "refused".into() };
    write(&ledger, vec![Shop::Cloud(CloudEvent::LinkChanged { to: down.clone() })]).await;
    assert_eq!(books::link(&ledger).unwrap().unwrap().state, down);
}
