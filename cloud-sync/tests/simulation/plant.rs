//! What happens in the simulated factory and portal, and what they tell the cloud about it.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use azure_iot::{RegistrationId, enrollment::InitialTwin};
use cloud_sync::{
    Activation, Amendment, Announcement, CloudEvent, Deactivation, Describe, Provenance, Want, Work, books,
    claim::{ClaimCode, ClaimRecord},
};
use ledger::{Applied, Changes, Entry, Event};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The box that issues.
pub(crate) const BOX: &str = "box-1";
/// The hub that devices are sent to.
pub(crate) const HUB: &str = "hub-1.azure-devices.net";
/// How many units may be told apart by their certificates.
pub(crate) const UNITS: usize = 6;
/// How many certificates there are for each.
pub(crate) const PASSES: usize = 6;

/// Something that happened in the factory or in the portal.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Happened {
    /// A unit was issued, reworked or scrapped.
    Unit(Unit),
    /// A device was claimed.
    Claimed { id: RegistrationId, epoch: u32 },
    /// A device was taken out of service.
    Released { id: RegistrationId, epoch: u32 },
    /// The worker's own.
    Cloud(CloudEvent),
}

/// A unit as a pass has left it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Unit {
    pub(crate) id: RegistrationId,
    pub(crate) epoch: u32,
    pub(crate) want: Want,
    /// Which certificate it has.
    pub(crate) certificate: usize,
    /// Which it had before.
    pub(crate) earlier: Vec<usize>,
    pub(crate) generation: u8,
}

impl From<CloudEvent> for Happened {
    fn from(event: CloudEvent) -> Self {
        Self::Cloud(event)
    }
}

impl Event for Happened {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::Unit(unit) if unit.want == Want::Announce => {
                books::begin(changes, at, &unit.id, unit.want, unit.epoch);
            }
            Self::Unit(unit) => books::want(changes, at, &unit.id, unit.want, unit.epoch),
            Self::Claimed { id, epoch } => books::want(changes, at, id, Want::Activate, *epoch),
            Self::Released { id, epoch } => books::want(changes, at, id, Want::Deactivate, *epoch),
            Self::Cloud(event) => books::record(changes, at, event),
        }
    }
}

/// A device certificate.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(crate) der: Vec<u8>,
    pub(crate) thumbprint: String,
}

/// The certificate of this number; a number that is none stands for something that DPS does not take.
pub(crate) fn certificate(number: usize) -> &'static Certificate {
    static MADE: OnceLock<Vec<Certificate>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let key = rcgen::KeyPair::generate().unwrap();
        let make = |number: usize| {
            let mut params = rcgen::CertificateParams::default();
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, name(number / PASSES));
            params.serial_number = Some(rcgen::SerialNumber::from(number as u64 + 1));
            let der = params.self_signed(&key).unwrap().der().to_vec();
            Certificate { thumbprint: hex::encode_upper(digest(&SHA256, &der)), der }
        };
        let nonsense = Certificate { der: b"no certificate".to_vec(), thumbprint: "00".repeat(32) };
        (0..UNITS * PASSES).map(make).chain([nonsense]).collect()
    });
    &made[number.min(UNITS * PASSES)]
}

/// The name of a unit.
pub(crate) fn name(unit: usize) -> String {
    format!("unit-{unit}")
}

pub(crate) fn id(unit: usize) -> RegistrationId {
    name(unit).parse().unwrap()
}

/// What stands on every label.
pub(crate) fn code() -> ClaimCode {
    ClaimCode::from_bits([7; 10])
}

/// What a device starts with, as the portal wants it.
pub(crate) fn twin() -> InitialTwin {
    serde_json::from_value(json!({ "tags": { "site": "x" }, "properties": { "desired": { "rate": 5 } } }))
        .unwrap()
}

/// What is to be told about a commit.
pub(crate) fn describe() -> Describe<Happened> {
    static CLAIM: OnceLock<ClaimRecord> = OnceLock::new();
    Arc::new(|entry: &Entry<Happened>, id: &RegistrationId| {
        entry.events.iter().find_map(|event| match event {
            Happened::Unit(unit) if unit.id == *id => {
                let certificate = certificate(unit.certificate);
                let announcement = Announcement {
                    id: id.clone(),
                    certificate: certificate.der.clone(),
                    thumbprint: certificate.thumbprint.clone(),
                    provenance: Provenance {
                        box_id: BOX.to_owned(),
                        generation: unit.generation,
                        epoch: unit.epoch,
                        seq: entry.seq,
                        head: hex::encode(entry.hash),
                        scrapped: false,
                    },
                    claim: CLAIM.get_or_init(|| ClaimRecord::new(1, &[1; 16], &code())).clone(),
                };
                let thumbprint = |number: &usize| self::certificate(*number).thumbprint.clone();
                let earlier = unit.earlier.iter().map(thumbprint).collect();
                Some(match unit.want {
                    Want::Replace => Work::Replace(Amendment { unit: announcement, earlier }),
                    Want::Withdraw => Work::Withdraw(Amendment { unit: announcement, earlier }),
                    Want::Announce | Want::Activate | Want::Deactivate => Work::Announce(announcement),
                })
            }
            Happened::Claimed { id: claimed, .. } if claimed == id => {
                let (id, code, twin, hub) = (id.clone(), code(), twin(), HUB.to_owned());
                Some(Work::Activate(Activation { id, code, twin, hub }))
            }
            Happened::Released { id: released, .. } if released == id => {
                Some(Work::Deactivate(Deactivation { id: id.clone(), code: code() }))
            }
            _ => None,
        })
    })
}
