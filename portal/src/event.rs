//! What the portal's ledger remembers, and what each event does to its index.
//!
//! | key | value |
//! | --- | --- |
//! | `account/{name}` | [`Account`] |
//! | `activation/{uuid}` | [`Activation`]: one request, as it was saved |
//! | `device/{id}` | the uuid of the latest request for that device |
//! | `mine/{account}/{newest first, 16 hex digits}` | the uuid of a request |
//! | `misses/{device,account,address}/{…}` | when wrong claim codes were tried, unix seconds |
//!
//! The keys of [`cloud_sync::books`] live beside them.

use azure_iot::RegistrationId;
use azure_iot::enrollment::InitialTwin;
use cloud_sync::{CloudEvent, Want, books};
use ledger::{Applied, Changes, Event, FrameRef};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::account::AccountName;
use crate::reason::Reason;

/// How long a wrong claim code counts, in seconds.
pub const MISS_COUNTS_FOR: i64 = 3600;
/// The most misses that are remembered per key.
const MISSES: usize = 64;

/// Something that happened at the portal. Stored for ever: fields are added, never changed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortalEvent {
    /// Somebody may sign in from now on, or has a new password.
    AccountSet {
        /// The account.
        name: AccountName,
        /// The argon2id hash as a PHC string; never the password.
        password: String,
    },
    /// Somebody wants a device activated.
    ActivationRequested(Request),
    /// Somebody wants a device taken out of service.
    DeactivationRequested(Deactivation),
    /// What the cloud said, or how the way to it is.
    Cloud(CloudEvent),
}

/// Everything that was typed to activate a device, and by whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The name of this request.
    pub activation: Uuid,
    /// The device.
    pub id: RegistrationId,
    /// Which request for this device it is, from 1.
    pub epoch: u32,
    /// Who asks.
    pub account: AccountName,
    /// From where.
    pub address: String,
    /// The claim code, sealed by [`crate::seal::Seal`].
    pub claim: String,
    /// By this mark the same request is known again.
    pub mark: String,
    /// Where the device shall live.
    pub hub: String,
    /// What its twin shall start with.
    pub twin: InitialTwin,
}

/// Who wants a device taken out of service, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deactivation {
    /// The name of this request.
    pub deactivation: Uuid,
    /// The activation that it ends.
    pub activation: Uuid,
    /// The device.
    pub id: RegistrationId,
    /// Which request for this device it is, counted on from its activations.
    pub epoch: u32,
    /// Who asks.
    pub account: AccountName,
    /// From where.
    pub address: String,
    /// The claim code of the activation, sealed as it was there.
    pub claim: String,
    /// Why.
    pub reason: Reason,
}

/// An account in the index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The argon2id hash as a PHC string.
    pub password: String,
}

/// A request in the index, without what is long or secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Activation {
    /// The device.
    pub id: RegistrationId,
    /// Which request for this device it is.
    pub epoch: u32,
    /// Who asked.
    pub account: AccountName,
    /// From where.
    pub address: String,
    /// By this mark the same request is known again.
    pub mark: String,
    /// Where the device shall live.
    pub hub: String,
    /// When it was saved.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// Where the whole request stands in the journal.
    pub frame: FrameRef,
    /// That it is to end, as it was asked for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
}

impl Activation {
    /// Which request for this device is the last that is about this activation.
    #[must_use]
    pub fn last_epoch(&self) -> u32 {
        self.end.as_ref().map_or(self.epoch, |end| end.epoch)
    }
}

/// A request to take a device out of service in the index, beside the activation that it ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct End {
    /// The name of this request.
    pub deactivation: Uuid,
    /// Which request for this device it is.
    pub epoch: u32,
    /// Who asked.
    pub account: AccountName,
    /// From where.
    pub address: String,
    /// Why.
    pub reason: Reason,
    /// When it was saved.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
}

impl From<CloudEvent> for PortalEvent {
    fn from(event: CloudEvent) -> Self {
        Self::Cloud(event)
    }
}

