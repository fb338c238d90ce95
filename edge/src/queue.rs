//! Jobs for the cloud as a person sees them, and what a person may do about them: have what is held asked again, hold what
//! waits, and have nothing sent at all for a while. Deciding about what is held is [`crate::resolve`].
//!
//! What waits is never thrown away: a job that is held stays in the books until it is asked again or decided, or until
//! something newer is wanted for its unit.

use azure_iot::RegistrationId;
use clap::ValueEnum;
use cloud_sync::{
    CloudEvent, Progress, State, Want, Why,
    books::{self, Books, Pause, Record},
    state::ASKED,
};
use http::StatusCode;
use ledger::{Decision, Ledger, ReadError, Stamp, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;
use web::Problem;

use crate::{
    EdgeEvent, drift,
    http::{Shared, refused, unreadable},
    issuance::id,
    life,
};

/// The largest part of a list, and how many jobs change in one commit.
const PART: usize = 200;

/// A job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: RegistrationId,
    /// `waiting`, `held` or `settled`.
    pub(crate) state: String,
    pub(crate) want: Want,
    /// Which pass of the unit it is about.
    pub(crate) epoch: u32,
    /// When it was wanted.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) since: OffsetDateTime,
    /// Why it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
    /// When it was settled, or held.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) at: Option<OffsetDateTime>,
    /// The version of the cloud's record that gives way, where a person has decided so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
}

impl Job {
    fn new(id: RegistrationId, record: Record) -> Self {
        let (state, why, at) = match record.state.clone() {
            State::Waiting { .. } => ("waiting", None, None),
            State::Held { why, at, .. } => ("held", Some(why), Some(at)),
            State::Settled { at, .. } => ("settled", None, Some(at)),
        };
        let (want, epoch) = (record.state.want(), record.state.epoch());
        let etag = record.state.decided().map(str::to_owned);
        Self { id, state: state.to_owned(), want, epoch, since: record.since, why, at, etag }
    }

    /// Whether it needs a person.
    pub(crate) fn is_held(&self) -> bool {
        self.why.is_some()
    }
}

/// Which jobs are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// What is to be told, oldest first.
    Waiting,
    /// What needs a person, by id.
    Held,
}

/// Which part of the jobs is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    pub(crate) state: Kind,
    /// The `next` of an earlier part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<String>,
    /// Only those held for this reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

/// A part of the jobs. It may be empty although there is a `next`: what was looked at was held for other reasons.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Part {
    pub(crate) jobs: Vec<Job>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
}

/// The queue at a glance.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) books: Books,
    /// That a person wants nothing to be sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) paused: Option<Pause>,
    /// How far it is with looking whether the cloud still has what it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_back: Option<Progress>,
}

/// Which jobs a person means.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Pick {
    /// Those of these units.
    Ids(Vec<String>),
    /// Those that are held for this reason.
    Code(String),
    /// All that are held.
    All {},
}

/// What shall not be sent, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    pub(crate) ids: Vec<String>,
    pub(crate) reason: String,
}

/// Why nothing shall be sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    pub(crate) reason: String,
}

/// How many jobs changed, and those that are no longer, or never were, as they were taken for.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Changed {
    pub(crate) changed: usize,
    pub(crate) unchanged: Vec<RegistrationId>,
}

/// The queue at a glance.
pub(crate) fn glance(floor: &Shared) -> Result<Queue, Problem> {
    let read = || {
        Ok::<_, ReadError>(Queue {
            books: books::balance(&floor.ledger)?,
            paused: books::paused(&floor.ledger)?,
            read_back: drift::progress(floor),
        })
    };
    read().map_err(|error| unreadable(&error))
}

/// A part of the jobs.
pub(crate) fn list(floor: &Shared, wanted: &Wanted) -> Result<Part, Problem> {
    part(&floor.ledger, wanted).map_err(|error| unreadable(&error))
}

fn part(ledger: &Ledger<EdgeEvent>, wanted: &Wanted) -> Result<Part, ReadError> {
    let after = wanted.after.as_deref().map(str::as_bytes);
    let found = match wanted.state {
        Kind::Waiting => books::waiting(ledger, after, PART)?,
        Kind::Held => books::held(ledger, after, PART)?,
    };
    let next = found.last().filter(|_| found.len() == PART);
    let next = next.map(|(key, _)| String::from_utf8_lossy(key).into_owned());
    let mut jobs = Vec::new();
    for (_, id) in found {
        // What changed in between is not shown.
        let record = books::committed(ledger, &id)?;
        jobs.extend(record.map(|record| Job::new(id, record)).filter(|job| {
            let code = job.why.as_ref().map(|why| why.code.as_str());
            wanted.code.is_none() || wanted.code.as_deref() == code
        }));
    }
    Ok(Part { jobs, next })
}

/// The job of one unit.
pub(crate) fn show(floor: &Shared, name: &str) -> Result<Job, Problem> {
    let id = id(name)?;
    let found = books::committed(&floor.ledger, &id).map_err(|error| unreadable(&error))?;
    found.map(|record| Job::new(id, record)).ok_or_else(|| {
        let detail =
            format!("nothing was ever to be told about '{name}'; check the id, or see: edge queue ls");
        Problem::new(StatusCode::NOT_FOUND, "unit-unknown", detail)
    })
}

