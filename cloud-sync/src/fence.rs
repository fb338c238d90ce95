//! How a box finds out that it was restored elsewhere.
//!
//! A box that was restored from a backup carries a higher generation, and says so in a record of its own in DPS,
//! `edge-{box}`: disabled, with the box's own certificate, never a unit's.
//! Every box looks there before it sends anything after an outage, and every minute while it is online.
//! Who finds a higher generation, or the same one of another instance, is the old self, and stops.
//!
//! ```text
//! GET edge-{box} ─▶ none, first generation   ─▶ clear
//!        ▲          none, or a lower one     ─▶ PUT (create-only, or If-Match) ─▶ clear
//!        └── lost the race (409, 412) ◀───────────┘
//!                   a higher one, or another instance ─▶ superseded
//! ```

use azure_iot::{
    RegistrationId,
    enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    announce::path,
    answer::{Answer, Call, Method, Trouble},
    cause::Cause,
};

/// Who sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The box's name.
    pub box_id: String,
    /// How often it was restored, from 1.
    pub generation: u8,
    /// Tells two restores of one backup apart; empty in the first generation.
    pub instance: String,
    /// A certificate of the box itself, DER: DPS wants one in every record.
    pub certificate: Vec<u8>,
}

/// What `optionalDeviceInformation.edge` of a box's own record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    #[serde(rename = "box")]
    box_id: String,
    generation: u8,
    instance: String,
}

/// What a box found out about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody else is this box.
    Clear,
    /// This box lives on elsewhere.
    Superseded {
        /// The generation that lives.
        generation: u8,
    },
}

#[derive(Debug)]
enum Ask {
    Look,
    Put { etag: Option<String> },
}

/// The conversation in which a box looks after itself.
#[derive(Debug)]
pub struct Fencing {
    identity: Identity,
    id: RegistrationId,
    ask: Option<Ask>,
    verdict: Verdict,
}

impl Fencing {
    /// A look for `identity`; `None` where its name cannot be one of a record.
    #[must_use]
    pub fn new(identity: Identity) -> Option<Self> {
        let id = record_id(&identity.box_id)?;
        Some(Self { identity, id, ask: Some(Ask::Look), verdict: Verdict::Clear })
    }

    /// What to ask next; `None` when the verdict stands.
    #[must_use]
    pub fn next(&self) -> Option<Call> {
        let path = path(&self.id);
        Some(match self.ask.as_ref()? {
            Ask::Look => Call { method: Method::Get, path, cost: 1, ..Call::default() },
            Ask::Put { etag } => {
                let (if_match, body) = (etag.clone(), Some(json!(self.record())));
                Call { method: Method::Put, path, if_match, body, cost: 1, ..Call::default() }
            }
        })
    }

    /// Takes the answer, one that [`Answer::check`] let pass.
    pub fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        let asked = self.ask.take();
        self.ask = match (asked, answer.status) {
            (Some(Ask::Look), 404) if self.identity.generation == 1 => None,
            (Some(Ask::Look), 404) => Some(Ask::Put { etag: None }),
            (Some(Ask::Look), 200) => {
                let found: IndividualEnrollment = answer.parse()?;
                self.judge(&found)
            }
            (Some(Ask::Put { .. }), 200 | 201) | (None, _) => None,
            (Some(Ask::Put { .. }), 409 | 412) => Some(Ask::Look),
            (Some(_), _) => {
                let detail = format!("DPS refuses this box's own record {}: {}", self.id, answer.summary());
                return Err(Trouble { cause: Cause::Service, detail, retry_after: None });
            }
        };
        Ok(())
    }

    /// What was found out, once there is nothing more to ask.
    #[must_use]
    pub fn verdict(self) -> Verdict {
        self.verdict
    }

    fn judge(&mut self, found: &IndividualEnrollment) -> Option<Ask> {
        let Some(mark) = mark(found) else {
            // Somebody has emptied it: our word is as good as any.
            return (self.identity.generation > 1).then(|| Ask::Put { etag: found.etag.clone() });
        };
        let own = &self.identity;
        if (mark.generation, &mark.instance) == (own.generation, &own.instance) {
            return None;
        }
        if mark.generation < own.generation {
            return Some(Ask::Put { etag: found.etag.clone() });
        }
        self.verdict = Verdict::Superseded { generation: mark.generation };
        None
    }

    fn record(&self) -> IndividualEnrollment {
        let Identity { box_id, generation, instance, certificate } = &self.identity;
        let mut record = IndividualEnrollment::new(self.id.clone(), Attestation::x509(certificate));
        record.provisioning_status = Some(ProvisioningStatus::Disabled);
        let mark = Mark { box_id: box_id.clone(), generation: *generation, instance: instance.clone() };
        record.optional_device_information = Some(json!({ "edge": mark }));
        record
    }
}