impl Event for PortalEvent {
    const INDEX_VERSION: u32 = 2;

    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::AccountSet { name, password } => {
                changes.put(&account_key(name), &Account { password: password.clone() });
            }
            Self::ActivationRequested(request) => requested(request, at, changes),
            Self::DeactivationRequested(asked) => deactivation(asked, at, changes),
            Self::Cloud(event) => {
                count_miss(event, at, changes);
                books::record(changes, at, event);
            }
        }
    }
}

fn requested(request: &Request, at: &Applied<'_>, changes: &mut Changes<'_>) {
    let record = Activation {
        id: request.id.clone(),
        epoch: request.epoch,
        account: request.account.clone(),
        address: request.address.clone(),
        mark: request.mark.clone(),
        hub: request.hub.clone(),
        at: at.at,
        frame: at.frame,
        end: None,
    };
    changes.put(&activation_key(request.activation), &record);
    changes.put(&device_key(&request.id), &request.activation);
    changes.put(&mine_key(&request.account, at.seq), &request.activation);
    books::want(changes, at, &request.id, Want::Activate, request.epoch);
}

fn deactivation(asked: &Deactivation, at: &Applied<'_>, changes: &mut Changes<'_>) {
    let key = activation_key(asked.activation);
    if let Some(record) = changes.get::<Activation>(&key) {
        let end = End {
            deactivation: asked.deactivation,
            epoch: asked.epoch,
            account: asked.account.clone(),
            address: asked.address.clone(),
            reason: asked.reason.clone(),
            at: at.at,
        };
        changes.put(&key, &Activation { end: Some(end), ..record });
    }
    books::want(changes, at, &asked.id, Want::Deactivate, asked.epoch);
}

/// A wrong claim code counts against the device, the account and the address that tried it. One that was typed to
/// activate is tried by the deactivation as well, so it counts there too.
fn count_miss(event: &CloudEvent, at: &Applied<'_>, changes: &mut Changes<'_>) {
    let CloudEvent::Held { id, epoch, why } = event else { return };
    if why.code != "claim-mismatch" {
        return;
    }
    let latest: Option<Uuid> = changes.get(&device_key(id));
    let tried: Option<Activation> = latest.and_then(|uuid| changes.get(&activation_key(uuid)));
    let Some(tried) = tried.filter(|tried| tried.last_epoch() == *epoch) else { return };
    let address = tried.end.as_ref().map_or(&tried.address, |end| &end.address);
    for key in miss_keys(&tried.id, &tried.account, address) {
        if changes.includes(&key) {
            continue;
        }
        let mut misses: Vec<i64> = changes.get(&key).unwrap_or_default();
        let now = at.at.unix_timestamp();
        misses.retain(|&miss| now - miss < MISS_COUNTS_FOR);
        misses.push(now);
        let surplus = misses.len().saturating_sub(MISSES);
        misses.drain(..surplus);
        changes.put(&key, &misses);
    }
}

/// The key of an account.
#[must_use]
pub fn account_key(name: &AccountName) -> Vec<u8> {
    format!("account/{name}").into_bytes()
}

/// The key of a request.
#[must_use]
pub fn activation_key(activation: Uuid) -> Vec<u8> {
    format!("activation/{activation}").into_bytes()
}

/// The key of the latest request for a device.
#[must_use]
pub fn device_key(id: &RegistrationId) -> Vec<u8> {
    format!("device/{id}").into_bytes()
}

/// What the keys of an account's requests begin with; they are in the order newest first.
#[must_use]
pub fn mine_prefix(account: &AccountName) -> Vec<u8> {
    format!("mine/{account}/").into_bytes()
}

fn mine_key(account: &AccountName, seq: u64) -> Vec<u8> {
    [mine_prefix(account), format!("{:016x}", u64::MAX - seq).into_bytes()].concat()
}

/// The keys under which wrong claim codes are counted.
#[must_use]
pub fn miss_keys(id: &RegistrationId, account: &AccountName, address: &str) -> [Vec<u8>; 3] {
    [
        format!("misses/device/{id}").into_bytes(),
        format!("misses/account/{account}").into_bytes(),
        format!("misses/address/{address}").into_bytes(),
    ]
}
