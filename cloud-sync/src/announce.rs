//! Announcing units: create, and where something is there already, compare. Never write to it.
//!
//! ```text
//! bulk create ─▶ per unit: created ─▶ Accepted
//!        │                 exists  ─▶ GET: our thumbprint ─▶ Accepted, whatever else it says; another ─▶ held
//!        └─ any other shape of answer ─▶ one PUT per unit, without If-Match
//! ```
//!
//! No request here carries `If-Match`, so DPS itself refuses to let us change an existing enrollment (protocol: 409201).

use std::collections::VecDeque;

use azure_iot::{
    RegistrationId,
    bulk::{BulkMode, BulkRequest, BulkResult},
    enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus},
};
use serde_json::{Value, json};

use crate::{
    answer::{Answer, Call, Method, Trouble},
    conversation::Conversation,
    work::{Announcement, Outcome},
};

/// DPS: the enrollment exists.
const EXISTS: i64 = 409_201;

#[derive(Debug)]
enum Ask {
    /// Create all of them at once.
    Bulk(Vec<Announcement>),
    /// Create this one.
    Create(Box<Announcement>),
    /// Look at what is there instead.
    Compare(Box<Announcement>),
}

/// The conversation about a few units, at most [`crate::mind::BULK`].
#[derive(Debug)]
pub struct Announcing {
    asks: VecDeque<Ask>,
    outcomes: Vec<(RegistrationId, Outcome)>,
    generation: Option<u8>,
}

impl Announcing {
    /// A conversation that creates disabled enrollments for `units`.
    #[must_use]
    pub fn new(units: Vec<Announcement>) -> Self {
        Self { asks: VecDeque::from([Ask::Bulk(units)]), outcomes: Vec::new(), generation: None }
    }

    /// DPS did not take the bulk as a whole: ask for each unit, so that one bad item harms only itself.
    fn ask_one_by_one(&mut self, units: Vec<Announcement>) {
        self.asks.extend(units.into_iter().map(|unit| Ask::Create(Box::new(unit))));
    }

    fn hear_bulk(&mut self, units: Vec<Announcement>, answer: &Answer) {
        let result = if answer.status == 200 { answer.parse::<BulkResult>().ok() } else { None };
        let Some(result) = result else { return self.ask_one_by_one(units) };
        for unit in units {
            let error = result.errors.iter().find(|error| {
                error.registration_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(unit.id.as_ref()))
            });
            match error {
                None if result.is_successful || !result.errors.is_empty() => {
                    self.done(unit.id, Outcome::Accepted);
                }
                // Not successful, and nobody to blame: that is no answer about this unit.
                None => self.asks.push_back(Ask::Create(Box::new(unit))),
                Some(error) if error.error_code == EXISTS => {
                    self.asks.push_back(Ask::Compare(Box::new(unit)));
                }
                Some(error) => {
                    let status = error.error_status.clone().unwrap_or_default();
                    let detail = format!("DPS refuses the enrollment: {} {status}", error.error_code);
                    self.done(unit.id, Outcome::stopped("rejected", detail));
                }
            }
        }
    }

    fn hear_create(&mut self, unit: Announcement, answer: &Answer) {
        match answer.status {
            // An answer that shows another certificate is not believed before it was looked at.
            200 | 201 if shows_another(&unit, answer) => self.asks.push_back(Ask::Compare(Box::new(unit))),
            200 | 201 => self.done(unit.id, Outcome::Accepted),
            409 | 412 => self.asks.push_back(Ask::Compare(Box::new(unit))),
            _ => self.done(
                unit.id,
                Outcome::stopped("rejected", format!("DPS refuses the enrollment: {}", answer.summary())),
            ),
        }
    }

    fn hear_compare(&mut self, unit: &Announcement, answer: &Answer) -> Result<(), Trouble> {
        let outcome = match answer.status {
            200 => {
                let found = answer.parse()?;
                self.generation = self.generation.max(generation(unit, &found));
                compare(unit, &found)
            }
            // Gone between two requests: it will be created at the next try.
            404 => Outcome::Later("the enrollment vanished while it was compared"),
            409 | 412 => Outcome::Later("somebody else changes the enrollment just now"),
            _ => Outcome::stopped(
                "rejected",
                format!("DPS does not show the enrollment: {}", answer.summary()),
            ),
        };
        self.done(unit.id.clone(), outcome);
        Ok(())
    }

    fn done(&mut self, id: RegistrationId, outcome: Outcome) {
        self.outcomes.push((id, outcome));
    }
}

