//! A receipt: what became of a bundle's jobs, in the words in which the worker would have written it down.
//!
//! | line | what |
//! | --- | --- |
//! | `{"receipt":…}` | a [`Stub`]: of which bundle it is, and which DPS was asked |
//! | `{"outcome":…}` | a [`CloudEvent`], as often as the stub says; of what was not told there is none |
//! | `{"seal":…}` | the courier's signature over all of it |

use keys::{SignError, SigningKey};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{
    bundle::Letter,
    seal::{self, Broken, Kind, VERSION},
};
use crate::event::CloudEvent;

/// What a receipt says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stub {
    /// The version of the format.
    version: u32,
    /// The box that made the bundle.
    #[serde(rename = "box")]
    pub box_id: String,
    /// Its generation then.
    pub generation: u8,
    /// Its instance then.
    pub instance: String,
    /// The bundle's number.
    pub number: u64,
    /// The host of the DPS that was asked.
    pub dps: String,
    /// When the last of it was done.
    #[serde(with = "time::serde::rfc3339")]
    pub done_at: OffsetDateTime,
    /// How many outcomes follow.
    pub outcomes: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Receipt(Stub),
    Outcome(CloudEvent),
}

/// A receipt, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// What it says of itself.
    pub stub: Stub,
    /// What became of the jobs, in the order of the bundle.
    pub outcomes: Vec<CloudEvent>,
}

impl Receipt {
    /// The receipt of the bundle with this letter.
    #[must_use]
    pub fn new(letter: &Letter, outcomes: Vec<CloudEvent>, dps: &str, done_at: OffsetDateTime) -> Self {
        let stub = Stub {
            version: VERSION,
            box_id: letter.box_id.clone(),
            generation: letter.generation,
            instance: letter.instance.clone(),
            number: letter.number,
            dps: dps.to_owned(),
            done_at,
            outcomes: outcomes.len(),
        };
        Self { stub, outcomes }
    }

    /// Writes it, sealed with the courier's `key`.
    pub fn seal(self, key: &dyn SigningKey) -> Result<String, SignError> {
        let outcomes = self.outcomes.into_iter().map(Line::Outcome);
        seal::close(Kind::Receipt, std::iter::once(Line::Receipt(self.stub)).chain(outcomes), key)
    }

    /// Opens one that the courier with the key `trusted` has sealed.
    pub fn open(text: &str, trusted: &str) -> Result<Self, Broken> {
        let wrong = |what: &str| Broken::Tampered { kind: "receipt", what: what.to_owned() };
        let mut lines = seal::open(Kind::Receipt, text, trusted)?.into_iter();
        let Some(Line::Receipt(stub)) = lines.next() else { return Err(wrong("there is no stub")) };
        let outcome = |line| match line {
            // A courier tells what came of jobs: it decides nothing, and what else happens is no business of the box.
            Line::Outcome(
                outcome @ (CloudEvent::Accepted { .. }
                | CloudEvent::Held { .. }
                | CloudEvent::Superseded { .. }),
            ) => Ok(outcome),
            Line::Receipt(_) | Line::Outcome(_) => Err(wrong("there is a line that is no outcome")),
        };
        let outcomes = lines.map(outcome).collect::<Result<Vec<_>, _>>()?;
        if outcomes.len() != stub.outcomes {
            return Err(wrong("there are more or fewer outcomes than the stub says"));
        }
        Ok(Self { stub, outcomes })
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::{
        Drift,
        courier::{
            bundle::tests::bundle,
            seal::tests::{check_every_byte, key},
        },
        link::LinkState,
        state::{Resolution, Why},
    };

    const DONE: OffsetDateTime = datetime!(2026-11-29 9:00 UTC);

    fn receipt() -> Receipt {
        let id = |id: &str| id.parse().unwrap();
        let why = Why { code: "conflict".into(), detail: "another certificate".into() };
        let outcomes = vec![
            CloudEvent::Accepted { id: id("a"), epoch: 1 },
            CloudEvent::Held { id: id("b"), epoch: 2, why },
        ];
        Receipt::new(&bundle("", &["a", "b"]).letter, outcomes, "dps.example", DONE)
    }

    #[test]
    fn every_byte_of_a_receipt_counts() {
        let (courier, trusted) = key();
        let text = receipt().seal(&courier).unwrap();
        assert_eq!(Receipt::open(&text, &trusted), Ok(receipt()));
        check_every_byte(&text, |text| Receipt::open(text, &trusted).map(drop));
    }

    #[test]
    fn a_receipt_has_one_stub_and_the_outcomes_that_it_speaks_of() {
        let (courier, trusted) = key();
        let check = |lines: Vec<Line>, expected: bool| {
            let text = seal::close(Kind::Receipt, lines, &courier).unwrap();
            assert_eq!(Receipt::open(&text, &trusted).is_ok(), expected, "{text}");
        };
        let Receipt { stub, outcomes } = receipt();
        let stub = || Line::Receipt(stub.clone());
        let [first, second] =
            [0, 1].map(|at| move |outcomes: &[CloudEvent]| Line::Outcome(outcomes[at].clone()));
        let link = Line::Outcome(CloudEvent::LinkChanged { to: LinkState::Up });
        check(vec![stub(), first(&outcomes), second(&outcomes)], true);
        check(vec![stub(), first(&outcomes)], false);
        check(vec![stub(), first(&outcomes), second(&outcomes), second(&outcomes)], false);
        check(vec![stub(), stub(), second(&outcomes)], false);
        check(vec![stub(), first(&outcomes), link], false);
        let (id, epoch, what, why) = ("b".parse().unwrap(), 2, Drift::Missing, None);
        let drifted = Line::Outcome(CloudEvent::Drifted { id, epoch, what, why });
        check(vec![stub(), first(&outcomes), drifted], false);
        let (id, resolution) = ("b".parse().unwrap(), Resolution::KeepCloud { sha256: None });
        let decided = CloudEvent::Resolved { id, epoch: 2, resolution, reason: "the courier says so".into() };
        let retried = CloudEvent::Retried { id: "b".parse().unwrap(), epoch: 2 };
        for no_outcome in [decided, retried, CloudEvent::Resumed {}] {
            check(vec![stub(), first(&outcomes), Line::Outcome(no_outcome)], false);
        }
    }
}
