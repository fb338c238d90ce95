//! A request to the cloud's HTTPS face and its answer, as values.

use std::collections::BTreeMap;

use azure_iot::ErrorBody;
use serde::Serialize;
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Cloud, time};

/// A request.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// In upper case.
    pub method: String,
    /// Percent-decoded, without query.
    pub path: String,
    /// The query's parameters, decoded.
    pub query: BTreeMap<String, String>,
    /// By name in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// The client's certificate, DER, whose key it has proved to hold.
    pub peer: Option<Vec<u8>>,
}

impl Request {
    /// Method and path.
    fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The ids of the enrollments that it names: in its path, or those of a bulk.
    #[must_use]
    pub fn about(&self) -> Vec<String> {
        let path: Vec<&str> = self.path.trim_matches('/').split('/').collect();
        match (self.method.as_str(), path.as_slice()) {
            ("POST", ["enrollments"]) => {
                let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
                let items = body["enrollments"].as_array().map(Vec::as_slice).unwrap_or_default();
                let id = |item: &Value| item["registrationId"].as_str().unwrap_or_default().to_owned();
                items.iter().map(id).collect()
            }
            ("GET" | "PUT" | "DELETE", ["enrollments", id]) => vec![(*id).to_owned()],
            _ => Vec::new(),
        }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// JSON, or nothing.
    pub body: Option<Value>,
}

impl Response {
    pub(super) fn json(status: u16, body: &impl Serialize) -> Self {
        let body = serde_json::to_value(body).expect("answers are plain data");
        Self { status, headers: Vec::new(), body: Some(body) }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// An error that the cloud answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: u16, code: i64, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, 400_004, message)
    }

    pub(super) fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(401, 401_002, message)
    }

    /// The body, with a tracking id to quote.
    pub(super) fn body(&self, tracking: Uuid, now: OffsetDateTime) -> ErrorBody {
        ErrorBody {
            error_code: self.code,
            tracking_id: Some(tracking.to_string()),
            message: self.message.clone(),
            info: None,
            timestamp_utc: Some(time(now)),
        }
    }
}

/// The API versions that clients of the last years speak.
const VERSIONS: [&str; 8] = [
    "2018-04-01",
    "2018-09-01-preview",
    "2018-11-01",
    "2019-01-15",
    "2019-03-31",
    "2019-03-15",
    "2021-06-01",
    "2021-10-01",
];

impl Cloud {
    /// Answers a request to the HTTPS face: the service API with a signature, the device API with a certificate.
    pub fn handle(&mut self, now: OffsetDateTime, request: &Request) -> Response {
        let answer = self.answer(now, request);
        // The id of the request is what its error quotes.
        let id = self.uuid();
        let response = answer.unwrap_or_else(|refused| {
            Response::json(refused.status, &refused.body(id, now)).with("x-ms-error-code", refused.code)
        });
        let response =
            response.with("x-ms-request-id", id).with("strict-transport-security", "max-age=31536000");
        self.saw(now, request.what(), request.about(), response.status);
        response
    }

    fn answer(&mut self, now: OffsetDateTime, request: &Request) -> Result<Response, Refused> {
        let version = request.query.get("api-version").map(String::as_str).unwrap_or_default();
        if !VERSIONS.contains(&version) {
            return Err(Refused::invalid(format!("The api-version '{version}' is not supported.")));
        }
        let path: Vec<&str> = request.path.trim_matches('/').split('/').collect();
        let lower: Vec<String> = path.iter().map(|part| part.to_ascii_lowercase()).collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        if matches!(lower[0], "enrollments" | "enrollmentgroups" | "registrations") {
            return self.service(now, request, &path, &lower);
        }
        match (request.method.as_str(), lower.as_slice()) {
            ("PUT", [_, "registrations", _, "register"]) => {
                self.https_register(now, request, path[0], path[2])
            }
            ("GET", [_, "registrations", _, "operations", _]) => {
                self.https_poll(now, request, path[0], path[2], path[4])
            }
            ("POST", [_, "registrations", _]) => self.https_lookup(now, request, path[0], path[2]),
            _ => Err(Refused::new(404, 404_000, "The resource was not found.")),
        }
    }

    /// The answer to a throttled request, for the shell's weather.
    pub(crate) fn weather(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        status: u16,
        retry: Option<u64>,
    ) -> Response {
        let refused = Refused::new(status, i64::from(status) * 1000 + 1, "The service is in bad weather.");
        let body = refused.body(self.uuid(), now);
        self.saw(now, request.what(), request.about(), status);
        let response = Response::json(status, &body);
        retry.into_iter().fold(response, |response, seconds| response.with("retry-after", seconds))
    }
}
