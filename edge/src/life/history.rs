//! What happened to a unit, in order: references into the journal, under `past/{id}`.
//!
//! A unit of which nothing is known but its first issue has no record here: its own record refers to that frame.

use azure_iot::RegistrationId;
use ledger::{Applied, Changes, FrameRef, Ledger, ReadError, Seq};
use web::Problem;

use crate::{
    EdgeEvent,
    event::UnitIssued,
    http::{Shared, unreadable},
    index::{self, Unit},
};

/// A frame, small: `[segment, offset, seq]`.
type Place = (Seq, u64, Seq);

fn past(id: &RegistrationId) -> Vec<u8> {
    format!("past/{id}").into_bytes()
}

fn place(frame: FrameRef) -> Place {
    (frame.segment, frame.offset, frame.seq)
}

/// Applies that this frame says something about `id`.
pub(crate) fn note(changes: &mut Changes<'_>, at: &Applied<'_>, id: &RegistrationId) {
    let key = past(id);
    if changes.includes(&key) {
        return;
    }
    let first = || changes.get::<Unit>(&index::unit(id)).map(|unit| place(unit.frame)).into_iter().collect();
    let mut known: Vec<Place> = changes.get(&key).unwrap_or_else(first);
    if known.last() != Some(&place(at.frame)) {
        known.push(place(at.frame));
        changes.put(&key, &known);
    }
}

/// Up to `limit` frames behind frame `after` that say something about `unit`, in order.
pub(crate) fn frames(
    ledger: &Ledger<EdgeEvent>,
    unit: &Unit,
    after: Seq,
    limit: usize,
) -> Result<Vec<FrameRef>, ReadError> {
    let known: Option<Vec<Place>> = ledger.get(&past(&unit.id))?;
    let known = known.unwrap_or_else(|| vec![place(unit.frame)]);
    let behind = known.into_iter().filter(|(_, _, seq)| *seq > after).take(limit);
    Ok(behind.map(|(segment, offset, seq)| FrameRef { segment, offset, seq }).collect())
}

/// Every time that `unit` was issued, in order.
pub(super) fn passes(floor: &Shared, unit: &Unit) -> Result<Vec<UnitIssued>, Problem> {
    let read = |error: ReadError| unreadable(&error);
    let mut passes = Vec::new();
    for frame in frames(&floor.ledger, unit, 0, usize::MAX).map_err(read)? {
        let events = floor.ledger.entry(&frame).map_err(read)?.events;
        passes.extend(events.into_iter().filter_map(|event| match event {
            EdgeEvent::UnitIssued(issued) if issued.id == unit.id => Some(*issued),
            _ => None,
        }));
    }
    Ok(passes)
}
