//! Who may do what: every route, with every kind of caller. The rows come from the route table itself (law 11).
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use edge::{ROUTES, access::Role};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use support::{Dial, Running};
use time::{Duration, format_description::well_known::Rfc3339};

/// The columns of [`MATRIX`]: how somebody may call, in this order.
const CALLERS: &str = "\
    - no token, ? a made-up one, S station, V supervisor, Q quality, D display, A admin, o a station of line L2,\
    r a revoked supervisor, x an expired supervisor, u a station's certificate, n one of a station of line L2,\
    w one of a station that was revoked, d a device's certificate, z one of a device that was scrapped,\
    f a foreign certificate that calls itself like the first administrator";

/// What each caller meets on each route: `.` passes, 1 is 401, 3 is 403, 4 is 404.
const MATRIX: &[(&str, &str, &str)] = &[
    // -?SVQDAorxunwdzf
    ("GET", "/livez", "................"),
    ("GET", "/readyz", "................"),
    ("GET", "/metrics", "11......11..1111"),
    ("GET", "/pair", "................"),
    ("POST", "/pair", "................"),
    ("GET", "/assets/{name}", "................"),
    ("GET", "/", "................"),
    ("GET", "/openapi.json", "................"),
    ("GET", "/crl", "................"),
    ("GET", "/crl/{issuer}", "................"),
    ("GET", "/board", "11......11..1111"),
    ("GET", "/v1/feed", "11......11..1111"),
    ("GET", "/v1/status", "11......11..1111"),
    ("GET", "/v1/ca", "11......11..1111"),
    ("GET", "/v1/units", "11...3..11..1111"),
    ("GET", "/v1/units/{id}", "11...3.411.41111"),
    ("GET", "/v1/units/{id}/events", "11...3.411.41111"),
    ("POST", "/v1/units", "11..333311.31111"),
    ("POST", "/v1/units/{id}/rework", "113.333311331111"),
    ("POST", "/v1/units/{id}/rekey", "11..333411341111"),
    ("POST", "/v1/units/{id}/scrap", "113..33311331111"),
    ("GET", "/v1/orders", "11...3..11..1111"),
    ("GET", "/v1/orders/{number}", "11...3.311.31111"),
    ("POST", "/v1/orders", "113.33.311331111"),
    ("POST", "/v1/orders/{number}/close", "113.33.311331111"),
    ("GET", "/v1/queue/jobs/{id}", "113..3.311331111"),
    ("POST", "/v1/queue/jobs/{id}/resolve", "113.333311331111"),
    ("GET", "/.well-known/est/cacerts", "................"),
    ("GET", "/.well-known/est/{label}/cacerts", "................"),
    ("GET", "/.well-known/est/csrattrs", "................"),
    ("GET", "/.well-known/est/{label}/csrattrs", "................"),
    ("POST", "/.well-known/est/simpleenroll", "11..333.11..1111"),
    ("POST", "/.well-known/est/{label}/simpleenroll", "11..333.11..1111"),
    ("POST", "/.well-known/est/simplereenroll", "1133333311111.31"),
    ("POST", "/.well-known/est/{label}/simplereenroll", "1133333311111.31"),
    ("POST", "/.well-known/est/serverkeygen", "11..333.11..1111"),
    ("POST", "/.well-known/est/{label}/serverkeygen", "11..333.11..1111"),
    ("GET", "/createleaf", "11..333.11111111"),
    ("GET", "/verify", "113333.311111111"),
];

/// Somebody who calls.
struct Caller {
    letter: char,
    client: Client,
    token: Option<String>,
}

impl Caller {
    /// How a call about what [`World`] has ends, as a letter of the matrix.
    async fn calls(&self, edge: &Running, method: &str, route: &str, world: &World) -> char {
        let path = route.replace("{id}", "a").replace("{name}", "board.css").replace("{label}", "L1");
        let path = path.replace("{number}", "A-1").replace("{issuer}", &world.issuer);
        let mut request = self.client.request(method.parse().unwrap(), edge.url(&path));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if method == "POST" {
            request = request.json(&match route {
                "/v1/units" => world.unit.clone(),
                "/v1/orders" => world.order.clone(),
                "/v1/units/{id}/rekey" => json!({ "reason": "reply-lost" }),
                "/v1/units/{id}/rework" | "/v1/units/{id}/scrap" => json!({ "reason": "board swapped" }),
                _ => Value::Null,
            });
        }
        match request.send().await.unwrap().status().as_u16() {
            401 => '1',
            403 => '3',
            404 => '4',
            500.. => '5',
            _ => '.',
        }
    }
}

/// What the calls are about.
struct World {
    /// The request that issued the unit `a` of line L1.
    unit: Value,
    /// The request that opened the order `A-1` of that line.
    order: Value,
    /// How the address of the list of the issuing CA ends.
    issuer: String,
}

