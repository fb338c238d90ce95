//! What a worker does, without I/O and without a clock: looks into the ledger, asks DPS, writes down how it ended.
//!
//! ```text
//! (now, ledger, permit) ─▶ next ─▶ Ask ── the answer ─▶ heard ─▶ next …
//!                                  Write ── committed ─▶ next …
//!                                  Rest
//! ```
//!
//! Nothing is stored about a request under way: a crash anywhere only means that something is said twice, and DPS is
//! asked in a way that makes the second time harmless.

use std::{collections::VecDeque, fmt, time::Duration};

use azure_iot::RegistrationId;
use ledger::{Decision, Event, ReadError, Reads, View};
use time::OffsetDateTime;
use tracing::{error, info, warn};

use crate::{
    answer::{Answer, Call, Trouble},
    attempts::Attempts,
    books,
    cause::Cause,
    drift::Seen,
    event::CloudEvent,
    fence::{Fencing, Identity, Verdict},
    link::{LinkChanges, LinkState},
    mind::{Blame, Mind, Next, Pace},
    readback::{Progress, Turn, Walk},
    round::{Ended, Round, rounds},
    state::{Why, after},
    work::Outcome,
    worker::{Describe, Permit},
};

/// How many waiting units are looked at in one go.
const PAGE: usize = 64;
/// How often a box that is online looks whether it lives on elsewhere.
const FENCE: Duration = Duration::from_secs(60);

/// What to do now.
#[derive(Debug)]
pub enum Action {
    /// Ask DPS this, and bring what it says to [`Clerk::heard`], with the number.
    Ask(u64, Call),
    /// Commit these, as far as they still fit, before asking what is next.
    Write(Vec<CloudEvent>),
    /// Nothing, until the ledger changes, an answer comes or so much time has passed.
    Rest(Option<Duration>),
}

/// A worker's decisions.
pub struct Clerk<E> {
    describe: Describe<E>,
    mind: Mind,
    rounds: Vec<Round>,
    /// What is to be written down.
    events: Vec<CloudEvent>,
    /// The number of the last request.
    asked: u64,
    attempts: Attempts<Duration>,
    /// When the box looks after itself again.
    fence_at: Duration,
    /// Who asks, if that can be restored twice.
    identity: Option<Identity>,
    /// Whether the ledger may not know how the link is.
    link_is_news: bool,
    link_changes: LinkChanges,
    /// Where looking back is.
    walk: Walk,
}

impl<E> fmt::Debug for Clerk<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clerk").field("mind", &self.mind).finish_non_exhaustive()
    }
}

impl<E: Event> Clerk<E> {
    /// A clerk who knows what to say by `describe`; `seed` is the randomness of its delays.
    #[must_use]
    pub fn new(describe: Describe<E>, pace: Pace, seed: u64) -> Self {
        let walk = Walk::new(pace.read_back);
        Self {
            describe,
            walk,
            mind: Mind::new(pace, fastrand::Rng::with_seed(seed)),
            rounds: Vec::new(),
            events: Vec::new(),
            asked: 0,
            attempts: Attempts::default(),
            fence_at: Duration::ZERO,
            identity: None,
            link_is_news: false,
            link_changes: LinkChanges::default(),
        }
    }

    /// What it knows about the link and its own pace.
    #[must_use]
    pub fn mind(&self) -> &Mind {
        &self.mind
    }

    /// How its requests ended so far.
    #[must_use]
    pub fn attempts(&self) -> &Attempts<Duration> {
        &self.attempts
    }

    /// How far it is with looking whether DPS still has what is settled, if it looks at all; `at` turns a moment into one by
    /// the calendar.
    pub fn progress(&self, at: impl Fn(Duration) -> OffsetDateTime) -> Option<Progress> {
        self.walk.progress(at)
    }

