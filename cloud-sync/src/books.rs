//! How standings live in a program's index, and the books that must always balance:
//! enqueued = settled + waiting + held + superseded.
//!
//! | key | value |
//! | --- | --- |
//! | `cloud/{id}` | [`Record`] |
//! | `wait/{seq, 16 hex digits}/{id}` | the id: what waits, oldest first |
//! | `held/{id}` | the id: what needs a person |
//! | `books/{name}` | a counter |
//! | `link` | [`LinkRecord`] |
//! | `paused` | [`Pause`], while a person wants nothing to be sent |
//! | `read-back` | [`crate::readback::Progress`] |
//!
//! A program's `Event::apply` calls [`begin`], [`want`] and [`record`]; nothing else writes under these keys.

use azure_iot::RegistrationId;
use ledger::{Applied, Changes, FrameRef, ReadError, Reads, Seq, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    event::CloudEvent,
    link::LinkState,
    readback,
    state::{Happening, State, Want, after},
};

/// A unit's standing, and where to find what is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The standing.
    #[serde(flatten)]
    pub state: State,
    /// The frame of the event that wanted it.
    pub wanted: FrameRef,
    /// When that was.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// The way to the cloud, as last written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRecord {
    /// How it is.
    #[serde(flatten)]
    pub state: LinkState,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// That a person wants nothing to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
}

/// How many jobs there are, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Ever wanted; what was told and has drifted counts once more.
    pub enqueued: i64,
    /// Told, and accepted; or left as the cloud has it, by a person's decision.
    pub settled: i64,
    /// Still to be told.
    pub waiting: i64,
    /// In need of a person.
    pub held: i64,
    /// Replaced by a later want before they were told.
    pub superseded: i64,
}

impl Books {
    /// Whether nothing was lost and nothing was counted twice.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.enqueued == self.settled + self.waiting + self.held + self.superseded
    }

    fn read<E>(mut counter: impl FnMut(&[u8]) -> Result<i64, E>) -> Result<Self, E> {
        Ok(Self {
            enqueued: counter(ENQUEUED)?,
            settled: counter(SETTLED)?,
            waiting: counter(WAITING)?,
            held: counter(HELD)?,
            superseded: counter(SUPERSEDED)?,
        })
    }
}

const ENQUEUED: &[u8] = b"books/enqueued";
const SETTLED: &[u8] = b"books/settled";
const WAITING: &[u8] = b"books/waiting";
const HELD: &[u8] = b"books/held";
const SUPERSEDED: &[u8] = b"books/superseded";
const LINK: &[u8] = b"link";
const QUEUE: &[u8] = b"wait/";
const STANDINGS: &[u8] = b"cloud/";
const PAUSED: &[u8] = b"paused";

/// Applies that `want` is wanted for `id`; the event that says so is the one at `at`.
pub fn want(changes: &mut Changes<'_>, at: &Applied<'_>, id: &RegistrationId, want: Want, epoch: u32) {
    step(changes, at, id, Happening::Wanted { want, epoch });
}

/// Applies that `want` is wanted for a unit that nothing was ever wanted for.
///
/// The caller knows that it is new, so its standing is not looked for: where units come fast, that is a look less into a
/// large index for each.
pub fn begin(changes: &mut Changes<'_>, at: &Applied<'_>, id: &RegistrationId, want: Want, epoch: u32) {
    debug_assert!(
        changes.includes(&record_key(id)) || changes.get::<Record>(&record_key(id)).is_none(),
        "{id} has a standing"
    );
    change(changes, at, id, None, Happening::Wanted { want, epoch });
}

/// Applies what a worker wrote.
pub fn record(changes: &mut Changes<'_>, at: &Applied<'_>, event: &CloudEvent) {
    if let Some((id, happening)) = event.happening() {
        step(changes, at, id, happening);
    }
    match event {
        CloudEvent::ReadBack { pass, position, tally } => {
            readback::noted(changes, at, *pass, position.as_ref(), tally);
        }
        CloudEvent::Paused { reason } => {
            changes.put(PAUSED, &Pause { reason: reason.clone(), since: at.at });
        }
        CloudEvent::Resumed {} => changes.remove(PAUSED),
        CloudEvent::LinkChanged { to } => changes.put(LINK, &LinkRecord { state: to.clone(), since: at.at }),
        // What follows from it is the program's business.
        CloudEvent::Superseded { .. } => {}
        // They are about a unit.
        CloudEvent::Accepted { .. }
        | CloudEvent::Held { .. }
        | CloudEvent::Retried { .. }
        | CloudEvent::Resolved { .. }
        | CloudEvent::Drifted { .. } => {}
    }
}

/// Applies a happening to the standing that there is.
fn step(changes: &mut Changes<'_>, at: &Applied<'_>, id: &RegistrationId, happening: Happening) {
    let before = changes.get(&record_key(id));
    change(changes, at, id, before, happening);
}

