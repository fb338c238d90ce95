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
    answer::{Answer, Call, Trouble},
    conversation::Conversation,
    enrollment::{check_claim, is_scrapped},
    rewrite::{Ask, Rewrite, unread},
    work::{Activation, Outcome},
};

/// The conversation about one device.
#[derive(Debug)]
pub struct Activating {
    activation: Activation,
    /// Something else was asked for this device before.
    later: bool,
    rewrite: Rewrite,
    outcome: Option<Outcome>,
}

impl Activating {
    /// A conversation that enables the enrollment of a claimed device.
    #[must_use]
    pub fn new(activation: Activation) -> Self {
        Self { activation, later: false, rewrite: Rewrite::new(), outcome: None }
    }

    /// The same, where something else was asked for this device before, and may still arrive.
    #[must_use]
    pub fn later(self, later: bool) -> Self {
        Self { later, ..self }
    }

    fn hear_read(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match answer.status {
            200 => match prepare(&self.activation, self.later, answer.parse()?) {
                Ok(record) => self.rewrite.write(record),
                Err(outcome) => self.outcome = Some(outcome),
            },
            404 => self.outcome = Some(Outcome::Later("the factory has not announced it yet")),
            _ => self.outcome = Some(unread(answer, rejected)),
        }
        Ok(())
    }
}

impl Conversation for Activating {
    fn next(&self) -> Option<Call> {
        self.rewrite.next(&self.activation.id)
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
        self.outcome.into_iter().map(|outcome| (self.activation.id.clone(), outcome)).collect()
    }
}

/// Checks what was found, and turns it into what shall be there. Every field that is not ours is kept.
fn prepare(
    activation: &Activation,
    later: bool,
    found: IndividualEnrollment,
) -> Result<IndividualEnrollment, Outcome> {
    if is_scrapped(&found) {
        return Err(Outcome::stopped("scrapped", "the factory has scrapped this unit"));
    }
    check_claim(&found, &activation.code)?;
    let Some(etag) = found.etag.clone() else {
        return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
    };
    let mut wanted = found.clone().writable();
    wanted.initial_twin = Some(activation.twin.clone());
    wanted.allocation_policy = Some(AllocationPolicy::Static);
    wanted.iot_hubs = Some(vec![activation.hub.clone()]);
    wanted.provisioning_status = Some(ProvisioningStatus::Enabled);
    if !later && wanted == found.writable() {
        return Err(Outcome::Accepted);
    }
    wanted.etag = Some(etag);
    Ok(wanted)
}

fn rejected(answer: &Answer) -> Outcome {
    Outcome::stopped("rejected", format!("DPS refuses the activation: {}", answer.summary()))
}
