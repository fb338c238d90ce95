//! Amending a record of our own: a new certificate after rework, a tombstone after scrap.
//!
//! ```text
//! GET ─▶ 404 ─▶ PUT, create-only ─▶ exists meanwhile: read again
//!    ├─▶ as wanted already ─▶ Accepted
//!    ├─▶ disabled, unassigned, and with a certificate of ours of this unit ─▶ PUT, If-Match ─▶ 412: read again
//!    └─▶ anything else ─▶ held: a person decides
//! ```
//!
//! An amendment acts alone only where nobody else has done anything with the record, so it never undoes an activation.
//! A tombstone is not a deletion: the record stays, disabled and marked, so that nobody can claim the unit.

use azure_iot::{
    RegistrationId,
    enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus},
    registration::RegistrationStatus,
};
use serde_json::{Value, json};

use crate::{
    announce::{generation, path, record},
    answer::{Answer, Call, Method, Trouble},
    conversation::Conversation,
    work::{Amendment, Outcome},
};

/// How often somebody else may write in between before this unit steps back.
const RACES: u8 = 5;

/// What is to become of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It shall carry the new certificate.
    Replace,
    /// It shall be a tombstone.
    Withdraw,
}

#[derive(Debug)]
enum Ask {
    Read,
    Create,
    Write(Box<IndividualEnrollment>),
}

/// The conversation about one unit.
#[derive(Debug)]
pub struct Amending {
    change: Change,
    amendment: Amendment,
    ask: Option<Ask>,
    races: u8,
    generation: Option<u8>,
    outcome: Option<Outcome>,
}

impl Amending {
    /// A conversation that puts the unit's new certificate in the place of an earlier one.
    #[must_use]
    pub fn replace(amendment: Amendment) -> Self {
        Self::new(Change::Replace, amendment)
    }

    /// A conversation that makes the unit's record a tombstone.
    #[must_use]
    pub fn withdraw(mut amendment: Amendment) -> Self {
        amendment.unit.provenance.scrapped = true;
        Self::new(Change::Withdraw, amendment)
    }

    fn new(change: Change, amendment: Amendment) -> Self {
        Self { change, amendment, ask: Some(Ask::Read), races: 0, generation: None, outcome: None }
    }

    fn hear_read(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match answer.status {
            200 => {
                let found = answer.parse()?;
                let seen = generation(&self.amendment.unit, &found);
                self.generation = self.generation.max(seen);
                if seen > Some(self.amendment.unit.provenance.generation) {
                    // This box lives on elsewhere, or lacks what it has written itself.
                    let detail =
                        "a later generation of this box has written the enrollment; it was left as it is";
                    self.outcome = Some(Outcome::stopped("conflict", detail));
                    return Ok(());
                }
                match prepare(self.change, &self.amendment, found) {
                    Ok(record) => self.ask = Some(Ask::Write(Box::new(record))),
                    Err(outcome) => self.outcome = Some(outcome),
                }
            }
            404 => self.ask = Some(Ask::Create),
            _ => self.outcome = Some(rejected(answer)),
        }
        Ok(())
    }

    fn hear_write(&mut self, answer: &Answer) {
        match answer.status {
            200 | 201 => self.outcome = Some(Outcome::Accepted),
            // Somebody else wrote, made or removed it: look again.
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

impl Conversation for Amending {
    fn next(&self) -> Option<Call> {
        let path = path(&self.amendment.unit.id);
        Some(match self.ask.as_ref()? {
            Ask::Read => Call { method: Method::Get, path, cost: 1, ..Call::default() },
            Ask::Create => {
                let body = Some(json!(record(&self.amendment.unit)));
                Call { method: Method::Put, path, body, cost: 1, ..Call::default() }
            }
            Ask::Write(found) => {
                let body = Some(json!(found));
                Call {
                    method: Method::Put,
                    path,
                    if_match: found.etag.clone(),
                    body,
                    cost: 1,
                    ..Call::default()
                }
            }
        })
    }

    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match self.ask.take() {
            Some(Ask::Read) => self.hear_read(answer)?,
            Some(Ask::Create | Ask::Write(_)) => self.hear_write(answer),
            None => {}
        }
        Ok(())
    }

    fn generation(&self) -> Option<u8> {
        self.generation
    }

    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)> {
        self.outcome.into_iter().map(|outcome| (self.amendment.unit.id.clone(), outcome)).collect()
    }
}

/// Checks what was found, and turns it into what shall be there. Every field that is not ours is kept.
fn prepare(
    change: Change,
    amendment: &Amendment,
    found: IndividualEnrollment,
) -> Result<IndividualEnrollment, Outcome> {
    let unit = &amendment.unit;
    let information = found.optional_device_information.clone().unwrap_or_default();
    let scrapped = information.pointer("/edge/scrapped") == Some(&json!(true));
    let disabled = found.provisioning_status == Some(ProvisioningStatus::Disabled);
    let carries =
        |thumbprint: &str| found.thumbprint().is_some_and(|carried| carried.eq_ignore_ascii_case(thumbprint));
    let current = carries(&unit.thumbprint);
    let ours = current || amendment.earlier.iter().any(|earlier| carries(earlier));
    match change {
        Change::Replace if scrapped => {
            let detail = "DPS says that this unit was scrapped; its record is a tombstone and stays one";
            return Err(Outcome::stopped("scrapped", detail));
        }
        Change::Replace if current => return Err(Outcome::Accepted),
        Change::Withdraw if scrapped && disabled && ours => return Err(Outcome::Accepted),
        Change::Replace | Change::Withdraw => {}
    }
    let what = match change {
        Change::Replace => "the new certificate was not put there",
        Change::Withdraw => "it was not withdrawn",
    };
    let held = |code, why: String| Err(Outcome::stopped(code, format!("{why}; {what}")));
    if !ours {
        let theirs = found.thumbprint().unwrap_or("no certificate");
        return held(
            "conflict",
            format!("DPS has a certificate for this id that is not of this unit ({theirs})"),
        );
    }
    if has_secondary(&found) {
        return held("conflict", "somebody has added a secondary certificate to the enrollment".to_owned());
    }
    if !disabled {
        return held(
            "activated",
            "the device was activated, so its record is not ours alone any more".to_owned(),
        );
    }
    let status = found.registration_state.as_ref().and_then(|state| state.status);
    if status != Some(RegistrationStatus::Unassigned) {
        return held("assigned", "the device has registered already, and may live at a hub".to_owned());
    }
    let Some(etag) = found.etag.clone() else {
        return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
    };
    let Value::Object(mut information) = (if information.is_null() { json!({}) } else { information }) else {
        return held("conflict", "the enrollment's optionalDeviceInformation is no object".to_owned());
    };
    information.insert("edge".to_owned(), json!(unit.provenance));
    let mut wanted = found.writable();
    wanted.optional_device_information = Some(Value::Object(information));
    if change == Change::Replace {
        wanted.attestation = Attestation::x509(&unit.certificate);
    }
    wanted.etag = Some(etag);
    Ok(wanted)
}

fn has_secondary(found: &IndividualEnrollment) -> bool {
    let x509 = found.attestation.x509.as_ref();
    x509.and_then(|x509| x509.client_certificates.as_ref()).is_some_and(|found| found.secondary.is_some())
}

fn rejected(answer: &Answer) -> Outcome {
    Outcome::stopped("rejected", format!("DPS refuses the change: {}", answer.summary()))
}
