//! What can be wrong with a cloud, without the cloud being wrong.

use std::time::Duration;

use serde::{Deserialize, Serialize};

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
}

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Served,
    /// Answered without being carried out.
    Refused {
        status: u16,
        retry_after: Option<u64>,
    },
    /// Carried out after a while.
    Delayed(Duration),
    /// The connection breaks before it is carried out.
    Lost,
    /// The connection breaks after it was carried out.
    ReplyLost,
}

impl Weather {
    /// What becomes of the next request; `dice` is the randomness.
    pub(crate) fn fate(self, dice: &mut fastrand::Rng) -> Fate {
        match self {
            Self::Clear => Fate::Served,
            Self::Offline => Fate::Lost,
            Self::Throttled { retry_after } => Fate::Refused { status: 429, retry_after: Some(retry_after) },
            Self::Slow { delay } => Fate::Delayed(Duration::from_millis(delay)),
            Self::ReplyLost => Fate::ReplyLost,
            Self::Flaky => match dice.u8(0..10) {
                0 => Fate::Refused { status: 500, retry_after: None },
                1 => Fate::Refused { status: 503, retry_after: Some(1) },
                2 => Fate::Lost,
                3 => Fate::ReplyLost,
                _ => Fate::Served,
            },
        }
    }
}
