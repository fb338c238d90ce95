//! The journal for people: a commit as a line, and which units it is about.

use azure_iot::RegistrationId;
use cloud_sync::{CloudEvent, LinkState, Resolution};
use ledger::audit::Record;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::{
    EdgeEvent,
    ca::{CaInstalled, CaProved, Origin},
    event::{Reconciled, Restored, Window},
};

/// A commit, as the journal has it.
#[derive(Debug, Deserialize)]
pub(crate) struct Commit {
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) actor: String,
    pub(crate) events: Vec<EdgeEvent>,
}

impl Commit {
    /// Reads a record.
    pub(crate) fn parse(record: &Record<'_>) -> Result<Self, serde_json::Error> {
        serde_json::from_str(record.json)
    }

    /// Whether it says anything about `id`.
    pub(crate) fn is_about(&self, id: &RegistrationId) -> bool {
        self.events.iter().any(|event| event.unit() == Some(id))
    }
}

impl EdgeEvent {
    /// The unit that it is about.
    pub(crate) fn unit(&self) -> Option<&RegistrationId> {
        match self {
            Self::UnitIssued(unit) => Some(&unit.id),
            Self::UnitScrapped(unit) => Some(&unit.id),
            Self::Cloud(event) => event.unit(),
            Self::CertificateRevoked(revoked) => Some(&revoked.id),
            Self::BoxNamed { .. }
            | Self::Restored(_)
            | Self::UnitsLost { .. }
            | Self::Reconciled(_)
            | Self::TokenCreated(_)
            | Self::TokenRevoked { .. }
            | Self::ClockSeen {}
            | Self::ClockAccepted(_)
            | Self::TokensUsed { .. }
            | Self::CaInstalled(_)
            | Self::CaProved(_)
            | Self::StationEnrolled(_)
            | Self::StationRevoked { .. } => None,
            Self::OrderOpened(_) | Self::OrderClosed(_) | Self::CrlIssued(_) => None,
            Self::CourierTrusted(_) | Self::BundleMade(_) | Self::ReceiptTaken(_) => None,
        }
    }

    /// The production order that it is about, other than by a unit.
    pub(crate) fn order(&self) -> Option<&str> {
        match self {
            Self::OrderOpened(order) => Some(&order.number),
            Self::OrderClosed(order) => Some(&order.number),
            _ => None,
        }
    }

