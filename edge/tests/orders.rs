//! Production orders: opening, counting, closing, over real TLS and a real disk.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use support::{Running, check_rebuild, csr, problem};

fn order(number: &str, quantity: u32) -> Value {
    json!({ "number": number, "quantity": quantity, "line": "L1", "attributes": { "model": "MX", "customer": "K" } })
}

async fn issued(edge: &Running, token: &str, number: &str) -> u64 {
    edge.get(token, &format!("/v1/orders/{number}")).await.1["issued"].as_u64().unwrap()
}

#[tokio::test]
async fn units_count_for_their_order_and_have_what_it_says() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let (status, opened) = edge.ask(&token, "/v1/orders", order("A-1", 2)).await;
    assert_eq!((status, &opened["issued"]), (201, &json!(0)), "{opened}");
    let seq = edge.seq().await;
    assert_eq!(edge.ask(&token, "/v1/orders", order("A-1", 2)).await, (200, opened), "a repeat");
    assert_eq!(edge.seq().await, seq);
    assert_eq!(problem(&edge.ask(&token, "/v1/orders", order("A-1", 3)).await), (409, "order-exists"));
    let first = json!({ "id": "u1", "csr": csr(""), "order": "A-1", "attributes": { "model": "MX-2" } });
    let (status, unit) = edge.issue(&token, &first).await;
    assert_eq!((status, &unit["line"], &unit["order"]), (201, &json!("L1"), &json!("A-1")), "{unit}");
    assert_eq!(unit["attributes"], json!({ "customer": "K", "model": "MX-2" }), "the request wins");
    assert_eq!(edge.issue(&token, &first).await, (200, unit.clone()));
    assert_eq!(issued(&edge, &token, "A-1").await, 1, "a repeat does not count");
    let edge = edge.restart().await;
    assert_eq!(edge.issue(&token, &first).await, (200, unit));
    let mut elsewhere = first.clone();
    elsewhere["order"] = Value::Null;
    elsewhere["line"] = json!("L1");
    elsewhere["attributes"] = json!({ "customer": "K", "model": "MX-2" });
    let differs = edge.issue(&token, &elsewhere).await;
    assert_eq!((problem(&differs), &differs.1["field"]), ((409, "differs"), &json!("order")));
    let rework = edge.ask(&token, "/v1/units/u1/rework", json!({ "reason": "r" })).await;
    assert_eq!((rework.0, &rework.1["order"]), (201, &json!("A-1")));
    assert_eq!(issued(&edge, &token, "A-1").await, 1, "a rework is no unit");
    assert_eq!(edge.issue(&token, &json!({ "id": "u2", "order": "A-1" })).await.0, 201);
    let full = edge.issue(&token, &json!({ "id": "u3", "order": "A-1" })).await;
    assert_eq!(problem(&full), (409, "order-full"));
    assert_eq!(edge.get(&token, "/v1/units/u3").await.0, 404, "nothing was issued");
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn of_64_at_once_an_order_of_50_takes_50() {
    let edge = Running::start_ending("[limits]\nconnections_per_address = 128\nsignatures = 128\n").await;
    let token = edge.role("supervisor").await;
    assert_eq!(edge.ask(&token, "/v1/orders", order("A-1", 50)).await.0, 201);
    // Each twice, and the repeats beside the first requests.
    let requests: Vec<_> =
        (0..64).map(|n| json!({ "id": format!("u{n}"), "csr": csr(""), "order": "A-1" })).collect();
    let all = requests.iter().chain(&requests).map(|request| edge.issue(&token, request));
    let answers = futures_util::future::join_all(all).await;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(201), count(200), count(409)), (50, 50, 28));
    for answer in answers.iter().filter(|(status, _)| *status == 409) {
        assert_eq!(problem(answer), (409, "order-full"));
    }
    assert_eq!(issued(&edge, &token, "A-1").await, 50);
    let edge = edge.restart().await;
    assert_eq!(issued(&edge, &token, "A-1").await, 50);
    let late = edge.issue(&token, &json!({ "id": "late", "order": "A-1" })).await;
    assert_eq!(problem(&late), (409, "order-full"));
    let (_, units) = edge.get(&token, "/v1/units?limit=1000").await;
    assert_eq!(units["units"].as_array().unwrap().len(), 50);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn every_refusal_of_an_order() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let open = async |name: &str, value: Value| {
        let mut asked = order("X-1", 5);
        asked[name] = value;
        edge.ask(&token, "/v1/orders", asked).await
    };
    let seq = edge.seq().await;
    let long = "x".repeat(65);
    for number in ["", "../a", ".a", "a b", "a/b", long.as_str()] {
        assert_eq!(problem(&open("number", json!(number)).await), (422, "number-invalid"), "{number}");
    }
    assert_eq!(problem(&open("quantity", json!(0)).await), (422, "quantity-invalid"));
    assert_eq!(problem(&open("quantity", json!(-1)).await), (422, "json-unexpected"));
    assert_eq!(problem(&open("line", json!("L9")).await), (422, "line-unknown"));
    assert_eq!(problem(&open("profile", json!("gold")).await), (422, "profile-unknown"));
    assert_eq!(problem(&open("ends", json!("2020-01-01T00:00:00Z")).await), (422, "ends-invalid"));
    assert_eq!(problem(&open("more", json!(1)).await), (422, "json-unexpected"));
    assert_eq!(problem(&edge.get(&token, "/v1/orders/none").await), (404, "order-unknown"));
    assert_eq!(problem(&edge.ask(&token, "/v1/orders/none/close", json!({})).await), (404, "order-unknown"));
    let unknown = edge.issue(&token, &json!({ "id": "u", "line": "L1", "order": "none" })).await;
    assert_eq!(problem(&unknown), (422, "order-unknown"));
    assert_eq!(edge.seq().await, seq, "nothing was written");
    assert_eq!(edge.ask(&token, "/v1/orders", order("A-1", 5)).await.0, 201);
    let other = edge.issue(&token, &json!({ "id": "u", "line": "L2", "order": "A-1" })).await;
    assert_eq!(problem(&other), (409, "order-line"));
    let own = edge.token(json!({ "name": "s2", "role": "supervisor", "line": "L2" })).await;
    assert_eq!(problem(&edge.issue(&own, &json!({ "id": "u", "order": "A-1" })).await), (409, "order-line"));
    assert_eq!(problem(&edge.get(&own, "/v1/orders/A-1").await), (403, "forbidden"));
    assert_eq!(problem(&edge.ask(&own, "/v1/orders/A-1/close", json!({})).await), (403, "forbidden"));
    assert_eq!(edge.get(&own, "/v1/orders").await, (200, json!({ "orders": [] })), "only one's own line");
    let station = edge.role("station").await;
    assert_eq!(problem(&edge.ask(&station, "/v1/orders", order("A-2", 5)).await), (403, "forbidden"));
}

