//! The shell around the mind: looks into the ledger, talks to DPS, writes down how it ended.
//!
//! ```text
//!          ┌───────────── ledger changed, or a delay is over ◀──────────────┐
//!          ▼                                                                │
//! what waits ─▶ Mind::next ─▶ announce / amend / activate ─▶ Cloud ─▶ commit outcomes
//! ```
//!
//! One request at a time. A crash anywhere only means that something is said twice, and DPS is asked in a way that makes
//! the second time harmless.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use azure_iot::RegistrationId;
use ledger::{CommitError, Decision, Entry, Event, Ledger, ReadError, Stamp, Unavailable};
use time::OffsetDateTime;
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    activate::Activating,
    amend::Amending,
    announce::Announcing,
    answer::{Answer, Call, Trouble},
    books,
    cloud::Cloud,
    conversation::Conversation,
    event::CloudEvent,
    fence::{Fencing, Identity, Verdict},
    link::{Link, LinkState},
    mind::{Mind, Next, Pace},
    state::{Happening, Why, after},
    work::{Outcome, Work},
};

/// How long to wait before looking again, when the ledger could not be read or written.
const LEDGER_RETRY: Duration = Duration::from_secs(5);
/// How many waiting units are looked at in one go.
const PAGE: usize = 256;

/// How often a box that is online looks whether it lives on elsewhere.
const FENCE: Duration = Duration::from_secs(60);

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

/// What to do now.
enum Step {
    Say(Vec<RegistrationId>),
    LookAfter(Identity),
    Rest(Option<Duration>),
}

/// Tells the cloud what waits in a ledger, for as long as it runs.
pub struct Worker<E> {
    ledger: Ledger<E>,
    cloud: Cloud,
    describe: Describe<E>,
    permission: Permission,
    mind: Mind,
    link: watch::Sender<Link>,
    started: Instant,
    /// When the box looks after itself again.
    fence_at: Duration,
}

impl<E> fmt::Debug for Worker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("mind", &self.mind).finish_non_exhaustive()
    }
}

