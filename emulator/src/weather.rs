//! What can be wrong with a cloud, without the cloud being wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::cloud::http::Request;

/// The weather between the cloud and everybody else; changes while running.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "weather", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Weather {
    /// Everything works.
    #[default]
    Clear,
    /// Nothing gets through: open connections break, new ones end at once.
    Offline,
    /// Every request is answered 429.
    Throttled {
        /// What the answer asks for, in seconds.
        retry_after: u64,
    },
    /// Every request takes this much longer.
    Slow {
        /// Milliseconds.
        delay: u64,
    },
    /// Every other request or so fails: 500, 503, or the connection breaks before anything was done.
    Flaky,
    /// Requests are carried out, and the connection breaks before the answer.
    ReplyLost,
    /// The same, for so many requests in a hundred; the others are served.
    Lossy {
        /// Percent.
        percent: u8,
    },
    /// So many operations are served in every minute of the clock, an item of a bulk counting as one; the others are
    /// answered 429, with what is left of the minute.
    Quota {
        /// Operations.
        per_minute: u32,
    },
    /// No request is ever answered, or carried out.
    Hanging,
    /// Answers come a byte a second.
    Dripping,
    /// Answers end in the middle of their JSON.
    Truncated,
    /// What is written is answered with another certificate's thumbprint.
    WrongThumbprint,
    /// Somebody else writes every record right after it was read.
    Contended,
    /// A login page answers everything, with 200.
    Captive,
    /// All of that, by chance: three in ten answers are lost, one in ten is a conflict that is none, and now and then
    /// anything else.
    Storm,
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Carried out and answered.
    Served,
    /// Answered without being carried out.
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the answer asks for, in seconds.
        retry_after: Option<u64>,
    },
    /// Carried out after a while.
    Delayed(Duration),
    /// The connection breaks before it is carried out.
    Lost,
    /// The connection breaks after it was carried out.
    ReplyLost,
    /// Neither carried out nor answered; the connection stays.
    Hangs,
    /// Carried out; the answer comes a byte a second.
    Dripping,
    /// Carried out; the answer ends in the middle.
    Truncated,
    /// Carried out; the answer to a write shows another thumbprint.
    WrongThumbprint,
    /// Carried out; if it was a read, somebody else writes the record then.
    Contended,
    /// Answered by a login page instead.
    Captive,
}

/// Decides what becomes of requests, one after the other.
#[derive(Debug, Clone)]
pub struct Forecast {
    dice: fastrand::Rng,
    /// The minute of the clock that is counted.
    minute: i64,
    /// How many operations it has served.
    served: u32,
}

impl Forecast {
    /// A forecast with `dice` as its randomness.
    #[must_use]
    pub fn new(dice: fastrand::Rng) -> Self {
        Self { dice, minute: 0, served: 0 }
    }

    /// What becomes of `request` in this weather.
    pub fn fate(&mut self, weather: Weather, now: OffsetDateTime, request: &Request) -> Fate {
        match weather {
            Weather::Clear => Fate::Served,
            Weather::Offline => Fate::Lost,
            Weather::Throttled { retry_after } => {
                Fate::Refused { status: 429, retry_after: Some(retry_after) }
            }
            Weather::Slow { delay } => Fate::Delayed(Duration::from_millis(delay)),
            Weather::ReplyLost => Fate::ReplyLost,
            Weather::Lossy { percent } if self.dice.u8(0..100) < percent => Fate::ReplyLost,
            Weather::Lossy { .. } => Fate::Served,
            Weather::Quota { per_minute } => self.quota(per_minute, now, request),
            Weather::Hanging => Fate::Hangs,
            Weather::Dripping => Fate::Dripping,
            Weather::Truncated => Fate::Truncated,
            Weather::WrongThumbprint => Fate::WrongThumbprint,
            Weather::Contended => Fate::Contended,
            Weather::Captive => Fate::Captive,
            Weather::Flaky => match self.dice.u8(0..10) {
                0 => Fate::Refused { status: 500, retry_after: None },
                1 => Fate::Refused { status: 503, retry_after: Some(1) },
                2 => Fate::Lost,
                3 => Fate::ReplyLost,
                _ => Fate::Served,
            },
            Weather::Storm => self.storm(),
        }
    }

    fn quota(&mut self, per_minute: u32, now: OffsetDateTime, request: &Request) -> Fate {
        let second = now.unix_timestamp();
        if self.minute != second.div_euclid(60) {
            (self.minute, self.served) = (second.div_euclid(60), 0);
        }
        let cost = request.about().len().max(1) as u32;
        if self.served + cost > per_minute {
            let left = 60 - second.rem_euclid(60);
            return Fate::Refused { status: 429, retry_after: u64::try_from(left).ok() };
        }
        self.served += cost;
        Fate::Served
    }

    fn storm(&mut self) -> Fate {
        let refused = |status| Fate::Refused { status, retry_after: None };
        match self.dice.u8(0..100) {
            0..30 => Fate::ReplyLost,
            30..35 => refused(409),
            35..40 => refused(412),
            40..45 => Fate::Refused { status: 429, retry_after: Some(self.dice.u64(1..=30)) },
            45..50 => refused([500, 502, 503][self.dice.usize(0..3)]),
            50..52 => Fate::Hangs,
            52..54 => Fate::Dripping,
            54..57 => Fate::Truncated,
            57..60 => Fate::WrongThumbprint,
            60..64 => Fate::Contended,
            64..66 => Fate::Lost,
            66..67 => Fate::Captive,
            _ => Fate::Served,
        }
    }
}
