//! Who may do what: every route, with every kind of caller. The rows come from the route table itself (law 11).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use edge::{
    ROUTES,
    access::{Access, Role},
};
use reqwest::Method;
use serde_json::json;
use support::Running;

async fn status(edge: &Running, method: &str, path: &str, token: Option<&str>) -> u16 {
    let method: Method = method.parse().unwrap();
    let path = path.replace("{id}", "nobody").replace("{name}", "board.css").replace("{number}", "nobody");
    let mut request = edge.client.request(method, edge.url(&path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_route_admits_whom_the_table_names_and_nobody_else() {
    let edge = Running::start().await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        tokens.push((role, edge.role(&role.to_string()).await));
    }
    let revoked = edge.token(json!({ "name": "gone", "role": "supervisor" })).await;
    assert_eq!(edge.local(Method::DELETE, "/tokens/gone", None).await.0, 204);
    let mut checked = 0;
    for route in ROUTES {
        let try_with = async |token: Option<&str>| status(&edge, route.method, route.path, token).await;
        let public = route.access == Access::Public;
        for nobody in [None, Some("edge_made-up"), Some(revoked.as_str())] {
            assert_eq!(try_with(nobody).await == 401, !public, "{route:?} {nobody:?}");
            checked += 1;
        }
        for (role, token) in &tokens {
            let found = try_with(Some(token)).await;
            assert_eq!(found == 403, !route.access.allows(*role), "{route:?} {role}: {found}");
            assert_ne!(found, 401, "{route:?} {role}");
            checked += 1;
        }
    }
    assert_eq!(checked, ROUTES.len() * 8);
}

#[tokio::test]
async fn roles_are_what_their_names_say() {
    let may = |method: &str, path: &str| {
        let route = ROUTES.iter().find(|route| route.method == method && route.path == path).unwrap();
        Role::ALL
            .into_iter()
            .filter(|role| route.access.allows(*role))
            .map(|role| role.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        may("POST", "/v1/units"),
        ["station", "supervisor"],
        "an administrator lets others in, and issues nothing"
    );
    assert_eq!(
        may("GET", "/v1/units/{id}"),
        ["station", "supervisor", "quality", "admin"],
        "a screen reads no units"
    );
    assert_eq!(may("GET", "/board").len(), 5);
}

#[tokio::test]
async fn an_expired_token_is_refused_and_a_name_is_never_given_twice() {
    let edge = Running::start().await;
    let past = json!({ "name": "late", "role": "station", "expires": "2020-01-01T00:00:00Z" });
    let (found, body) = edge.local(Method::POST, "/tokens", Some(past)).await;
    assert_eq!((found, body["code"].as_str()), (422, Some("expired")));
    edge.role("station").await;
    let (found, body) =
        edge.local(Method::POST, "/tokens", Some(json!({ "name": "station", "role": "admin" }))).await;
    assert_eq!((found, body["code"].as_str()), (409, Some("name-taken")));
    for bad in
        [json!({ "name": "a b", "role": "station" }), json!({ "name": "a", "role": "station", "line": "L9" })]
    {
        assert_eq!(edge.local(Method::POST, "/tokens", Some(bad)).await.0, 422);
    }
    let (_, tokens) = edge.local(Method::GET, "/tokens", None).await;
    assert_eq!(tokens.as_array().unwrap().len(), 2, "the first administrator and the station");
}

#[tokio::test]
async fn a_stations_scope_is_its_line() {
    let edge = Running::start().await;
    let (first, second) = (
        json!({ "name": "s1", "role": "station", "line": "L1" }),
        json!({ "name": "s2", "role": "station", "line": "L2" }),
    );
    let (first, second) = (edge.token(first).await, edge.token(second).await);
    let request = json!({ "id": "a", "csr": support::csr("a"), "line": "L1" });
    assert_eq!(edge.issue(&first, &request).await.0, 201);
    let lineless = json!({ "id": "b", "csr": support::csr("b") });
    assert_eq!(edge.issue(&first, &lineless).await.1["line"], "L1", "its token says which line");
    assert_eq!(edge.get(&first, "/v1/units/a").await.0, 200);
    assert_eq!(edge.get(&second, "/v1/units/a").await.0, 404, "another line's unit is not there");
    assert_eq!(edge.get(&second, "/v1/units").await.1["units"], json!([]));
    let everywhere = edge.role("supervisor").await;
    let (status, repeat) = edge.issue(&everywhere, &request).await;
    assert_eq!(status, 200);
    assert!(repeat.get("claim_code").is_none(), "the code is for the scope that asked first");
}

#[tokio::test]
async fn a_screen_is_paired_by_its_token_and_its_cookie_only_reads() {
    let edge = Running::start().await;
    let display = edge.role("display").await;
    let supervisor = edge.role("supervisor").await;
    let pair = async |token: &str| {
        edge.client.post(edge.url("/pair")).json(&json!({ "token": token })).send().await.unwrap()
    };
    assert_eq!(pair("edge_made-up").await.status(), 401);
    let cookie = pair(&display).await.headers()["set-cookie"].to_str().unwrap().to_owned();
    for attribute in ["__Host-edge=", "Path=/", "Secure", "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let value = cookie.split(';').next().unwrap();
    let with = |value: &str, path: &str| edge.client.get(edge.url(path)).header("cookie", value.to_owned());
    assert_eq!(with(value, "/board").send().await.unwrap().status(), 200);
    let cookie = pair(&supervisor).await.headers()["set-cookie"].to_str().unwrap().to_owned();
    let value = cookie.split(';').next().unwrap().to_owned();
    let forged = edge
        .client
        .post(edge.url("/v1/units"))
        .header("cookie", value)
        .json(&json!({ "id": "a", "line": "L1" }));
    assert_eq!(forged.send().await.unwrap().status(), 401, "another site may make a browser send its cookie");
}
