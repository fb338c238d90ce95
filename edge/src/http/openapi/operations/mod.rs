//! What can be asked under `/v1`, and everything that may be answered.

mod orders;
mod queue;
mod units;

use serde_json::{Value, json};

/// A route for those who write clients.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Its name in generated clients.
    pub(super) name: &'static str,
    pub(super) summary: &'static str,
    /// Parameters in path, query and head.
    pub(super) parameters: fn() -> Value,
    /// The schema of the body that it takes.
    pub(super) request: Option<&'static str>,
    /// Successes: status, in words, schema of the body.
    pub(super) answers: &'static [(u16, &'static str, Option<&'static str>)],
    /// Problems, in groups, beyond those that everybody may meet.
    pub(super) codes: &'static [Codes],
}

/// Problems that come together.
pub(super) type Codes = &'static [&'static str];

/// What may be wrong with a body of JSON.
const BODY: Codes = &["body-too-large", "json-malformed", "json-unexpected", "not-json"];
/// Why nothing is written into the journal.
const WRITING: Codes = &["stopping", "storage-failed", "too-large"];
/// Why nothing about a unit is decided here, or not now.
const FENCED: Codes = &["reconcile-required", "superseded"];
/// Why a certificate is not signed.
const SIGNING: Codes = &[
    "busy",
    "certificate-refused",
    "clock-unsafe",
    "csr-cn-differs",
    "csr-key-unsupported",
    "csr-malformed",
    "csr-required",
    "csr-signature",
    "csr-wants-ca",
    "key-in-use",
    "profile-unknown",
    "storage-full",
];

fn none() -> Value {
    json!([])
}

/// How much of a list is asked for.
fn limit() -> Value {
    json!({
        "name": "limit", "in": "query", "required": false,
        "description": "At most so many; 100 without, and never more than 1000.",
        "schema": { "type": "integer", "minimum": 0 }
    })
}

/// Every route under `/v1`.
pub(super) fn operations() -> impl Iterator<Item = &'static Operation> {
    BOX.iter().chain(units::UNITS).chain(orders::ORDERS).chain(queue::QUEUE)
}

/// What is asked of the box itself.
const BOX: &[Operation] = &[
    Operation {
        method: "GET",
        path: "/v1/feed",
        name: "feed",
        summary: "What the boards show, as it changes: a WebSocket with hello, snapshot, delta and heartbeat.",
        parameters: none,
        request: None,
        answers: &[(101, "The WebSocket.", None)],
        codes: &[&["foreign-origin", "websocket-required"]],
    },
    Operation {
        method: "GET",
        path: "/v1/status",
        name: "status",
        summary: "The appliance at a glance.",
        parameters: none,
        request: None,
        answers: &[(200, "How it is.", Some("Status"))],
        codes: &[],
    },
    Operation {
        method: "GET",
        path: "/v1/ca",
        name: "ca",
        summary: "What to trust.",
        parameters: none,
        request: None,
        answers: &[(200, "The issuing CA and the root.", Some("Chain"))],
        codes: &[],
    },
];
