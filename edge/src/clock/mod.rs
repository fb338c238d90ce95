//! The time, and whether to believe it: a certificate with a wrong date is worse than none.
//!
//! The appliance works without a network, and so without a time server: it remembers the highest time that it has seen,
//! in the journal, and doubts a clock that contradicts it. While in doubt nothing is issued, or what is issued is marked
//! ([`ClockPolicy`]); as soon as the clock is right again, or a person vouches for it, it all goes on by itself.

mod accept;
mod judge;
mod keeper;
mod record;
mod source;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::StatusCode;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;
use web::Problem;

pub(crate) use accept::{Acceptance, accept};
use judge::{Doubt, Judge};
pub(crate) use keeper::Keeper;
pub use record::ClockAccepted;
pub(crate) use record::{accepted, highest, seen};
pub(crate) use source::built;
pub use source::{Reading, Source, machine};

/// When to ask again: whoever sets a clock needs about so long.
const AGAIN: Duration = Duration::from_secs(60);

/// What is done about a unit while the clock is not believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClockPolicy {
    /// It is not issued: 503 `clock-unsafe`.
    #[default]
    Refuse,
    /// It is issued with the dates of the issuing CA's begin, and the event says so.
    Mark,
}

/// A moment at which something may be issued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// What the clock says.
    pub(crate) at: OffsetDateTime,
    /// Whether it is believed.
    pub(crate) believed: bool,
}

/// The clock for people.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct ClockView {
    /// `safe` or `unsafe`.
    pub(crate) state: String,
    /// Why it is not believed, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
    /// The highest time that was believed.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) highest: OffsetDateTime,
    /// How many seconds the clock of DPS is ahead of ours, as its last answer said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) skew_seconds: Option<i64>,
}

/// The appliance's clock. Clones are the same clock.
#[derive(Clone)]
pub(crate) struct Clock {
    source: Source,
    policy: ClockPolicy,
    judge: Arc<Mutex<Judge>>,
}

impl Clock {
    /// A clock that has shown `highest` already.
    pub(crate) fn new(source: Source, policy: ClockPolicy, highest: OffsetDateTime) -> Self {
        let judge = Arc::new(Mutex::new(Judge::new(built(), highest)));
        Self { source, policy, judge }
    }

    /// The time for issuing something; refused while it is not believed and the policy says so.
    pub(crate) fn moment(&self) -> Result<Moment, Problem> {
        let reading = (self.source)();
        match (self.judge(reading), self.policy) {
            (Ok(at), _) => Ok(Moment { at, believed: true }),
            (Err(_), ClockPolicy::Mark) => Ok(Moment { at: reading.wall, believed: false }),
            (Err(doubt), ClockPolicy::Refuse) => Err(problem(&doubt)),
        }
    }

    /// The time for whatever ends: a clock that was set back brings nothing back to life.
    pub(crate) fn latest(&self) -> OffsetDateTime {
        let believed = self.judge((self.source)());
        believed.map_or_else(|_| self.highest(), |at| at.max(self.highest()))
    }

    /// Whether the clock is believed now.
    pub(crate) fn check(&self) -> Result<OffsetDateTime, Doubt> {
        self.judge((self.source)())
    }

    /// The highest time that was believed.
    pub(crate) fn highest(&self) -> OffsetDateTime {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner).highest()
    }

    /// Whether a time server has set the clock since the machine was booted.
    pub(crate) fn synchronised(&self) -> bool {
        (self.source)().synchronised
    }

    /// The clock for people.
    pub(crate) fn view(&self, skew_seconds: Option<i64>) -> ClockView {
        let why = self.check().err().map(|doubt| doubt.to_string());
        let state = if why.is_none() { "safe" } else { "unsafe" };
        ClockView { state: state.to_owned(), why, highest: self.highest(), skew_seconds }
    }

    fn judge(&self, reading: Reading) -> Result<OffsetDateTime, Doubt> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner).judge(reading)
    }
}

/// What a caller is told while the clock is not believed.
fn problem(doubt: &Doubt) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "clock-unsafe", format!("nothing is issued: {doubt}"))
        .retry_after(AGAIN)
}