    /// What to do at `now`, with the permit of the moment. Time is a `Duration` since any fixed moment.
    pub fn next<L: Reads<Event = E>>(
        &mut self,
        now: Duration,
        ledger: &L,
        permit: Permit,
    ) -> Result<Action, ReadError> {
        self.note_link(now, ledger)?;
        if !self.events.is_empty() {
            return Ok(Action::Write(std::mem::take(&mut self.events)));
        }
        self.identity = match permit {
            Permit::Withheld => {
                self.rounds.retain(|round| round.under_way.is_some());
                return Ok(Action::Rest(None));
            }
            Permit::Anybody => None,
            Permit::Box(identity) => Some(identity),
        };
        let under_way = self.rounds.iter().filter(|round| round.under_way.is_some()).count();
        if let Err(wait) = self.mind.may_ask(now, under_way) {
            return Ok(Action::Rest(wait));
        }
        self.forget(now, ledger)?;
        if !self.events.is_empty() {
            return Ok(Action::Write(std::mem::take(&mut self.events)));
        }
        if !self.rounds.iter().any(|round| round.under_way.is_none())
            && let Some(rest) = self.begin(now, ledger)?
        {
            return Ok(match std::mem::take(&mut self.events) {
                events if events.is_empty() => Action::Rest(rest),
                events => Action::Write(events),
            });
        }
        Ok(self.ask(now))
    }

    /// Takes what came of request `number`, at `now`.
    pub fn heard(&mut self, now: Duration, number: u64, result: Result<Answer, Trouble>) {
        let Some(at) = self.rounds.iter().position(|round| round.under_way == Some(number)) else { return };
        let round = &mut self.rounds[at];
        round.under_way = None;
        let heard = result.and_then(Answer::check).and_then(|answer| round.hear(&answer));
        let over = round.is_over();
        let units = round.about.len();
        match heard {
            Ok(()) => {
                self.attempts.answered(now);
                let news = self.mind.heard(now, number, units);
                self.link_is(news);
                if over {
                    let round = self.rounds.swap_remove(at);
                    self.end(now, round);
                }
            }
            Err(trouble) => {
                self.attempts.failed(trouble.cause);
                let round = self.rounds.swap_remove(at);
                self.trouble(now, number, &trouble, round);
            }
        }
    }

    /// Ends the rounds about units that a person has held or decided on meanwhile, or that were issued again.
    fn forget<L: Reads<Event = E>>(&mut self, now: Duration, ledger: &L) -> Result<(), ReadError> {
        for round in std::mem::take(&mut self.rounds) {
            if round.under_way.is_some() || round.is_wanted(ledger)? {
                self.rounds.push(round);
            } else {
                self.end(now, round);
            }
        }
        Ok(())
    }

    /// Begins new rounds, or says how long there is nothing to begin.
    fn begin<L: Reads<Event = E>>(
        &mut self,
        now: Duration,
        ledger: &L,
    ) -> Result<Option<Option<Duration>>, ReadError> {
        let fence_in = self.identity.is_some().then(|| self.fence_at.saturating_sub(now));
        let next = self.look(now, ledger)?;
        if fence_in == Some(Duration::ZERO) {
            // After an outage the box looks after itself first; while nothing waits, it does so every minute.
            if !self.rounds.is_empty() {
                return Ok(Some(None));
            }
            let down = matches!(self.mind.link(), LinkState::Down { .. });
            match next {
                Next::Rest(Some(rest)) if down => return Ok(Some(Some(rest))),
                _ => match self.identity.clone().and_then(Fencing::new) {
                    Some(fencing) => {
                        self.rounds.push(Round::fence(fencing));
                        return Ok(None);
                    }
                    None => self.fence_at = Duration::MAX,
                },
            }
        }
        match next {
            Next::Send(ids) => {
                let own = self.identity.as_ref().map(|own| own.generation);
                let (rounds, unreadable) = rounds(ledger, &self.describe, ids, own);
                self.rounds.extend(rounds);
                for (id, why) in unreadable {
                    error!(%id, why, "a job cannot be read back from the journal");
                    self.mind.defer(now, id);
                }
                Ok(None)
            }
            Next::Rest(rest) => {
                let Some(look_in) = self.look_back(now, ledger)? else { return Ok(None) };
                Ok(Some([rest, fence_in, look_in].into_iter().flatten().min()))
            }
        }
    }

