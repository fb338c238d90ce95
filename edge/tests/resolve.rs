//! What a person decides about a job that is held, where no cloud answers, and what follows from it here. With a cloud it is
//! in `journeys/tests/queue.rs`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;

use cloud_sync::{CloudEvent, Resolution, Why};
use rcgen::KeyPair;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use support::{Running, answer, check_rebuild, csr, csr_for, problem, write};

/// A cloud that refuses every connection.
const AWAY: &str = "connect_to = \"127.0.0.1:9\"\nfirst_delay = \"1s\"\n";

fn held(id: &str, epoch: u32, code: &str) -> CloudEvent {
    let why = Why { code: code.to_owned(), detail: "the cloud says no".to_owned() };
    CloudEvent::Held { id: id.parse().unwrap(), epoch, why }
}

/// An appliance with the units `a`, which the cloud refuses, and `b`, which waits; `cloud` is its section `[cloud]`, if it
/// has one.
async fn with_held(cloud: Option<&str>) -> Running {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    for id in ["a", "b"] {
        assert_eq!(edge.issue(&token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await.0, 201);
    }
    let (dir, admin) = edge.stop().await;
    write(&dir, held("a", 1, "conflict").into()).await;
    let credential = dir.path().join("cloud");
    fs::write(&credential, "HostName=dps.example;SharedAccessKeyName=edge;SharedAccessKey=AAAA").unwrap();
    let section = cloud.map(|cloud| format!("[cloud]\nconnection_string_file = {credential:?}\n{cloud}"));
    Running::start_headed(dir, admin, &section.unwrap_or_default())
}

async fn job(edge: &Running, id: &str) -> Value {
    let (status, job) = edge.local(Method::GET, &format!("/queue/jobs/{id}"), None).await;
    assert_eq!(status, 200, "{job}");
    job
}

async fn decide(edge: &Running, id: &str, body: Value) -> (u16, Value) {
    edge.local(Method::POST, &format!("/queue/jobs/{id}/resolve"), Some(body)).await
}

fn replace(etag: &str) -> Value {
    json!({ "decision": "replace-cloud", "etag": etag, "reason": "compared" })
}

fn keep() -> Value {
    json!({ "decision": "keep-cloud", "reason": "compared" })
}

async fn books(edge: &Running) -> [i64; 3] {
    let (_, queue) = edge.local(Method::GET, "/queue", None).await;
    let count = |name: &str| queue["books"][name].as_i64().unwrap();
    let parts = ["settled", "waiting", "held", "superseded"].map(count);
    assert_eq!(count("enqueued"), parts.iter().sum::<i64>(), "{queue}");
    ["settled", "waiting", "held"].map(count)
}

#[tokio::test]
async fn a_decision_says_why_about_what_and_is_taken_only_where_something_is_held() {
    let edge = with_held(Some(AWAY)).await;
    let seq = edge.seq().await;
    for (id, body, expected) in [
        ("a", json!({ "decision": "keep-cloud" }), (422, "reason-required")),
        ("a", json!({ "decision": "replace-cloud", "reason": " ", "etag": "e" }), (422, "reason-required")),
        ("a", json!({ "decision": "replace-cloud", "reason": "compared" }), (422, "etag-required")),
        ("a", replace(" "), (422, "etag-required")),
        ("b", keep(), (409, "job-not-held")),
        ("b", replace("e"), (409, "job-not-held")),
        ("nobody", keep(), (404, "unit-unknown")),
    ] {
        let refused = decide(&edge, id, body.clone()).await;
        assert_eq!(problem(&refused), expected, "{id} {body}");
    }
    assert!(decide(&edge, "b", keep()).await.1["detail"].as_str().unwrap().contains("is waiting"));
    assert_eq!(decide(&edge, "a", json!({ "decision": "delete", "reason": "x" })).await.0, 422);
    assert_eq!(edge.seq().await, seq, "where nothing is decided nothing is written");
}

#[tokio::test]
async fn without_a_cloud_there_is_nothing_to_compare_and_the_rest_is_shown() {
    let edge = with_held(None).await;
    let shown = job(&edge, "a").await;
    assert_eq!([&shown["state"], &shown["why"]["code"]], [&json!("held"), &json!("conflict")]);
    let comparison = &shown["comparison"];
    assert_eq!([&comparison["cloud"]["answer"], &comparison["cloud"]["code"]], ["unknown", "no-cloud"]);
    assert_eq!(comparison["ours"]["epoch"], 1);
    assert!(job(&edge, "b").await.get("comparison").is_none(), "nothing is asked about what waits");
    for body in [keep(), replace("e")] {
        assert_eq!(problem(&decide(&edge, "a", body).await), (409, "no-cloud"));
    }
}

#[tokio::test]
async fn nothing_is_revoked_while_the_cloud_does_not_say_what_it_has() {
    let edge = with_held(Some(AWAY)).await;
    let shown = job(&edge, "a").await;
    let cloud = &shown["comparison"]["cloud"];
    assert_eq!([&cloud["answer"], &cloud["code"]], ["unknown", "link-refused"], "{shown}");
    assert_eq!(problem(&decide(&edge, "a", keep()).await), (503, "cloud-unreachable"));
    assert_eq!(books(&edge).await, [0, 1, 1]);
}

#[tokio::test]
async fn a_decision_to_replace_is_kept_until_the_cloud_answers_and_ends_with_the_next_hold() {
    let edge = with_held(Some(AWAY)).await;
    let (status, decided) = decide(&edge, "a", replace("\"e1\"")).await;
    assert_eq!(status, 200, "{decided}");
    let found = [&decided["state"], &decided["want"], &decided["etag"]];
    assert_eq!(found, ["waiting", "replace", "\"e1\""], "an announcement never writes to an enrollment");
    assert!(decided.get("revoked").is_none());
    assert_eq!(books(&edge).await, [0, 2, 0]);
    let edge = edge.restart().await;
    assert_eq!(job(&edge, "a").await["etag"], "\"e1\"");
    let hold = json!({ "ids": ["a"], "reason": "look again" });
    assert_eq!(edge.local(Method::POST, "/queue/hold", Some(hold)).await.1["changed"], 1);
    edge.local(Method::POST, "/queue/retry", Some(json!({ "ids": ["a"] }))).await;
    let again = job(&edge, "a").await;
    assert_eq!(again["state"], "waiting");
    assert!(again.get("etag").is_none(), "an old decision is not asked again: {again}");
    assert_eq!(books(&edge).await, [0, 2, 0]);

    let (_, history) = edge.get(&edge.role("quality").await, "/v1/units/a/events").await;
    let events = history["events"].as_array().unwrap();
    let decision = events.iter().find(|event| event["kind"] == "decided").unwrap();
    assert_eq!(decision["details"]["reason"], "compared");
    assert_eq!(decision["details"]["decision"]["replace_cloud"]["etag"], "\"e1\"");
    assert!(decision["actor"].as_str().unwrap().starts_with("uid:"));
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn supervisors_decide_over_https_and_only_about_their_line() {
    let edge = with_held(Some(AWAY)).await;
    let token = |name: &str, line: &str| json!({ "name": name, "role": "supervisor", "line": line });
    let (own, other) = (edge.token(token("own", "L1")).await, edge.token(token("other", "L2")).await);
    let path = "/v1/queue/jobs/a/resolve";
    assert_eq!(problem(&edge.ask(&other, path, replace("e1")).await), (404, "unit-unknown"));
    assert_eq!(problem(&edge.get(&other, "/v1/queue/jobs/a").await), (404, "unit-unknown"));
    assert_eq!(edge.get(&own, "/v1/queue/jobs/a").await.1["comparison"]["cloud"]["answer"], "unknown");
    let (status, decided) = edge.ask(&own, path, replace("e1")).await;
    assert_eq!((status, &decided["state"]), (200, &json!("waiting")));
    assert_eq!(problem(&edge.ask(&own, path, replace("e1")).await), (409, "job-not-held"));
    let (_, history) = edge.get(&own, "/v1/units/a/events").await;
    let decision = history["events"].as_array().unwrap().iter().find(|event| event["kind"] == "decided");
    assert_eq!(decision.unwrap()["actor"], "token:own");
}

#[tokio::test]
async fn of_two_decisions_at_the_same_time_one_is_taken() {
    let edge = with_held(Some(AWAY)).await;
    let (first, second) = tokio::join!(decide(&edge, "a", replace("e1")), decide(&edge, "a", replace("e2")));
    let mut statuses = [first.0, second.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{first:?} {second:?}");
    let taken = if first.0 == 200 { "e1" } else { "e2" };
    assert_eq!(job(&edge, "a").await["etag"], taken);
}

#[tokio::test]
async fn a_box_that_was_restored_decides_nothing_before_it_has_looked_around() {
    let edge = with_held(Some(AWAY)).await;
    let (_, status) = edge.local(Method::GET, "/status", None).await;
    let restored = json!({ "restored": {
        "box_id": status["box"], "generation": 2, "instance": "i", "seq": status["seq"], "at": status["now"],
    } });
    let credential = edge.dir.path().join("cloud");
    let (dir, admin) = edge.stop().await;
    write(&dir, serde_json::from_value(restored).unwrap()).await;
    let section = format!("[cloud]\nconnection_string_file = {credential:?}\n{AWAY}");
    let edge = Running::start_headed(dir, admin, &section);
    assert_eq!(problem(&decide(&edge, "a", replace("e1")).await), (503, "reconcile-required"));
    assert_eq!(books(&edge).await, [0, 1, 1]);
}

/// Asks for a renewal, as a device.
async fn renew(edge: &Running, client: &Client, key: &KeyPair) -> (u16, Value) {
    let pem = csr_for(key, "device", |_| {});
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let post = client.post(edge.url("/.well-known/est/simplereenroll"));
    answer(post.header("content-type", "application/pkcs10").body(base64)).await
}

#[tokio::test]
async fn a_certificate_that_the_cloud_does_not_keep_is_revoked_and_good_for_nothing() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let key = KeyPair::generate().unwrap();
    let request = csr_for(&key, "device", |_| {});
    let (_, unit) = edge.issue(&token, &json!({ "id": "device", "csr": request, "line": "L1" })).await;
    let text = |name: &str| unit[name].as_str().unwrap().to_owned();
    let (serial, certificate) = (text("serial"), text("certificate"));
    let retired = json!({
        "epoch": 1, "serial": serial, "sha256": unit["sha256"], "not_after": unit["not_after"],
        "issuer_sha256": edge.issuer(),
    });
    let (dir, admin) = edge.stop().await;
    write(&dir, held("device", 1, "conflict").into()).await;
    let (id, reason) = ("device".parse().unwrap(), "compared".to_owned());
    let resolution = Resolution::KeepCloud { sha256: Some("AB".repeat(32)) };
    write(&dir, CloudEvent::Resolved { id, epoch: 1, resolution, reason }.into()).await;
    let revoked = json!({ "certificate_revoked": { "id": "device", "retired": retired } });
    write(&dir, serde_json::from_value(revoked).unwrap()).await;
    let edge = Running::start_in(dir, admin);
    assert_eq!(books(&edge).await, [1, 0, 0]);

    edge.crl("", |list| {
        list.iter_revoked_certificates().any(|entry| hex::encode(entry.raw_serial()) == serial)
    })
    .await;
    assert_eq!(edge.get(&token, "/v1/units/device").await.1["revoked"], true);
    let client = edge.client_with(&certificate, &key.serialize_pem());
    let next = KeyPair::generate().unwrap();
    let (status, _) = renew(&edge, &client, &next).await;
    assert_eq!(status, 403, "it renews nothing");

    let rework = json!({ "reason": "compared", "csr": csr("device") });
    assert_eq!(edge.ask(&token, "/v1/units/device/rework", rework).await.0, 201);
    let (_, unit) = edge.get(&token, "/v1/units/device").await;
    assert_eq!((&unit["epoch"], unit.get("revoked")), (&json!(2), None), "the new one is good");
    check_rebuild(&edge.stop().await.0).await;
}
