//! Asking for an identity, and asking again: every row of the table, over real TLS and a real disk.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::HashSet;

use serde_json::{Value, json};
use support::{Running, answer, csr, problem};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

#[tokio::test]
async fn a_repeat_gets_the_same_certificate_also_after_a_restart() {
    let edge = Running::start().await;
    let token = edge.role("station").await;
    let request = json!({ "id": "GW-01", "csr": csr("gw-01"), "line": "L1", "station": "bench", "attributes": { "order": 7 } });
    let (status, first) = edge.issue(&token, &request).await;
    assert_eq!((status, &first["id"], &first["epoch"]), (201, &json!("gw-01"), &json!(1)), "{first}");
    assert_eq!(first["cloud"]["state"], "waiting");
    assert!(first.get("private_key").is_none());
    let seq = edge.seq().await;
    let (status, again) = edge.issue(&token, &request).await;
    assert_eq!((status, &again), (200, &first));
    assert_eq!(edge.seq().await, seq, "a repeat writes nothing");
    let edge = edge.restart().await;
    assert_eq!(edge.issue(&token, &request).await, (200, first.clone()));
    let (status, shown) = edge.get(&token, "/v1/units/gw-01").await;
    assert_eq!((status, &shown["certificate"]), (200, &first["certificate"]));
    assert!(shown.get("claim_code").is_none(), "a claim code is in the issuing answer and nowhere else");
}

#[tokio::test]
async fn every_row_of_the_table() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let key = csr("");
    let asked = json!({ "id": "a", "csr": key, "line": "L1", "attributes": { "x": 1 } });
    assert_eq!(edge.issue(&token, &asked).await.0, 201);
    let with = |name: &str, value: Value| {
        let mut asked = asked.clone();
        asked[name] = value;
        asked
    };
    let seq = edge.seq().await;
    assert_eq!(problem(&edge.issue(&token, &with("csr", json!(csr("a")))).await), (409, "unit-exists"));
    assert_eq!(problem(&edge.issue(&token, &with("id", json!("b"))).await), (409, "key-in-use"));
    let differs = edge.issue(&token, &with("line", json!("L2"))).await;
    assert_eq!((problem(&differs), &differs.1["field"]), ((409, "differs"), &json!("line")));
    let differs = edge.issue(&token, &with("attributes", json!({}))).await;
    assert_eq!((problem(&differs), &differs.1["field"]), ((409, "differs"), &json!("attributes")));
    let nameless = json!({ "csr": csr(""), "line": "L1" });
    assert_eq!(problem(&edge.issue(&token, &nameless).await), (400, "idempotency-key-required"));
    assert_eq!(
        problem(&edge.issue(&token, &json!({ "line": "L1" })).await),
        (400, "idempotency-key-required")
    );
    assert_eq!(edge.seq().await, seq, "nothing was written");

    let (status, named) = edge.issue(&token, &json!({ "csr": csr("GW-02"), "line": "L1" })).await;
    assert_eq!((status, &named["id"]), (201, &json!("gw-02")), "the id is the common name, lower-cased");

    let nameless =
        |key: &str, body: Value| answer(edge.post(&token).header("Idempotency-Key", key).json(&body));
    let body = json!({ "csr": csr(""), "line": "L1" });
    let (status, fresh) = nameless("k1", body.clone()).await;
    assert_eq!((status, fresh["id"].as_str().unwrap().len()), (201, 36), "{fresh}");
    assert_eq!(nameless("k1", body).await, (200, fresh));
    assert_eq!(problem(&nameless("k1", json!({ "line": "L2" })).await), (422, "idempotency-key-reused"));
    let (status, made) = nameless("k2", json!({ "line": "L1" })).await;
    assert_eq!(status, 201);
    assert!(made["private_key"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let given = nameless("k2", json!({ "line": "L1" })).await;
    assert_eq!(problem(&given), (409, "key-already-given"));
    assert_eq!(given.1["certificate"], made["certificate"]);
    assert!(given.1.get("private_key").is_none(), "never the key a second time");
}

#[tokio::test]
async fn a_key_that_the_edge_makes_fits_its_certificate_and_is_nowhere_on_its_disk() {
    let edge = Running::start().await;
    let token = edge.role("station").await;
    let response = edge.post(&token).json(&json!({ "id": "a", "line": "L1" })).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let unit: Value = response.json().await.unwrap();
    let key = rcgen::KeyPair::from_pem(unit["private_key"].as_str().unwrap()).unwrap();
    let (_, block) = parse_x509_pem(unit["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let (_, certificate) = X509Certificate::from_der(&block.contents).unwrap();
    assert_eq!(certificate.public_key().raw, rcgen::PublicKeyData::subject_public_key_info(&key));
    // The secret scalar lies at a fixed place in PKCS#8 of a P-256 key.
    let der = key.serialized_der();
    let secret = &der[36..68];
    let base64 = unit["private_key"].as_str().unwrap().lines().nth(1).unwrap().as_bytes().to_vec();
    let edge = edge.restart().await;
    let mut files = vec![edge.dir.path().to_owned()];
    let mut looked_at = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            looked_at += 1;
            for needle in [secret, &base64] {
                assert!(!bytes.windows(needle.len()).any(|at| at == needle), "{}", path.display());
            }
        }
    }
    assert!(looked_at > 8, "the journal and the index were looked at");
}

#[tokio::test]
async fn of_many_at_once_one_wins_and_the_others_get_what_it_got() {
    let edge =
        Running::start_with("limits = { connections_per_address = 128 }", edge::clock::machine()).await;
    let token = edge.role("station").await;
    let request = json!({ "id": "a", "csr": csr("a"), "line": "L1" });
    let upper = json!({ "id": "A", "csr": request["csr"], "line": "L1" });
    let all = (0..64).map(|n| edge.issue(&token, if n % 2 == 0 { &request } else { &upper }));
    let answers = futures_util::future::join_all(all).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == 201).count(), 1);
    assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 63);
    let certificates: HashSet<_> = answers.iter().map(|(_, unit)| unit["certificate"].to_string()).collect();
    assert_eq!(certificates.len(), 1);
}

#[tokio::test]
async fn the_list_goes_through_every_unit_once_in_the_order_of_issue() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    for n in (0..7).rev() {
        assert_eq!(edge.issue(&token, &json!({ "id": format!("u{n}"), "line": "L1" })).await.0, 201);
    }
    let (mut seen, mut path) = (Vec::new(), "/v1/units?limit=3".to_owned());
    loop {
        let (status, page) = edge.get(&token, &path).await;
        assert_eq!(status, 200, "{page}");
        seen.extend(
            page["units"].as_array().unwrap().iter().map(|unit| unit["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/units?limit=3&after={next}");
    }
    assert_eq!(seen, ["u6", "u5", "u4", "u3", "u2", "u1", "u0"]);
}
