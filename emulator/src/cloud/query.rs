//! `POST /enrollments/query`: pages of records.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    Cloud,
    http::{Refused, Request, Response},
};

/// The size of a page when nobody says.
const PAGE: usize = 100;

impl Cloud {
    /// Every record, page by page; what the query selects is not looked at.
    pub(super) fn query(&mut self, request: &Request) -> Result<Response, Refused> {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        let most =
            header("x-ms-max-item-count").and_then(|most| most.parse().ok()).unwrap_or(PAGE).clamp(1, 1000);
        let from = match header("x-ms-continuation").filter(|token| !token.is_empty()) {
            Some(token) => Some(
                continuation(token)
                    .ok_or_else(|| Refused::invalid("The continuation token is not valid."))?,
            ),
            None => None,
        };
        let mut ids = self.enrollments.keys().filter(|id| from.as_ref().is_none_or(|from| *id > from));
        let page: Vec<String> = ids.by_ref().take(most).cloned().collect();
        let more = ids.next().is_some();
        let mut records: Vec<_> = page.iter().filter_map(|id| self.shown(id)).collect();
        // Recorded: rows of a query lack the registration.
        records.iter_mut().for_each(|record| record.registration_state = None);
        let response = Response::json(200, &records).with("x-ms-item-type", "Enrollment");
        Ok(match page.last().filter(|_| more) {
            Some(last) => response
                .with("x-ms-continuation", STANDARD.encode(serde_json::json!({ "after": last }).to_string())),
            None => response,
        })
    }
}

fn continuation(token: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(&STANDARD.decode(token).ok()?).ok()?;
    Some(json.get("after")?.as_str()?.to_owned())
}
