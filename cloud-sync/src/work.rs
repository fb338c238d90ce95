//! What is said about a unit, and what became of saying it.

use azure_iot::{RegistrationId, enrollment::InitialTwin};
use serde::{Deserialize, Serialize};

use crate::{
    claim::{ClaimCode, ClaimRecord},
    state::Why,
};

/// One job, with everything that is needed to do it.
#[derive(Debug, Clone)]
pub enum Work {
    /// There shall be a disabled enrollment with this certificate.
    Announce(Announcement),
    /// The enrollment shall be enabled, with this twin and these hubs.
    Activate(Activation),
    /// The enrollment shall be disabled, and otherwise stay as it is.
    Deactivate(Deactivation),
    /// The enrollment shall carry the unit's new certificate.
    Replace(Amendment),
    /// The enrollment shall be a tombstone: disabled, and never activated.
    Withdraw(Amendment),
}

/// A unit that was issued.
#[derive(Debug, Clone)]
pub struct Announcement {
    /// Its registration id, also its device id.
    pub id: RegistrationId,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// SHA-256 of the certificate, upper-case hex as DPS shows it.
    pub thumbprint: String,
    /// Which box issued it, and where in its journal that is written.
    pub provenance: Provenance,
    /// What of the claim code the portal needs.
    pub claim: ClaimRecord,
}

/// A unit whose record shall change.
#[derive(Debug, Clone)]
pub struct Amendment {
    /// The unit as it is now, with its present certificate.
    pub unit: Announcement,
    /// SHA-256 of every certificate that this box gave the unit before, upper-case hex: a record that carries one of
    /// them is ours to amend.
    pub earlier: Vec<String>,
}

/// `optionalDeviceInformation.edge`: an anchor of the issuing box's journal, outside that box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The box.
    #[serde(rename = "box")]
    pub box_id: String,
    /// How often it was restored from a backup.
    pub generation: u8,
    /// The pass of the unit.
    pub epoch: u32,
    /// The frame that issued it.
    pub seq: u64,
    /// That frame's hash, hex: it stands for everything that the box had written by then.
    pub head: String,
    /// A unit that must never be activated.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub scrapped: bool,
}

/// A device that was claimed.
#[derive(Debug, Clone)]
pub struct Activation {
    /// Its registration id.
    pub id: RegistrationId,
    /// What was typed from the label.
    pub code: ClaimCode,
    /// What its twin starts with.
    pub twin: InitialTwin,
    /// The hub where it shall live.
    pub hub: String,
}

/// A device that is taken out of service.
#[derive(Debug, Clone)]
pub struct Deactivation {
    /// Its registration id.
    pub id: RegistrationId,
    /// What was typed from the label when it was activated: another label since then is somebody else's.
    pub code: ClaimCode,
}

/// What became of saying it. The link's troubles are not among these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The cloud has it.
    Accepted,
    /// The cloud is not ready for this unit; ask again in our own time.
    Later(&'static str),
    /// Asking again will not help; a person should look.
    Stopped(Why),
}

impl Outcome {
    /// Asking again will not help.
    #[must_use]
    pub(crate) fn stopped(code: &str, detail: impl Into<String>) -> Self {
        Self::Stopped(Why { code: code.to_owned(), detail: detail.into() })
    }
}
