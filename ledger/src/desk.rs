//! Where commits wait, and where the one who writes them lies.
//!
//! There is one [`Writer`]. Who comes to an empty desk takes it and writes the commit at once, on its own thread: handing
//! over and waking up would cost more than everything else but the disk. Who comes while somebody writes queues, and the
//! ledger's own thread writes whatever has queued in one batch. It lets whoever else can run do so first: on a busy machine
//! they bring more, for the same sync. There is no timer on the way to an answer.

use std::{
    collections::VecDeque,
    fmt, mem,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::{OwnedSemaphorePermit, oneshot},
    task::block_in_place,
};

use crate::{
    core::Turn,
    error::{ReadError, Unavailable},
    event::Event,
    writer::{self, Writer},
};

/// The most commits that share one sync.
const BATCH: usize = 256;
/// How long the thread stays awake after a batch: whoever was just answered often asks again.
const AWAKE: Duration = Duration::from_micros(50);

/// Commits that wait, and the writer while nobody writes.
pub(crate) struct Desk<E> {
    state: Mutex<State<E>>,
    /// There may be work for the thread.
    turned: Condvar,
    /// Whether anything waits; for who looks without the lock.
    waiting: AtomicBool,
}

struct State<E> {
    /// There while nobody writes.
    writer: Option<Box<Writer<E>>>,
    /// Commits, each with its place in the bounded queue.
    turns: VecDeque<(Box<dyn Turn<E>>, OwnedSemaphorePermit)>,
    orders: Orders,
    /// The thread has something to do that nobody ordered.
    wanted: bool,
    /// The thread sleeps.
    asleep: bool,
    /// Nothing is taken any more.
    ended: bool,
}

/// What to do beside the commits.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// Finish what is queued, then stop.
    pub(crate) stop: bool,
    /// Somebody read nonsense from the index.
    pub(crate) doubt: Option<ReadError>,
    /// Sign a checkpoint over everything that was committed so far, and say when that is done.
    pub(crate) sign: Vec<oneshot::Sender<()>>,
}

/// What the thread does next.
struct Work<E> {
    writer: Box<Writer<E>>,
    batch: Vec<Box<dyn Turn<E>>>,
    orders: Orders,
}

impl Orders {
    fn is_empty(&self) -> bool {
        !self.stop && self.doubt.is_none() && self.sign.is_empty()
    }
}

impl<E> State<E> {
    /// Whether there is something to do that cannot wait.
    fn is_pressed(&self) -> bool {
        !self.turns.is_empty() || !self.orders.is_empty() || self.wanted
    }
}

impl<E> fmt::Debug for Desk<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl<E: Event> Desk<E> {
    pub(crate) fn new(writer: Writer<E>) -> Self {
        let state = State {
            writer: Some(Box::new(writer)),
            turns: VecDeque::new(),
            orders: Orders::default(),
            wanted: false,
            asleep: false,
            ended: false,
        };
        Self { state: Mutex::new(state), turned: Condvar::new(), waiting: AtomicBool::new(false) }
    }

    /// Writes a commit, or has it written; the caller hears of it from the turn.
    pub(crate) fn commit(
        &self,
        turn: Box<dyn Turn<E>>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), Unavailable> {
        let mut state = self.lock();
        if state.ended {
            return Err(Unavailable::Closed);
        }
        if !state.is_pressed()
            && may_block()
            && let Some(mut writer) = state.writer.take()
        {
            drop(state);
            block_in_place(|| writer.write(vec![turn]));
            self.bring_back(writer);
            return Ok(());
        }
        state.turns.push_back((turn, place));
        self.wake(state);
        Ok(())
    }

    /// The ledger's own thread: writes what has queued, and does what is due, until it is told to stop.
    pub(crate) fn run(&self) {
        let mut held = None;
        loop {
            let Work { mut writer, batch, orders } = self.next(held.take());
            let stop = orders.stop;
            let busy = !batch.is_empty();
            if busy {
                writer.write(batch);
            }
            writer.tend(orders);
            if stop {
                return;
            }
            if busy {
                held = Some(writer);
            } else {
                self.bring_back(writer);
            }
        }
    }

    /// Waits for something to do. A writer that is `held` is kept for a moment, then it lies where anybody may take it.
    fn next(&self, held: Option<Box<Writer<E>>>) -> Work<E> {
        if held.is_some() {
            let begin = writer::now().0;
            while !self.waiting.load(Ordering::Acquire) && writer::now().0.duration_since(begin) < AWAKE {
                std::hint::spin_loop();
            }
        }
        let mut state = self.lock();
        state.writer = state.writer.take().or(held);
        loop {
            if state.is_pressed()
                && let Some(writer) = state.writer.take()
            {
                drop(state);
                thread::yield_now();
                return self.take(self.lock(), writer);
            }
            let pause = state.writer.as_ref().map_or(writer::IDLE, |writer| writer.rest());
            state.asleep = true;
            let (woken, timeout) =
                self.turned.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.asleep = false;
            // Who writes meanwhile leaves the writer to the thread next time.
            state.wanted |= timeout.timed_out();
        }
    }

    fn take(&self, mut state: MutexGuard<'_, State<E>>, writer: Box<Writer<E>>) -> Work<E> {
        let taken = state.turns.len().min(BATCH);
        // They are in memory either way; what bounds memory is the queue behind them, so their places are free.
        let batch = state.turns.drain(..taken).map(|(turn, _place)| turn).collect();
        let mut orders = mem::take(&mut state.orders);
        if orders.stop && !state.turns.is_empty() {
            state.orders.stop = mem::take(&mut orders.stop);
        }
        state.ended = orders.stop;
        state.wanted = false;
        self.waiting.store(!state.turns.is_empty(), Ordering::Release);
        Work { writer, batch, orders }
    }

    fn bring_back(&self, writer: Box<Writer<E>>) {
        let mut state = self.lock();
        state.wanted |= writer.has_something_due();
        state.writer = Some(writer);
        if state.is_pressed() {
            self.wake(state);
        }
    }
}

impl<E> Desk<E> {
    /// Gives an order; `false` where nobody will carry it out any more.
    pub(crate) fn order(&self, give: impl FnOnce(&mut Orders)) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        give(&mut state.orders);
        self.wake(state);
        true
    }

    /// Has the thread look, unless somebody writes: whoever that is will.
    fn wake(&self, mut state: MutexGuard<'_, State<E>>) {
        self.waiting.store(true, Ordering::Release);
        if state.writer.is_some() && mem::take(&mut state.asleep) {
            drop(state);
            self.turned.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether this thread may wait for the disk: others then take over what it would have run.
fn may_block() -> bool {
    Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread)
}
