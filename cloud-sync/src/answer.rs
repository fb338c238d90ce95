//! One request to DPS and its answer, and which answers are about the link rather than about what was asked.

use std::time::Duration;

use azure_iot::ErrorBody;
use serde_json::Value;

use crate::cause::Cause;

/// How far clocks may be apart before a refused credential is the clock's fault; ours are good for an hour.
const TOLERATED: time::Duration = time::Duration::minutes(15);
/// How much of a message of DPS is kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// A request to the DPS service API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call {
    /// What to do with it.
    pub method: Method,
    /// The path, percent-encoded, without query.
    pub path: String,
    /// The ETag that must still be current.
    pub if_match: Option<String>,
    /// The body.
    pub body: Option<Value>,
    /// Which part of a long answer is wanted.
    pub page: Option<Page>,
    /// How many operations it counts as.
    pub cost: u32,
}

/// A part of a long answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// As many records at most.
    pub most: u32,
    /// Where the part before ended, as the service said; `None` for the first.
    pub continuation: Option<String>,
}

/// The methods that we use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// Read.
    #[default]
    Get,
    /// Create, or with `If-Match` replace.
    Put,
    /// Bulk.
    Post,
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
    /// Where the next part of a long answer begins; `None` or empty at its end.
    pub continuation: Option<String>,
    /// Whether the body says that it is JSON.
    pub json: bool,
    /// How far the server's clock is ahead of ours, as its `Date` says.
    pub skew: Option<time::Duration>,
    /// The body.
    pub body: Vec<u8>,
}

/// The link's trouble: nothing was learned about the unit, and the same request will be made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What stands in the way.
    pub cause: Cause,
    /// What was seen.
    pub detail: String,
    /// How long the server wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Answer {
    /// Sorts out the answers that are about the link. What remains is DPS speaking about what was asked.
    pub fn check(self) -> Result<Self, Trouble> {
        let cause = match self.status {
            429 => Cause::Busy,
            401 | 403 if self.skew.is_some_and(|skew| skew.abs() > TOLERATED) => Cause::Clock,
            401 | 403 => Cause::Unauthorized,
            500.. | 408 => Cause::Service,
            407 => Cause::Proxy,
            // A portal that redirects or answers with a page of its own.
            300..=399 => Cause::Stranger,
            200..=299 if !self.json && !self.body.is_empty() => Cause::Stranger,
            _ => return Ok(self),
        };
        let mut detail = self.summary();
        if let (Cause::Clock, Some(skew)) = (cause, self.skew) {
            let word = if skew.is_negative() { "behind" } else { "ahead of" };
            detail = format!("{detail}; the clock of DPS is {} s {word} ours", skew.whole_seconds().abs());
        }
        Err(Trouble { cause, detail, retry_after: self.retry_after })
    }

    /// The body as `T`; a body that is something else means that something stands between us and DPS.
    pub fn parse<T: serde::de::DeserializeOwned>(&self) -> Result<T, Trouble> {
        serde_json::from_slice(&self.body).map_err(|error| Trouble {
            cause: Cause::Garbled,
            detail: format!("an answer that is not of DPS: {error}"),
            retry_after: None,
        })
    }

    /// Status, code and message, for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(body) => {
                let message: String = body.message.chars().take(LONGEST_MESSAGE).collect();
                format!("{} / {}: {message}", self.status, body.error_code)
            }
            Err(_) => format!("HTTP {}", self.status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, json: bool, body: &str, expected: Option<Cause>) {
        let answer = Answer { status, json, body: body.into(), ..Answer::default() };
        assert_eq!(answer.check().err().map(|trouble| trouble.cause), expected, "{status} {body}");
    }

    #[test]
    fn what_is_about_the_link_is_told_from_what_is_about_the_unit() {
        check(200, true, "{}", None);
        check(204, false, "", None);
        for status in [400, 404, 409, 412] {
            check(status, true, "{}", None);
        }
        check(200, false, "<html>Please log in</html>", Some(Cause::Stranger));
        check(302, false, "", Some(Cause::Stranger));
        check(407, false, "", Some(Cause::Proxy));
        check(429, true, "{}", Some(Cause::Busy));
        check(401, true, "{}", Some(Cause::Unauthorized));
        check(403, true, "{}", Some(Cause::Unauthorized));
        check(503, false, "", Some(Cause::Service));
    }

    #[test]
    fn a_refused_credential_is_the_clocks_fault_if_the_clocks_are_far_apart() {
        let refused = |skew| {
            let answer = Answer { status: 401, json: true, skew, ..Answer::default() };
            let trouble = answer.check().unwrap_err();
            (trouble.cause, trouble.detail)
        };
        assert_eq!(refused(Some(time::Duration::seconds(5))).0, Cause::Unauthorized);
        let (cause, detail) = refused(Some(time::Duration::hours(-2)));
        assert_eq!(cause, Cause::Clock);
        assert!(detail.contains("7200 s behind ours"), "{detail}");
    }
}
