//! What DPS knows: every record, of whomever, page by page; and which of them a box has announced.

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use serde_json::json;

use crate::{
    answer::{Answer, Call, Method, Page, Trouble},
    work::Provenance,
};

/// As many records as are asked for at once; an answer stays well below what is read of one.
const PAGE: u32 = 100;

/// A record that this box has announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// The unit.
    pub id: RegistrationId,
    /// SHA-256 of its certificate, upper-case hex.
    pub thumbprint: String,
    /// Where in the box's journal it was written.
    pub provenance: Provenance,
}

/// The conversation that lists every record.
#[derive(Debug)]
pub struct Census {
    next: Option<Page>,
}

impl Default for Census {
    fn default() -> Self {
        Self { next: Some(Page { most: PAGE, continuation: None }) }
    }
}

impl Census {
    /// What to ask next; `None` when all were seen.
    #[must_use]
    pub fn next(&self) -> Option<Call> {
        let page = Some(self.next.clone()?);
        let body = Some(json!({ "query": "SELECT * FROM enrollments" }));
        Some(Call {
            method: Method::Post,
            path: "/enrollments/query".into(),
            body,
            page,
            cost: 1,
            ..Call::default()
        })
    }

    /// Takes the answer, one that [`Answer::check`] let pass, and returns the records in it. They lack the registration.
    pub fn hear(&mut self, answer: &Answer) -> Result<Vec<IndividualEnrollment>, Trouble> {
        if answer.status != 200 {
            let detail = format!("DPS does not list its enrollments: {}", answer.summary());
            return Err(Trouble { cause: crate::cause::Cause::Service, detail, retry_after: None });
        }
        let found = answer.parse()?;
        let continuation = answer.continuation.clone().filter(|token| !token.is_empty());
        self.next = continuation.map(|token| Page { most: PAGE, continuation: Some(token) });
        Ok(found)
    }
}

impl Announced {
    /// What `record` says of where it comes from; `None` for one that `box_id` has not announced.
    #[must_use]
    pub fn by(box_id: &str, record: &IndividualEnrollment) -> Option<Self> {
        let edge = record.optional_device_information.as_ref()?.get("edge")?;
        let provenance: Provenance = serde_json::from_value(edge.clone()).ok()?;
        let id = RegistrationId::parse_any_case(&record.registration_id).ok()?;
        let thumbprint = record.thumbprint()?.to_owned();
        (provenance.box_id == box_id).then_some(Self { id, thumbprint, provenance })
    }
}