    /// Begins to look whether a unit is still as it was told, or says how long not. Only while nothing else is to be said:
    /// whoever waits goes first.
    fn look_back<L: Reads<Event = E>>(
        &mut self,
        now: Duration,
        ledger: &L,
    ) -> Result<Option<Option<Duration>>, ReadError> {
        if !self.rounds.is_empty() || self.mind.link() != &LinkState::Up {
            return Ok(Some(None));
        }
        let (id, record) = match self.walk.turn(now, ledger, &mut self.events)? {
            Turn::Look(id, record) => (id, record),
            Turn::Rest(rest) => return Ok(Some(rest)),
        };
        let own = self.identity.as_ref().map_or(u8::MAX, |own| own.generation);
        match Round::look(ledger, &self.describe, id.clone(), &record, own) {
            Ok(round) => {
                self.rounds.push(round);
                Ok(None)
            }
            Err(why) => {
                error!(%id, why, "what was told cannot be read back from the journal");
                self.walk.unread(id, &mut self.events);
                Ok(Some(Some(Duration::ZERO)))
            }
        }
    }

    /// Asks what the first round that has nothing under way wants to ask, as soon as the budget allows.
    fn ask(&mut self, now: Duration) -> Action {
        let Some(at) = self.rounds.iter().position(|round| round.under_way.is_none()) else {
            // What was to be said cannot be read back; the others are looked for at once.
            return Action::Rest(Some(Duration::ZERO));
        };
        let Some(mut call) = self.rounds[at].next() else {
            let round = self.rounds.swap_remove(at);
            self.end(now, round);
            return Action::Rest(Some(Duration::ZERO));
        };
        let is_look = self.rounds[at].is_look();
        if let Err(wait) = self.mind.spend(now, call.cost) {
            if is_look {
                // Nobody shall find it in the way who has something to say meanwhile.
                self.rounds.swap_remove(at);
            } else {
                self.rounds[at].keep(call);
            }
            return Action::Rest(Some(wait));
        }
        if is_look {
            self.walk.asked(now, self.mind.operations_per_minute());
        }
        call.cost = self.mind.cost(call.cost);
        self.asked += 1;
        self.rounds[at].asks(self.asked, &call);
        Action::Ask(self.asked, call)
    }

