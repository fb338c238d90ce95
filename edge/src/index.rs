//! What the index knows about units and lines. It can be rebuilt from the journal at any time.
//!
//! | key | value |
//! | --- | --- |
//! | `box` | [`BoxRecord`] |
//! | `fence` | [`crate::fence::Fence`] |
//! | `lost/{id}` | [`crate::event::LostUnit`]: issued by this box, and not in the backup that it was restored from |
//! | `unit/{id}` | [`Unit`] |
//! | `key/{SHA-256 of the public key, its first 16 bytes}` | the id that has it |
//! | `idem/{SHA-256}` | [`Remembered`] |
//! | `order/{seq, 16 hex digits}` | the id of the unit that this frame issued |
//! | `line/{line}` | [`LineRecord`] |
//! | `day/{line}/{date}` | a counter |
//! | `ca` | the SHA-256 of the issuing CA at work, once one has taken over from another |
//! | `ca/{SHA-256 of an issuing CA}` | [`crate::ca::CaChain`]: what leads from it to its root |
//! | `station/{name}` | [`crate::access::StationRecord`] |
//! | `stationkey/{SHA-256 of the public key}` | the name of the station that has it |
//! | `past/{id}`, `retiring/{id}` | see [`crate::life`] |
//! | `po/{number}` | [`crate::order::OrderRecord`] |
//! | `courier`, `bundle/{number}` | see [`crate::courier`] |
//! | `revoked/{serial}`, `revocations`, `crl` | see [`crate::crl`] |

use azure_iot::RegistrationId;
use ledger::{Applied, Changes, FrameRef, Seq};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Date, OffsetDateTime};

use crate::{
    event::{IssuedBy, KeyOrigin, UnitIssued},
    fingerprint::sha256,
    profile::DEFAULT,
};

/// Who this box is.
pub(crate) const BOX: &[u8] = b"box";
/// Units in the order of their issue.
pub(crate) const ORDER: &[u8] = b"order/";

/// Who this box is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoxRecord {
    /// What it signs with.
    pub(crate) issued_by: IssuedBy,
    /// Tells two restores of one backup apart; empty in the first generation.
    #[serde(default)]
    pub(crate) instance: String,
}

/// A unit, small: what decides on a request that comes again. The rest is read back from the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub(crate) id: RegistrationId,
    pub(crate) epoch: u32,
    pub(crate) line: String,
    /// See [`attributes_sha256`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attributes_sha256: Option<String>,
    pub(crate) key_sha256: String,
    pub(crate) key_origin: KeyOrigin,
    pub(crate) sha256: String,
    pub(crate) claim_generation: u32,
    pub(crate) scope: String,
    /// The profile of its certificate; absent for the one that is called `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// The production order that it counts for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<String>,
    /// It came to its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) scrapped: bool,
    /// Its certificate was revoked, because a person had the cloud keep another one; its next pass has a new one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) revoked: bool,
    pub(crate) frame: FrameRef,
}

impl Unit {
    /// What is kept of an event that stands in `frame`.
    fn of(unit: &UnitIssued, frame: FrameRef) -> Self {
        Self {
            id: unit.id.clone(),
            epoch: unit.epoch,
            line: unit.line.clone(),
            attributes_sha256: attributes_sha256(&unit.attributes),
            key_sha256: unit.key_sha256.clone(),
            key_origin: unit.key_origin,
            sha256: unit.sha256.clone(),
            claim_generation: unit.claim.generation,
            scope: unit.scope.clone(),
            profile: unit.profile.clone(),
            order: unit.order.clone(),
            scrapped: false,
            revoked: false,
            frame,
        }
    }

    /// The profile of its certificate, by name.
    pub(crate) fn profile(&self) -> &str {
        self.profile.as_deref().unwrap_or(DEFAULT)
    }
}

/// A request without an id that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub(crate) id: RegistrationId,
    pub(crate) request: String,
}

/// What a line has made so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LineRecord {
    pub(crate) issued: u64,
    pub(crate) last: RegistrationId,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) last_at: OffsetDateTime,
}

/// SHA-256 of attributes, hex: what tells whether they are the same, however large they are. `None` for none.
pub(crate) fn attributes_sha256(attributes: &Map<String, Value>) -> Option<String> {
    // A map is written in the order of its keys, so there is one way to write it.
    let json = serde_json::to_vec(attributes).expect("JSON that was read");
    (!attributes.is_empty()).then(|| sha256(&json))
}

/// Applies that a unit was issued.
pub(crate) fn issued(changes: &mut Changes<'_>, at: &Applied<'_>, unit: &UnitIssued) {
    changes.put(&self::unit(&unit.id), &Unit::of(unit, at.frame));
    changes.put(&key(&unit.key_sha256), &unit.id);
    // A later pass is the same unit: it keeps its place, and the line has made no other one.
    if unit.epoch > 1 {
        return;
    }
    changes.put(&order(at.seq), &unit.id);
    if let Some(idempotency) = &unit.idempotency {
        let remembered = Remembered { id: unit.id.clone(), request: idempotency.request.clone() };
        changes.put(&idem(&idempotency.key), &remembered);
    }
    let issued = changes.get::<LineRecord>(&line(&unit.line)).map_or(0, |line| line.issued);
    let record = LineRecord { issued: issued + 1, last: unit.id.clone(), last_at: at.at };
    changes.put(&line(&unit.line), &record);
    changes.add(&day(&unit.line, at.at.date()), 1);
}

pub(crate) fn unit(id: &RegistrationId) -> Vec<u8> {
    ["unit/", id.as_ref()].concat().into_bytes()
}

/// Where it stands which unit frame `seq` issued.
pub(crate) fn order(seq: Seq) -> Vec<u8> {
    format!("order/{seq:016x}").into_bytes()
}

/// The frame that a key of the order is about.
pub(crate) fn ordered_by(key: &[u8]) -> Option<Seq> {
    Seq::from_str_radix(std::str::from_utf8(key.strip_prefix(ORDER)?).ok()?, 16).ok()
}

pub(crate) fn lost(id: &RegistrationId) -> Vec<u8> {
    ["lost/", id.as_ref()].concat().into_bytes()
}

/// Where it stands who has the public key with this SHA-256, hex.
///
/// Half of the hash: keys come in no order, so what is put there is dearer than anything else, and less so where it is
/// small. Two keys whose halves agree count as one. Nobody finds another one for a key that there is (2^128 attempts), and
/// who makes two of his own that agree (2^64) is refused one of them.
pub(crate) fn key(sha256: &str) -> Vec<u8> {
    let mut half = [0; 16];
    match sha256.get(..2 * half.len()).map(|hex| hex::decode_to_slice(hex, &mut half)) {
        Some(Ok(())) => [&b"key/"[..], &half].concat(),
        _ => ["key/", sha256].concat().into_bytes(),
    }
}

pub(crate) fn idem(sha256: &str) -> Vec<u8> {
    ["idem/", sha256].concat().into_bytes()
}

pub(crate) fn line(line: &str) -> Vec<u8> {
    ["line/", line].concat().into_bytes()
}

pub(crate) fn day(line: &str, date: Date) -> Vec<u8> {
    format!("day/{line}/{date}").into_bytes()
}