#[tokio::test]
async fn a_closed_order_takes_no_more_and_leaves_its_evidence() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    for number in ["A-1", "A-2"] {
        assert_eq!(edge.ask(&token, "/v1/orders", order(number, 9)).await.0, 201);
    }
    let first = json!({ "id": "u1", "csr": csr(""), "order": "A-1" });
    assert_eq!(edge.issue(&token, &first).await.0, 201);
    assert_eq!(edge.issue(&token, &json!({ "id": "gw-elsewhere", "order": "A-2" })).await.0, 201);
    let (status, closed) = edge.ask(&token, "/v1/orders/A-1/close", json!({})).await;
    assert_eq!((status, &closed["evidence"]), (200, &json!("evidence/A-1.json")), "{closed}");
    assert!(closed["closed"].is_string() && closed["issued"] == 1, "{closed}");
    let path = edge.dir.path().join("box/evidence/A-1.json");
    let evidence = std::fs::read_to_string(&path).unwrap();
    assert_eq!(evidence.matches("{\"frame\"").count(), 3, "opened, one unit, closed");
    assert!(evidence.contains("order A-1") && !evidence.contains("gw-elsewhere"));
    assert_eq!(
        problem(&edge.issue(&token, &json!({ "id": "u3", "order": "A-1" })).await),
        (409, "order-closed")
    );
    assert_eq!(edge.issue(&token, &first).await.0, 200, "a repeat is answered for ever");
    let seq = edge.seq().await;
    assert_eq!(edge.ask(&token, "/v1/orders/A-1/close", json!({})).await, (200, closed.clone()), "a repeat");
    assert_eq!(edge.seq().await, seq);
    // The power went before the evidence was written: closing again makes up for it, also after a restart.
    std::fs::remove_file(&path).unwrap();
    let edge = edge.restart().await;
    assert_eq!(edge.local(Method::POST, "/orders/A-1/close", Some(json!({}))).await, (200, closed));
    assert!(path.exists());
    let (status, shown) = edge.local(Method::GET, "/orders", None).await;
    assert_eq!((status, shown.as_array().unwrap().len()), (200, 2));
    let (_, page) = edge.get(&token, "/v1/orders?limit=1").await;
    assert_eq!((&page["orders"][0]["order"]["number"], &page["next"]), (&json!("A-1"), &json!("A-1")));
    let (_, page) = edge.get(&token, "/v1/orders?limit=1&after=A-1").await;
    assert_eq!(page["orders"][0]["order"]["number"], "A-2");
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn where_orders_are_required_nothing_new_is_issued_without_one() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let free = json!({ "id": "u1", "csr": csr(""), "line": "L1" });
    assert_eq!(edge.issue(&token, &free).await.0, 201);
    let (dir, admin) = edge.stop().await;
    let edge = Running::start_headed(dir, admin, "orders = 'required'\n");
    assert_eq!(
        problem(&edge.issue(&token, &json!({ "id": "u2", "line": "L1" })).await),
        (422, "order-required")
    );
    assert_eq!(edge.issue(&token, &free).await.0, 200, "what was issued is issued");
    assert_eq!(edge.ask(&token, "/v1/orders", order("A-1", 1)).await.0, 201);
    assert_eq!(edge.issue(&token, &json!({ "id": "u2", "order": "A-1" })).await.0, 201);
}
