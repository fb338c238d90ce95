//! The same group commit for every peer: one thread, and whatever queued during the last sync is the next batch.

use std::{
    sync::mpsc::{Receiver, Sender, channel},
    thread::JoinHandle,
};

use anyhow::{Result, anyhow, ensure};
use tokio::sync::oneshot;

use crate::committers::{Store, record};

/// The most records that share one sync, as with us.
const BATCH: usize = 256;

/// A store of another make.
pub(crate) trait Peer: Send + 'static {
    /// Keeps `records` in one transaction; returns once they are on disk.
    fn commit(&mut self, records: &[(u64, String)]) -> Result<()>;
    /// Reads a record back.
    fn get(&self, n: u64) -> Result<Option<Vec<u8>>>;
}

/// A record, and who waits for it.
type Waiting = (u64, String, oneshot::Sender<()>);

/// A peer and its thread.
pub(crate) struct Group<P> {
    queue: Sender<Waiting>,
    thread: JoinHandle<Result<P>>,
}

impl<P: Peer> Group<P> {
    pub(crate) fn start(mut peer: P) -> Self {
        let (queue, waiting) = channel();
        let thread = std::thread::spawn(move || run(&mut peer, &waiting).map(|()| peer));
        Self { queue, thread }
    }
}

impl<P: Peer> Store for Group<P> {
    async fn put(&self, n: u64) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.queue.send((n, record(n), reply)).map_err(|_| anyhow!("the peer's thread has ended"))?;
        Ok(answer.await?)
    }

    async fn finish(self, n: u64) -> Result<()> {
        drop(self.queue);
        let peer = self.thread.join().map_err(|_| anyhow!("the peer's thread panicked"))??;
        ensure!(peer.get(n)?.as_deref() == Some(record(n).as_bytes()), "record {n} is not there");
        Ok(())
    }
}

fn run(peer: &mut impl Peer, queue: &Receiver<Waiting>) -> Result<()> {
    while let Ok(first) = queue.recv() {
        let mut records = Vec::with_capacity(BATCH);
        let mut replies = Vec::with_capacity(BATCH);
        let rest = std::iter::from_fn(|| queue.try_recv().ok());
        for (n, record, reply) in std::iter::once(first).chain(rest).take(BATCH) {
            records.push((n, record));
            replies.push(reply);
        }
        peer.commit(&records)?;
        for reply in replies {
            // A task whose time is up still waits for its last record.
            let _ = reply.send(());
        }
    }
    Ok(())
}
