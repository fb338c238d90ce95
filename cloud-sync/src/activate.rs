//! Activating a device: read, check the claim, change three things, write back only if nobody else wrote meanwhile.
//!
//! ```text
//! GET ─▶ 404: the factory has not announced it yet ─▶ later
//!    └─▶ tombstone and claim checked ─▶ already so, and never asked for otherwise ─▶ Accepted
//!                                   └─▶ PUT, If-Match ─▶ 412: read again
//! ```
//!
//! Where something else was asked for the device before, a request about that may still be on its way, with a version of
//! the record as its condition. Then the record is written even if it is as wanted already: its new version is what
//! outdates that request, so whatever arrives late changes nothing.

use azure_iot::{
    RegistrationId,
    enrollment::{AllocationPolicy, IndividualEnrollment, ProvisioningStatus},
};

use crate::{
    enrollment::{check_claim, is_scrapped},
    rewrite::{Purpose, Rewriting, Step},
    work::{Activation, Outcome},
};

/// What an activation wants of a record.
#[derive(Debug)]
pub struct Activate {
    activation: Activation,
    /// Something else was asked for this device before.
    later: bool,
}

/// The conversation about one device.
pub type Activating = Rewriting<Activate>;

impl Activating {
    /// A conversation that enables the enrollment of a claimed device.
    #[must_use]
    pub fn new(activation: Activation) -> Self {
        Self::with(Activate { activation, later: false })
    }

    /// The same, where something else was asked for this device before, and may still arrive.
    #[must_use]
    pub fn later(mut self, later: bool) -> Self {
        self.purpose.later = later;
        self
    }
}

impl Purpose for Activate {
    const WHAT: &'static str = "the activation";

    fn id(&self) -> &RegistrationId {
        &self.activation.id
    }

    fn found(&mut self, found: IndividualEnrollment) -> Step {
        if is_scrapped(&found) {
            return Err(Outcome::stopped("scrapped", "the factory has scrapped this unit"));
        }
        check_claim(&found, &self.activation.code)?;
        let Some(etag) = found.etag.clone() else {
            return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
        };
        let mut wanted = found.clone().writable();
        wanted.initial_twin = Some(self.activation.twin.clone());
        wanted.allocation_policy = Some(AllocationPolicy::Static);
        wanted.iot_hubs = Some(vec![self.activation.hub.clone()]);
        wanted.provisioning_status = Some(ProvisioningStatus::Enabled);
        if !self.later && wanted == found.writable() {
            return Err(Outcome::Accepted);
        }
        wanted.etag = Some(etag);
        Ok(wanted)
    }

    fn missing(&self) -> Step {
        Err(Outcome::Later("the factory has not announced it yet"))
    }
}