/// The one place where a standing changes (law 5).
fn change(
    changes: &mut Changes<'_>,
    at: &Applied<'_>,
    id: &RegistrationId,
    before: Option<Record>,
    happening: Happening,
) {
    let key = record_key(id);
    if changes.includes(&key) {
        return;
    }
    let wanted = matches!(happening, Happening::Wanted { .. });
    // What has drifted is to be told, or decided, once more: it stays told, and begins anew.
    let begins = wanted || matches!(happening, Happening::Drifted { .. });
    let Ok(state) = after(before.as_ref().map(|record| &record.state), happening, at.at) else { return };
    if begins {
        changes.add(ENQUEUED, 1);
    }
    if let Some(before) = &before {
        leave(changes, id, before, wanted);
    }
    let record = match before {
        Some(before) if !wanted => Record { state, ..before },
        _ => Record { state, wanted: at.frame, since: at.at },
    };
    enter(changes, id, &record);
    changes.put(&key, &record);
}

fn leave(changes: &mut Changes<'_>, id: &RegistrationId, before: &Record, superseded: bool) {
    match before.state {
        State::Waiting { .. } => {
            changes.remove(&queue_key(before.wanted.seq, id));
            changes.add(WAITING, -1);
        }
        State::Held { .. } => {
            changes.remove(&held_key(id));
            changes.add(HELD, -1);
        }
        State::Settled { .. } => return,
    }
    if superseded {
        changes.add(SUPERSEDED, 1);
    }
}

fn enter(changes: &mut Changes<'_>, id: &RegistrationId, record: &Record) {
    match record.state {
        State::Waiting { .. } => {
            changes.put(&queue_key(record.wanted.seq, id), id);
            changes.add(WAITING, 1);
        }
        State::Held { .. } => {
            changes.put(&held_key(id), id);
            changes.add(HELD, 1);
        }
        State::Settled { .. } => changes.add(SETTLED, 1),
    }
}

/// A unit's standing, for a decision.
#[must_use]
pub fn standing(view: &View<'_>, id: &RegistrationId) -> Option<Record> {
    view.get(&record_key(id))
}

/// A unit's committed standing.
pub fn committed(ledger: &impl Reads, id: &RegistrationId) -> Result<Option<Record>, ReadError> {
    ledger.get(&record_key(id))
}

/// How often the books are read again that do not balance.
const LOOKS: usize = 100;

/// The committed books.
///
/// They are five records, and a commit may come between two of them: books that do not balance are read again, until they
/// do or it is no accident.
pub fn balance(ledger: &impl Reads) -> Result<Books, ReadError> {
    let read = || Books::read(|key| ledger.counter(key));
    let mut books = read()?;
    for _ in 1..LOOKS {
        if books.balance() {
            break;
        }
        books = read()?;
    }
    Ok(books)
}

/// The way to the cloud, as last written down; `None` before the first try.
pub fn link(ledger: &impl Reads) -> Result<Option<LinkRecord>, ReadError> {
    ledger.get(LINK)
}

/// Whether a person wants nothing to be sent.
pub fn paused(ledger: &impl Reads) -> Result<Option<Pause>, ReadError> {
    ledger.get(PAUSED)
}

/// The same, for a decision.
#[must_use]
pub fn standing_pause(view: &View<'_>) -> Option<Pause> {
    view.get(PAUSED)
}

/// When the oldest waiting job was wanted; `None` when nothing waits.
pub fn oldest(ledger: &impl Reads) -> Result<Option<OffsetDateTime>, ReadError> {
    let Some(id) = waiting(ledger, None, 1)?.pop().map(|(_, id)| id) else { return Ok(None) };
    Ok(committed(ledger, &id)?.map(|record| record.since))
}

/// Up to `limit` waiting units, oldest first, behind the key `after`; the keys are for the next page.
pub fn waiting(
    ledger: &impl Reads,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, RegistrationId)>, ReadError> {
    ledger.scan(QUEUE, after, limit)
}

/// Up to `limit` units that need a person, in the order of their ids, behind the key `after`.
pub fn held(
    ledger: &impl Reads,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<(Vec<u8>, RegistrationId)>, ReadError> {
    ledger.scan(b"held/", after, limit)
}

/// Up to `limit` standings, in the order of their units' ids, behind the unit `after`.
pub fn standings(
    ledger: &impl Reads,
    after: Option<&RegistrationId>,
    limit: usize,
) -> Result<Vec<(RegistrationId, Record)>, ReadError> {
    let after = after.map(record_key);
    let found: Vec<(Vec<u8>, Record)> = ledger.scan(STANDINGS, after.as_deref(), limit)?;
    let named = found.into_iter().map(|(key, record)| {
        let id = std::str::from_utf8(&key[STANDINGS.len()..]).ok().and_then(|id| id.parse().ok());
        (id.expect("a standing's key ends with the id of its unit"), record)
    });
    Ok(named.collect())
}

fn record_key(id: &RegistrationId) -> Vec<u8> {
    ["cloud/", id.as_ref()].concat().into_bytes()
}

fn held_key(id: &RegistrationId) -> Vec<u8> {
    format!("held/{id}").into_bytes()
}

fn queue_key(seq: Seq, id: &RegistrationId) -> Vec<u8> {
    format!("wait/{seq:016x}/{id}").into_bytes()
}
