//! What can be asked about jobs for the cloud.

use serde_json::json;

use super::{BODY, FENCED, Operation, WRITING, units::id};

pub(super) const QUEUE: &[Operation] = &[
    Operation {
        method: "GET",
        path: "/v1/queue/jobs/{id}",
        name: "showJob",
        summary: "The job of a unit. One that is held is compared with what the cloud has, which is asked once for it.",
        parameters: || json!([id()]),
        request: None,
        answers: &[(200, "The job, and both sides of it if it is held.", Some("JobBody"))],
        codes: &[&["unit-unknown"]],
    },
    Operation {
        method: "POST",
        path: "/v1/queue/jobs/{id}/resolve",
        name: "resolveJob",
        summary: "Decides about a job that is held: the cloud keeps what it has, or a version of that gives way.",
        parameters: || json!([id()]),
        request: Some("Resolve"),
        answers: &[(200, "It is decided, on disk; the worker acts on it.", Some("ResolvedBody"))],
        codes: &[
            BODY,
            FENCED,
            WRITING,
            &[
                "cloud-unreachable",
                "etag-required",
                "etag-stale",
                "job-not-held",
                "no-cloud",
                "reason-required",
                "reason-too-long",
                "record-absent",
                "record-scrapped",
                "unit-changed",
                "unit-unknown",
            ],
        ],
    },
];
