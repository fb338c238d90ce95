//! Who writes: whoever comes alone by himself, the ledger's thread for those who come together.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::{
    future::poll_fn,
    path::Path,
    pin::pin,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use ledger::{
    Applied, Changes, CheckpointKey, Committed, Decision, Event, Ledger, Options, SpaceOptions, Stamp, View,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::{sync::oneshot, task::JoinSet};

/// Somebody came.
#[derive(Debug, Serialize, Deserialize)]
struct Came;

impl Event for Came {
    fn apply(&self, _: &Applied<'_>, changes: &mut Changes<'_>) {
        changes.add(b"n/came", 1);
    }
}

fn open(dir: &Path, checkpoint_key: Option<CheckpointKey>) -> Ledger<Came> {
    let journal = journal::Options { segment_bytes: 1 << 20 };
    let space = SpaceOptions { floor: 0, ballast: 0 };
    Ledger::open(dir, &Options { journal, cache_bytes: 1 << 20, space, checkpoint_key }).unwrap()
}

/// Commits, and answers which thread has looked at the state.
async fn come(ledger: &Ledger<Came>) -> Committed<String> {
    come_when(ledger, || {}).await
}

/// The same; the thread does `first` before it decides.
async fn come_when(ledger: &Ledger<Came>, first: impl FnOnce() + Send + 'static) -> Committed<String> {
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "test".to_owned() };
    let decide = |_: &View<'_>| {
        first();
        let answer = thread::current().name().unwrap_or_default().to_owned();
        Ok::<_, ()>(Decision { events: vec![Came], answer })
    };
    ledger.commit(stamp, decide).await.unwrap()
}

/// Begins a commit that writes until the sender says that it may end; returns once it writes.
async fn busy(ledger: &Ledger<Came>, running: &mut JoinSet<Committed<String>>) -> Sender<()> {
    let (end, ended): (_, Receiver<()>) = channel();
    let (begun, began) = oneshot::channel();
    let ledger = ledger.clone();
    running.spawn(async move {
        come_when(&ledger, move || {
            begun.send(()).unwrap();
            ended.recv().unwrap();
        })
        .await
    });
    began.await.unwrap();
    end
}

/// Says once `future` was begun and waits, then how it ended.
async fn waiting<T>(future: impl Future<Output = T>, begun: oneshot::Sender<()>) -> T {
    let (mut future, mut begun) = (pin!(future), Some(begun));
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        assert!(polled.is_ready() || begun.take().is_none_or(|begun| begun.send(()).is_ok()));
        polled
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_alone_writes() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path(), None);
    let running = ledger.clone();
    let came = JoinSet::from_iter([async move { come(&running).await }]).join_all().await;
    assert_ne!(came[0].answer, "ledger");
    assert_eq!(ledger.counter(b"n/came").unwrap(), 1);
}

#[tokio::test]
async fn who_must_not_wait_for_the_disk_has_it_written() {
    let dir = TempDir::new().unwrap();
    assert_eq!(come(&open(dir.path(), None)).await.answer, "ledger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_while_somebody_writes_is_written_with_the_others() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path(), None);
    let (mut first, mut others) = (JoinSet::new(), JoinSet::new());
    let end = busy(&ledger, &mut first).await;
    for _ in 0..100 {
        let (begun, began) = oneshot::channel();
        let ledger = ledger.clone();
        others.spawn(async move { waiting(come(&ledger), begun).await });
        began.await.unwrap();
    }
    end.send(()).unwrap();
    let first = first.join_all().await;
    assert_ne!(first[0].answer, "ledger");
    let others = others.join_all().await;
    assert!(others.iter().all(|other| other.answer == "ledger" && other.seq > first[0].seq));
    assert_eq!(ledger.counter(b"n/came").unwrap(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_closes_waits_for_who_writes() {
    let dir = TempDir::new().unwrap();
    let ledger = open(dir.path(), None);
    let mut running = JoinSet::new();
    let end = busy(&ledger, &mut running).await;
    let (begun, began) = oneshot::channel();
    let mut closing = JoinSet::new();
    closing.spawn(waiting(ledger.close(), begun));
    began.await.unwrap();
    end.send(()).unwrap();
    assert_eq!(running.join_all().await.len(), 1);
    closing.join_all().await;
    assert_eq!(open(dir.path(), None).counter(b"n/came").unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_stops_writing_leaves_room_for_what_is_due() {
    let dir = TempDir::new().unwrap();
    let sign = Arc::new(|_: &[u8]| Ok(vec![1]));
    let ledger = open(dir.path(), Some(CheckpointKey { key: String::new(), certificates: Vec::new(), sign }));
    let mut last = None;
    for _ in 0..2500 {
        last = come(&ledger).await.seq;
    }
    // A checkpoint is signed over every thousand frames, and is a frame itself.
    assert!(last >= Some(2502), "{last:?}");
}
