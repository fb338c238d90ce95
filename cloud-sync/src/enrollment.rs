//! What a record of DPS says about a unit, in our words.

use azure_iot::{
    enrollment::{IndividualEnrollment, ProvisioningStatus, X509Certificate},
    registration::RegistrationStatus,
};
use serde_json::Value;

use crate::{
    claim::{ClaimCode, ClaimRecord},
    work::Outcome,
};

/// Whether its unit was scrapped.
pub(crate) fn is_scrapped(record: &IndividualEnrollment) -> bool {
    let information = record.optional_device_information.as_ref();
    information.and_then(|found| found.pointer("/edge/scrapped")) == Some(&Value::Bool(true))
}

/// Whether `code` stands on the label that it carries now; if not, how the conversation ends.
pub(crate) fn check_claim(record: &IndividualEnrollment, code: &ClaimCode) -> Result<(), Outcome> {
    let claim = record.optional_device_information.as_ref().and_then(|information| information.get("claim"));
    let claim = claim.and_then(|claim| serde_json::from_value::<ClaimRecord>(claim.clone()).ok());
    let Some(claim) = claim else {
        return Err(Outcome::stopped("no-claim", "this device was not announced with a claim code"));
    };
    if !claim.matches(code) {
        let detail = "the claim code is not the one on this device's label";
        return Err(Outcome::stopped("claim-mismatch", detail));
    }
    Ok(())
}

/// Whether the device may not register; without a status it may.
pub(crate) fn is_disabled(record: &IndividualEnrollment) -> bool {
    record.provisioning_status == Some(ProvisioningStatus::Disabled)
}

/// Whether the device has never registered; what is not shown is not known to be so.
pub(crate) fn is_unassigned(record: &IndividualEnrollment) -> bool {
    let status = record.registration_state.as_ref().and_then(|state| state.status);
    status == Some(RegistrationStatus::Unassigned)
}

/// The certificate that somebody has added to the first.
pub(crate) fn secondary(record: &IndividualEnrollment) -> Option<&X509Certificate> {
    record.attestation.x509.as_ref()?.client_certificates.as_ref()?.secondary.as_ref()
}
