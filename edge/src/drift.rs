//! Compares everything that DPS has with the ledger at once, because somebody wants to know now.
//!
//! ```text
//! every record, page by page ─▶ what seems to differ, or to be missing ─▶ a look at each ─▶ told again, or held
//! ```
//!
//! A list is only a hint: its rows lack the registration, and what is announced meanwhile may be on no page of it.
//! What comes of a difference is decided by the same function as when the worker finds it in its own time.

use std::collections::HashSet;

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use cloud_sync::{
    Announced, CloudEvent, Drift, Progress, Survey, Why,
    answer::Trouble,
    books::{self, Record},
    drift::{Seen, Told, compare},
    fence::record_id,
    readback::Tally,
};
use http::StatusCode;
use ledger::{Decision, Ledger, ReadError, Seq, Stamp, View};
use serde::{Deserialize, Serialize};
use tracing::info;
use web::Problem;

use crate::{
    EdgeEvent,
    event::{IssuedBy, LostUnit, work},
    fence::{self, Fence},
    http::{Shared, now, refused, unreadable},
    index,
};

/// How many units are looked at closer in one go; who has more of them runs it again.
const MOST: usize = 200;
/// How many standings of the ledger are read at once.
const PAGE: usize = 500;

/// What the cloud has otherwise than the ledger.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Differences {
    /// How many enrollments of this box the cloud has.
    pub(crate) enrollments: usize,
    /// How many units were compared.
    pub(crate) compared: usize,
    pub(crate) differ: Vec<Difference>,
    /// Enrollments that say that this box has made them, and that the ledger does not know.
    pub(crate) phantoms: Vec<Phantom>,
    /// How many more units may differ that were not looked at closer.
    pub(crate) not_looked_at: usize,
}

/// A unit that the cloud has otherwise.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Difference {
    pub(crate) id: RegistrationId,
    pub(crate) what: Drift,
    /// Why a person has to decide; without it, it is told again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<Why>,
}

/// An enrollment that nobody here has made.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Phantom {
    pub(crate) id: RegistrationId,
    /// SHA-256 of its certificate, upper-case hex.
    pub(crate) sha256: String,
    /// The frame that it says it stands in.
    pub(crate) seq: Seq,
}

/// How far it is with looking whether the cloud still has what it was told; `None` where nobody looks.
pub(crate) fn progress(floor: &Shared) -> Option<Progress> {
    floor.read_back.as_ref().and_then(|read_back| read_back.borrow().clone())
}

/// What a pass has shown, in a line.
pub(crate) fn words(tally: &Tally) -> String {
    let mut words = format!("{} compared", tally.compared);
    if tally.unread > 0 {
        words.push_str(&format!(", {} not shown", tally.unread));
    }
    if tally.drift.is_empty() {
        return words + ", none differs";
    }
    let kinds: Vec<_> = tally.drift.iter().map(|(what, count)| format!("{count} {}", what.code())).collect();
    format!("{words}, {}", kinds.join(", "))
}

/// Compares, and writes down what is to become of what differs, in the name of `actor`; without one it only tells.
pub(crate) async fn reconcile(floor: &Shared, actor: Option<String>) -> Result<Differences, Problem> {
    let survey = may_look(floor)?;
    let this_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by;
    let mut list = List::new(&floor.ledger, &this_box);
    let mut failed = None;
    let take = |record| failed = failed.take().or(list.take(record).err());
    survey.each(now(), take).await.map_err(|trouble| unreachable(&trouble, ""))?;
    failed.map_or(Ok(()), Err).map_err(|error| unreadable(&error))?;
    list.note_missing().await.map_err(|error| unreadable(&error))?;
    let List { mut differences, mut suspects, .. } = list;
    differences.not_looked_at = suspects.len().saturating_sub(MOST);
    suspects.truncate(MOST);

    let mut looked = Vec::new();
    let mut beat = tokio::time::interval(survey.apart());
    for id in suspects {
        let told = told(&floor.ledger, &id).map_err(|error| unreadable(&error))?;
        let Some((record, told)) = told else { continue };
        beat.tick().await;
        let found = survey.record(&id, now()).await.map_err(|trouble| unreachable(&trouble, ""))?;
        match compare(&told, this_box.generation, found.as_ref()) {
            Seen::Same => {}
            Seen::Drifted { what, why } => looked.push((Difference { id, what, why }, record)),
            Seen::Later { generation } => return Err(superseded(floor, actor, generation).await),
        }
    }
    differences.differ = match actor {
        Some(actor) => write(floor, actor, looked).await?,
        None => looked.into_iter().map(|(difference, _)| difference).collect(),
    };
    Ok(differences)
}

/// The way to look, unless something stands in it.
fn may_look(floor: &Shared) -> Result<&Survey, Problem> {
    if let Some(fence) = fence::committed(&floor.ledger).map_err(|error| unreadable(&error))? {
        return Err(fence.problem());
    }
    if let Some(pause) = books::paused(&floor.ledger).map_err(|error| unreadable(&error))? {
        let detail = format!(
            "nothing is asked while sending is paused ({}); let it go on with: edge queue resume",
            pause.reason
        );
        return Err(Problem::new(StatusCode::CONFLICT, "paused", detail));
    }
    floor.survey.as_ref().ok_or_else(|| {
        let detail = "no cloud is configured, so there is nothing to compare with; see [cloud]";
        Problem::new(StatusCode::CONFLICT, "no-cloud", detail)
    })
}