    /// What waits, without what is being talked about. Reads the queue page by page, as far as the mind wants to look.
    fn look<L: Reads<Event = E>>(&self, now: Duration, ledger: &L) -> Result<Next, ReadError> {
        let mut failed = None;
        let mut page = VecDeque::new();
        let mut after: Option<Vec<u8>> = None;
        let mut more = true;
        let waiting = std::iter::from_fn(|| {
            if page.is_empty() && more {
                match books::waiting(ledger, after.as_deref(), PAGE) {
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
        let waiting = waiting.filter(|id| !self.rounds.iter().any(|round| round.is_about(id)));
        let next = self.mind.next(now, waiting);
        failed.map_or(Ok(next), Err)
    }

    /// A request of `round` failed.
    fn trouble(&mut self, now: Duration, number: u64, trouble: &Trouble, round: Round) {
        let doubtful = trouble.cause.may_be_a_unit() && trouble.retry_after.is_none();
        if round.is_look() && doubtful && self.mind.link() == &LinkState::Up {
            // Perhaps it is this one record; whoever asks next knows more about the link.
            for (id, _) in round.end().1 {
                warn!(%id, detail = trouble.detail, "its enrollment cannot be read back");
                self.walk.unread(id, &mut self.events);
            }
            return;
        }
        match self.mind.failed(now, number, self.asked, trouble, &round.about) {
            Blame::Units => self.end(now, round),
            Blame::Unit(id) => {
                if let Some(epoch) = round.epoch(&id) {
                    let detail = format!(
                        "DPS answers to no request about this unit while others pass: {}",
                        trouble.detail
                    );
                    self.settle(now, id, epoch, Outcome::stopped(trouble.cause.code(), detail));
                }
                self.end(now, round);
            }
            Blame::Link(news) => {
                self.link_is(news);
                self.end(now, round);
                // Whatever happened in the meantime: look there first.
                self.fence_at = Duration::ZERO;
                for mut round in std::mem::take(&mut self.rounds) {
                    round.last = true;
                    if round.under_way.is_some() {
                        self.rounds.push(round);
                    } else {
                        self.end(now, round);
                    }
                }
            }
        }
    }

    /// Everything was said, or nothing more can be: writes down what is known.
    fn end(&mut self, now: Duration, round: Round) {
        match round.end() {
            (Ended::Fence(fencing), _) if fencing.next().is_some() => {}
            (Ended::Fence(fencing), _) => {
                self.fence_at = now + FENCE;
                if let Verdict::Superseded { generation } = fencing.verdict() {
                    self.superseded(generation);
                }
            }
            (Ended::Look(seen), units) => {
                for ((id, epoch), seen) in units.into_iter().zip(seen) {
                    self.looked(id, epoch, seen);
                }
            }
            (Ended::Units { outcomes, generation }, units) => {
                for (id, outcome) in outcomes {
                    if let Some((_, epoch)) = units.iter().find(|(known, _)| *known == id) {
                        self.settle(now, id, *epoch, outcome);
                    }
                }
                if let Some((found, own)) = generation.zip(self.identity.as_ref())
                    && found > own.generation
                {
                    self.superseded(found);
                }
            }
        }
    }

    /// Notes what a look at a settled unit has shown.
    fn looked(&mut self, id: RegistrationId, epoch: u32, seen: Seen) {
        let drift = match seen {
            Seen::Same => None,
            Seen::Later { generation } => return self.superseded(generation),
            Seen::Drifted { what, why } => {
                let code = what.code();
                match &why {
                    Some(Why { detail, .. }) => warn!(%id, epoch, code, detail, "held: a person should look"),
                    None => warn!(%id, epoch, code, "the cloud has something else; it is told again"),
                }
                self.events.push(CloudEvent::Drifted { id: id.clone(), epoch, what, why });
                Some(what)
            }
        };
        self.walk.compared(id, drift, &mut self.events);
    }

    fn superseded(&mut self, generation: u8) {
        error!(generation, "this box was restored from a backup and lives on elsewhere; it stops here");
        self.events.push(CloudEvent::Superseded { generation });
    }

    /// Notes what became of a unit.
    fn settle(&mut self, now: Duration, id: RegistrationId, epoch: u32, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => {
                info!(%id, epoch, "the cloud has it");
                self.mind.done(&id);
                self.events.push(CloudEvent::Accepted { id, epoch });
            }
            Outcome::Stopped(why) => {
                let Why { code, detail } = &why;
                warn!(%id, epoch, code, detail, "held: a person should look");
                self.mind.done(&id);
                self.events.push(CloudEvent::Held { id, epoch, why });
            }
            Outcome::Later(why) => {
                info!(%id, epoch, why, "asked again later");
                self.mind.defer(now, id);
            }
        }
    }

    fn link_is(&mut self, news: Option<LinkState>) {
        let Some(state) = news else { return };
        match &state {
            LinkState::Down { cause: cause @ Cause::Busy, detail } => {
                info!(code = cause.code(), detail, "the cloud asks for patience");
            }
            LinkState::Down { cause, detail } => {
                warn!(code = cause.code(), detail, "the cloud cannot be reached; work goes on");
            }
            LinkState::Up | LinkState::Unknown => info!("the cloud can be reached"),
        }
        self.link_is_news = true;
    }

    /// Has a change of the link written down, unless there were too many of late; then later.
    fn note_link<L: Reads<Event = E>>(&mut self, now: Duration, ledger: &L) -> Result<(), ReadError> {
        if !self.link_is_news {
            return Ok(());
        }
        let to = self.mind.link().clone();
        if books::link(ledger)?.is_some_and(|known| known.state.same_kind(&to)) {
            self.link_is_news = false;
        } else if self.link_changes.take(now) {
            self.link_is_news = false;
            self.events.push(CloudEvent::LinkChanged { to });
        }
        Ok(())
    }
}

/// What of `events` still fits when the writer looks at it: a unit may have moved on while DPS was asked about it.
pub fn fitting<E: From<CloudEvent>>(
    view: &View<'_>,
    events: Vec<CloudEvent>,
    at: OffsetDateTime,
) -> Decision<E, ()> {
    let fits = |event: &CloudEvent| {
        let Some((id, happening)) = event.happening() else { return true };
        after(books::standing(view, id).map(|record| record.state).as_ref(), happening, at).is_ok()
    };
    Decision { events: events.into_iter().filter(fits).map(E::from).collect(), answer: () }
}
