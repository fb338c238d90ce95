//! What DPS has for one unit, as a person sees it who compares. Only ever read.

use azure_iot::{
    RegistrationId,
    enrollment::{IndividualEnrollment, ProvisioningStatus},
    registration::RegistrationStatus,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    announce::path,
    answer::{Answer, Call, Method, Trouble},
    cause::Cause,
    enrollment::{is_scrapped, secondary},
};

/// A record of DPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// SHA-256 of its certificate, upper-case hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// SHA-256 of a secondary certificate, if somebody has added one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary_sha256: Option<String>,
    /// How the device proves who it is: `x509` for ours.
    pub attestation: String,
    /// Whether the device may register; `None` means that it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_status: Option<ProvisioningStatus>,
    /// Whether it has registered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_status: Option<RegistrationStatus>,
    /// The hub where it lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assigned_hub: Option<String>,
    /// The version of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was last written, as DPS says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated: Option<String>,
    /// Who has announced it, if that was a box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announced_by: Option<Announcer>,
    /// Whether it is a tombstone.
    pub scrapped: bool,
}

/// The box that has written a record last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announcer {
    /// Its name.
    #[serde(rename = "box")]
    pub box_id: String,
    /// How often it was restored from a backup then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u8>,
    /// The pass of the unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
}

impl Found {
    /// What `record` says.
    #[must_use]
    pub fn of(record: &IndividualEnrollment) -> Self {
        let secondary = secondary(record).and_then(|secondary| secondary.info.as_ref());
        let registration = record.registration_state.as_ref();
        let edge =
            record.optional_device_information.as_ref().and_then(|information| information.get("edge"));
        Self {
            sha256: record.thumbprint().map(str::to_uppercase),
            secondary_sha256: secondary.map(|info| info.sha256_thumbprint.to_uppercase()),
            attestation: record.attestation.kind.clone(),
            provisioning_status: record.provisioning_status,
            registration_status: registration.and_then(|state| state.status),
            assigned_hub: registration.and_then(|state| state.assigned_hub.clone()),
            etag: record.etag.clone(),
            last_updated: record.last_updated_date_time_utc.clone(),
            announced_by: edge.and_then(announcer),
            scrapped: is_scrapped(record),
        }
    }

    /// Whether it carries the certificate with this SHA-256, as the first or as the second.
    #[must_use]
    pub fn carries(&self, sha256: &str) -> bool {
        let mut carried = self.sha256.iter().chain(&self.secondary_sha256);
        carried.any(|carried| carried.eq_ignore_ascii_case(sha256))
    }

    /// Whether the device may register.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.provisioning_status != Some(ProvisioningStatus::Disabled)
    }
}

fn announcer(edge: &Value) -> Option<Announcer> {
    let number = |name: &str| edge.get(name).and_then(Value::as_u64);
    Some(Announcer {
        box_id: edge.get("box")?.as_str()?.to_owned(),
        generation: number("generation").and_then(|number| number.try_into().ok()),
        epoch: number("epoch").and_then(|number| number.try_into().ok()),
    })
}

/// The request that shows the record of `id`.
#[must_use]
pub(crate) fn call(id: &RegistrationId) -> Call {
    Call { method: Method::Get, path: path(id), cost: 1, ..Call::default() }
}

/// What its answer shows, one that [`Answer::check`] let pass; `None` where DPS has no such record.
pub(crate) fn hear(answer: &Answer) -> Result<Option<IndividualEnrollment>, Trouble> {
    match answer.status {
        200 => answer.parse().map(Some),
        404 => Ok(None),
        _ => {
            let detail = format!("DPS does not show the enrollment: {}", answer.summary());
            Err(Trouble { cause: Cause::Service, detail, retry_after: None })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: &Value) -> Answer {
        Answer { status, json: true, body: body.to_string().into_bytes(), ..Answer::default() }
    }

    fn certificate(sha256: &str) -> Value {
        json!({ "info": { "subjectName": "CN=a", "sha1Thumbprint": "00", "sha256Thumbprint": sha256,
            "issuerName": "CN=ca", "notBeforeUtc": "2026-01-01T00:00:00Z", "notAfterUtc": "2046-01-01T00:00:00Z",
            "serialNumber": "01", "version": 3 } })
    }

    #[test]
    fn a_record_is_told_with_everything_that_a_decision_rests_on() {
        let record = json!({
            "registrationId": "a", "etag": "e1", "provisioningStatus": "enabled",
            "lastUpdatedDateTimeUtc": "2026-11-20T10:00:00Z",
            "attestation": { "type": "x509", "x509": { "clientCertificates": {
                "primary": certificate("ab"), "secondary": certificate("cd") } } },
            "registrationState": { "status": "assigned", "assignedHub": "hub-1" },
            "optionalDeviceInformation": { "edge": { "box": "hall1", "generation": 2, "epoch": 3, "scrapped": true } },
        });
        let found = Found::of(&hear(&answer(200, &record)).unwrap().unwrap());
        assert_eq!(
            json!(found),
            json!({
                "sha256": "AB", "secondary_sha256": "CD", "attestation": "x509", "provisioning_status": "enabled",
                "registration_status": "assigned", "assigned_hub": "hub-1", "etag": "e1",
                "last_updated": "2026-11-20T10:00:00Z", "scrapped": true,
                "announced_by": { "box": "hall1", "generation": 2, "epoch": 3 },
            })
        );
        assert!(found.carries("aB") && found.carries("cd") && !found.carries("ef") && found.is_enabled());
    }

    #[test]
    fn a_record_that_somebody_has_made_by_hand_is_told_as_far_as_it_goes() {
        let bare = json!({ "registrationId": "a", "attestation": { "type": "symmetricKey" },
            "optionalDeviceInformation": { "edge": "a note" } });
        let found = Found::of(&hear(&answer(200, &bare)).unwrap().unwrap());
        assert_eq!(json!(found), json!({ "attestation": "symmetricKey", "scrapped": false }));
        assert!(found.is_enabled(), "that is what an absent status means");
    }

    #[test]
    fn no_record_is_an_answer_and_anything_else_is_none() {
        assert_eq!(hear(&answer(404, &json!({}))).unwrap(), None);
        assert_eq!(hear(&answer(400, &json!({}))).unwrap_err().cause, Cause::Service);
    }
}
