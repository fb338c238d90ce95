//! The label in the path (RFC 7030 3.2.2): `/.well-known/est/LABEL/simpleenroll` says where a unit is made.

use axum::extract::{FromRequestParts, Path};
use http::{StatusCode, request::Parts};
use web::Problem;

use crate::{
    access::Principal,
    http::{Floor, Shared},
};

/// What a label stands for; nothing where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::http) struct Label {
    /// The line.
    pub(super) line: Option<String>,
}

impl Label {
    /// The line of a request: the label's, else the one that its sender is bound to.
    pub(super) fn line(self, principal: &Principal) -> Result<String, Problem> {
        self.line.or_else(|| principal.line.clone()).ok_or_else(|| {
            let detail = "say on which line the unit is made: POST /.well-known/est/LINE/…, or use a token that is for one line";
            Problem::new(StatusCode::BAD_REQUEST, "line-required", detail)
        })
    }
}

/// What a label stands for here. Every kind of label has its line in this function.
fn resolve(floor: &Floor, label: &str) -> Option<Label> {
    let line = floor.lines.iter().find(|line| line.id == label)?;
    Some(Label { line: Some(line.id.clone()) })
}

impl FromRequestParts<Shared> for Label {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, floor: &Shared) -> Result<Self, Problem> {
        let label = Option::<Path<String>>::from_request_parts(parts, floor)
            .await
            .map_err(|_| Problem::not_found())?;
        let Some(Path(label)) = label else { return Ok(Self::default()) };
        resolve(floor, &label).ok_or_else(|| {
            let known: Vec<_> = floor.lines.iter().map(|line| line.id.as_str()).collect();
            let detail = format!("'{label}' is no label here; there are the lines {}", known.join(", "));
            Problem::new(StatusCode::NOT_FOUND, "label-unknown", detail)
        })
    }
}
