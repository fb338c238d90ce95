//! `POST /enrollments`: up to ten items in one request, each with its own outcome.

use azure_iot::{
    bulk::{BulkError, BulkMode, BulkResult, MOST},
    enrollment::IndividualEnrollment,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Cloud,
    enrollments::{Condition, invalid, parse},
    http::{Refused, Request, Response},
};

/// A bulk whose items nobody has looked at yet.
#[derive(Debug, Deserialize)]
struct Bulk {
    mode: BulkMode,
    enrollments: Vec<Value>,
}

/// All that deleting looks at of an item: clients send whole records, or just this.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    registration_id: String,
    #[serde(default)]
    etag: Option<String>,
}

impl Cloud {
    pub(super) fn bulk(&mut self, now: OffsetDateTime, request: &Request) -> Result<Response, Refused> {
        let Bulk { mode, enrollments } = parse(&request.body)?;
        if enrollments.is_empty() || enrollments.len() > MOST {
            return Err(Refused::invalid("A bulk operation takes 1 to 10 enrollments."));
        }
        let mut outcomes = Vec::new();
        if mode == BulkMode::Delete {
            for Named { registration_id, etag } in items(enrollments)? {
                let done = self.delete(&registration_id, etag.as_deref());
                outcomes.push((registration_id, done));
            }
        } else {
            for record in items(enrollments)? {
                let record: IndividualEnrollment = record;
                let (id, etag) = (record.registration_id.clone(), record.etag.clone());
                let condition = match &etag {
                    Some(etag) if mode != BulkMode::Create => Condition::Version(etag),
                    // Recorded: without an ETag, updating what exists is refused as if it were a create.
                    _ => Condition::Absent,
                };
                outcomes.push((id, self.write(now, record, condition)));
            }
        }
        let errors: Vec<_> = outcomes
            .into_iter()
            .filter_map(|(id, done)| {
                let refused = done.err()?;
                Some(BulkError {
                    registration_id: Some(id),
                    error_code: refused.code,
                    error_status: Some(refused.message),
                })
            })
            .collect();
        Ok(Response::json(200, &BulkResult { is_successful: errors.is_empty(), errors }))
    }
}

/// Reads all items before anything is done about one.
fn items<T: DeserializeOwned>(items: Vec<Value>) -> Result<Vec<T>, Refused> {
    items.into_iter().map(|item| serde_json::from_value(item).map_err(|error| invalid(&error))).collect()
}
