//! A box that is never online: bundles go out, receipts come in, replayed, lost and tampered with.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use cloud_sync::{
    CloudEvent, Why,
    courier::{Bundle, Receipt, fingerprint},
};
use edge::{
    EdgeEvent,
    event::{Reconciled, Restored, Window},
};
use keys::{Algorithm, FileKey, SigningKey};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Running, check_rebuild, csr, now, problem, write};
use tempfile::TempDir;

/// The courier's machine.
struct Office {
    key: FileKey,
}

impl Office {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        Self { key: FileKey::create(&dir.path().join("key"), Algorithm::P256).unwrap() }
    }

    fn fingerprint(&self) -> String {
        fingerprint(self.key.public_key_der())
    }

    fn open(&self, made: &Value) -> Bundle {
        Bundle::open(text(made, "text"), text(made, "key"), &self.fingerprint()).unwrap()
    }

    /// A receipt in which all units were accepted but the one called `held`, and `untold` are not named.
    fn receipt(&self, bundle: &Bundle, untold: usize) -> String {
        let outcome = |id: &azure_iot::RegistrationId| match id.as_ref() {
            "held" => {
                let why = Why { code: "conflict".into(), detail: "another certificate".into() };
                CloudEvent::Held { id: id.clone(), epoch: 1, why }
            }
            _ => CloudEvent::Accepted { id: id.clone(), epoch: 1 },
        };
        let told = bundle.jobs.iter().skip(untold).map(|job| outcome(job.id())).collect();
        Receipt::new(&bundle.letter, told, "dps.example", now()).seal(&self.key).unwrap()
    }
}

fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}"))
}

async fn trust(edge: &Running, office: &Office) -> (u16, Value) {
    edge.local(Method::POST, "/courier/trust", Some(json!({ "key": office.fingerprint() }))).await
}

async fn out(edge: &Running) -> (u16, Value) {
    let (status, mut answer) = edge.local(Method::POST, "/courier/out", None).await;
    (status, if status == 200 { answer["bundle"].take() } else { answer })
}

async fn take(edge: &Running, receipt: &str) -> (u16, Value) {
    edge.local(Method::POST, "/courier/in", Some(json!({ "receipt": receipt }))).await
}

/// The books: what waits, is settled, is held.
async fn books(edge: &Running) -> [i64; 3] {
    let (_, status) = edge.local(Method::GET, "/status", None).await;
    assert_eq!(status["books_balance"], true, "{status}");
    let books = &status["cloud"]["books"];
    ["waiting", "settled", "held"].map(|name| books[name].as_i64().unwrap())
}

async fn start(ids: &[&str]) -> (Running, Office) {
    let (edge, office) = (Running::start().await, Office::new());
    assert_eq!(trust(&edge, &office).await.0, 204);
    issue(&edge, ids).await;
    (edge, office)
}

async fn issue(edge: &Running, ids: &[&str]) {
    let token = edge.token(json!({ "name": format!("for-{}", ids.join("-")), "role": "supervisor" })).await;
    for id in ids {
        assert_eq!(edge.issue(&token, &json!({ "id": id, "csr": csr(""), "line": "L1" })).await.0, 201);
    }
}

