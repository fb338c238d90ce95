//! What a person may do about jobs for the cloud: look, have them asked again, hold them, and have nothing sent.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeMap;

use cloud_sync::{CloudEvent, Why};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Running, check_rebuild, csr, write};

/// An appliance with these units, all of them still to be told.
async fn with_units(ids: &[&str]) -> Running {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    for id in ids {
        assert_eq!(edge.issue(&token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await.0, 201);
    }
    edge
}

/// The cloud refuses these.
async fn refused(edge: Running, refused: &[(&str, &str)]) -> Running {
    let (dir, admin) = edge.stop().await;
    for (id, code) in refused {
        let why = Why { code: (*code).to_owned(), detail: "the cloud says no".to_owned() };
        write(&dir, CloudEvent::Held { id: id.parse().unwrap(), epoch: 1, why }.into()).await;
    }
    Running::start_headed(dir, admin, "")
}

async fn ask(edge: &Running, path: &str, body: Value) -> (u16, Value) {
    edge.local(Method::POST, path, Some(body)).await
}

/// Every job that is listed: its id, and what it is held for.
async fn jobs(edge: &Running, query: &str) -> BTreeMap<String, Option<String>> {
    let (status, part) = edge.local(Method::GET, &format!("/queue/jobs?{query}"), None).await;
    assert_eq!(status, 200, "{part}");
    let jobs = part["jobs"].as_array().unwrap().iter();
    jobs.map(|job| (job["id"].as_str().unwrap().to_owned(), job["why"]["code"].as_str().map(str::to_owned)))
        .collect()
}

/// The books; they always balance.
async fn books(edge: &Running) -> (i64, i64) {
    let (_, queue) = edge.local(Method::GET, "/queue", None).await;
    let count = |name: &str| queue["books"][name].as_i64().unwrap();
    let parts = ["settled", "waiting", "held", "superseded"].map(count);
    assert_eq!(count("enqueued"), parts.iter().sum::<i64>(), "{queue}");
    (count("waiting"), count("held"))
}

#[tokio::test]
async fn what_is_held_is_asked_again_by_name_by_reason_or_all_of_it() {
    let edge = with_units(&["a", "b", "c", "d", "e"]).await;
    let edge =
        refused(edge, &[("a", "conflict"), ("b", "conflict"), ("c", "rejected"), ("d", "rejected")]).await;
    assert_eq!(books(&edge).await, (1, 4));
    assert_eq!(jobs(&edge, "state=waiting").await.into_keys().collect::<Vec<_>>(), ["e"]);
    assert_eq!(jobs(&edge, "state=held&code=conflict").await.into_keys().collect::<Vec<_>>(), ["a", "b"]);
    let (_, job) = edge.local(Method::GET, "/queue/jobs/a", None).await;
    assert_eq!(
        [&job["state"], &job["want"], &job["why"]["code"]],
        [&json!("held"), &json!("announce"), &json!("conflict")]
    );

    let (status, changed) = ask(&edge, "/queue/retry", json!({ "ids": ["a", "e", "nobody"] })).await;
    assert_eq!((status, changed), (200, json!({ "changed": 1, "unchanged": ["e", "nobody"] })));
    assert_eq!(books(&edge).await, (2, 3));
    let (_, changed) = ask(&edge, "/queue/retry", json!({ "code": "rejected" })).await;
    assert_eq!(changed["changed"], 2);
    assert_eq!(jobs(&edge, "state=held").await.into_keys().collect::<Vec<_>>(), ["b"]);
    let (_, changed) = ask(&edge, "/queue/retry", json!({ "all": {} })).await;
    assert_eq!(changed["changed"], 1);
    assert_eq!(books(&edge).await, (5, 0));
    let seq = edge.seq().await;
    let (_, changed) = ask(&edge, "/queue/retry", json!({ "all": {} })).await;
    assert_eq!(changed["changed"], 0);
    assert_eq!(edge.seq().await, seq, "where nothing changes nothing is written");
    let (status, _) = edge.local(Method::GET, "/queue/jobs/nobody", None).await;
    assert_eq!(status, 404);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn what_a_person_holds_is_not_sent_and_says_why() {
    let edge = with_units(&["a", "b"]).await;
    let (status, problem) = ask(&edge, "/queue/hold", json!({ "ids": ["a"], "reason": " " })).await;
    assert_eq!((status, problem["code"].as_str()), (422, Some("reason-required")));
    let hold = json!({ "ids": ["a"], "reason": "the customer's audit" });
    assert_eq!(ask(&edge, "/queue/hold", hold.clone()).await.1["changed"], 1);
    assert_eq!(
        ask(&edge, "/queue/hold", hold).await.1,
        json!({ "changed": 0, "unchanged": ["a"] }),
        "it waits no more"
    );
    assert_eq!(jobs(&edge, "state=held").await, BTreeMap::from([("a".into(), Some("asked".into()))]));
    let (_, job) = edge.local(Method::GET, "/queue/jobs/a", None).await;
    assert_eq!(job["why"]["detail"], "the customer's audit");
    let edge = edge.restart().await;
    assert_eq!(books(&edge).await, (1, 1));
    assert_eq!(ask(&edge, "/queue/retry", json!({ "ids": ["a"] })).await.1["changed"], 1);
    assert_eq!(books(&edge).await, (2, 0));
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_long_list_comes_in_parts_and_nothing_is_left_out() {
    let names: Vec<_> = (0..450).map(|n| format!("u{n:03}")).collect();
    let ids: Vec<_> = names.iter().map(String::as_str).collect();
    let edge = with_units(&ids).await;
    let hold = json!({ "ids": ids, "reason": "many" });
    assert_eq!(ask(&edge, "/queue/hold", hold).await.1["changed"], 450);
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let (_, part) = edge.local(Method::GET, &format!("/queue/jobs?state=held{after}"), None).await;
        found.extend(
            part["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = part["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    assert_eq!(found, names);
    assert_eq!(ask(&edge, "/queue/retry", json!({ "code": "asked" })).await.1["changed"], 450);
    assert_eq!(books(&edge).await, (450, 0));
}
