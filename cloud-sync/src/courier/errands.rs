//! Doing a bundle's jobs, without I/O and without a clock: the worker's own [`Clerk`] over a ledger in memory, so that
//! nothing is said to DPS here that the box would not say itself.

use std::{fmt, sync::Arc, time::Duration};

use azure_iot::RegistrationId;
use ledger::{Applied, Changes, CommitError, Decision, Entry, Event, Memory, ReadError, Stamp, Unavailable};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;

use super::{
    bundle::{Bundle, Job, Letter},
    receipt::Receipt,
};
use crate::{
    answer::{Answer, Call, Trouble},
    books::{self, Books},
    clerk::{Action, Clerk, fitting},
    event::CloudEvent,
    link::LinkState,
    mind::Pace,
    readback::ReadBackConfig,
    state::State,
    worker::Permit,
};

/// What to do now.
#[derive(Debug)]
pub enum Step {
    /// Ask DPS this, and bring what it says to [`Errands::heard`], with the number.
    Ask(u64, Call),
    /// Nothing, until an answer comes or so much time has passed.
    Rest(Option<Duration>),
    /// Everything was said that there is to say.
    Done,
}

/// What happens on the way; kept as long as the journey takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Happened {
    Job(Box<Job>),
    Cloud(CloudEvent),
}

impl From<CloudEvent> for Happened {
    fn from(event: CloudEvent) -> Self {
        Self::Cloud(event)
    }
}

impl Event for Happened {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::Job(job) => books::want(changes, at, job.id(), job.want(), job.epoch()),
            Self::Cloud(event) => books::record(changes, at, event),
        }
    }
}

/// Why it cannot go on; no fault of DPS or of the way there.
#[derive(Debug, Error)]
pub enum ErrandError {
    /// What is kept in memory does not read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// What is kept in memory cannot be written.
    #[error(transparent)]
    Write(#[from] Unavailable),
}

/// The jobs of one bundle, and how far they are.
pub struct Errands {
    letter: Letter,
    ids: Vec<RegistrationId>,
    ledger: Memory<Happened>,
    clerk: Clerk<Happened>,
    /// The box lives on elsewhere, as a later generation: its jobs are not done any more.
    superseded: Option<CloudEvent>,
    /// When something became of a job last.
    done_at: OffsetDateTime,
}

impl fmt::Debug for Errands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Errands").field("letter", &self.letter).finish_non_exhaustive()
    }
}

impl Errands {
    /// Takes the jobs of `bundle`; `seed` is the randomness of delays.
    pub fn new(bundle: Bundle, pace: Pace, seed: u64) -> Result<Self, ErrandError> {
        let describe = |entry: &Entry<Happened>, id: &RegistrationId| {
            entry.events.iter().find_map(|event| match event {
                Happened::Job(job) if job.id() == id => Some(job.work()),
                _ => None,
            })
        };
        let Bundle { letter, jobs } = bundle;
        let mut ledger = Memory::default();
        let ids = jobs.iter().map(|job| job.id().clone()).collect();
        for job in jobs {
            let decision = Decision { events: vec![Happened::Job(Box::new(job))], answer: () };
            commit(&mut ledger, letter.made_at, |_| decision)?;
        }
        // What the box has told before is not known here.
        let pace = Pace { read_back: ReadBackConfig::OFF, ..pace };
        let clerk = Clerk::new(Arc::new(describe), pace, seed);
        let done_at = letter.made_at;
        Ok(Self { letter, ids, ledger, clerk, superseded: None, done_at })
    }

    /// What to do at `now`, which is a `Duration` since any fixed moment and `at` by the calendar.
    pub fn next(&mut self, now: Duration, at: OffsetDateTime) -> Result<Step, ErrandError> {
        loop {
            if self.superseded.is_some() || self.books()?.waiting == 0 {
                return Ok(Step::Done);
            }
            let permit = Permit::Box(self.letter.identity());
            match self.clerk.next(now, &self.ledger, permit)? {
                Action::Ask(number, call) => return Ok(Step::Ask(number, call)),
                Action::Rest(rest) => return Ok(Step::Rest(rest)),
                Action::Write(events) => {
                    let found = events.iter().find(|event| matches!(event, CloudEvent::Superseded { .. }));
                    self.superseded = found.cloned().or(self.superseded.take());
                    self.done_at = at;
                    commit(&mut self.ledger, at, |view| fitting(view, events, at))?;
                }
            }
        }
    }

    /// Takes what came of request `number`, at `now`.
    pub fn heard(&mut self, now: Duration, number: u64, result: Result<Answer, Trouble>) {
        self.clerk.heard(now, number, result);
    }

    /// The letter of the bundle.
    #[must_use]
    pub fn letter(&self) -> &Letter {
        &self.letter
    }

    /// How many jobs there are, and what became of them.
    pub fn books(&self) -> Result<Books, ErrandError> {
        Ok(books::balance(&self.ledger)?)
    }

    /// How the link is.
    #[must_use]
    pub fn link(&self) -> &LinkState {
        self.clerk.mind().link()
    }

    /// What became of the jobs so far, in their order, and in the end whether the box lives on elsewhere; `dps` is the
    /// host that was asked.
    pub fn receipt(&self, dps: &str) -> Result<Receipt, ErrandError> {
        let mut outcomes = Vec::new();
        for id in &self.ids {
            let standing = books::committed(&self.ledger, id)?.map(|record| record.state);
            outcomes.extend(match standing {
                Some(State::Settled { epoch, .. }) => Some(CloudEvent::Accepted { id: id.clone(), epoch }),
                Some(State::Held { epoch, why, .. }) => Some(CloudEvent::Held { id: id.clone(), epoch, why }),
                Some(State::Waiting { .. }) | None => None,
            });
        }
        outcomes.extend(self.superseded.clone());
        Ok(Receipt::new(&self.letter, outcomes, dps, self.done_at))
    }

    /// Whether the box lives on elsewhere, so that nothing more is said in its name.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        self.superseded.is_some()
    }
}

fn commit(
    ledger: &mut Memory<Happened>,
    at: OffsetDateTime,
    decide: impl FnOnce(&ledger::View<'_>) -> Decision<Happened, ()>,
) -> Result<(), Unavailable> {
    let stamp = Stamp { at, actor: "courier".to_owned() };
    match ledger.commit(stamp, |view| Ok::<_, std::convert::Infallible>(decide(view))) {
        Ok(_) => Ok(()),
        Err(CommitError::Unavailable(why)) => Err(why),
        Err(CommitError::Refused(never)) => match never {},
    }
}
