//! What DPS knows of a box: every record that this box has announced, page by page.

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

/// The conversation that lists them.
#[derive(Debug)]
pub struct Census {
    box_id: String,
    next: Option<Page>,
    /// How many records DPS has, of whomever.
    pub records: u64,
    /// Those of this box.
    pub announced: Vec<Announced>,
}

impl Census {
    /// A census of the records of `box_id`.
    #[must_use]
    pub fn new(box_id: &str) -> Self {
        let first = Page { most: PAGE, continuation: None };
        Self { box_id: box_id.to_owned(), next: Some(first), records: 0, announced: Vec::new() }
    }

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

    /// Takes the answer, one that [`Answer::check`] let pass.
    pub fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        if answer.status != 200 {
            let detail = format!("DPS does not list its enrollments: {}", answer.summary());
            return Err(Trouble { cause: crate::cause::Cause::Service, detail, retry_after: None });
        }
        let found: Vec<IndividualEnrollment> = answer.parse()?;
        self.records += found.len() as u64;
        let own = found.iter().filter_map(announced).filter(|found| found.provenance.box_id == self.box_id);
        self.announced.extend(own);
        let continuation = answer.continuation.clone().filter(|token| !token.is_empty());
        self.next = continuation.map(|token| Page { most: PAGE, continuation: Some(token) });
        Ok(())
    }
}

/// What a record says of where it comes from; `None` for a stranger's.
fn announced(record: &IndividualEnrollment) -> Option<Announced> {
    let edge = record.optional_device_information.as_ref()?.get("edge")?;
    Some(Announced {
        id: RegistrationId::parse_any_case(&record.registration_id).ok()?,
        thumbprint: record.thumbprint()?.to_owned(),
        provenance: serde_json::from_value(edge.clone()).ok()?,
    })
}
