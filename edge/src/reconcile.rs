//! A restored box compares itself with the cloud before it goes on: which units were announced after the backup, and by
//! which later selves.

use std::collections::BTreeMap;

use cloud_sync::Announced;
use http::StatusCode;
use ledger::{Decision, ReadError, Seq, Stamp, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use web::Problem;

use crate::{
    EdgeEvent, drift,
    event::{LostUnit, Reconciled, Window},
    fence::{self, Fence},
    http::{Shared, now, refused, unreadable},
    index::{self, Unit},
};

/// As many lost units as go into one commit.
const PER_COMMIT: usize = 500;

/// What the cloud knows that the backup lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Comparison {
    /// The last frame of the backup.
    pub(crate) seq: Seq,
    /// When that was written: the window of what may be missing begins here.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    /// How many enrollments of this box the cloud has.
    pub(crate) enrollments: usize,
    /// The units that were announced and are not in the backup.
    pub(crate) lost: Vec<LostUnit>,
    /// The highest generation of this box that was seen.
    pub(crate) generation: u8,
}

/// What somebody orders.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// The time in which units may have been issued that nobody knows any more, as a person confirms it.
    pub(crate) window: Window,
    /// Goes on without asking the cloud, and why.
    #[serde(default)]
    pub(crate) accept_gap: Option<String>,
}

impl Comparison {
    /// The frames that the backup lacks, as far as the cloud tells: from the first behind it to the highest announced.
    pub(crate) fn missing(&self) -> Option<(Seq, Seq)> {
        let last = self.lost.iter().map(|unit| unit.seq).max()?;
        Some((self.seq + 1, last.max(self.seq + 1)))
    }
}

/// Asks the cloud what the backup lacks. Changes nothing.
pub(crate) async fn compare(floor: &Shared) -> Result<Comparison, Problem> {
    let (seq, at) = pending(floor)?;
    let Some(survey) = &floor.survey else {
        let detail = "no cloud is configured, so there is nothing to compare with; see [cloud], or accept the gap: \
                      edge reconcile --accept-gap REASON --window FROM/UNTIL";
        return Err(Problem::new(StatusCode::CONFLICT, "no-cloud", detail));
    };
    let this_box: index::BoxRecord = this_box(floor)?;
    let found = survey.of(&this_box.issued_by.box_id, now()).await.map_err(|trouble| {
        drift::unreachable(
            &trouble,
            ", or accept the gap: edge reconcile --accept-gap REASON --window FROM/UNTIL",
        )
    })?;
    let generation = found.iter().map(|found| found.provenance.generation).max().unwrap_or(0);
    let enrollments = found.len();
    let lost = lost(floor, found).map_err(|error| unreadable(&error))?;
    Ok(Comparison { seq, at, enrollments, lost, generation })
}

/// Those that are not in the ledger, or are there with another certificate of an earlier pass.
fn lost(floor: &Shared, found: Vec<Announced>) -> Result<Vec<LostUnit>, ReadError> {
    let mut lost = BTreeMap::new();
    for Announced { id, thumbprint, provenance } in found {
        let known = floor.ledger.get::<Unit>(&index::unit(&id))?;
        let same = known.is_some_and(|unit| unit.sha256 == thumbprint || unit.epoch > provenance.epoch);
        if !same {
            let (generation, epoch, seq) = (provenance.generation, provenance.epoch, provenance.seq);
            lost.insert((seq, id.clone()), LostUnit { id, epoch, generation, seq, sha256: thumbprint });
        }
    }
    Ok(lost.into_values().collect())
}

/// Ends the waiting: writes down what is lost, and lets the box issue and send.
pub(crate) async fn reconcile(floor: &Shared, actor: String, order: Order) -> Result<Reconciled, Problem> {
    let (seq, at) = pending(floor)?;
    let Window { from, until } = order.window;
    if from > at || until < from {
        let detail = format!(
            "the window has to begin at {} or before, where the backup ends, and to end when the box was lost",
            at.replace_nanosecond(0).unwrap_or(at)
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "window-invalid", detail));
    }
    let comparison = match &order.accept_gap {
        None => Some(compare(floor).await?),
        Some(reason) if reason.trim().is_empty() => {
            let detail = "say why the gap is accepted; it stands in the journal for ever";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "reason-required", detail));
        }
        Some(_) => None,
    };
    let this_box = this_box(floor)?;
    let seen = comparison.as_ref().map_or(0, |comparison| comparison.generation);
    let generation = if seen < this_box.issued_by.generation {
        this_box.issued_by.generation
    } else {
        seen.checked_add(1).ok_or_else(|| {
            Problem::new(
                StatusCode::CONFLICT,
                "generations",
                "this box was restored 254 times; make a new one",
            )
        })?
    };
    let missing = comparison.as_ref().and_then(Comparison::missing);
    let lost = comparison.map(|comparison| comparison.lost).unwrap_or_default();
    let reconciled = Reconciled {
        generation,
        instance: this_box.instance,
        seq,
        missing: missing.map(|(from, to)| [from, to]),
        lost: lost.len(),
        window: order.window,
        accepted_gap: order.accept_gap,
    };
    let mut commits: Vec<Vec<EdgeEvent>> =
        lost.chunks(PER_COMMIT).map(|units| vec![EdgeEvent::UnitsLost { units: units.to_vec() }]).collect();
    commits.push(vec![EdgeEvent::Reconciled(reconciled.clone())]);
    for events in commits {
        let decide = move |view: &View<'_>| match fence::in_view(view) {
            Some(Fence::Reconcile { .. }) => Ok(Decision { events, answer: () }),
            _ => Err(()),
        };
        let committed = floor.ledger.commit(Stamp { at: now(), actor: actor.clone() }, decide).await;
        committed.map_err(|error| refused(error, |()| nothing_to_do()))?;
    }
    Ok(reconciled)
}

/// Where the backup ended; an error where there is nothing to reconcile.
fn pending(floor: &Shared) -> Result<(Seq, OffsetDateTime), Problem> {
    match fence::committed(&floor.ledger).map_err(|error| unreadable(&error))? {
        Some(Fence::Reconcile { seq, at }) => Ok((seq, at)),
        Some(fence @ Fence::Superseded { .. }) => Err(fence.problem()),
        None => Err(nothing_to_do()),
    }
}

fn nothing_to_do() -> Problem {
    let detail = "this box was not restored, or is reconciled already; there is nothing to do";
    Problem::new(StatusCode::CONFLICT, "not-restored", detail)
}

fn this_box(floor: &Shared) -> Result<index::BoxRecord, Problem> {
    floor.ledger.get(index::BOX).map_err(|error| unreadable(&error))?.ok_or_else(Problem::internal)
}
