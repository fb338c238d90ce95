//! Activating a device: read, check the claim, change three things, write back only if nobody else wrote meanwhile.
//!
//! ```text
//! GET ─▶ 404: the factory has not announced it yet ─▶ later
//!    └─▶ claim and tombstone checked ─▶ already so ─▶ Accepted
//!                                   └─▶ PUT, If-Match ─▶ 412: read again
//! ```

use azure_iot::{
    RegistrationId,
    enrollment::{AllocationPolicy, IndividualEnrollment, ProvisioningStatus},
};
use serde_json::json;

use crate::{
    announce::path,
    answer::{Answer, Call, Method, Trouble},
    claim::ClaimRecord,
    conversation::Conversation,
    work::{Activation, Outcome},
};

/// How often somebody else may write in between before this device steps back.
const RACES: u8 = 5;

#[derive(Debug)]
enum Ask {
    Read,
    Write(Box<IndividualEnrollment>),
}

/// The conversation about one device.
#[derive(Debug)]
pub struct Activating {
    activation: Activation,
    ask: Option<Ask>,
    races: u8,
    outcome: Option<Outcome>,
}

impl Activating {
    /// A conversation that enables the enrollment of a claimed device.
    #[must_use]
    pub fn new(activation: Activation) -> Self {
        Self { activation, ask: Some(Ask::Read), races: 0, outcome: None }
    }

    fn hear_read(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match answer.status {
            200 => match prepare(&self.activation, answer.parse()?) {
                Ok(record) => self.ask = Some(Ask::Write(Box::new(record))),
                Err(outcome) => self.outcome = Some(outcome),
            },
            404 => self.outcome = Some(Outcome::Later("the factory has not announced it yet")),
            409 | 412 => self.outcome = Some(Outcome::Later("somebody else changes the enrollment just now")),
            _ => self.outcome = Some(rejected(answer)),
        }
        Ok(())
    }

    fn hear_write(&mut self, answer: &Answer) {
        match answer.status {
            200 | 201 => self.outcome = Some(Outcome::Accepted),
            // Somebody else wrote, or removed it: look again.
            404 | 409 | 412 if self.races < RACES => {
                self.races += 1;
                self.ask = Some(Ask::Read);
            }
            404 | 409 | 412 => {
                self.outcome = Some(Outcome::Later("somebody else keeps changing the enrollment"));
            }
            _ => self.outcome = Some(rejected(answer)),
        }
    }
}

impl Conversation for Activating {
    fn next(&self) -> Option<Call> {
        let path = path(&self.activation.id);
        match self.ask.as_ref()? {
            Ask::Read => Some(Call { method: Method::Get, path, cost: 1, ..Call::default() }),
            Ask::Write(record) => Some(Call {
                method: Method::Put,
                path,
                if_match: record.etag.clone(),
                body: Some(json!(record)),
                cost: 1,
                ..Call::default()
            }),
        }
    }

    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match self.ask.take() {
            Some(Ask::Read) => self.hear_read(answer)?,
            Some(Ask::Write(_)) => self.hear_write(answer),
            None => {}
        }
        Ok(())
    }

    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)> {
        self.outcome.into_iter().map(|outcome| (self.activation.id.clone(), outcome)).collect()
    }
}

/// Checks what was found, and turns it into what shall be there. Every field that is not ours is kept.
fn prepare(activation: &Activation, found: IndividualEnrollment) -> Result<IndividualEnrollment, Outcome> {
    let information = found.optional_device_information.clone().unwrap_or_default();
    if information.pointer("/edge/scrapped") == Some(&json!(true)) {
        return Err(Outcome::stopped("scrapped", "the factory has scrapped this unit"));
    }
    let claim =
        information.get("claim").and_then(|claim| serde_json::from_value::<ClaimRecord>(claim.clone()).ok());
    let Some(claim) = claim else {
        return Err(Outcome::stopped("no-claim", "this device was not announced with a claim code"));
    };
    if !claim.matches(&activation.code) {
        return Err(Outcome::stopped(
            "claim-mismatch",
            "the claim code is not the one on this device's label",
        ));
    }
    let Some(etag) = found.etag.clone() else {
        return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
    };
    let mut wanted = found.clone().writable();
    wanted.initial_twin = Some(activation.twin.clone());
    wanted.allocation_policy = Some(AllocationPolicy::Static);
    wanted.iot_hubs = Some(vec![activation.hub.clone()]);
    wanted.provisioning_status = Some(ProvisioningStatus::Enabled);
    if wanted == found.writable() {
        return Err(Outcome::Accepted);
    }
    wanted.etag = Some(etag);
    Ok(wanted)
}

fn rejected(answer: &Answer) -> Outcome {
    Outcome::stopped("rejected", format!("DPS refuses the activation: {}", answer.summary()))
}
