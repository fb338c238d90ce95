//! What can be asked about production orders.

use serde_json::{Value, json};

use super::{BODY, Operation, WRITING, limit, none};

fn number() -> Value {
    json!({
        "name": "number", "in": "path", "required": true, "description": "Its number.",
        "schema": { "type": "string" }
    })
}

pub(super) const ORDERS: &[Operation] = &[
    Operation {
        method: "GET",
        path: "/v1/orders",
        name: "listOrders",
        summary: "A part of the production orders, by their numbers.",
        parameters: || {
            json!([
                {
                    "name": "after", "in": "query", "required": false,
                    "description": "The next of an earlier answer.",
                    "schema": { "type": "string" }
                },
                limit(),
            ])
        },
        request: None,
        answers: &[(200, "Those orders, and where the next part begins.", Some("OrderList"))],
        codes: &[&["query-unexpected"]],
    },
    Operation {
        method: "POST",
        path: "/v1/orders",
        name: "openOrder",
        summary: "Opens a production order. A repeat of the same request is safe.",
        parameters: none,
        request: Some("OrderOpened"),
        answers: &[
            (201, "It is open.", Some("OrderRecord")),
            (200, "It was opened so before: this was a repeat.", Some("OrderRecord")),
        ],
        codes: &[
            BODY,
            WRITING,
            &[
                "ends-invalid",
                "line-unknown",
                "number-invalid",
                "order-exists",
                "profile-unknown",
                "quantity-invalid",
            ],
        ],
    },
    Operation {
        method: "GET",
        path: "/v1/orders/{number}",
        name: "showOrder",
        summary: "One production order, and how far it is.",
        parameters: || json!([number()]),
        request: None,
        answers: &[(200, "The order.", Some("OrderRecord"))],
        codes: &[&["order-unknown"]],
    },
    Operation {
        method: "POST",
        path: "/v1/orders/{number}/close",
        name: "closeOrder",
        summary: "Closes an order for ever, and writes the evidence of what was made under it. A repeat is safe.",
        parameters: || json!([number()]),
        request: None,
        answers: &[(200, "The order, and where its evidence is.", Some("Closed"))],
        codes: &[WRITING, &["evidence-failed", "order-unknown", "storage-full"]],
    },
];
