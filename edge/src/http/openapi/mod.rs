//! `/openapi.json`: the routes under `/v1`, as OpenAPI 3.1, from the types that are read and written, the route table and
//! the table of problems. A route that is not described here does not pass the tests.

mod bodies;
mod operations;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

pub(crate) use bodies::BooksView;
pub(in crate::http) use bodies::ReadBackView;
use bodies::{JobBody, ProblemBody, ResolvedBody, UnitBody, UnitHistory, UnitList};
use operations::{Codes, Operation, operations};

use super::{
    ROUTES,
    ca::Chain,
    issue::IssueRequest,
    life::{AgainRequest, ScrapRequest},
    orders::OrderList,
    status::Status,
};
use crate::{
    access::{Access, Role},
    order::{Closed, OrderOpened, OrderRecord},
    problems,
    resolve::Resolve,
};

/// What everybody with a token may be told.
const ALWAYS: &[&str] = &["unauthenticated", "internal", "too-slow"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Factory edge appliance",
        description = "Gives every unit that a line builds its identity. Every error is a problem (RFC 9457) with a stable \
                       code; `edge explain CODE` says what to do."
    ),
    components(schemas(
        IssueRequest,
        AgainRequest,
        ScrapRequest,
        UnitBody,
        UnitList,
        UnitHistory,
        OrderOpened,
        OrderRecord,
        OrderList,
        Closed,
        Resolve,
        JobBody,
        ResolvedBody,
        Status,
        Chain,
        ProblemBody
    ))
)]
struct Schemas;

pub(super) async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// The whole description.
fn document() -> Value {
    let mut document = serde_json::to_value(Schemas::openapi()).expect("a description is plain data");
    let mut paths = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method.to_lowercase()] = describe(operation);
    }
    document["paths"] = Value::Object(paths);
    document["components"]["securitySchemes"] = json!({
        "token": { "type": "http", "scheme": "bearer", "description": "A token of: edge token new" }
    });
    document["security"] = json!([{ "token": [] }]);
    document
}

fn describe(operation: &Operation) -> Value {
    let Operation { method, path, name, summary, parameters, request, answers, codes } = operation;
    let access = ROUTES.iter().find(|route| (route.method, route.path) == (*method, *path));
    let access = access.map_or(Access::Public, |route| route.access);
    let roles: Vec<_> = Role::ALL.into_iter().filter(|role| access.allows(*role)).collect();
    let mut described = json!({
        "operationId": name, "summary": summary, "parameters": parameters(), "x-roles": roles,
        "responses": responses(answers, codes, roles.len() < Role::ALL.len()),
    });
    if *name == "issueUnit" {
        // Whoever generates a client sees that what was issued can be looked at.
        let show = json!({ "operationId": "showUnit", "parameters": { "id": "$response.body#/id" } });
        for status in ["200", "201"] {
            described["responses"][status]["links"] = json!({ "unit": show });
        }
    }
    if let Some(schema) = request {
        described["requestBody"] =
            json!({ "required": true, "content": content("application/json", schema) });
    }
    described
}

/// Everything that may be answered, by status.
fn responses(answers: &[(u16, &str, Option<&str>)], codes: &[Codes], restricted: bool) -> Value {
    let mut responses = Map::new();
    for (status, description, schema) in answers {
        let mut answer = json!({ "description": description });
        if let Some(schema) = schema {
            answer["content"] = content("application/json", schema);
        }
        responses.insert(status.to_string(), answer);
    }
    let forbidden = restricted.then_some("forbidden");
    let mut codes: Vec<_> =
        ALWAYS.iter().chain(codes.iter().copied().flatten()).copied().chain(forbidden).collect();
    codes.sort_unstable();
    codes.dedup();
    let known: Vec<_> = codes.iter().filter_map(|code| problems::find(code)).collect();
    let mut statuses: Vec<_> = known.iter().flat_map(|problem| problem.statuses).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in statuses {
        let here: Vec<_> = known.iter().filter(|problem| problem.statuses.contains(status)).collect();
        let words: Vec<_> =
            here.iter().map(|problem| format!("`{}`: {}", problem.code, problem.words)).collect();
        let codes: Vec<_> = here.iter().map(|problem| problem.code).collect();
        let one_of: Vec<_> = here.iter().map(|problem| problem.retryable).collect();
        let retryable = if one_of.iter().all(|retryable| *retryable == one_of[0]) {
            json!({ "enum": [one_of[0]] })
        } else {
            json!({ "type": "boolean" })
        };
        let schema = json!({ "allOf": [
            { "$ref": "#/components/schemas/ProblemBody" },
            { "properties": { "status": { "enum": [status] }, "code": { "enum": codes }, "retryable": retryable } },
        ] });
        let answer = json!({
            "description": words.join(" "), "content": { "application/problem+json": { "schema": schema } },
        });
        responses.insert(status.to_string(), answer);
    }
    Value::Object(responses)
}

fn content(kind: &str, schema: &str) -> Value {
    json!({ kind: { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_under_v1_is_described_and_nothing_else_is() {
        let document = document();
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.insert((method.to_uppercase(), path.clone()));
            }
        }
        let routes = ROUTES.iter().filter(|route| route.path.starts_with("/v1/"));
        let routes: BTreeSet<_> =
            routes.map(|route| (route.method.to_owned(), route.path.to_owned())).collect();
        assert_eq!(described, routes);
        assert_eq!(operations().count(), routes.len(), "each once");
    }

    #[test]
    fn it_is_openapi_3_1_and_everything_that_it_names_is_there() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
        let text = document.to_string();
        for (at, _) in text.match_indices("#/components/schemas/") {
            let name = text[at + "#/components/schemas/".len()..].split('"').next().unwrap();
            assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_code_that_is_named_is_known_and_says_whether_to_ask_again() {
        for operation in operations() {
            for code in operation.codes.iter().copied().flatten().chain(ALWAYS) {
                assert!(problems::find(code).is_some(), "{} names {code}", operation.name);
            }
        }
        let busy = &document()["paths"]["/v1/units"]["post"]["responses"]["503"];
        let told = &busy["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"];
        assert!(told["code"]["enum"].as_array().unwrap().contains(&json!("clock-unsafe")), "{told}");
        assert_eq!(told["retryable"], json!({ "type": "boolean" }), "some of them pass, some do not");
    }
}
