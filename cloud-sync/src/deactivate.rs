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
    answer::{Answer, Call, Trouble},
    conversation::Conversation,
    enrollment::{check_claim, is_disabled, is_scrapped},
    rewrite::{Ask, Rewrite, unread},
    work::{Deactivation, Outcome},
};

/// The conversation about one device.
#[derive(Debug)]
pub struct Deactivating {
    deactivation: Deactivation,
    rewrite: Rewrite,
    outcome: Option<Outcome>,
}

impl Deactivating {
    /// A conversation that disables the enrollment of a device, and leaves the rest of it as it is.
    #[must_use]
    pub fn new(deactivation: Deactivation) -> Self {
        Self { deactivation, rewrite: Rewrite::new(), outcome: None }
    }

    fn hear_read(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match answer.status {
            200 => match prepare(&self.deactivation, answer.parse()?) {
                Ok(record) => self.rewrite.write(record),
                Err(outcome) => self.outcome = Some(outcome),
            },
            404 => {
                let detail = "DPS has no enrollment for this device, so there is nothing to disable; \
                              an enrollment group may still let it in";
                self.outcome = Some(Outcome::stopped("missing", detail));
            }
            _ => self.outcome = Some(unread(answer, rejected)),
        }
        Ok(())
    }
}

impl Conversation for Deactivating {
    fn next(&self) -> Option<Call> {
        self.rewrite.next(&self.deactivation.id)
    }

    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match self.rewrite.answered() {
            Some(Ask::Read) => self.hear_read(answer)?,
            Some(Ask::Write(_)) => self.outcome = self.rewrite.wrote(answer, rejected),
            None => {}
        }
        Ok(())
    }

    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)> {
        self.outcome.into_iter().map(|outcome| (self.deactivation.id.clone(), outcome)).collect()
    }
}

/// Checks what was found, and turns it into what shall be there.
fn prepare(
    deactivation: &Deactivation,
    found: IndividualEnrollment,
) -> Result<IndividualEnrollment, Outcome> {
    check_claim(&found, &deactivation.code)?;
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

fn rejected(answer: &Answer) -> Outcome {
    Outcome::stopped("rejected", format!("DPS refuses the deactivation: {}", answer.summary()))
}
