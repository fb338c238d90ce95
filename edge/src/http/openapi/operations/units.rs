//! What can be asked about units.

use serde_json::{Value, json};

use super::{BODY, FENCED, Operation, SIGNING, WRITING, limit};

pub(super) fn id() -> Value {
    json!({
        "name": "id", "in": "path", "required": true,
        "description": "Its registration id; letters may be of either case.",
        "schema": { "type": "string" }
    })
}

pub(super) const UNITS: &[Operation] = &[
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
                limit(),
            ])
        },
        request: None,
        answers: &[(200, "Those units, and where the next part begins.", Some("UnitList"))],
        codes: &[&["query-unexpected"]],
    },
    Operation {
        method: "GET",
        path: "/v1/units/{id}",
        name: "showUnit",
        summary: "One unit.",
        parameters: || json!([id()]),
        request: None,
        answers: &[(200, "The unit.", Some("UnitBody"))],
        codes: &[&["unit-unknown"]],
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
            BODY,
            SIGNING,
            FENCED,
            WRITING,
            &[
                "differs",
                "id-invalid",
                "idempotency-key-required",
                "idempotency-key-reused",
                "key-already-given",
                "line-required",
                "line-unknown",
                "order-closed",
                "order-full",
                "order-line",
                "order-required",
                "order-unknown",
                "unit-exists",
                "unit-lost",
                "unit-scrapped",
            ],
        ],
    },
    Operation {
        method: "GET",
        path: "/v1/units/{id}/events",
        name: "unitEvents",
        summary: "What happened to a unit, in order.",
        parameters: || {
            json!([
                id(),
                {
                    "name": "after", "in": "query", "required": false,
                    "description": "The next of an earlier answer.",
                    "schema": { "type": "integer", "minimum": 0 }
                },
                limit(),
            ])
        },
        request: None,
        answers: &[(200, "Those events, and where the next part begins.", Some("UnitHistory"))],
        codes: &[&["query-unexpected", "unit-unknown"]],
    },
    Operation {
        method: "POST",
        path: "/v1/units/{id}/rework",
        name: "reworkUnit",
        summary: "Gives a unit a new certificate for a new key: a person has decided so. A repeat is safe with the same csr.",
        parameters: || json!([id()]),
        request: Some("AgainRequest"),
        answers: &[
            (201, "The next pass, on disk.", Some("UnitBody")),
            (200, "The unit has this key: this was a repeat.", Some("UnitBody")),
        ],
        codes: &[
            BODY,
            SIGNING,
            FENCED,
            WRITING,
            &[
                "key-unchanged",
                "reason-required",
                "reason-too-long",
                "unit-changed",
                "unit-scrapped",
                "unit-unknown",
            ],
        ],
    },
    Operation {
        method: "POST",
        path: "/v1/units/{id}/rekey",
        name: "rekeyUnit",
        summary: "Makes up for an answer that its station never saw, until the cloud has heard of the unit.",
        parameters: || json!([id()]),
        request: Some("AgainRequest"),
        answers: &[
            (201, "The next pass, on disk.", Some("UnitBody")),
            (200, "The unit has this key: this was a repeat.", Some("UnitBody")),
        ],
        codes: &[
            BODY,
            SIGNING,
            FENCED,
            WRITING,
            &[
                "key-unchanged",
                "reason-required",
                "reason-too-long",
                "reason-unknown",
                "rekey-too-late",
                "unit-changed",
                "unit-scrapped",
                "unit-unknown",
            ],
        ],
    },
    Operation {
        method: "POST",
        path: "/v1/units/{id}/scrap",
        name: "scrapUnit",
        summary: "Ends a unit: its certificates are revoked, and its id is never issued again. A repeat is safe.",
        parameters: || json!([id()]),
        request: Some("ScrapRequest"),
        answers: &[(200, "The unit, scrapped.", Some("UnitBody"))],
        codes: &[
            BODY,
            FENCED,
            WRITING,
            &["reason-required", "reason-too-long", "unit-changed", "unit-unknown"],
        ],
    },
];