#[tokio::test]
async fn what_waits_leaves_in_a_bundle_and_is_settled_by_its_receipt() {
    let (edge, office) = start(&["a", "held", "b"]).await;
    let (status, made) = out(&edge).await;
    assert_eq!((status, &made["number"], &made["missing"]), (200, &json!(1), &Value::Null), "{made}");
    let bundle = office.open(&made);
    let ids: Vec<_> = bundle.jobs.iter().map(|job| job.id().to_string()).collect();
    assert_eq!(ids, ["a", "held", "b"], "oldest first");
    assert!(!text(&made, "text").contains("PRIVATE KEY") && !text(&made, "text").contains("claim_code"));
    assert_eq!(books(&edge).await, [3, 0, 0], "a bundle takes nothing away");
    let receipt = office.receipt(&bundle, 0);
    let (status, taken) = take(&edge, &receipt).await;
    assert_eq!((status, &taken["changed"], &taken["repeated"]), (200, &json!(3), &json!(false)), "{taken}");
    assert_eq!(
        (&taken["accepted"], &taken["held"], &taken["dps"]),
        (&json!(2), &json!(1), &json!("dps.example"))
    );
    assert_eq!(books(&edge).await, [0, 2, 1]);
    let seq = edge.seq().await;
    let (status, taken) = take(&edge, &receipt).await;
    assert_eq!((status, &taken["repeated"]), (200, &json!(true)), "{taken}");
    let (status, taken) = take(&edge, &office.receipt(&bundle, 0)).await;
    assert_eq!((status, &taken["repeated"]), (200, &json!(true)), "the same, sealed again: {taken}");
    assert_eq!(out(&edge).await, (200, Value::Null), "nothing waits");
    assert_eq!(edge.seq().await, seq, "nothing was written");
    let edge = edge.restart().await;
    assert_eq!(take(&edge, &receipt).await.1["repeated"], true);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn what_a_receipt_leaves_out_waits_on_and_comes_with_another() {
    let (edge, office) = start(&["a", "b", "c"]).await;
    let bundle = office.open(&out(&edge).await.1);
    let (_, taken) = take(&edge, &office.receipt(&bundle, 2)).await;
    assert_eq!((&taken["changed"], &taken["jobs"]), (&json!(1), &json!(3)), "{taken}");
    assert_eq!(books(&edge).await, [2, 1, 0]);
    // The same bundle, run to its end.
    assert_eq!(take(&edge, &office.receipt(&bundle, 0)).await.1["changed"], 2);
    assert_eq!(books(&edge).await, [0, 3, 0]);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_bundle_or_a_receipt_that_is_lost_is_named_and_loses_nothing() {
    let (edge, office) = start(&["a"]).await;
    let first = office.open(&out(&edge).await.1);
    let (_, second) = out(&edge).await;
    assert_eq!((&second["number"], &second["missing"]), (&json!(2), &json!([1, 1])), "{second}");
    issue(&edge, &["b"]).await;
    let (_, third) = out(&edge).await;
    assert_eq!((&third["jobs"], &third["missing"]), (&json!(2), &json!([1, 2])), "{third}");
    let third = office.open(&third);
    let (_, taken) = take(&edge, &office.receipt(&third, 0)).await;
    assert_eq!((&taken["changed"], &taken["missing"]), (&json!(2), &json!([1, 2])), "{taken}");
    let seq = edge.seq().await;
    for late in [first, office.open(&second)] {
        let late = take(&edge, &office.receipt(&late, 0)).await;
        assert_eq!(problem(&late), (409, "receipt-superseded"), "{late:?}");
    }
    assert_eq!(edge.seq().await, seq, "nothing was written");
    issue(&edge, &["c"]).await;
    let (_, fourth) = out(&edge).await;
    assert_eq!((&fourth["number"], &fourth["missing"]), (&json!(4), &Value::Null), "{fourth}");
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn a_unit_that_has_moved_on_is_left_alone() {
    let (edge, office) = start(&["a", "b"]).await;
    let bundle = office.open(&out(&edge).await.1);
    let token = edge.role("supervisor").await;
    assert_eq!(edge.ask(&token, "/v1/units/a/rework", json!({ "reason": "r" })).await.0, 201);
    // The worker was faster with the other one.
    let edge = edge.told(&[("b", 1)]).await;
    let (_, taken) = take(&edge, &office.receipt(&bundle, 0)).await;
    assert_eq!((&taken["changed"], &taken["repeated"]), (&json!(0), &json!(false)), "{taken}");
    assert_eq!(books(&edge).await, [1, 1, 0], "its second pass waits");
    let next = office.open(&out(&edge).await.1);
    assert_eq!(next.jobs.len(), 1);
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn every_refusal_of_a_courier() {
    let (edge, office, stranger) = (Running::start().await, Office::new(), Office::new());
    let seq = edge.seq().await;
    assert_eq!(problem(&out(&edge).await), (409, "courier-unknown"));
    assert_eq!(problem(&take(&edge, "").await), (409, "courier-unknown"));
    for wrong in ["", "00", &"G".repeat(64)] {
        let asked = edge.local(Method::POST, "/courier/trust", Some(json!({ "key": wrong }))).await;
        assert_eq!(problem(&asked), (422, "courier-key-invalid"));
    }
    assert_eq!(edge.seq().await, seq, "nothing was written");
    assert_eq!(trust(&edge, &office).await.0, 204);
    issue(&edge, &["a"]).await;
    let (_, made) = out(&edge).await;
    let bundle = office.open(&made);
    let seq = edge.seq().await;
    assert_eq!(trust(&edge, &office).await.0, 204, "the same once more");
    let check = async |receipt: &str, expected: (u16, &str)| {
        let refused = take(&edge, receipt).await;
        assert_eq!(problem(&refused), expected, "{refused:?}");
    };
    let good = office.receipt(&bundle, 0);
    check(text(&made, "text"), (422, "receipt-unreadable")).await;
    check(&"x".repeat(5 << 20), (422, "receipt-unreadable")).await;
    check(&good.replace("dps.example", "dps.excmple"), (422, "receipt-tampered")).await;
    check(&good[..good.len() - 1], (422, "receipt-tampered")).await;
    check(&stranger.receipt(&bundle, 0), (422, "receipt-stranger")).await;
    let mut other = bundle.clone();
    other.letter.box_id = "another".into();
    check(&office.receipt(&other, 0), (409, "receipt-foreign")).await;
    let mut other = bundle.clone();
    other.letter.number = 9;
    check(&office.receipt(&other, 0), (404, "receipt-unknown")).await;
    for (generation, instance) in [(2, ""), (1, "i")] {
        let mut other = bundle.clone();
        (other.letter.generation, other.letter.instance) = (generation, instance.into());
        check(&office.receipt(&other, 0), (409, "receipt-generation")).await;
    }
    assert_eq!(edge.seq().await, seq, "nothing was written");
    assert_eq!(books(&edge).await, [1, 0, 0]);
    // Another courier takes over: what the one before brings is not taken any more.
    assert_eq!(trust(&edge, &stranger).await.0, 204);
    check(&good, (422, "receipt-stranger")).await;
    assert_eq!(take(&edge, &stranger.receipt(&bundle, 0)).await.0, 200);
}

#[tokio::test]
async fn a_restored_box_takes_nothing_that_an_earlier_self_has_sent_out() {
    let (edge, office) = start(&["a"]).await;
    let bundle = office.open(&out(&edge).await.1);
    let box_id = bundle.letter.box_id.clone();
    let (dir, admin) = edge.stop().await;
    let instance = "again".to_owned();
    let restored = Restored { box_id, generation: 2, instance: instance.clone(), seq: 9, at: now() };
    write(&dir, EdgeEvent::Restored(restored)).await;
    let edge = Running::start_in(dir, admin);
    assert_eq!(problem(&out(&edge).await), (503, "reconcile-required"));
    assert_eq!(problem(&take(&edge, &office.receipt(&bundle, 0)).await), (503, "reconcile-required"));
    let (dir, admin) = edge.stop().await;
    let window = Window { from: now(), until: now() };
    let accepted_gap = Some("no cloud".to_owned());
    let reconciled =
        Reconciled { generation: 2, instance, seq: 9, missing: None, lost: 0, window, accepted_gap };
    write(&dir, EdgeEvent::Reconciled(reconciled)).await;
    let edge = Running::start_in(dir, admin);
    let refused = take(&edge, &office.receipt(&bundle, 0)).await;
    assert_eq!(problem(&refused), (409, "receipt-generation"), "{refused:?}");
    let next = office.open(&out(&edge).await.1);
    assert_eq!((next.letter.number, next.letter.generation), (2, 2));
    assert_eq!(take(&edge, &office.receipt(&next, 0)).await.1["changed"], 1);
    assert_eq!(books(&edge).await, [0, 1, 0]);
}

#[tokio::test]
async fn a_receipt_tells_a_box_that_it_lives_on_elsewhere() {
    let (edge, office) = start(&["a"]).await;
    let bundle = office.open(&out(&edge).await.1);
    let told = vec![CloudEvent::Superseded { generation: 2 }];
    let receipt = Receipt::new(&bundle.letter, told, "dps.example", now()).seal(&office.key).unwrap();
    assert_eq!(take(&edge, &receipt).await.0, 200);
    assert!(edge.ended().await.unwrap_err().to_string().contains("generation 2"));
}
