//! What can be asked under `/v1`, and everything that may be answered.

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
    /// Problems, beyond those that everybody may meet.
    pub(super) codes: &'static [&'static str],
}

fn none() -> Value {
    json!([])
}

/// Every route under `/v1`.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        method: "GET",
        path: "/v1/feed",
        name: "feed",
        summary: "What the boards show, as it changes: a WebSocket with hello, snapshot, delta and heartbeat.",
        parameters: none,
        request: None,
        answers: &[(101, "The WebSocket.", None)],
        codes: &["foreign-origin", "websocket-required"],
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
    Operation {
        method: "GET",
        path: "/v1/units",
        name: "listUnits",
        summary: "A part of the units, in the order of their issue.",
        parameters: || {
            json!([
                {
                    "name": "after", "in": "query", "required": false,
                    "description": "The next of an earlier answer, as it was.",
                    "schema": { "type": "string", "pattern": "^[0-9a-f]{1,16}$" }
                },
                {
                    "name": "limit", "in": "query", "required": false,
                    "description": "At most so many; 100 without, and never more than 1000.",
                    "schema": { "type": "integer", "minimum": 0 }
                },
            ])
        },
        request: None,
        answers: &[(200, "Those units, and where the next part begins.", Some("UnitList"))],
        codes: &["query-unexpected"],
    },
    Operation {
        method: "GET",
        path: "/v1/units/{id}",
        name: "showUnit",
        summary: "One unit.",
        parameters: || {
            json!([{
                "name": "id", "in": "path", "required": true,
                "description": "Its registration id; letters may be of either case.",
                "schema": { "type": "string" }
            }])
        },
        request: None,
        answers: &[(200, "The unit.", Some("UnitBody"))],
        codes: &["unit-unknown"],
    },
    Operation {
        method: "POST",
        path: "/v1/units",
        name: "issueUnit",
        summary: "Gives a unit its identity. A repeat of the same request is safe and gets the same certificate.",
        parameters: || {
            json!([{
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "Required where neither id nor the CN of the csr names the unit.",
                "schema": { "type": "string", "pattern": "^[!-~]{1,200}$" }
            }])
        },
        request: Some("IssueRequest"),
        answers: &[
            (201, "A new identity, on disk.", Some("UnitBody")),
            (200, "The one that it has: this was a repeat.", Some("UnitBody")),
        ],
        codes: &[
            "body-too-large",
            "busy",
            "clock-unsafe",
            "csr-cn-differs",
            "csr-key-unsupported",
            "csr-malformed",
            "csr-signature",
            "csr-wants-ca",
            "differs",
            "id-invalid",
            "idempotency-key-required",
            "idempotency-key-reused",
            "json-malformed",
            "json-unexpected",
            "key-already-given",
            "key-in-use",
            "line-required",
            "line-unknown",
            "not-json",
            "reconcile-required",
            "stopping",
            "storage-failed",
            "storage-full",
            "superseded",
            "too-large",
            "unit-exists",
            "unit-lost",
        ],
    },
];
