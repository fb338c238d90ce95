//! The cloud as a value: DPS and its linked hubs.
//!
//! Time and identity come in with every request; randomness was given when it was made. There is no I/O and no clock
//! here, so a test can hold a cloud in its hand, and a simulation can run one for years in a second.

pub mod assumptions;
mod bulk;
mod certificate;
mod device_api;
mod enrollments;
pub mod http;
pub mod hub;
pub mod meet;
pub mod mqtt;
mod query;
mod registrations;
mod service;

use std::collections::{BTreeMap, HashMap, VecDeque};

use azure_iot::{enrollment::IndividualEnrollment, registration::RegistrationState, sas::SasKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use time::{OffsetDateTime, format_description::FormatItem, macros::format_description};
use uuid::Uuid;

use self::{assumptions::Assumptions, certificate::Thumbprint, hub::Hub};

/// Who a DPS instance is, and which hubs it may use.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The host name of the service API.
    pub host: String,
    /// The id scope that devices name.
    pub id_scope: String,
    /// The shared access policy.
    pub policy: String,
    /// Its key.
    pub key: SasKey,
    /// The host names of the linked hubs.
    pub hubs: Vec<String>,
    /// What a device is told to wait between polls, in seconds.
    pub retry_after: u64,
}

/// A record with the certificates that it was enrolled with.
#[derive(Debug, Clone)]
struct Stored {
    record: IndividualEnrollment,
    thumbprints: Vec<Thumbprint>,
}

/// A running registration.
#[derive(Debug, Clone)]
struct Operation {
    registration_id: String,
    /// Whether the device has polled already: the first poll is told to wait.
    polled: bool,
}

/// One line of what was asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Seen {
    /// Its number, from 1.
    pub number: u64,
    /// When, ISO 8601.
    pub at: String,
    /// `PUT /enrollments/a`, or an MQTT topic.
    pub what: String,
    /// The ids of the enrollments that a request to the service API named.
    pub about: Vec<String>,
    /// The HTTP status of the answer, or that of the response topic.
    pub status: u16,
    /// Whether the answer was lost on its way.
    pub lost: bool,
}

/// DPS and its linked hubs. A copy is another cloud with the same past.
#[derive(Debug, Clone)]
pub struct Cloud {
    identity: Identity,
    assumptions: Assumptions,
    /// By registration id in lower case: DPS ignores case.
    enrollments: BTreeMap<String, Stored>,
    registrations: BTreeMap<String, RegistrationState>,
    operations: HashMap<String, Operation>,
    hub: Hub,
    sessions: HashMap<hub::Connection, mqtt::Session>,
    seen: VecDeque<Seen>,
    asked: u64,
    dice: fastrand::Rng,
}

/// How much of what was asked is kept.
const SEEN: usize = 10_000;
/// ISO 8601 with seven fractional digits, as DPS writes it.
const TIME: &[FormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:7]Z");
/// The same to the second, as it describes certificates.
const SECONDS: &[FormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

impl Cloud {
    /// An empty cloud; `seed` is the randomness of its ETags and operation ids.
    #[must_use]
    pub fn new(identity: Identity, assumptions: Assumptions, seed: u64) -> Self {
        Self {
            identity,
            assumptions,
            enrollments: BTreeMap::new(),
            registrations: BTreeMap::new(),
            operations: HashMap::new(),
            hub: Hub::default(),
            sessions: HashMap::new(),
            seen: VecDeque::new(),
            asked: 0,
            dice: fastrand::Rng::with_seed(seed),
        }
    }

    /// Who it is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Every enrollment, as a GET would show it, in the order of ids.
    #[must_use]
    pub fn enrollments(&self) -> Vec<IndividualEnrollment> {
        self.enrollments.keys().filter_map(|id| self.shown(id)).collect()
    }

    /// An enrollment, as a GET would show it.
    #[must_use]
    pub fn enrollment(&self, id: &str) -> Option<IndividualEnrollment> {
        self.shown(id)
    }

    /// What was asked, from number `after` on.
    #[must_use]
    pub fn seen(&self, after: u64) -> Vec<Seen> {
        self.seen.iter().filter(|seen| seen.number > after).cloned().collect()
    }

    /// The hub's side.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Remembers what was asked.
    pub(crate) fn saw(&mut self, now: OffsetDateTime, what: String, about: Vec<String>, status: u16) {
        self.asked += 1;
        let (number, at) = (self.asked, time(now));
        self.seen.push_back(Seen { number, at, what, about, status, lost: false });
        if self.seen.len() > SEEN {
            self.seen.pop_front();
        }
    }

    fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.dice.u128(..).to_be_bytes()).into_uuid()
    }

    /// An ETag as DPS makes them: base64 of a quoted version.
    fn etag(&mut self) -> String {
        let version = format!("\"{:08x}-0000-0800-0000-{:08x}0000\"", self.dice.u32(..), self.dice.u32(..));
        STANDARD.encode(version)
    }
}

/// ISO 8601 with seven fractional digits.
pub(crate) fn time(at: OffsetDateTime) -> String {
    at.format(TIME).unwrap_or_default()
}
