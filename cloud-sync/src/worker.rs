//! The shell around the [`Clerk`]: brings the time, the ledger's news and DPS's answers to it, and does what it says.
//!
//! ```text
//!          ┌──── ledger changed, an answer came, or a delay is over ◀────┐
//!          ▼                                                             │
//! Clerk::next ─▶ Ask ─▶ Cloud, several at a time ─▶ Clerk::heard ────────┤
//!          ├───▶ Write ─▶ Ledger::commit ────────────────────────────────┤
//!          └───▶ Rest ───────────────────────────────────────────────────┘
//! ```

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use azure_iot::RegistrationId;
use ledger::{CommitError, Entry, Event, Ledger, ReadError, Stamp, Unavailable};
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    answer::{Answer, Trouble},
    attempts::Attempts,
    clerk::{Action, Clerk, fitting},
    cloud::Cloud,
    event::CloudEvent,
    fence::Identity,
    link::{Link, Sighting},
    mind::Pace,
    readback::Progress,
    work::Work,
};

/// How long to wait before looking again, when the ledger could not be read or written.
const LEDGER_RETRY: Duration = Duration::from_secs(5);

/// Times are told from the start of the worker on, and anew once the clock was set by more than this.
const CLOCK_WAS_SET: time::Duration = time::Duration::seconds(5);

/// Whether anything may be sent, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permit {
    /// Nothing, until the ledger changes.
    Withheld,
    /// Everything, by somebody who cannot be restored twice.
    Anybody,
    /// Everything, by this box, as long as it does not live on elsewhere.
    Box(Identity),
}

/// Asks for the permit of the moment.
pub type Permission = Arc<dyn Fn() -> Result<Permit, ReadError> + Send + Sync>;

/// Turns a stored commit into what is to be said about one of its units.
pub type Describe<E> = Arc<dyn Fn(&Entry<E>, &RegistrationId) -> Option<Work> + Send + Sync>;

/// Requests that are under way, with their numbers.
type Asking = JoinSet<(u64, Result<Answer, Trouble>)>;

/// Tells the cloud what waits in a ledger, for as long as it runs.
pub struct Worker<E> {
    ledger: Ledger<E>,
    cloud: Cloud,
    permission: Permission,
    clerk: Clerk<E>,
    link: watch::Sender<Link>,
    attempts: watch::Sender<Attempts<OffsetDateTime>>,
    read_back: watch::Sender<Option<Progress>>,
    skew: Option<time::Duration>,
    started: Instant,
    started_at: OffsetDateTime,
}

impl<E> fmt::Debug for Worker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("clerk", &self.clerk).finish_non_exhaustive()
    }
}

impl<E: Event + From<CloudEvent>> Worker<E> {
    /// A worker on `ledger`; `seed` is the randomness of its delays.
    #[must_use]
    pub fn new(ledger: Ledger<E>, cloud: Cloud, describe: Describe<E>, pace: Pace, seed: u64) -> Self {
        let (started, started_at) = (Instant::now(), now());
        let (link, _) = watch::channel(Link::unknown(started_at));
        let permission: Permission = Arc::new(|| Ok(Permit::Anybody));
        let clerk = Clerk::new(describe, pace, seed);
        let attempts = watch::Sender::new(Attempts::default());
        let read_back = watch::Sender::new(None);
        let skew = None;
        let mut worker =
            Self { ledger, cloud, permission, clerk, link, attempts, read_back, skew, started, started_at };
        worker.show_link();
        worker
    }

    /// Asks for a permit before anything is sent.
    #[must_use]
    pub fn permitted_by(self, permission: Permission) -> Self {
        Self { permission, ..self }
    }

    /// The link, as it changes.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// How its requests ended, as they do.
    #[must_use]
    pub fn attempts(&self) -> watch::Receiver<Attempts<OffsetDateTime>> {
        self.attempts.subscribe()
    }

    /// How far it is with looking whether the cloud still has what is settled; `None` where it does not look.
    #[must_use]
    pub fn read_back(&self) -> watch::Receiver<Option<Progress>> {
        self.read_back.subscribe()
    }

    /// Works until cancelled. What was being said is dropped, and will be said again.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut changed = self.ledger.changed();
        let mut asking = Asking::new();
        loop {
            changed.borrow_and_update();
            let rest = match self.next() {
                Ok(Action::Ask(number, call)) => {
                    let cloud = self.cloud.clone();
                    asking.spawn(async move { (number, cloud.call(&call, now()).await) });
                    continue;
                }
                Ok(Action::Write(events)) => match cancel.run_until_cancelled(self.commit(events)).await {
                    Some(Ok(())) => continue,
                    Some(Err(why)) => {
                        error!(%why, "what the cloud said cannot be written down");
                        Some(LEDGER_RETRY)
                    }
                    None => return,
                },
                Ok(Action::Rest(rest)) => rest,
                Err(why) => {
                    error!(%why, "what waits for the cloud cannot be read");
                    Some(LEDGER_RETRY)
                }
            };
            self.show_link();
            let slept = async {
                match rest {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(answered) = asking.join_next() => {
                    self.hear(answered);
                    // What came together is written down together.
                    while let Some(answered) = asking.try_join_next() {
                        self.hear(answered);
                    }
                }
                () = slept => {}
                change = changed.changed() => if change.is_err() { return },
            }
        }
    }

    fn next(&mut self) -> Result<Action, ReadError> {
        let permit = (self.permission)()?;
        self.clerk.next(self.started.elapsed(), &self.ledger, permit)
    }

    fn hear(&mut self, answered: Result<(u64, Result<Answer, Trouble>), tokio::task::JoinError>) {
        match answered {
            Ok((number, result)) => {
                self.skew = result.as_ref().ok().and_then(|answer| answer.skew).or(self.skew);
                self.clerk.heard(self.started.elapsed(), number, result);
                let at = |moment: &Duration| self.started_at + *moment;
                self.attempts.send_replace(self.clerk.attempts().told_in(at));
            }
            // A panic in a request is one of the worker.
            Err(ended) => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }

    /// Lets everybody see how the link is, if that is news.
    fn show_link(&mut self) {
        let started_at = now() - self.started.elapsed();
        if (started_at - self.started_at).abs() > CLOCK_WAS_SET {
            self.started_at = started_at;
        }
        let mind = self.clerk.mind();
        let at = |moment: Duration| self.started_at + moment;
        let sightings = mind.sightings().iter().map(|seen| {
            let (cause, detail, tries) = (seen.cause, seen.detail.clone(), seen.tries);
            Sighting { cause, detail, tries, first: at(seen.first), last: at(seen.last) }
        });
        let link = Link {
            state: mind.link().clone(),
            since: at(mind.since()),
            next_try: mind.next_try().map(at),
            sightings: sightings.collect(),
            per_minute: mind.per_minute().round() as u32,
            skew: self.skew.map(|skew| time::Duration::seconds(skew.whole_seconds())),
        };
        self.link.send_if_modified(|shown| std::mem::replace(shown, link.clone()) != link);
        self.read_back.send_replace(self.clerk.progress(at));
    }

    async fn commit(&self, events: Vec<CloudEvent>) -> Result<(), Unavailable> {
        let at = now();
        let stamp = Stamp { at, actor: "sync".to_owned() };
        let decide = move |view: &ledger::View<'_>| Ok::<_, Infallible>(fitting(view, events, at));
        match self.ledger.commit(stamp, decide).await {
            Ok(_) => Ok(()),
            Err(CommitError::Unavailable(why)) => Err(why),
            Err(CommitError::Refused(never)) => match never {},
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the worker is a shell: here the time comes in")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