/// Has what is held asked again.
pub(crate) async fn retry(floor: &Shared, actor: &str, pick: Pick) -> Result<Changed, Problem> {
    let code = match pick {
        Pick::Ids(names) => {
            let ids = names.iter().map(|name| id(name)).collect::<Result<Vec<_>, _>>()?;
            return change(floor, actor, ids, retried).await;
        }
        Pick::Code(code) => Some(code),
        Pick::All {} => None,
    };
    let mut wanted = Wanted { state: Kind::Held, after: None, code };
    let mut all = Changed::default();
    loop {
        let Part { jobs, next } = list(floor, &wanted)?;
        let ids = jobs.into_iter().map(|job| job.id).collect();
        let Changed { changed, unchanged } = change(floor, actor, ids, retried).await?;
        all.changed += changed;
        all.unchanged.extend(unchanged);
        wanted.after = next;
        if wanted.after.is_none() {
            return Ok(all);
        }
    }
}

fn retried(id: RegistrationId, state: &State) -> Option<CloudEvent> {
    matches!(state, State::Held { .. }).then(|| CloudEvent::Retried { id, epoch: state.epoch() })
}

/// Holds what waits: it is not sent until it is asked again.
pub(crate) async fn hold(floor: &Shared, actor: &str, hold: Hold) -> Result<Changed, Problem> {
    let detail = life::reason(Some(hold.reason))?;
    let ids = hold.ids.iter().map(|name| id(name)).collect::<Result<Vec<_>, _>>()?;
    let held = move |id, state: &State| {
        let why = Why { code: ASKED.to_owned(), detail: detail.clone() };
        matches!(state, State::Waiting { .. }).then(|| CloudEvent::Held { id, epoch: state.epoch(), why })
    };
    change(floor, actor, ids, held).await
}

/// Writes down what `event` makes of each job, for those that are as it wants them.
async fn change(
    floor: &Shared,
    actor: &str,
    ids: Vec<RegistrationId>,
    event: impl Fn(RegistrationId, &State) -> Option<CloudEvent> + Clone + Send + 'static,
) -> Result<Changed, Problem> {
    let mut all = Changed::default();
    for ids in ids.chunks(PART) {
        let (ids, event) = (ids.to_vec(), event.clone());
        let decide = move |view: &View<'_>| {
            let mut answer = Changed::default();
            let mut events = Vec::new();
            for id in ids {
                let state = books::standing(view, &id).map(|record| record.state);
                match state.and_then(|state| event(id.clone(), &state)) {
                    Some(event) => events.push(EdgeEvent::Cloud(event)),
                    None => answer.unchanged.push(id),
                }
            }
            answer.changed = events.len();
            Ok::<_, Problem>(Decision { events, answer })
        };
        let stamp = Stamp { at: floor.clock.latest(), actor: actor.to_owned() };
        let committed = floor.ledger.commit(stamp, decide).await;
        let Changed { changed, unchanged } = committed.map_err(|error| refused(error, |why| why))?.answer;
        all.changed += changed;
        all.unchanged.extend(unchanged);
    }
    info!(actor, changed = all.changed, "jobs changed by hand");
    Ok(all)
}

/// Has nothing sent from now on. What is under way is heard, but not answered for.
pub(crate) async fn pause(floor: &Shared, actor: &str, reason: Reason) -> Result<Pause, Problem> {
    let reason = life::reason(Some(reason.reason))?;
    let at = floor.clock.latest();
    let decide = move |view: &View<'_>| match books::standing_pause(view) {
        Some(pause) => Ok::<_, Problem>(Decision { events: vec![], answer: pause }),
        None => {
            let events = vec![EdgeEvent::Cloud(CloudEvent::Paused { reason: reason.clone() })];
            Ok(Decision { events, answer: Pause { reason, since: at } })
        }
    };
    let stamp = Stamp { at, actor: actor.to_owned() };
    let committed = floor.ledger.commit(stamp, decide).await;
    let pause = committed.map_err(|error| refused(error, |why| why))?.answer;
    info!(actor, reason = pause.reason, "nothing is sent to the cloud");
    Ok(pause)
}

/// Lets sending go on.
pub(crate) async fn resume(floor: &Shared, actor: &str) -> Result<(), Problem> {
    let decide = |view: &View<'_>| {
        let paused = books::standing_pause(view).is_some();
        let events = paused.then_some(EdgeEvent::Cloud(CloudEvent::Resumed {}));
        Ok::<_, Problem>(Decision { events: events.into_iter().collect(), answer: () })
    };
    let stamp = Stamp { at: floor.clock.latest(), actor: actor.to_owned() };
    floor.ledger.commit(stamp, decide).await.map_err(|error| refused(error, |why| why))?;
    info!(actor, "sending to the cloud goes on");
    Ok(())
}
