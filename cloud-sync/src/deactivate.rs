//! Deactivating a device: read, check the claim, disable, write back only if nobody else wrote meanwhile.
//!
//! ```text
//! GET ─▶ 404: there is nothing to disable ─▶ held
//!    └─▶ claim checked ─▶ a tombstone ─▶ Accepted
//!                     └─▶ PUT, If-Match ─▶ 412: read again
//! ```
//!
//! A record that is disabled already is written all the same, unless it is a tombstone, which nothing enables: an
//! activation from before may still be on its way with that version as its condition, and only a new version outdates it.
//!
//! DPS lets the device register no more, whether or not an enrollment group knows it; what it has from its hub it keeps
//! until the hub takes it away
//! (<https://learn.microsoft.com/azure/iot-dps/how-to-unprovision-devices>).

use azure_iot::{
    RegistrationId,
    enrollment::{IndividualEnrollment, ProvisioningStatus},
};

use crate::{
    enrollment::{check_claim, is_disabled, is_scrapped},
    rewrite::{Purpose, Rewriting, Step},
    work::{Deactivation, Outcome},
};

/// What a deactivation wants of a record.
#[derive(Debug)]
pub struct Deactivate(Deactivation);

/// The conversation about one device.
pub type Deactivating = Rewriting<Deactivate>;

impl Deactivating {
    /// A conversation that disables the enrollment of a device, and leaves the rest of it as it is.
    #[must_use]
    pub fn new(deactivation: Deactivation) -> Self {
        Self::with(Deactivate(deactivation))
    }
}

impl Purpose for Deactivate {
    const WHAT: &'static str = "the deactivation";

    fn id(&self) -> &RegistrationId {
        &self.0.id
    }

    fn found(&mut self, found: IndividualEnrollment) -> Step {
        check_claim(&found, &self.0.code)?;
        if is_disabled(&found) && is_scrapped(&found) {
            return Err(Outcome::Accepted);
        }
        let Some(etag) = found.etag.clone() else {
            return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
        };
        let mut wanted = found.writable();
        wanted.provisioning_status = Some(ProvisioningStatus::Disabled);
        wanted.etag = Some(etag);
        Ok(wanted)
    }

    fn missing(&self) -> Step {
        let detail = "DPS has no enrollment for this device, so there is nothing to disable; an enrollment group may \
                      still let it in";
        Err(Outcome::stopped("missing", detail))
    }
}
