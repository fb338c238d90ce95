//! A unit after its issue: rework, rekey, scrap and its history, over real TLS and a real disk.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};
use support::{Running, check_rebuild, csr, open_ledger, problem, write};
use x509_parser::prelude::{CertificateRevocationList, FromDer};

fn again(csr: &str) -> Value {
    json!({ "csr": csr, "reason": "board swapped" })
}

fn lost() -> Value {
    json!({ "reason": "reply-lost" })
}

async fn kinds(edge: &Running, token: &str, id: &str) -> Vec<String> {
    let (status, page) = edge.get(token, &format!("/v1/units/{id}/events")).await;
    assert_eq!(status, 200, "{page}");
    page["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_reworked_unit_has_a_new_certificate_and_stays_one_unit() {
    let edge = Running::start().await;
    let supervisor = edge.role("supervisor").await;
    let first = json!({ "id": "a", "csr": csr("a"), "line": "L1", "attributes": { "model": "MX" } });
    let (_, issued) = edge.issue(&supervisor, &first).await;
    assert_eq!(edge.issue(&supervisor, &json!({ "id": "b", "csr": csr("b"), "line": "L1" })).await.0, 201);
    let key = csr("a");
    let (status, reworked) = edge.ask(&supervisor, "/v1/units/A/rework", again(&key)).await;
    assert_eq!((status, &reworked["epoch"]), (201, &json!(2)), "{reworked}");
    for name in ["serial", "sha256", "certificate"] {
        assert_ne!(reworked[name], issued[name], "{name}");
    }
    for name in ["id", "line", "attributes", "claim_code"] {
        assert_eq!(reworked[name], issued[name], "{name}");
    }
    assert_eq!(reworked["cloud"]["state"], "waiting");
    let seq = edge.seq().await;
    assert_eq!(edge.ask(&supervisor, "/v1/units/a/rework", again(&key)).await, (200, reworked.clone()));
    assert_eq!(edge.seq().await, seq, "a repeat writes nothing");
    let edge = edge.restart().await;
    assert_eq!(edge.ask(&supervisor, "/v1/units/a/rework", again(&key)).await, (200, reworked.clone()));
    assert_eq!(
        problem(&edge.issue(&supervisor, &first).await),
        (409, "unit-exists"),
        "the first key is history"
    );
    let (_, list) = edge.get(&supervisor, "/v1/units").await;
    let ids: Vec<_> = list["units"].as_array().unwrap().iter().map(|unit| unit["id"].clone()).collect();
    assert_eq!(ids, ["a", "b"], "one unit, in its first place");
    assert_eq!(list["units"][0]["epoch"], 2);
    let (_, board) = edge.get(&supervisor, "/v1/status").await;
    assert_eq!(
        (&board["lines"][0]["issued"], &board["lines"][0]["today"]),
        (&json!(2), &json!(2)),
        "{board}"
    );
    let books = &board["cloud"]["books"];
    assert_eq!(
        (&books["enqueued"], &books["waiting"], &books["superseded"]),
        (&json!(3), &json!(2), &json!(1)),
        "the announcement gave way to the replacement"
    );
    let made = json!({ "reason": "again" });
    let (status, third) = edge.ask(&supervisor, "/v1/units/a/rework", made).await;
    assert_eq!((status, &third["epoch"]), (201, &json!(3)));
    assert!(third["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn every_refusal_of_a_rework() {
    let edge = Running::start().await;
    let (supervisor, station) = (edge.role("supervisor").await, edge.role("station").await);
    let (a, b) = (csr(""), csr(""));
    for (id, csr) in [("a", &a), ("b", &b)] {
        assert_eq!(edge.issue(&supervisor, &json!({ "id": id, "csr": csr, "line": "L1" })).await.0, 201);
    }
    let other_line = edge.token(json!({ "name": "s2", "role": "supervisor", "line": "L2" })).await;
    let rework = async |body: Value| edge.ask(&supervisor, "/v1/units/a/rework", body).await;
    let seq = edge.seq().await;
    assert_eq!(problem(&rework(json!({ "csr": csr("a") })).await), (422, "reason-required"));
    assert_eq!(problem(&rework(json!({ "csr": csr("a"), "reason": "  " })).await), (422, "reason-required"));
    let long = "x".repeat(501);
    assert_eq!(problem(&rework(json!({ "reason": long })).await), (422, "reason-too-long"));
    assert_eq!(problem(&rework(json!({ "reason": "r", "more": 1 })).await), (422, "json-unexpected"));
    assert_eq!(problem(&rework(json!({ "reason": "r", "csr": "x" })).await), (422, "csr-malformed"));
    assert_eq!(problem(&rework(again(&csr("z"))).await), (422, "csr-cn-differs"));
    assert_eq!(problem(&rework(again(&a)).await), (409, "key-unchanged"));
    assert_eq!(problem(&rework(again(&b)).await), (409, "key-in-use"));
    let unknown = edge.ask(&supervisor, "/v1/units/nobody/rework", again(&csr(""))).await;
    assert_eq!(problem(&unknown), (404, "unit-unknown"));
    let refused = edge.ask(&station, "/v1/units/a/rework", again(&csr(""))).await;
    assert_eq!(problem(&refused), (403, "forbidden"));
    let refused = edge.ask(&other_line, "/v1/units/a/rework", again(&csr(""))).await;
    assert_eq!(problem(&refused), (404, "unit-unknown"));
    assert_eq!(edge.seq().await, seq, "nothing was written");
    // Also a key of a pass that is over.
    assert_eq!(rework(again(&csr(""))).await.0, 201);
    assert_eq!(problem(&rework(again(&a)).await), (409, "key-unchanged"));
}

#[tokio::test]
async fn of_many_reworks_at_once_every_one_is_a_pass_of_its_own_or_is_told_to_look_again() {
    let edge = Running::start_ending("[limits]\nconnections_per_address = 128\n").await;
    let token = edge.role("supervisor").await;
    edge.issue(&token, &json!({ "id": "a", "csr": csr("a"), "line": "L1" })).await;
    let same = again(&csr("a"));
    let all = (0..32).map(|_| edge.ask(&token, "/v1/units/a/rework", same.clone()));
    let answers = futures_util::future::join_all(all).await;
    let count = |wanted: u16| answers.iter().filter(|(status, _)| *status == wanted).count();
    assert_eq!((count(201), count(200)), (1, 31), "one key, one pass");
    let different = (0..16).map(|_| edge.ask(&token, "/v1/units/a/rework", json!({ "reason": "r" })));
    let answers = futures_util::future::join_all(different).await;
    let mut epochs = HashSet::new();
    for (status, body) in &answers {
        match status {
            201 => assert!(epochs.insert(body["epoch"].as_u64().unwrap()), "an epoch was given twice"),
            _ => assert_eq!(problem(&(*status, body.clone())), (409, "unit-changed")),
        }
    }
    assert!(!epochs.is_empty());
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_lost_reply_is_made_up_for_by_the_station_that_asked_until_the_unit_is_announced() {
    let edge = Running::start().await;
    let token =
        |name: &str, line: &str| json!({ "name": name, "role": "station", "line": line, "station": name });
    let (bench, other) = (edge.token(token("bench", "L1")).await, edge.token(token("other", "L1")).await);
    let stranger = edge.token(token("far", "L2")).await;
    let (status, first) = edge.issue(&bench, &json!({ "id": "a" })).await;
    assert_eq!(status, 201);
    let given = edge.issue(&bench, &json!({ "id": "a" })).await;
    assert_eq!(problem(&given), (409, "key-already-given"));
    let rekey = async |token: &str, body: Value| edge.ask(token, "/v1/units/a/rekey", body).await;
    assert_eq!(problem(&rekey(&bench, json!({ "reason": "bored" })).await), (422, "reason-unknown"));
    assert_eq!(problem(&rekey(&other, lost()).await), (403, "forbidden"));
    assert_eq!(problem(&rekey(&stranger, lost()).await), (404, "unit-unknown"));
    let (status, second) = rekey(&bench, lost()).await;
    assert_eq!((status, &second["epoch"]), (201, &json!(2)), "{second}");
    assert_ne!(second["private_key"], first["private_key"]);
    assert_eq!(second["claim_code"], first["claim_code"], "the label stays");
    let supervisor = edge.role("supervisor").await;
    assert_eq!(kinds(&edge, &supervisor, "a").await, ["issued", "rekeyed"]);
    let edge = edge.told(&[("a", 1), ("a", 2)]).await;
    let late = edge.ask(&bench, "/v1/units/a/rekey", lost()).await;
    assert_eq!(problem(&late), (409, "rekey-too-late"));
    assert!(late.1["detail"].as_str().unwrap().contains("/v1/units/a/rework"), "{}", late.1);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_scrapped_unit_is_the_end_of_its_id_and_its_key() {
    let edge = Running::start().await;
    let (supervisor, quality) = (edge.role("supervisor").await, edge.role("quality").await);
    let key = csr("");
    let asked = json!({ "id": "a", "csr": key, "line": "L1" });
    assert_eq!(edge.issue(&supervisor, &asked).await.0, 201);
    let scrap =
        async |id: &str, body: Value| edge.ask(&quality, &format!("/v1/units/{id}/scrap"), body).await;
    assert_eq!(problem(&scrap("a", json!({})).await), (422, "reason-required"));
    assert_eq!(problem(&scrap("nobody", json!({ "reason": "burnt" })).await), (404, "unit-unknown"));
    let (status, scrapped) = scrap("a", json!({ "reason": "burnt" })).await;
    assert_eq!((status, &scrapped["scrapped"]), (200, &json!(true)), "{scrapped}");
    let seq = edge.seq().await;
    assert_eq!(scrap("a", json!({ "reason": "burnt" })).await, (200, scrapped), "a repeat");
    let edge = edge.restart().await;
    assert_eq!(problem(&edge.issue(&supervisor, &asked).await), (409, "unit-scrapped"));
    let other_key = json!({ "id": "A", "csr": csr(""), "line": "L1" });
    assert_eq!(problem(&edge.issue(&supervisor, &other_key).await), (409, "unit-scrapped"));
    let other_id = json!({ "id": "b", "csr": key, "line": "L1" });
    assert_eq!(problem(&edge.issue(&supervisor, &other_id).await), (409, "key-in-use"));
    for way in ["rework", "rekey"] {
        let body = if way == "rekey" { lost() } else { again(&csr("")) };
        let refused = edge.ask(&supervisor, &format!("/v1/units/a/{way}"), body).await;
        assert_eq!(problem(&refused), (409, "unit-scrapped"), "{way}");
    }
    assert!(edge.seq().await >= seq);
    assert_eq!(kinds(&edge, &supervisor, "a").await, ["issued", "scrapped"]);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_history_is_told_in_order_page_by_page_and_gives_no_secret_away() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    edge.issue(&token, &json!({ "id": "a", "csr": csr(""), "line": "L1", "station": "bench" })).await;
    edge.issue(&token, &json!({ "id": "b", "csr": csr(""), "line": "L1" })).await;
    assert_eq!(kinds(&edge, &token, "b").await, ["issued"]);
    let edge = edge.told(&[("a", 1), ("b", 1)]).await;
    assert_eq!(edge.ask(&token, "/v1/units/a/rework", again(&csr(""))).await.0, 201);
    let edge = edge.told(&[("a", 2)]).await;
    assert_eq!(edge.ask(&token, "/v1/units/a/scrap", json!({ "reason": "burnt" })).await.0, 200);
    let expected = ["issued", "in-cloud", "reworked", "in-cloud", "scrapped"];
    assert_eq!(kinds(&edge, &token, "a").await, expected);
    let (mut seen, mut path) = (Vec::new(), "/v1/units/a/events?limit=2".to_owned());
    loop {
        let (status, page) = edge.get(&token, &path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_u64() else { break };
        path = format!("/v1/units/a/events?limit=2&after={next}");
    }
    let told: Vec<_> = seen.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(told, expected);
    let seqs: Vec<_> = seen.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted(), "{seqs:?}");
    let actors: Vec<_> = seen.iter().map(|event| event["actor"].as_str().unwrap()).collect();
    assert_eq!(actors, ["token:supervisor", "sync", "token:supervisor", "sync", "token:supervisor"]);
    assert_eq!(seen[2]["details"]["reason"], "board swapped");
    assert_eq!(
        (&seen[4]["details"]["reason"], &seen[0]["details"]["station"]),
        (&json!("burnt"), &json!("bench"))
    );
    let text = json!(seen).to_string();
    assert!(!text.contains("salt") && !text.contains("certificate\""), "{text}");
    assert_eq!(problem(&edge.get(&token, "/v1/units/nobody/events").await), (404, "unit-unknown"));
    assert_eq!(problem(&edge.get(&token, "/v1/units/a/events?from=1").await), (400, "query-unexpected"));
    let (dir, _) = edge.stop().await;
    check_rebuild(&dir).await;
    let ledger = open_ledger(&dir);
    let books = cloud_sync::books::balance(&ledger).unwrap();
    assert!(books.balance() && books.enqueued == 4 && books.waiting == 1, "{books:?}");
    ledger.close().await;
}

#[tokio::test]
async fn a_renewal_that_an_earlier_version_wrote_down_is_part_of_the_history() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let (_, first) = edge.issue(&token, &json!({ "id": "a", "csr": csr(""), "line": "L1" })).await;
    let issuer = edge.issuer();
    let (dir, admin) = edge.stop().await;
    let renewal = serde_json::from_value(json!({ "unit_issued": {
        "id": "a", "epoch": 2, "line": "L1", "key_sha256": "ab", "key_origin": "csr", "serial": "0102", "sha256": "CD",
        "not_before": first["not_before"], "not_after": first["not_after"], "certificate": "", "issuer_sha256": issuer,
        "claim": { "generation": 1, "salt": "", "sha256": "" }, "scope": "*",
        "issued_by": { "box": "box", "generation": 1 },
    } }));
    write(&dir, renewal.unwrap()).await;
    let edge = Running::start_in(dir, admin);
    assert_eq!(edge.ask(&token, "/v1/units/a/rework", again(&csr(""))).await.0, 201);
    assert_eq!(kinds(&edge, &token, "a").await, ["issued", "renewed", "reworked"]);
    let edge = edge.told(&[("a", 3)]).await;
    let list = edge.crl("", |list| list.iter_revoked_certificates().count() == 2).await;
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    let serials: HashSet<_> =
        list.iter_revoked_certificates().map(|revoked| hex::encode(revoked.raw_serial())).collect();
    assert_eq!(serials, ["0102", first["serial"].as_str().unwrap()].map(str::to_owned).into());
    check_rebuild(&edge.stop().await.0).await;
}
