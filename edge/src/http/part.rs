//! A part of a list: where it begins, and how long it is.

use axum::extract::{Query, rejection::QueryRejection};
use http::StatusCode;
use serde::Deserialize;
use web::Problem;

/// The largest part of a list.
const LONGEST: usize = 1000;
/// As much as is shown to who does not say.
const ORDINARY: usize = 100;

/// Which part of a list is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part<A> {
    after: Option<A>,
    #[serde(default)]
    limit: Option<usize>,
}

impl<A> Part<A> {
    /// Reads it, for the list that is called `what`: where it begins, if not at the start, and how long it may be.
    pub(super) fn read(
        query: Result<Query<Self>, QueryRejection>,
        what: &str,
    ) -> Result<(Option<A>, usize), Problem> {
        let Query(Self { after, limit }) =
            query.map_err(|error| unexpected(format!("the {what} takes after and limit: {error}")))?;
        Ok((after, limit.unwrap_or(ORDINARY).clamp(1, LONGEST)))
    }
}

/// A query that cannot be what was meant.
pub(super) fn unexpected(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "query-unexpected", detail)
}
