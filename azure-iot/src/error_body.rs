//! The body of an error.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What DPS says with a status of 400 and above (swagger `ProvisioningServiceErrorDetails`).
///
/// The first three digits of `error_code` are the HTTP status. A client relies on the status and shows the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// Six digits, such as 409201.
    #[serde(default)]
    pub error_code: i64,
    /// What to quote to Azure support.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_id: Option<String>,
    /// A sentence.
    #[serde(default)]
    pub message: String,
    /// More, by cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<Value>,
    /// When, ISO 8601 with seven fractional digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp_utc: Option<String>,
}
