//! Reading back: whether DPS still has what is settled, one unit after the other, slowly and for ever.
//!
//! ```text
//! units by id ─▶ a look at the next settled one, no more often than the share allows ─▶ … ─▶ the pass ends ─▶ rest ─▶ anew
//! ```
//!
//! What is known of a pass is kept in memory; [`CloudEvent::ReadBack`] says now and then how far it is, so that a restart
//! goes on there. It is written sparingly: a unit that is as it was told leaves no trace in the journal.

use std::{collections::BTreeMap, time::Duration};

use azure_iot::RegistrationId;
use ledger::{Applied, Changes, ReadError, Reads};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::{
    books::{self, Record},
    drift::Drift,
    event::CloudEvent,
    state::{State, Want},
};

/// How many standings are looked through at once for the next settled unit.
const PAGE: usize = 64;
/// How long to rest where nothing is settled yet.
const IDLE: Duration = Duration::from_secs(5);
/// After so many looks it is written down how far they are …
const NOTED: u64 = 1000;
/// … and at the end of a pass, unless that was done within this time.
const APART: Duration = Duration::from_secs(3600);

/// The `[read_back]` section of a daemon's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReadBackConfig {
    /// Which share of the budget it may use at most; 0 turns it off.
    pub share: f64,
    /// How much time is between the begins of two passes at least.
    #[serde(with = "humantime_serde")]
    pub every: Duration,
}

impl Default for ReadBackConfig {
    fn default() -> Self {
        Self { share: 0.05, every: Duration::from_secs(86_400) }
    }
}

impl ReadBackConfig {
    /// Nothing is read back.
    pub const OFF: Self = Self { share: 0.0, every: Duration::ZERO };

    /// Says what is wrong with it, if anything is.
    pub fn check(&self) -> Result<(), &'static str> {
        if !(0.0..=0.5).contains(&self.share) {
            return Err(
                "read_back.share is between 0 (nothing is read back) and 0.5 (half of the budget), such as 0.05",
            );
        }
        if self.every < Duration::from_secs(1) {
            return Err("read_back.every is at least 1s; to read nothing back, set read_back.share to 0");
        }
        Ok(())
    }
}

/// What the looks of a pass have shown so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Units that were compared.
    pub compared: u64,
    /// Units whose enrollment DPS would not show.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unread: u64,
    /// How many of those that were compared differed, and how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<Drift, u64>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A pass that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// What it has shown.
    #[serde(flatten)]
    pub tally: Tally,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// How far reading back is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The number of the pass that is under way, or of the last one; 0 before the first.
    pub pass: u64,
    /// The last unit that it has looked at; `None` between two passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<RegistrationId>,
    /// What it has shown.
    #[serde(flatten)]
    pub tally: Tally,
    /// The last pass that ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Ended>,
}

/// Where the [`Progress`] is kept as it was last written down.
const KEY: &[u8] = b"read-back";

/// Applies that it was written down how far it is.
pub(crate) fn noted(
    changes: &mut Changes<'_>,
    at: &Applied<'_>,
    pass: u64,
    position: Option<&RegistrationId>,
    tally: &Tally,
) {
    let before = changes.get::<Progress>(KEY).unwrap_or_default();
    let progress = match position {
        Some(position) => {
            Progress { pass, position: Some(position.clone()), tally: tally.clone(), last: before.last }
        }
        None => {
            let ended = Ended { tally: tally.clone(), at: at.at };
            Progress { pass, position: None, tally: Tally::default(), last: Some(ended) }
        }
    };
    changes.put(KEY, &progress);
}

/// How far it was when that was last written down.
pub fn committed(ledger: &impl Reads) -> Result<Option<Progress>, ReadError> {
    ledger.get(KEY)
}

/// What comes next.
pub(crate) enum Turn {
    /// A look at this unit.
    Look(RegistrationId, Record),
    /// Nothing, for so long; `None` for ever.
    Rest(Option<Duration>),
}

/// Where the walk through the settled units is.
#[derive(Debug)]
pub(crate) struct Walk {
    config: ReadBackConfig,
    /// Whether what was written down has been taken over.
    begun: bool,
    pass: u64,
    under_way: bool,
    /// Everything up to here was looked at, or passed over.
    after: Option<RegistrationId>,
    position: Option<RegistrationId>,
    tally: Tally,
    /// The last pass that ended, as an earlier life has written it down …
    before: Option<Ended>,
    /// … or as this one knows it.
    last: Option<(Tally, Duration)>,
    /// When the pass began.
    since: Duration,
    /// Not before this.
    at: Duration,
    /// How many looks of this pass are written down, and when a pass was last.
    noted: u64,
    noted_at: Option<Duration>,
}

