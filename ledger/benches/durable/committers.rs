//! Tasks that commit, each waiting for its own record before it makes the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::task::JoinSet;

/// The bytes of a record.
pub(crate) const RECORD: usize = 1536;

/// Something that keeps records.
pub(crate) trait Store: Send + Sync + 'static {
    /// Keeps record `n`; returns once it is on disk.
    fn put(&self, n: u64) -> impl Future<Output = Result<()>> + Send;
    /// Lets go of the disk, and proves that record `n` can be found by its key.
    fn finish(self, n: u64) -> impl Future<Output = Result<()>>;
}

/// What came of one contestant's turn.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) seconds: f64,
    /// One for each commit.
    pub(crate) latencies: Vec<Duration>,
}

/// Record `n`, the same for every store: printable, as the journal is.
pub(crate) fn record(n: u64) -> String {
    let mut text = format!("{n:016x}");
    text.extend(std::iter::repeat_n('r', RECORD - text.len()));
    text
}

/// Lets `tasks` tasks commit to `store` for as long as `length`, the first of them record `*next`.
pub(crate) async fn slice<S: Store>(
    store: S,
    tasks: usize,
    length: Duration,
    next: &mut u64,
) -> Result<Slice> {
    let store = Arc::new(store);
    let counter = Arc::new(AtomicU64::new(*next));
    let mut running = JoinSet::new();
    let start = Instant::now();
    for _ in 0..tasks {
        let (store, counter) = (store.clone(), counter.clone());
        running.spawn(async move {
            let mut latencies = Vec::new();
            while start.elapsed() < length {
                let n = counter.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                store.put(n).await?;
                latencies.push(begun.elapsed());
            }
            Ok::<_, anyhow::Error>(latencies)
        });
    }
    let mut latencies = Vec::new();
    while let Some(ended) = running.join_next().await {
        latencies.append(&mut ended??);
    }
    let seconds = start.elapsed().as_secs_f64();
    *next = counter.load(Ordering::Relaxed);
    let store = Arc::into_inner(store).expect("every task has ended");
    store.finish(*next - 1).await?;
    Ok(Slice { seconds, latencies })
}
