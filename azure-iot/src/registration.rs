//! A device's registration: the state that DPS keeps, and the operation that leads there.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a registration stands (swagger `DeviceRegistrationState`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationState {
    /// Whose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// When it first was, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_date_time_utc: Option<String>,
    /// The hub's host name, once assigned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_hub: Option<String>,
    /// The device's name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// How far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RegistrationStatus>,
    /// How it was assigned: `initialAssignment`, `deviceDataMigrated`, `deviceDataReset`,
    /// `reprovisionedToInitialAssignment`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub substatus: Option<String>,
    /// Why it failed, six digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<i64>,
    /// Why it failed, a sentence (or, from the service, JSON in a string).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// When it last changed, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_date_time_utc: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// `x509`, `payload`, and what later versions add.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl RegistrationState {
    /// The state of `id` with nothing but a status.
    #[must_use]
    pub fn new(id: impl Into<String>, status: RegistrationStatus) -> Self {
        Self {
            registration_id: Some(id.into()),
            created_date_time_utc: None,
            assigned_hub: None,
            device_id: None,
            status: Some(status),
            substatus: None,
            error_code: None,
            error_message: None,
            last_updated_date_time_utc: None,
            etag: None,
            other: Map::new(),
        }
    }
}

/// How far a registration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RegistrationStatus {
    /// The device never called.
    Unassigned,
    /// DPS is at it.
    Assigning,
    /// It has a hub.
    Assigned,
    /// It could not be given one.
    Failed,
    /// Its enrollment is disabled.
    Disabled,
}

/// The answer to register and poll (swagger `RegistrationOperationStatus`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegistrationOperation {
    /// The operation to ask about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// How far it is.
    pub status: RegistrationStatus,
    /// What it led to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_state: Option<RegistrationState>,
}

/// The body of a register request. Without an id, the connection's own is meant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegisterBody {
    /// Who registers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_id: Option<String>,
    /// Anything for a custom allocation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
}
