//! An individual enrollment: what DPS knows about one device before it ever calls.
//!
//! Swagger `IndividualEnrollment`, service API 2021-10-01. Fields that this version does not know are kept, so that a
//! read-modify-write never loses what somebody else wrote. A `null` is an absent field.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{ids::RegistrationId, registration::RegistrationState};

/// The record of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndividualEnrollment {
    /// The name of the record; ignoring case.
    pub registration_id: String,
    /// The name that the device gets at its hub; the registration id if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Read-only, and only in the answer to a GET.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration_state: Option<RegistrationState>,
    /// Free JSON that travels with the record and never reaches the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional_device_information: Option<Value>,
    /// How the device proves who it is.
    pub attestation: Attestation,
    /// What the twin starts with when the device is first created at a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_twin: Option<InitialTwin>,
    /// The version of the record; read-only, echoed in `If-Match`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Whether the device may register; enabled if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioning_status: Option<ProvisioningStatus>,
    /// What happens when it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reprovision_policy: Option<ReprovisionPolicy>,
    /// Read-only, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_date_time_utc: Option<String>,
    /// Read-only, ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_updated_date_time_utc: Option<String>,
    /// How a hub is chosen; the instance's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation_policy: Option<AllocationPolicy>,
    /// The hubs to choose from, by host name; requires `allocation_policy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iot_hubs: Option<Vec<String>>,
    /// Whatever else the record holds.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl IndividualEnrollment {
    /// A record with nothing but a name and a proof.
    #[must_use]
    pub fn new(id: RegistrationId, attestation: Attestation) -> Self {
        Self {
            registration_id: id.into(),
            device_id: None,
            registration_state: None,
            optional_device_information: None,
            attestation,
            initial_twin: None,
            etag: None,
            provisioning_status: None,
            reprovision_policy: None,
            created_date_time_utc: None,
            last_updated_date_time_utc: None,
            allocation_policy: None,
            iot_hubs: None,
            other: Map::new(),
        }
    }

    /// The SHA-256 of the enrolled certificate as DPS shows it, upper-case hex.
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        let certificates = self.attestation.x509.as_ref()?.client_certificates.as_ref()?;
        certificates.primary.as_ref()?.info.as_ref().map(|info| info.sha256_thumbprint.as_str())
    }

    /// The record without what only the server may set, ready to be written back. The ETag goes into a header.
    #[must_use]
    pub fn writable(mut self) -> Self {
        self.registration_state = None;
        self.etag = None;
        self.created_date_time_utc = None;
        self.last_updated_date_time_utc = None;
        self
    }
}

/// How a device proves who it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attestation {
    /// `x509`, `tpm`, `symmetricKey` or `none`.
    #[serde(rename = "type")]
    pub kind: String,
    /// With a certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x509: Option<X509Attestation>,
    /// In any other way.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Attestation {
    /// With the certificate whose DER is given, and no other.
    #[must_use]
    pub fn x509(der: &[u8]) -> Self {
        let certificate = X509Certificate { certificate: Some(STANDARD.encode(der)), info: None };
        let certificates = X509Certificates { primary: Some(certificate), secondary: None };
        let x509 = X509Attestation { client_certificates: Some(certificates), other: Map::new() };
        Self { kind: "x509".to_owned(), x509: Some(x509), other: Map::new() }
    }
}

/// Exactly one of client certificates, signing certificates and references to uploaded CAs; we use the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct X509Attestation {
    /// The certificates of this one device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificates: Option<X509Certificates>,
    /// `signingCertificates`, `caReferences`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The current certificate, and the next or previous one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct X509Certificates {
    /// The current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<X509Certificate>,
    /// The other one, during a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secondary: Option<X509Certificate>,
}

/// A certificate: whole on its way in, described on its way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct X509Certificate {
    /// Base64 of the DER, PEM, or base64 of PEM; answers never carry it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// What DPS read in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub info: Option<CertificateInfo>,
}

/// What DPS says about a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateInfo {
    /// Such as `CN=dev-001`.
    pub subject_name: String,
    /// SHA-1 of the DER, upper-case hex.
    pub sha1_thumbprint: String,
    /// SHA-256 of the DER, upper-case hex.
    pub sha256_thumbprint: String,
    /// Such as `CN=plant 7`.
    pub issuer_name: String,
    /// ISO 8601, to the second.
    pub not_before_utc: String,
    /// ISO 8601, to the second.
    pub not_after_utc: String,
    /// Upper-case hex.
    pub serial_number: String,
    /// 3.
    pub version: i64,
}

/// Whether a device may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProvisioningStatus {
    /// It may.
    Enabled,
    /// It is told that it is disabled.
    Disabled,
}

/// How a hub is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AllocationPolicy {
    /// Evenly.
    Hashed,
    /// The nearest.
    GeoLatency,
    /// The one that the enrollment names.
    Static,
    /// A function of the customer decides.
    Custom,
}

/// What happens when a device registers again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReprovisionPolicy {
    /// Whether it may move to another hub.
    #[serde(default = "yes")]
    pub update_hub_assignment: bool,
    /// Whether its twin moves with it.
    #[serde(default = "yes")]
    pub migrate_device_data: bool,
}

impl Default for ReprovisionPolicy {
    fn default() -> Self {
        Self { update_hub_assignment: true, migrate_device_data: true }
    }
}

fn yes() -> bool {
    true
}

/// What a twin starts with: `{"tags":{…},"properties":{"desired":{…}}}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InitialTwin {
    /// For the back end only; the device never sees them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
    /// What the device gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<InitialProperties>,
}

/// The properties that a twin starts with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InitialProperties {
    /// What the device shall be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Map<String, Value>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_read_modify_write_loses_nothing_that_it_does_not_know() {
        let stored = json!({
            "registrationId": "a", "attestation": { "type": "x509", "x509": { "caReferences": { "primary": "ca" } }, "new": 1 },
            "capabilities": { "iotEdge": true }, "customAllocationDefinition": { "webhookUrl": "https://x" }, "later": [1, 2],
        });
        let mut record: IndividualEnrollment = serde_json::from_value(stored.clone()).expect("an enrollment");
        record.provisioning_status = Some(ProvisioningStatus::Enabled);
        let mut expected = stored;
        expected["provisioningStatus"] = json!("enabled");
        assert_eq!(json!(record), expected);
    }

    #[test]
    fn null_is_absent() {
        let text = json!({ "registrationId": "a", "attestation": { "type": "x509", "x509": null }, "deviceId": null,
            "initialTwin": null, "provisioningStatus": null, "iotHubs": null, "etag": null });
        let record: IndividualEnrollment = serde_json::from_value(text).expect("an enrollment");
        assert_eq!(json!(record), json!({ "registrationId": "a", "attestation": { "type": "x509" } }));
    }

    #[test]
    fn a_new_record_carries_the_certificate_in_base64() {
        let record = IndividualEnrollment::new("a".parse().expect("an id"), Attestation::x509(b"DER"));
        let expected = json!({ "registrationId": "a", "attestation": { "type": "x509",
            "x509": { "clientCertificates": { "primary": { "certificate": "REVS" } } } } });
        assert_eq!(json!(record), expected);
    }
}