/// Every caller, in the order of [`CALLERS`], and what they call about.
async fn callers(edge: &Running, dial: &Dial) -> (Vec<Caller>, World) {
    let mut callers = Vec::new();
    let mut add =
        |letter, token: Option<String>, client: Client| callers.push(Caller { letter, client, token });
    let plain = || edge.client.clone();
    add('-', None, plain());
    add('?', Some("edge_made-up".to_owned()), plain());
    let mut supervisor = String::new();
    for (role, letter) in Role::ALL.into_iter().zip("SVQDA".chars()) {
        let token = edge.role(&role.to_string()).await;
        if role == Role::Supervisor {
            supervisor.clone_from(&token);
        }
        add(letter, Some(token), plain());
    }
    let elsewhere = json!({ "name": "elsewhere", "role": "station", "line": "L2" });
    add('o', Some(edge.token(elsewhere).await), plain());
    add('r', Some(edge.token(json!({ "name": "gone", "role": "supervisor" })).await), plain());
    assert_eq!(edge.local(Method::DELETE, "/tokens/gone", None).await.0, 204);
    let end = (dial.wall() + Duration::HOUR).format(&Rfc3339).unwrap();
    let short = json!({ "name": "short", "role": "supervisor", "expires": end });
    add('x', Some(edge.token(short).await), plain());
    dial.pass(Duration::hours(2));
    for (letter, name, line) in [('u', "press-1", "L1"), ('n', "press-2", "L2"), ('w', "press-3", "L1")] {
        add(letter, None, edge.station(name, line, Duration::days(365)).await.2);
    }
    assert_eq!(edge.local(Method::DELETE, "/stations/press-3", None).await.0, 204);
    let unit = json!({ "id": "a", "csr": support::csr("a"), "line": "L1" });
    assert_eq!(edge.issue(&supervisor, &unit).await.0, 201);
    for (letter, id) in [('d', "device"), ('z', "scrapped")] {
        let (_, device) = edge.issue(&supervisor, &json!({ "id": id, "line": "L1" })).await;
        let text = |name: &str| device[name].as_str().unwrap();
        add(letter, None, edge.client_with(text("certificate"), text("private_key")));
    }
    let burnt = edge.ask(&supervisor, "/v1/units/scrapped/scrap", json!({ "reason": "burnt" })).await;
    assert_eq!(burnt.0, 200);
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(vec!["first-admin".to_owned()]).unwrap();
    add('f', None, edge.client_with(&cert.pem(), &signing_key.serialize_pem()));
    let order = json!({ "number": "A-1", "quantity": 5, "line": "L1" });
    assert_eq!(edge.ask(&supervisor, "/v1/orders", order.clone()).await.0, 201);
    (callers, World { unit, order, issuer: edge.issuer()[..16].to_owned() })
}

#[tokio::test]
async fn every_route_admits_whom_the_matrix_names_and_nobody_else() {
    let dial = Dial::new();
    let edge = Running::start_with("legacy_api = true", dial.source()).await;
    let (callers, world) = callers(&edge, &dial).await;
    edge.crl("", |_| true).await;
    let letters: String = callers.iter().map(|caller| caller.letter).collect();
    assert_eq!(letters, "-?SVQDAorxunwdzf");
    for letter in letters.chars() {
        assert!(CALLERS.contains(&format!("{letter} ")), "{letter} is not told");
    }
    let mut wrong = Vec::new();
    for route in ROUTES {
        let row = MATRIX.iter().find(|row| (row.0, row.1) == (route.method, route.path));
        let expected = row.map_or("it has no row", |row| row.2);
        let mut found = String::new();
        for caller in &callers {
            found.push(caller.calls(&edge, route.method, route.path, &world).await);
        }
        if found != expected {
            wrong.push(format!("{} {}: expected {expected}, found {found}", route.method, route.path));
        }
    }
    assert!(wrong.is_empty(), "columns {letters}\n{}", wrong.join("\n"));
    assert_eq!(MATRIX.len(), ROUTES.len(), "a row of the matrix has no route");
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

#[tokio::test]
async fn a_token_that_was_refused_was_not_used() {
    let edge = Running::start().await;
    let token = edge.role("display").await;
    let last_used = async || {
        let (_, tokens) = edge.local(Method::GET, "/tokens", None).await;
        let display = tokens.as_array().unwrap().iter().find(|token| token["name"] == "display").unwrap();
        display["last_used"].clone()
    };
    assert_eq!(edge.issue(&token, &json!({ "id": "a", "line": "L1" })).await.0, 403);
    assert!(last_used().await.is_null());
    assert_eq!(edge.get(&token, "/v1/status").await.0, 200);
    assert!(last_used().await.is_string());
}