    /// What it says, in a line.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::BoxNamed { box_id, generation } => format!("box {box_id}, generation {generation}"),
            Self::Restored(Restored { generation, seq, .. }) => {
                format!("restored from a backup that ends at frame {seq}; now generation {generation}")
            }
            Self::UnitsLost { units } => {
                let ids: Vec<_> = units.iter().map(|unit| unit.id.as_ref()).collect();
                format!("not in the backup: {}", ids.join(", "))
            }
            Self::Reconciled(Reconciled { generation, lost, window, accepted_gap, .. }) => {
                let why = accepted_gap.as_ref().map_or_else(
                    || format!("{lost} units are lost"),
                    |reason| format!("gap accepted: {reason}"),
                );
                let Window { from, until } = window;
                format!("reconciled as generation {generation}: {why}; window {from} to {until}")
            }
            Self::TokenCreated(token) => format!("token {} made, role {}", token.name, token.role),
            Self::TokenRevoked { name } => format!("token {name} revoked"),
            Self::StationEnrolled(station) => {
                format!("station {} enrolled, role {}, serial {}", station.name, station.role, station.serial)
            }
            Self::StationRevoked { name } => format!("station {name} revoked"),
            Self::UnitIssued(unit) => format!(
                "{} issued on {}, pass {}, serial {}, sha256 {}{}",
                unit.id,
                unit.line,
                unit.epoch,
                unit.serial,
                unit.sha256,
                unit.again.as_ref().map(|again| format!(": {}", again.reason)).unwrap_or_default()
            ),
            Self::UnitScrapped(unit) => format!("{} scrapped: {}", unit.id, unit.reason),
            Self::OrderOpened(order) => {
                format!("order {} opened: {} units on {}", order.number, order.quantity, order.line)
            }
            Self::OrderClosed(order) => format!("order {} closed: {} units", order.number, order.issued),
            Self::CrlIssued(list) => {
                format!("list {} of revoked certificates signed: {} entries", list.number, list.entries)
            }
            Self::CourierTrusted(courier) => format!("courier {} trusted", courier.key),
            Self::BundleMade(made) => {
                format!("bundle {} made for courier {}: {} jobs", made.number, made.courier, made.jobs)
            }
            Self::ReceiptTaken(taken) => format!(
                "receipt of bundle {} taken in, done at {}: {} settled, {} held",
                taken.number, taken.dps, taken.accepted, taken.held
            ),
            Self::Cloud(CloudEvent::Accepted { id, epoch }) => format!("{id} is in the cloud, pass {epoch}"),
            Self::Cloud(CloudEvent::Held { id, epoch, why }) => {
                format!("{id} held, pass {epoch}: {} ({})", why.detail, why.code)
            }
            Self::Cloud(CloudEvent::Retried { id, epoch }) => {
                format!("{id} is to be asked again, pass {epoch}")
            }
            Self::Cloud(CloudEvent::Resolved { id, epoch, resolution, reason }) => {
                let what = match resolution {
                    Resolution::KeepCloud { .. } => "the cloud keeps what it has of".to_owned(),
                    Resolution::ReplaceCloud { etag } => format!("version {etag} of the cloud gives way to"),
                };
                format!("{what} {id}, pass {epoch}: {reason}")
            }
            Self::CertificateRevoked(revoked) => {
                format!("{} revoked, serial {}", revoked.id, revoked.retired.serial)
            }
            Self::Cloud(CloudEvent::Drifted { id, epoch, what, why }) => match why {
                Some(why) => {
                    format!(
                        "{id} differs in the cloud ({}), held, pass {epoch}: {} ({})",
                        what.code(),
                        why.detail,
                        why.code
                    )
                }
                None => format!("{id} differs in the cloud ({}), told again, pass {epoch}", what.code()),
            },
            Self::Cloud(CloudEvent::ReadBack { pass, position, tally }) => {
                let how = position.as_ref().map_or("ended".to_owned(), |id| format!("is at {id}"));
                let differ: u64 = tally.drift.values().sum();
                format!("pass {pass} of reading back {how}: {} compared, {differ} differ", tally.compared)
            }
            Self::Cloud(CloudEvent::Paused { reason }) => format!("nothing is sent: {reason}"),
            Self::Cloud(CloudEvent::Resumed {}) => "sending goes on".to_owned(),
            Self::Cloud(CloudEvent::Superseded { generation }) => {
                format!("this box lives on elsewhere, as generation {generation}")
            }
            Self::Cloud(CloudEvent::LinkChanged { to }) => match to {
                LinkState::Down { cause, detail } => format!("link down: {} ({detail})", cause.words()),
                LinkState::Up => "link up".to_owned(),
                LinkState::Unknown => "link unknown".to_owned(),
            },
            Self::ClockSeen {} => "the clock was believed".to_owned(),
            Self::ClockAccepted(accepted) => {
                format!(
                    "clock vouched for, {} in place of {}: {}",
                    accepted.now, accepted.before, accepted.reason
                )
            }
            Self::TokensUsed { tokens } => {
                let names: Vec<_> = tokens.iter().map(|token| token.name.as_str()).collect();
                format!("tokens used: {}", names.join(", "))
            }
            Self::CaInstalled(CaInstalled { origin, current, previous }) => {
                let root = match origin {
                    Origin::OwnRoot => "our own root",
                    Origin::OtherRoot => "another root",
                };
                format!(
                    "issuing CA {}, signed by {root}, takes over from {}",
                    current.sha256, previous.sha256
                )
            }
            Self::CaProved(CaProved { code, ca_sha256, serial, .. }) => {
                format!("CA {ca_sha256} has proven itself for code {code}, serial {serial}")
            }
        }
    }
}
