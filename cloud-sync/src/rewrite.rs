//! Reading a record and writing it back as it should be, unless somebody else wrote meanwhile: then it is read again.

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use serde_json::json;

use crate::{
    announce::path,
    answer::{Answer, Call, Method},
    work::Outcome,
};

/// How often somebody else may write in between before a unit steps back.
const RACES: u8 = 5;

/// What is asked next.
#[derive(Debug)]
pub(crate) enum Ask {
    Read,
    /// With the record's ETag as the condition; one without an ETag is only created.
    Write(Box<IndividualEnrollment>),
}

/// Where reading and writing back is.
#[derive(Debug)]
pub(crate) struct Rewrite {
    /// `None` while it is not known what to write, and in the end.
    ask: Option<Ask>,
    races: u8,
}

impl Rewrite {
    /// Begins with reading.
    pub(crate) fn new() -> Self {
        Self { ask: Some(Ask::Read), races: 0 }
    }

    /// The next request about `id`.
    pub(crate) fn next(&self, id: &RegistrationId) -> Option<Call> {
        let path = path(id);
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

    /// What was asked, and is answered now.
    pub(crate) fn answered(&mut self) -> Option<Ask> {
        self.ask.take()
    }

    /// Writes `record` next.
    pub(crate) fn write(&mut self, record: IndividualEnrollment) {
        self.ask = Some(Ask::Write(Box::new(record)));
    }

    /// How a write ended; `None` when it is read again because somebody else wrote, made or removed the record.
    pub(crate) fn wrote(
        &mut self,
        answer: &Answer,
        rejected: impl FnOnce(&Answer) -> Outcome,
    ) -> Option<Outcome> {
        match answer.status {
            200 | 201 => Some(Outcome::Accepted),
            404 | 409 | 412 if self.races < RACES => {
                self.races += 1;
                self.ask = Some(Ask::Read);
                None
            }
            404 | 409 | 412 => Some(Outcome::Later("somebody else keeps changing the enrollment")),
            _ => Some(rejected(answer)),
        }
    }
}

/// What comes of an answer to reading that shows no record.
pub(crate) fn unread(answer: &Answer, rejected: impl FnOnce(&Answer) -> Outcome) -> Outcome {
    match answer.status {
        409 | 412 => Outcome::Later("somebody else changes the enrollment just now"),
        _ => rejected(answer),
    }
}