/// What a list of every record seems to show.
struct List<'a> {
    ledger: &'a Ledger<EdgeEvent>,
    this_box: &'a IssuedBy,
    seen: HashSet<RegistrationId>,
    /// Units to be looked at closer.
    suspects: Vec<RegistrationId>,
    differences: Differences,
}

impl<'a> List<'a> {
    fn new(ledger: &'a Ledger<EdgeEvent>, this_box: &'a IssuedBy) -> Self {
        let (seen, suspects, differences) = (HashSet::new(), Vec::new(), Differences::default());
        Self { ledger, this_box, seen, suspects, differences }
    }

    /// Takes the next record, of whomever.
    fn take(&mut self, record: IndividualEnrollment) -> Result<(), ReadError> {
        let announced = Announced::by(&self.this_box.box_id, &record);
        self.differences.enrollments += usize::from(announced.is_some());
        let Ok(id) = RegistrationId::parse_any_case(&record.registration_id) else { return Ok(()) };
        if record_id(&self.this_box.box_id).is_some_and(|own| own == id) {
            return Ok(());
        }
        if let Some((_, told)) = told(self.ledger, &id)? {
            self.differences.compared += 1;
            if compare(&told, self.this_box.generation, Some(&record)) != Seen::Same {
                self.suspects.push(id.clone());
            }
        } else if let Some(Announced { thumbprint, provenance, .. }) = announced
            && books::committed(self.ledger, &id)?.is_none()
            && self.ledger.get::<LostUnit>(&index::lost(&id))?.is_none()
        {
            let (id, seq) = (id.clone(), provenance.seq);
            self.differences.phantoms.push(Phantom { id, sha256: thumbprint, seq });
        }
        self.seen.insert(id);
        Ok(())
    }

    /// Adds the units that were told and are on no page.
    async fn note_missing(&mut self) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let page = books::standings(self.ledger, after.as_ref(), PAGE)?;
            after = page.last().filter(|_| page.len() == PAGE).map(|(id, _)| id.clone());
            for (id, record) in page {
                if record.state.is_told() && !self.seen.contains(&id) {
                    self.differences.compared += 1;
                    self.suspects.push(id);
                }
            }
            if after.is_none() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}

/// What the cloud was told about `id`, if that is settled.
fn told(ledger: &Ledger<EdgeEvent>, id: &RegistrationId) -> Result<Option<(Record, Told)>, ReadError> {
    let record = books::committed(ledger, id)?;
    let Some(record) = record.filter(|record| record.state.is_told()) else {
        return Ok(None);
    };
    let told = work(&ledger.entry(&record.wanted)?, id).and_then(Told::of);
    Ok(told.map(|told| (record, told)))
}

/// Writes down what is to become of what differs, as far as nothing has changed meanwhile; returns that.
async fn write(
    floor: &Shared,
    actor: String,
    looked: Vec<(Difference, Record)>,
) -> Result<Vec<Difference>, Problem> {
    let decide = move |view: &View<'_>| {
        let fenced = fence::in_view(view).is_some();
        let unchanged = |(Difference { id, .. }, record): &(Difference, Record)| {
            !fenced && books::standing(view, id).as_ref() == Some(record)
        };
        let answer: Vec<_> = looked.into_iter().filter(unchanged).collect();
        let event = |(Difference { id, what, why }, record): &(Difference, Record)| {
            let (id, epoch, what, why) = (id.clone(), record.state.epoch(), *what, why.clone());
            EdgeEvent::Cloud(CloudEvent::Drifted { id, epoch, what, why })
        };
        Ok::<_, Problem>(Decision { events: answer.iter().map(event).collect(), answer })
    };
    let stamp = Stamp { at: floor.clock.latest(), actor: actor.clone() };
    let committed = floor.ledger.commit(stamp, decide).await;
    let differ = committed.map_err(|error| refused(error, |why| why))?.answer;
    info!(actor, differ = differ.len(), "compared with the cloud");
    Ok(differ.into_iter().map(|(difference, _)| difference).collect())
}

/// This box lives on elsewhere: writes that down, in the name of `actor`, and says so.
async fn superseded(floor: &Shared, actor: Option<String>, generation: u8) -> Problem {
    let at = floor.clock.latest();
    if let Some(actor) = actor {
        let events = vec![EdgeEvent::Cloud(CloudEvent::Superseded { generation })];
        let decide = move |_: &View<'_>| Ok::<_, Problem>(Decision { events, answer: () });
        if let Err(error) = floor.ledger.commit(Stamp { at, actor }, decide).await {
            return refused(error, |why| why);
        }
    }
    Fence::Superseded { generation, at }.problem()
}

/// That the cloud cannot be asked, and why; `else_do` is what else there is than to try again.
pub(crate) fn unreachable(trouble: &Trouble, else_do: &str) -> Problem {
    let detail = format!(
        "the cloud cannot be asked: {} ({}); try again when it can{else_do}",
        trouble.cause.words(),
        trouble.detail
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "cloud-unreachable", detail)
}