/// The name of a box's own record.
#[must_use]
pub fn record_id(box_id: &str) -> Option<RegistrationId> {
    format!("edge-{box_id}").parse().ok()
}

fn mark(record: &IndividualEnrollment) -> Option<Mark> {
    let edge: &Value = record.optional_device_information.as_ref()?.get("edge")?;
    serde_json::from_value(edge.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(generation: u8, instance: &str) -> Identity {
        let instance = instance.to_owned();
        Identity { box_id: "abc".into(), generation, instance, certificate: b"DER".to_vec() }
    }

    fn found(generation: u8, instance: &str) -> (u16, Value) {
        let edge = json!({ "box": "abc", "generation": generation, "instance": instance });
        let record = json!({ "registrationId": "edge-abc", "etag": "e1", "attestation": { "type": "x509" },
            "optionalDeviceInformation": { "edge": edge } });
        (200, record)
    }

    const NONE: (u16, Value) = (404, Value::Null);
    const DONE: (u16, Value) = (200, Value::Null);

    /// Leads a look through `answers`; returns the methods and ETags that were asked with, and the verdict.
    fn check(own: Identity, answers: &[(u16, Value)], expected: &[&str], verdict: Verdict) {
        let mut fencing = Fencing::new(own).unwrap();
        let mut asked = Vec::new();
        for (status, body) in answers {
            let call = fencing.next().expect("another question");
            assert_eq!(call.path, "/enrollments/edge-abc");
            asked.push(
                format!("{:?} {}", call.method, call.if_match.unwrap_or_default()).trim_end().to_owned(),
            );
            let body = body.to_string().into_bytes();
            fencing.hear(&Answer { status: *status, json: true, body, ..Answer::default() }).unwrap();
        }
        assert_eq!(fencing.next(), None);
        assert_eq!(asked, expected);
        assert_eq!(fencing.verdict(), verdict);
    }

    #[test]
    fn the_first_generation_leaves_no_mark() {
        check(identity(1, ""), &[NONE], &["Get"], Verdict::Clear);
    }

    #[test]
    fn a_restored_box_says_so_once_and_only_ever_upwards() {
        check(identity(2, "i"), &[NONE, DONE], &["Get", "Put"], Verdict::Clear);
        check(identity(2, "i"), &[found(2, "i")], &["Get"], Verdict::Clear);
        check(identity(3, "i"), &[found(2, "h"), DONE], &["Get", "Put e1"], Verdict::Clear);
        let lost = [NONE, (409, Value::Null), found(2, "other")];
        check(identity(2, "i"), &lost, &["Get", "Put", "Get"], Verdict::Superseded { generation: 2 });
        let lost = [found(1, ""), (412, Value::Null), found(3, "other")];
        check(identity(2, "i"), &lost, &["Get", "Put e1", "Get"], Verdict::Superseded { generation: 3 });
    }

    #[test]
    fn the_old_self_finds_out() {
        check(identity(1, ""), &[found(2, "i")], &["Get"], Verdict::Superseded { generation: 2 });
        check(identity(2, "i"), &[found(2, "j")], &["Get"], Verdict::Superseded { generation: 2 });
    }

    #[test]
    fn a_record_that_dps_does_not_take_is_trouble_and_no_verdict() {
        let mut fencing = Fencing::new(identity(2, "i")).unwrap();
        fencing.hear(&Answer { status: 404, json: true, ..Answer::default() }).unwrap();
        assert!(fencing.hear(&Answer { status: 400, json: true, ..Answer::default() }).is_err());
    }
}
