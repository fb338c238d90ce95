//! What happens on an appliance, as it is stored for ever.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::{Amendment, Announcement, CloudEvent, Provenance, Want, Work, books, claim::ClaimRecord};
use ledger::{Applied, Changes, Entry, Event, Seq};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use crate::{
    access::{self, StationEnrolled, TokenCreated, TokenUse},
    ca::{self, CaInstalled, CaProved},
    clock::{self, ClockAccepted},
    courier, crl, fence,
    index::{self, BoxRecord},
    life, order,
};

pub use crate::{
    courier::{BundleMade, CourierTrusted, ReceiptTaken},
    crl::CrlIssued,
    life::{Again, CertificateRevoked, Retired, UnitScrapped, Why},
    order::{OrderClosed, OrderOpened},
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EdgeEvent {
    /// The appliance was initialised; the first event of every journal.
    BoxNamed {
        /// A random name, for ever.
        box_id: String,
        /// How often it was restored from a backup, from 1; the first byte of every serial number.
        generation: u8,
    },
    /// Somebody was let in.
    TokenCreated(TokenCreated),
    /// Somebody was shut out.
    TokenRevoked {
        /// The token's name.
        name: String,
    },
    /// A unit got its identity.
    UnitIssued(Box<UnitIssued>),
    /// The box was made anew from a backup.
    Restored(Restored),
    /// Units of this box that the backup does not have, as the cloud tells.
    UnitsLost {
        /// Which.
        units: Vec<LostUnit>,
    },
    /// The restored box has compared itself with the cloud, or somebody has decided to go on without.
    Reconciled(Reconciled),
    /// The cloud, or the way to it, did something.
    Cloud(CloudEvent),
    /// The clock was looked at and believed; written rarely.
    ClockSeen {},
    /// A person vouches for the clock.
    ClockAccepted(ClockAccepted),
    /// When tokens were used last; written rarely, for all of them at once.
    TokensUsed {
        /// Which, and when.
        tokens: Vec<TokenUse>,
    },
    /// Another issuing CA has taken over.
    CaInstalled(CaInstalled),
    /// A CA has proven that it holds its key.
    CaProved(CaProved),
    /// A station was given a client certificate.
    StationEnrolled(Box<StationEnrolled>),
    /// A station was shut out.
    StationRevoked {
        /// The station's name.
        name: String,
    },
    /// A unit came to its end.
    UnitScrapped(Box<UnitScrapped>),
    /// A certificate was revoked that will never be of use.
    CertificateRevoked(Box<CertificateRevoked>),
    /// A production order was opened.
    OrderOpened(Box<OrderOpened>),
    /// A production order was closed.
    OrderClosed(OrderClosed),
    /// A list of revoked certificates was signed.
    CrlIssued(CrlIssued),
    /// A courier is trusted, and no other.
    CourierTrusted(CourierTrusted),
    /// What waits for the cloud was written into a bundle.
    BundleMade(BundleMade),
    /// What a courier has brought back was taken in.
    ReceiptTaken(ReceiptTaken),
}

/// The box was made anew from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// Its name, as before.
    pub box_id: String,
    /// Its new generation.
    pub generation: u8,
    /// Tells two restores of one backup apart.
    pub instance: String,
    /// The last frame of the backup.
    pub seq: Seq,
    /// When that was written.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

/// A unit of this box that is not in the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostUnit {
    /// Its registration id.
    pub id: RegistrationId,
    /// Which pass it was.
    pub epoch: u32,
    /// The generation that issued it.
    pub generation: u8,
    /// The frame that did.
    pub seq: Seq,
    /// SHA-256 of its certificate, upper-case hex.
    pub sha256: String,
}

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its begin.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// Its end.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
}

/// A restored box may go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconciled {
    /// The generation that it goes on as.
    pub generation: u8,
    /// Tells two restores of one backup apart.
    pub instance: String,
    /// The last frame of the backup.
    pub seq: Seq,
    /// The first and the last frame that are missing, as far as the cloud tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<[Seq; 2]>,
    /// How many units are lost, as far as the cloud tells.
    pub lost: usize,
    /// The time in which units may have been issued that nobody knows any more, as a person has confirmed it.
    pub window: Window,
    /// Why the cloud was not asked, if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_gap: Option<String>,
}

/// A unit got its identity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitIssued {
    /// Its registration id.
    pub id: RegistrationId,
    /// Which pass this is, from 1.
    pub epoch: u32,
    /// The line.
    pub line: String,
    /// The station, if it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// What the line wants to remember about it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    /// SHA-256 of the public key (DER SubjectPublicKeyInfo), hex.
    pub key_sha256: String,
    /// Who made the key.
    pub key_origin: KeyOrigin,
    /// The certificate's serial number, hex.
    pub serial: String,
    /// SHA-256 of the certificate, upper-case hex as DPS shows it.
    pub sha256: String,
    /// When it begins.
    #[serde(with = "time::serde::rfc3339")]
    pub not_before: OffsetDateTime,
    /// When it ends.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// The certificate, base64 of the DER.
    pub certificate: String,
    /// SHA-256 of the issuing CA's certificate, hex.
    pub issuer_sha256: String,
    /// What of the claim code may travel.
    pub claim: ClaimRecord,
    /// The idempotency key of a request without an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Idempotency>,
    /// Whose token asked, as a scope; a repeat within it may see the claim code.
    pub scope: String,
    /// The box that issued it, and its generation then.
    pub issued_by: IssuedBy,
    /// Whether the clock was not believed then, so that the dates are those of the issuing CA's begin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_unsafe: bool,
    /// The profile that it was issued with; absent for the one that is called `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The production order that it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
    /// Why it was issued again, where this is not its first pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Box<Again>>,
}

