//! A thread that writes and syncs, so that whoever waits for the disk can prepare what comes next.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

/// Bytes on their way to the disk.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Write {
    /// Writes, and returns once it is on disk.
    pub(crate) fn run(&self) -> io::Result<()> {
        self.file.write_all_at(&self.bytes, self.offset)?;
        self.file.sync_data()
    }
}

/// The thread. One write at a time is on its way.
#[derive(Debug)]
pub(crate) struct Syncer {
    /// `None` once it is told to end.
    writes: Option<Sender<Write>>,
    done: Receiver<(io::Result<()>, Vec<u8>)>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(crate) fn new() -> io::Result<Self> {
        let (writes, work) = channel::<Write>();
        let (tell, done) = channel();
        let run = move || {
            for write in work {
                let result = write.run();
                if tell.send((result, write.bytes)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("journal-sync".to_owned()).spawn(run)?;
        Ok(Self { writes: Some(writes), done, thread: Some(thread) })
    }

    /// Begins a write.
    pub(crate) fn begin(&self, write: Write) -> io::Result<()> {
        let gone = || io::Error::other("the thread that syncs has ended");
        self.writes.as_ref().ok_or_else(gone)?.send(write).map_err(|_| gone())
    }

    /// Waits for the write that was begun; returns its buffer for the next one.
    pub(crate) fn wait(&self) -> io::Result<Vec<u8>> {
        let (result, bytes) =
            self.done.recv().map_err(|_| io::Error::other("the thread that syncs has ended"))?;
        result.map(|()| bytes)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.writes = None;
        if let Some(thread) = self.thread.take() {
            // It ends when nothing more can come.
            let _ = thread.join();
        }
    }
}