impl Walk {
    pub(crate) fn new(config: ReadBackConfig) -> Self {
        Self {
            config,
            begun: false,
            pass: 0,
            under_way: false,
            after: None,
            position: None,
            tally: Tally::default(),
            before: None,
            last: None,
            since: Duration::ZERO,
            at: Duration::ZERO,
            noted: 0,
            noted_at: None,
        }
    }

    /// What to do at `now`, while nothing else is to be done; what is worth writing down is added to `events`.
    pub(crate) fn turn(
        &mut self,
        now: Duration,
        ledger: &impl Reads,
        events: &mut Vec<CloudEvent>,
    ) -> Result<Turn, ReadError> {
        if self.config.share <= 0.0 {
            return Ok(Turn::Rest(None));
        }
        if now < self.at {
            return Ok(Turn::Rest(Some(self.at - now)));
        }
        if !self.begun {
            self.go_on(committed(ledger)?);
        }
        let page = books::standings(ledger, self.after.as_ref(), PAGE)?;
        let (found, last) = (page.len(), page.last().map(|(id, _)| id.clone()));
        let settled = page.into_iter().find(|(_, record)| is_told(&record.state));
        if let Some((id, record)) = settled {
            if !self.under_way {
                (self.pass, self.since, self.under_way) = (self.pass + 1, now, true);
            }
            return Ok(Turn::Look(id, record));
        }
        if found == PAGE {
            self.after = last;
            return Ok(Turn::Rest(Some(Duration::ZERO)));
        }
        self.after = None;
        if self.under_way {
            self.end(now, events);
        } else {
            self.at = now + IDLE;
        }
        Ok(Turn::Rest(Some(self.at.saturating_sub(now))))
    }

    /// A look was asked for, at a pace of `per_minute` operations: the next one is as far off as the share wants.
    pub(crate) fn asked(&mut self, now: Duration, per_minute: f64) {
        self.at = now + Duration::from_secs_f64(60.0 / (per_minute * self.config.share));
    }

    /// The enrollment of `id` was compared.
    pub(crate) fn compared(
        &mut self,
        id: RegistrationId,
        drift: Option<Drift>,
        events: &mut Vec<CloudEvent>,
    ) {
        self.tally.compared += 1;
        if let Some(drift) = drift {
            *self.tally.drift.entry(drift).or_default() += 1;
        }
        self.is_at(id, events);
    }

    /// DPS does not show the enrollment of `id`; perhaps it does in the next pass.
    pub(crate) fn unread(&mut self, id: RegistrationId, events: &mut Vec<CloudEvent>) {
        self.tally.unread += 1;
        self.is_at(id, events);
    }

    /// How far it is; `at` turns a moment into one by the calendar. `None` where nothing is read back.
    pub(crate) fn progress(&self, at: impl Fn(Duration) -> OffsetDateTime) -> Option<Progress> {
        let last = self.last.as_ref().map(|(tally, ended)| Ended { tally: tally.clone(), at: at(*ended) });
        let progress = Progress {
            pass: self.pass,
            position: self.position.clone(),
            tally: self.tally.clone(),
            last: last.or_else(|| self.before.clone()),
        };
        (self.config.share > 0.0).then_some(progress)
    }

    /// Takes over what an earlier life has written down.
    fn go_on(&mut self, known: Option<Progress>) {
        self.begun = true;
        let Some(Progress { pass, position, tally, last }) = known else { return };
        self.noted = tally.compared + tally.unread;
        (self.pass, self.under_way, self.after) = (pass, position.is_some(), position.clone());
        (self.position, self.tally, self.before) = (position, tally, last);
    }

    fn is_at(&mut self, id: RegistrationId, events: &mut Vec<CloudEvent>) {
        (self.after, self.position) = (Some(id.clone()), Some(id));
        let looks = self.tally.compared + self.tally.unread;
        if looks >= self.noted + NOTED {
            self.noted = looks;
            events.push(self.note());
        }
    }

    fn end(&mut self, now: Duration, events: &mut Vec<CloudEvent>) {
        (self.position, self.under_way) = (None, false);
        if self.noted_at.is_none_or(|noted| now >= noted + APART) {
            self.noted_at = Some(now);
            events.push(self.note());
        }
        self.last = Some((std::mem::take(&mut self.tally), now));
        self.noted = 0;
        self.at = self.at.max(self.since + self.config.every);
    }

    fn note(&self) -> CloudEvent {
        let (pass, position, tally) = (self.pass, self.position.clone(), self.tally.clone());
        CloudEvent::ReadBack { pass, position, tally }
    }
}

/// Whether somebody looks whether it is still so.
fn is_told(state: &State) -> bool {
    state.is_told() && matches!(state.want(), Want::Announce | Want::Replace | Want::Withdraw)
}