impl<E: Event + From<CloudEvent>> Worker<E> {
    /// A worker on `ledger`; `seed` is the randomness of its delays.
    #[must_use]
    pub fn new(ledger: Ledger<E>, cloud: Cloud, describe: Describe<E>, pace: Pace, seed: u64) -> Self {
        let mind = Mind::new(pace, fastrand::Rng::with_seed(seed));
        let (link, _) = watch::channel(Link { state: LinkState::Unknown, since: now() });
        let permission: Permission = Arc::new(|| Ok(Permit::Anybody));
        let started = Instant::now();
        Self { ledger, cloud, describe, permission, mind, link, started, fence_at: Duration::ZERO }
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

    /// Works until cancelled. What was being said is dropped, and will be said again.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut changed = self.ledger.changed();
        loop {
            changed.borrow_and_update();
            let rest = match self.step() {
                Ok(Step::Say(ids)) => match cancel.run_until_cancelled(self.send(ids)).await {
                    Some(Ok(())) => continue,
                    Some(Err(why)) => {
                        error!(%why, "what the cloud said cannot be written down");
                        Some(LEDGER_RETRY)
                    }
                    None => return,
                },
                Ok(Step::LookAfter(identity)) => {
                    match cancel.run_until_cancelled(self.look_after(identity)).await {
                        Some(Ok(())) => continue,
                        Some(Err(why)) => {
                            error!(%why, "that this box lives on elsewhere cannot be written down");
                            Some(LEDGER_RETRY)
                        }
                        None => return,
                    }
                }
                Ok(Step::Rest(rest)) => rest,
                Err(why) => {
                    error!(%why, "what waits for the cloud cannot be read");
                    Some(LEDGER_RETRY)
                }
            };
            let slept = async {
                match rest {
                    Some(rest) => tokio::time::sleep(rest).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = slept => {}
                change = changed.changed() => if change.is_err() { return },
            }
        }
    }

    /// What to do now, with the permit of the moment.
    fn step(&self) -> Result<Step, ReadError> {
        let identity = match (self.permission)()? {
            Permit::Withheld => return Ok(Step::Rest(None)),
            Permit::Anybody => None,
            Permit::Box(identity) => Some(identity),
        };
        let fence_in = self.fence_at.saturating_sub(self.started.elapsed());
        Ok(match (self.look()?, identity) {
            (Next::Send(_), Some(identity)) if fence_in.is_zero() => Step::LookAfter(identity),
            (Next::Send(ids), _) => Step::Say(ids),
            (Next::Rest(rest), None) => Step::Rest(rest),
            (Next::Rest(rest), Some(identity)) => match self.mind.link() {
                // Nothing waits, and a probe is due.
                LinkState::Down { .. } if rest.is_none() => Step::LookAfter(identity),
                LinkState::Down { .. } => Step::Rest(rest),
                LinkState::Up | LinkState::Unknown if fence_in.is_zero() => Step::LookAfter(identity),
                LinkState::Up | LinkState::Unknown => {
                    Step::Rest(Some(rest.map_or(fence_in, |rest| rest.min(fence_in))))
                }
            },
        })
    }

    /// Looks whether this box lives on elsewhere, and writes it down if so.
    async fn look_after(&mut self, identity: Identity) -> Result<(), Unavailable> {
        let Some(mut fencing) = Fencing::new(identity) else {
            self.fence_at = Duration::MAX;
            return Ok(());
        };
        while let Some(call) = fencing.next() {
            let heard = match self.call(&call).await {
                Ok(answer) => fencing.hear(&answer),
                Err(trouble) => Err(trouble),
            };
            if let Err(trouble) = heard {
                let news = self.mind.failed(self.started.elapsed(), &trouble);
                return self.link_is(news).await;
            }
        }
        self.fence_at = self.started.elapsed() + FENCE;
        let news = self.mind.heard();
        self.link_is(news).await?;
        match fencing.verdict() {
            Verdict::Clear => Ok(()),
            Verdict::Superseded { generation } => self.superseded(generation).await,
        }
    }

    async fn superseded(&self, generation: u8) -> Result<(), Unavailable> {
        error!(generation, "this box was restored from a backup and lives on elsewhere; it stops here");
        self.commit(vec![CloudEvent::Superseded { generation }]).await
    }

    /// What waits. Reads the queue page by page, only as far as the mind wants to look.
    fn look(&self) -> Result<Next, ReadError> {
        let mut failed = None;
        let mut page = VecDeque::new();
        let mut after: Option<Vec<u8>> = None;
        let mut more = true;
        let waiting = std::iter::from_fn(|| {
            if page.is_empty() && more {
                match books::waiting(&self.ledger, after.as_deref(), PAGE) {
                    Ok(found) => {
                        more = found.len() == PAGE;
                        after = found.last().map(|(key, _)| key.clone());
                        page.extend(found.into_iter().map(|(_, id)| id));
                    }
                    Err(error) => {
                        more = false;
                        failed = Some(error);
                    }
                }
            }
            page.pop_front()
        });
        let next = self.mind.next(self.started.elapsed(), waiting);
        failed.map_or(Ok(next), Err)
    }

    /// Says what there is to say about `ids`, and writes down how it went.
    async fn send(&mut self, ids: Vec<RegistrationId>) -> Result<(), Unavailable> {
        let mut epochs = Vec::new();
        let mut announcements = Vec::new();
        let mut conversations: Vec<Box<dyn Conversation>> = Vec::new();
        for id in ids {
            match self.work(&id) {
                Ok(Some((epoch, work))) => {
                    epochs.push((id, epoch));
                    match work {
                        Work::Announce(announcement) => announcements.push(announcement),
                        Work::Activate(activation) => {
                            conversations.push(Box::new(Activating::new(activation)));
                        }
                        Work::Replace(amendment) => {
                            conversations.push(Box::new(Amending::replace(amendment)));
                        }
                        Work::Withdraw(amendment) => {
                            conversations.push(Box::new(Amending::withdraw(amendment)));
                        }
                    }
                }
                Ok(None) => {}
                Err(why) => {
                    error!(%id, why, "a job cannot be read back from the journal");
                    self.mind.defer(self.started.elapsed(), id);
                }
            }
        }
        if !announcements.is_empty() {
            conversations.insert(0, Box::new(Announcing::new(announcements)));
        }
        for mut conversation in conversations {
            let trouble = self.converse(conversation.as_mut()).await;
            let generation = conversation.generation();
            self.settle(conversation.outcomes(), &epochs).await?;
            if let (Some(generation), Ok(Permit::Box(identity))) = (generation, (self.permission)())
                && generation > identity.generation
            {
                return self.superseded(generation).await;
            }
            if let Err(trouble) = trouble {
                // Whatever happened in the meantime: look there first.
                self.fence_at = Duration::ZERO;
                let news = self.mind.failed(self.started.elapsed(), &trouble);
                return self.link_is(news).await;
            }
            let news = self.mind.heard();
            self.link_is(news).await?;
        }
        Ok(())
    }

    /// What is to be said about `id`; `None` when it waits no more.
    fn work(&self, id: &RegistrationId) -> Result<Option<(u32, Work)>, String> {
        let Some(record) = books::committed(&self.ledger, id).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let entry = self.ledger.entry(&record.wanted).map_err(|error| error.to_string())?;
        let work = (self.describe)(&entry, id);
        work.map(|work| Some((record.state.epoch(), work)))
            .ok_or_else(|| "its event says nothing to send".to_owned())
    }

    /// Talks until everything was said, at the pace of the budget.
    async fn converse(&mut self, conversation: &mut dyn Conversation) -> Result<(), Trouble> {
        while let Some(call) = conversation.next() {
            let answer = self.call(&call).await?;
            conversation.hear(&answer)?;
        }
        Ok(())
    }

    /// Asks once, as soon as the budget allows.
    async fn call(&mut self, call: &Call) -> Result<Answer, Trouble> {
        while let Err(wait) = self.mind.spend(self.started.elapsed(), call.cost) {
            tokio::time::sleep(wait).await;
        }
        self.cloud.call(call, now()).await?.check()
    }

    /// Writes down what became of the units, in one commit.
    async fn settle(
        &mut self,
        outcomes: Vec<(RegistrationId, Outcome)>,
        epochs: &[(RegistrationId, u32)],
    ) -> Result<(), Unavailable> {
        let mut events = Vec::new();
        for (id, outcome) in outcomes {
            let Some(&(_, epoch)) = epochs.iter().find(|(known, _)| *known == id) else { continue };
            match outcome {
                Outcome::Accepted => {
                    info!(%id, epoch, "the cloud has it");
                    self.mind.done(&id);
                    events.push(CloudEvent::Accepted { id, epoch });
                }
                Outcome::Stopped(why) => {
                    warn!(%id, epoch, code = why.code, detail = why.detail, "held: a person should look");
                    self.mind.done(&id);
                    events.push(CloudEvent::Held { id, epoch, why });
                }
                Outcome::Later(why) => {
                    info!(%id, epoch, why, "asked again later");
                    self.mind.defer(self.started.elapsed(), id);
                }
            }
        }
        self.commit(events).await
    }

    async fn link_is(&mut self, news: Option<LinkState>) -> Result<(), Unavailable> {
        let Some(state) = news else { return Ok(()) };
        match &state {
            LinkState::Down { cause, detail } => {
                warn!(?cause, detail, "the cloud cannot be reached; work goes on");
            }
            LinkState::Up | LinkState::Unknown => info!("the cloud can be reached"),
        }
        self.link.send_replace(Link { state: state.clone(), since: now() });
        let known = books::link(&self.ledger).ok().flatten();
        if known.is_some_and(|known| known.state.same_kind(&state)) {
            return Ok(());
        }
        self.commit(vec![CloudEvent::LinkChanged { to: state }]).await
    }

    /// Commits what still fits when the writer looks at it: a unit may have moved on while we talked about it.
    async fn commit(&self, events: Vec<CloudEvent>) -> Result<(), Unavailable> {
        if events.is_empty() {
            return Ok(());
        }
        let at = now();
        let stamp = Stamp { at, actor: "sync".to_owned() };
        let decide = move |view: &ledger::View<'_>| {
            let fits = |event: &CloudEvent| {
                let (id, happening) = match event {
                    CloudEvent::Accepted { id, epoch } => (id, Happening::Accepted { epoch: *epoch }),
                    CloudEvent::Held { id, epoch, why } => {
                        (id, Happening::Stopped { epoch: *epoch, why: Why::clone(why) })
                    }
                    CloudEvent::LinkChanged { .. } | CloudEvent::Superseded { .. } => return true,
                };
                after(books::standing(view, id).map(|record| record.state).as_ref(), happening, at).is_ok()
            };
            let events = events.into_iter().filter(fits).map(E::from).collect();
            Ok::<_, std::convert::Infallible>(Decision { events, answer: () })
        };
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