impl Conversation for Announcing {
    fn next(&self) -> Option<Call> {
        Some(match self.asks.front()? {
            Ask::Bulk(units) => Call {
                method: Method::Post,
                path: "/enrollments".to_owned(),
                cost: units.len() as u32,
                body: Some(json!(BulkRequest {
                    mode: BulkMode::Create,
                    enrollments: units.iter().map(record).collect()
                })),
                ..Call::default()
            },
            Ask::Create(unit) => Call {
                method: Method::Put,
                path: path(&unit.id),
                cost: 1,
                body: Some(json!(record(unit))),
                ..Call::default()
            },
            Ask::Compare(unit) => {
                Call { method: Method::Get, path: path(&unit.id), cost: 1, ..Call::default() }
            }
        })
    }

    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match self.asks.pop_front() {
            Some(Ask::Bulk(units)) => self.hear_bulk(units, answer),
            Some(Ask::Create(unit)) => self.hear_create(*unit, answer),
            Some(Ask::Compare(unit)) => self.hear_compare(&unit, answer)?,
            None => {}
        }
        Ok(())
    }

    fn generation(&self) -> Option<u8> {
        self.generation
    }

    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)> {
        self.outcomes
    }
}

/// The enrollment of a new unit: disabled, and nothing that is the portal's.
pub(crate) fn record(unit: &Announcement) -> IndividualEnrollment {
    let mut record = IndividualEnrollment::new(unit.id.clone(), Attestation::x509(&unit.certificate));
    record.device_id = Some(unit.id.as_ref().to_owned());
    record.provisioning_status = Some(ProvisioningStatus::Disabled);
    record.optional_device_information = Some(json!({ "edge": unit.provenance, "claim": unit.claim }));
    record
}

/// Which generation of this very box has announced a record.
pub(crate) fn generation(unit: &Announcement, found: &IndividualEnrollment) -> Option<u8> {
    let edge = found.optional_device_information.as_ref()?.get("edge")?;
    let same = edge.get("box").and_then(Value::as_str) == Some(&unit.provenance.box_id);
    edge.get("generation").and_then(Value::as_u64).filter(|_| same)?.try_into().ok()
}

/// Whether the answer to a write shows a certificate that is not the unit's.
fn shows_another(unit: &Announcement, answer: &Answer) -> bool {
    let shown = answer.parse::<IndividualEnrollment>().ok();
    let thumbprint = shown.as_ref().and_then(IndividualEnrollment::thumbprint);
    thumbprint.is_some_and(|thumbprint| !thumbprint.eq_ignore_ascii_case(&unit.thumbprint))
}

fn compare(unit: &Announcement, found: &IndividualEnrollment) -> Outcome {
    match found.thumbprint() {
        Some(thumbprint) if thumbprint.eq_ignore_ascii_case(&unit.thumbprint) => Outcome::Accepted,
        found_thumbprint => {
            let theirs = found_thumbprint.unwrap_or("no certificate");
            let by = found.optional_device_information.as_ref().and_then(|info| info.pointer("/edge/box"));
            let by = by.and_then(Value::as_str).map(|by| format!(", announced by {by}")).unwrap_or_default();
            let detail = format!(
                "DPS already has another certificate for this id ({theirs}{by}); ours is {}",
                unit.thumbprint
            );
            Outcome::stopped("conflict", detail)
        }
    }
}

/// The path of a unit's enrollment. Our ids need no escaping but for the colon.
pub(crate) fn path(id: &RegistrationId) -> String {
    format!("/enrollments/{}", id.as_ref().replace(':', "%3A"))
}
