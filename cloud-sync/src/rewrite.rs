//! Reading a record and writing it back as it should be, unless somebody else wrote meanwhile: then it is read again.

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use serde_json::json;

use crate::{
    announce::path,
    answer::{Answer, Call, Method, Trouble},
    conversation::Conversation,
    work::Outcome,
};

/// How often somebody else may write in between before a unit steps back.
const RACES: u8 = 5;

/// What is asked next.
#[derive(Debug)]
enum Ask {
    Read,
    /// With the record's ETag as the condition; one without an ETag is only created.
    Write(Box<IndividualEnrollment>),
}

/// What comes of reading: what is to be written, or how the conversation ends without that.
pub type Step = Result<IndividualEnrollment, Outcome>;

/// What for a record is read and written back.
pub trait Purpose: Send + Sync {
    /// What DPS refuses where it refuses, as in "the change".
    const WHAT: &'static str;

    /// Whose record it is.
    fn id(&self) -> &RegistrationId;
    /// Checks what was found, and turns it into what shall be there, with the ETag that it was found with. Every field
    /// that is not ours is kept.
    fn found(&mut self, found: IndividualEnrollment) -> Step;
    /// There is no record.
    fn missing(&self) -> Step;

    /// As [`Conversation::generation`].
    fn generation(&self) -> Option<u8> {
        None
    }
}

/// The conversation about one record.
#[derive(Debug)]
pub struct Rewriting<P> {
    pub(crate) purpose: P,
    /// `None` while it is not known what to write, and in the end.
    ask: Option<Ask>,
    races: u8,
    outcome: Option<Outcome>,
}

impl<P> Rewriting<P> {
    /// Begins with reading.
    pub(crate) fn with(purpose: P) -> Self {
        Self { purpose, ask: Some(Ask::Read), races: 0, outcome: None }
    }
}

impl<P: Purpose> Rewriting<P> {
    fn read(&mut self, answer: &Answer) -> Result<(), Trouble> {
        let step = match answer.status {
            200 => self.purpose.found(answer.parse()?),
            404 => self.purpose.missing(),
            409 | 412 => Err(Outcome::Later("somebody else changes the enrollment just now")),
            _ => Err(rejected::<P>(answer)),
        };
        match step {
            Ok(record) => self.ask = Some(Ask::Write(Box::new(record))),
            Err(outcome) => self.outcome = Some(outcome),
        }
        Ok(())
    }

    /// Reads again if somebody else wrote, made or removed the record.
    fn wrote(&mut self, answer: &Answer) {
        self.outcome = match answer.status {
            200 | 201 => Some(Outcome::Accepted),
            404 | 409 | 412 if self.races < RACES => {
                self.races += 1;
                self.ask = Some(Ask::Read);
                None
            }
            404 | 409 | 412 => Some(Outcome::Later("somebody else keeps changing the enrollment")),
            _ => Some(rejected::<P>(answer)),
        };
    }
}

impl<P: Purpose> Conversation for Rewriting<P> {
    fn next(&self) -> Option<Call> {
        let path = path(self.purpose.id());
        Some(match self.ask.as_ref()? {
            Ask::Read => Call { method: Method::Get, path, cost: 1, ..Call::default() },
            Ask::Write(record) => Call {
                method: Method::Put,
                path,
                if_match: record.etag.clone(),
                body: Some(json!(record)),
                cost: 1,
                ..Call::default()
            },
        })
    }

    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        match self.ask.take() {
            Some(Ask::Read) => self.read(answer)?,
            Some(Ask::Write(_)) => self.wrote(answer),
            None => {}
        }
        Ok(())
    }

    fn generation(&self) -> Option<u8> {
        self.purpose.generation()
    }

    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)> {
        self.outcome.into_iter().map(|outcome| (self.purpose.id().clone(), outcome)).collect()
    }
}

fn rejected<P: Purpose>(answer: &Answer) -> Outcome {
    Outcome::stopped("rejected", format!("DPS refuses {}: {}", P::WHAT, answer.summary()))
}
