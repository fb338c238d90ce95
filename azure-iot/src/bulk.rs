//! Many enrollments in one request, at most ten. Not atomic: each item has its own outcome.

use serde::{Deserialize, Deserializer, Serialize};

use crate::enrollment::IndividualEnrollment;

/// As many enrollments as one request may hold.
pub const MOST: usize = 10;

/// `POST /enrollments` (swagger `BulkEnrollmentOperation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BulkRequest {
    /// What to do with each.
    pub mode: BulkMode,
    /// The records.
    pub enrollments: Vec<IndividualEnrollment>,
}

/// What to do with each record of a bulk. Read in any case: official clients differ in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum BulkMode {
    /// Create; fails where one exists.
    #[serde(rename = "create")]
    Create,
    /// Replace; fails where the item has no current ETag.
    #[serde(rename = "update")]
    Update,
    /// Replace, if the item's ETag is current.
    #[serde(rename = "updateIfMatchETag")]
    UpdateIfMatchETag,
    /// Delete.
    #[serde(rename = "delete")]
    Delete,
}

impl<'de> Deserialize<'de> for BulkMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.to_ascii_lowercase().as_str() {
            "create" => Ok(Self::Create),
            "update" => Ok(Self::Update),
            "updateifmatchetag" => Ok(Self::UpdateIfMatchETag),
            "delete" => Ok(Self::Delete),
            _ => Err(serde::de::Error::unknown_variant(
                &text,
                &["create", "update", "updateIfMatchETag", "delete"],
            )),
        }
    }
}

/// The answer, with HTTP 200 also when every item failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// Whether every item succeeded.
    pub is_successful: bool,
    /// The items that did not.
    #[serde(default)]
    pub errors: Vec<BulkError>,
}

/// Why one item of a bulk failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    /// The item.
    #[serde(default)]
    pub registration_id: Option<String>,
    /// Six digits, such as 409201.
    #[serde(default)]
    pub error_code: i64,
    /// A sentence.
    #[serde(default)]
    pub error_status: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_mode_is_read_in_any_case() {
        for text in ["updateIfMatchETag", "updateIfMatchEtag"] {
            assert_eq!(from_value::<BulkMode>(json!(text)).ok(), Some(BulkMode::UpdateIfMatchETag));
        }
        assert_eq!(json!(BulkMode::UpdateIfMatchETag), "updateIfMatchETag");
        assert!(from_value::<BulkMode>(json!("upsert")).is_err());
    }

    #[test]
    fn an_answer_is_the_recorded_one() {
        let recorded = json!({ "isSuccessful": false, "errors": [
            { "registrationId": "a", "errorCode": 409_201, "errorStatus": "Enrollment already exists." }] });
        let result: BulkResult = from_value(recorded.clone()).expect("a result");
        assert_eq!(json!(result), recorded);
    }
}
