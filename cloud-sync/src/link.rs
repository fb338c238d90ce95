//! The way to the cloud. Its troubles are its own, never a unit's: one cause for everything that waits.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No answer: no network, no name, no TLS, or nothing in time.
    Unreachable,
    /// The service asked for patience (429).
    Busy,
    /// The service does not accept our credential, or our clock (401, 403).
    Unauthorized,
    /// The service is in trouble itself (5xx).
    Service,
    /// Somebody answered who is not DPS: a proxy, a captive portal.
    Stranger,
}

impl Cause {
    /// What it is called on a screen, in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "no connection",
            Self::Busy => "the cloud is busy",
            Self::Unauthorized => "the cloud does not accept our credential",
            Self::Service => "the cloud has trouble",
            Self::Stranger => "something else answers in place of the cloud",
        }
    }
}

/// Whether the cloud can be told anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "link", rename_all = "snake_case")]
pub enum LinkState {
    /// Not tried yet.
    Unknown,
    /// The last answer came from DPS, and it was not a complaint about us.
    Up,
    /// It cannot.
    Down {
        /// What stands in the way.
        cause: Cause,
        /// What was seen, for plant IT.
        detail: String,
    },
}

impl LinkState {
    /// Whether `other` is the same to somebody who looks at a screen: details may differ from try to try.
    #[must_use]
    pub fn same_kind(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Down { cause: a, .. }, Self::Down { cause: b, .. }) => a == b,
            _ => self == other,
        }
    }
}

/// The link now, as the worker knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// How it is.
    pub state: LinkState,
    /// Since when.
    pub since: OffsetDateTime,
}
