//! What may be said about a unit to whoever may read units.

use azure_iot::RegistrationId;
use cloud_sync::{State, Why, books::Record};
use ledger::ReadError;
use serde::Serialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use web::Problem;
use zeroize::Zeroizing;

use super::{Floor, units::certificate_pem_of, unreadable};
use crate::{event::UnitIssued, index::Unit, pem};

/// A unit, with its certificate. What it says to its own station alone, its code and its key, is added with
/// [`Description::with_claim_code`] and [`Description::with_private_key`].
#[derive(Serialize)]
pub(crate) struct Description {
    id: RegistrationId,
    epoch: u32,
    line: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    station: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    attributes: Map<String, Value>,
    serial: String,
    sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    not_after: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    issued_at: OffsetDateTime,
    certificate: String,
    chain: String,
    cloud: Standing,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    scrapped: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    private_key: Option<Zeroizing<String>>,
}

impl Description {
    /// A unit as the event at `issued_at` issued it.
    pub(crate) fn new(
        floor: &Floor,
        issued: UnitIssued,
        issued_at: OffsetDateTime,
        cloud: Standing,
    ) -> Result<Self, Problem> {
        let certificate = certificate_pem_of(&issued);
        let chain = floor.issuing.chain_of(&floor.ledger, &issued.issuer_sha256);
        Ok(Self {
            id: issued.id,
            epoch: issued.epoch,
            line: issued.line,
            station: issued.station,
            order: issued.order,
            profile: issued.profile,
            attributes: issued.attributes,
            serial: issued.serial,
            sha256: issued.sha256,
            not_before: issued.not_before,
            not_after: issued.not_after,
            issued_at,
            certificate,
            chain: chain.map_err(|error: ReadError| unreadable(&error))?,
            cloud,
            scrapped: false,
            revoked: false,
            claim_code: None,
            private_key: None,
        })
    }

    /// Says whether it came to its end, and whether its certificate did.
    pub(crate) fn standing(self, unit: &Unit) -> Self {
        Self { scrapped: unit.scrapped, revoked: unit.revoked, ..self }
    }

    /// Adds the code on its label.
    pub(crate) fn with_claim_code(self, code: String) -> Self {
        Self { claim_code: Some(code), ..self }
    }

    /// Adds its private key, PKCS#8 DER.
    pub(crate) fn with_private_key(self, key: &[u8]) -> Self {
        Self { private_key: Some(pem::encode("PRIVATE KEY", key)), ..self }
    }
}

/// Where a unit stands with the cloud.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Nobody has asked for it to be told.
    Unknown,
    /// The cloud has yet to be told.
    Waiting {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
    },
    /// The cloud has it.
    Settled {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
    },
    /// A person has to look.
    Held {
        #[serde(with = "time::serde::rfc3339")]
        since: OffsetDateTime,
        why: Why,
    },
}

impl From<Option<Record>> for Standing {
    fn from(record: Option<Record>) -> Self {
        let Some(Record { state, since, .. }) = record else { return Self::Unknown };
        match state {
            State::Waiting { .. } => Self::Waiting { since },
            State::Settled { at, .. } => Self::Settled { since: at },
            State::Held { why, at, .. } => Self::Held { since: at, why },
        }
    }
}