/// Who made a unit's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// The device, or whoever sent the request.
    Csr,
    /// This appliance; the key was answered once and is not kept.
    Edge,
}

/// A request without an id, so that its repeat finds the same unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idempotency {
    /// SHA-256 of scope and key, hex.
    pub key: String,
    /// SHA-256 of what was asked, hex.
    pub request: String,
}

/// The box that issued a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedBy {
    /// Its name.
    #[serde(rename = "box")]
    pub box_id: String,
    /// Its generation.
    pub generation: u8,
}

impl From<CloudEvent> for EdgeEvent {
    fn from(event: CloudEvent) -> Self {
        Self::Cloud(event)
    }
}

impl Event for EdgeEvent {
    const INDEX_VERSION: u32 = 6;

    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::BoxNamed { box_id, generation } => {
                put_box(changes, box_id, *generation, "");
                clock::seen(changes, at);
            }
            Self::Restored(restored) => {
                put_box(changes, &restored.box_id, restored.generation, &restored.instance);
                fence::restored(changes, restored);
            }
            Self::UnitsLost { units } => {
                units.iter().for_each(|unit| changes.put(&index::lost(&unit.id), unit));
            }
            Self::Reconciled(reconciled) => {
                if let Some(known) = changes.get::<BoxRecord>(index::BOX) {
                    let box_id = known.issued_by.box_id;
                    put_box(changes, &box_id, reconciled.generation, &reconciled.instance);
                }
                fence::reconciled(changes);
            }
            Self::TokenCreated(token) => access::created(changes, at, token),
            Self::TokenRevoked { name } => access::revoked(changes, at, name),
            Self::UnitIssued(unit) => {
                life::issued(changes, at, unit);
                index::issued(changes, at, unit);
                if !unit.clock_unsafe {
                    clock::seen(changes, at);
                }
                order::issued(changes, unit);
                match (&unit.again, unit.epoch) {
                    (None, 1) => books::begin(changes, at, &unit.id, Want::Announce, unit.epoch),
                    // An earlier version did not say of a renewal that it is one.
                    (None, _) => books::want(changes, at, &unit.id, Want::Announce, unit.epoch),
                    (Some(_), _) => books::want(changes, at, &unit.id, Want::Replace, unit.epoch),
                }
            }
            Self::Cloud(event) => {
                if let CloudEvent::Superseded { generation } = event {
                    fence::superseded(changes, at, *generation);
                }
                life::told(changes, at, event);
                books::record(changes, at, event);
            }
            Self::ClockSeen {} => clock::seen(changes, at),
            Self::ClockAccepted(accepted) => clock::accepted(changes, accepted),
            Self::TokensUsed { tokens } => access::used(changes, tokens),
            Self::CaInstalled(event) => ca::installed(changes, event),
            // The journal remembers it; nothing depends on it.
            Self::CaProved(_) => {}
            Self::StationEnrolled(station) => access::station_enrolled(changes, at, station),
            Self::StationRevoked { name } => access::station_revoked(changes, at, name),
            Self::UnitScrapped(scrapped) => {
                life::scrapped(changes, at, scrapped);
                books::want(changes, at, &scrapped.id, Want::Withdraw, scrapped.epoch);
            }
            Self::CertificateRevoked(event) => life::revoked(changes, at, event),
            Self::OrderOpened(order) => order::opened(changes, at, order),
            Self::OrderClosed(closed) => order::closed(changes, at, closed),
            Self::CrlIssued(list) => crl::issued(changes, list),
            Self::CourierTrusted(trusted) => courier::trusted(changes, trusted),
            Self::BundleMade(made) => courier::made(changes, made),
            Self::ReceiptTaken(taken) => courier::taken(changes, taken),
        }
    }
}

fn put_box(changes: &mut Changes<'_>, box_id: &str, generation: u8, instance: &str) {
    let issued_by = IssuedBy { box_id: box_id.to_owned(), generation };
    changes.put(index::BOX, &BoxRecord { issued_by, instance: instance.to_owned() });
}

/// What the cloud is to be told about a unit that this commit issued, issued again, or scrapped.
pub(crate) fn work(entry: &Entry<EdgeEvent>, id: &RegistrationId) -> Option<Work> {
    let announcement = |epoch, certificate: &str, sha256: &str, claim: &ClaimRecord, issued_by: &IssuedBy| {
        let provenance = Provenance {
            box_id: issued_by.box_id.clone(),
            generation: issued_by.generation,
            epoch,
            seq: entry.seq,
            head: hex::encode(entry.hash),
            scrapped: false,
        };
        Some(Announcement {
            id: id.clone(),
            certificate: STANDARD.decode(certificate).ok()?,
            thumbprint: sha256.to_owned(),
            provenance,
            claim: claim.clone(),
        })
    };
    entry.events.iter().find_map(|event| match event {
        EdgeEvent::UnitIssued(found) if found.id == *id => {
            let UnitIssued { epoch, certificate, sha256, claim, issued_by, again, .. } = &**found;
            let unit = announcement(*epoch, certificate, sha256, claim, issued_by)?;
            Some(match again {
                Some(again) => Work::Replace(Amendment { unit, earlier: again.earlier() }),
                None => Work::Announce(unit),
            })
        }
        EdgeEvent::UnitScrapped(found) if found.id == *id => {
            let UnitScrapped { epoch, certificate, sha256, claim, issued_by, .. } = &**found;
            let unit = announcement(*epoch, certificate, sha256, claim, issued_by)?;
            let earlier = found.earlier();
            Some(Work::Withdraw(Amendment { unit, earlier }))
        }
        _ => None,
    })
}
