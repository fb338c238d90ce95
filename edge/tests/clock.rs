//! An appliance whose clock is wrong, with a clock of the test's own.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use support::{Dial, Running, answer, csr};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

async fn issue(edge: &Running, token: &str, id: &str) -> (u16, Value) {
    edge.issue(token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await
}

#[tokio::test]
async fn while_the_clock_is_wrong_nothing_is_issued_and_then_it_goes_on_by_itself() {
    let dial = Dial::new();
    let edge = Running::start_with("", dial.source()).await;
    let token = edge.role("supervisor").await;
    let repeat = json!({ "id": "a", "csr": csr("a"), "line": "L1" });
    assert_eq!(edge.issue(&token, &repeat).await.0, 201);
    let right = dial.wall();
    let wrong = [
        OffsetDateTime::UNIX_EPOCH,
        right - Duration::days(2),
        right + Duration::days(8),
        right + Duration::days(7305),
        datetime!(2038-01-19 03:14:07 UTC),
    ];
    for (round, wrong) in wrong.into_iter().enumerate() {
        dial.set(wrong);
        let seq = edge.seq().await;
        let request = edge.post(&token).json(&json!({ "id": "b", "csr": csr("b"), "line": "L1" }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503, "{wrong}");
        assert_eq!(response.headers()["retry-after"], "60");
        let body: Value = response.json().await.unwrap();
        assert_eq!((body["code"].as_str(), body["retryable"].as_bool()), (Some("clock-unsafe"), Some(true)));
        assert!(body["detail"].as_str().unwrap().contains("set it"), "{body}");
        assert_eq!(edge.seq().await, seq, "nothing is written");
        assert_eq!(answer(edge.client.get(edge.url("/readyz"))).await.0, 503);
        let (_, status) = edge.get(&token, "/v1/status").await;
        assert_eq!(status["clock"]["state"], "unsafe", "{status}");
        assert_eq!(edge.issue(&token, &repeat).await.0, 200, "what was issued is still told");
        dial.set(right);
        assert_eq!(issue(&edge, &token, &format!("after-{round}")).await.0, 201, "{wrong}");
        assert_eq!(edge.client.get(edge.url("/readyz")).send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn the_highest_time_survives_a_restart_and_a_person_may_set_it_lower() {
    let dial = Dial::new();
    let begin = dial.wall();
    let edge = Running::start_with("", dial.source()).await;
    let token = edge.role("supervisor").await;
    dial.pass(Duration::days(30));
    assert_eq!(issue(&edge, &token, "a").await.0, 201);
    let edge = edge.restart_with("", dial.source()).await;
    dial.set(begin);
    let (_, view) = edge.local(Method::GET, "/clock", None).await;
    assert_eq!(view["state"], "unsafe", "{view}");
    assert_eq!(issue(&edge, &token, "b").await.1["code"], "clock-unsafe");
    let accept = async |reason: &str| {
        edge.local(Method::POST, "/clock/accept", Some(json!({ "reason": reason }))).await
    };
    assert_eq!(accept("  ").await.1["code"], "reason-required");
    dial.set(OffsetDateTime::UNIX_EPOCH);
    assert_eq!(accept("it is 1970").await.1["code"], "clock-before-build");
    dial.set(begin);
    assert_eq!(accept("the date was typed wrong in April").await.0, 200);
    assert_eq!(issue(&edge, &token, "b").await.0, 201);
    let edge = edge.restart_with("", dial.source()).await;
    assert_eq!(issue(&edge, &token, "c").await.0, 201, "the lower floor is on record");
}

#[tokio::test]
async fn by_policy_a_unit_is_issued_with_the_dates_of_its_ca_and_marked() {
    let dial = Dial::new();
    let edge = Running::start_with("clock = \"mark\"", dial.source()).await;
    let token = edge.role("supervisor").await;
    let believed = issue(&edge, &token, "a").await.1;
    dial.set(OffsetDateTime::UNIX_EPOCH + Duration::days(365));
    let (status, marked) = issue(&edge, &token, "b").await;
    assert_eq!(status, 201, "{marked}");
    let (_, pem) = parse_x509_pem(marked["chain"].as_str().unwrap().as_bytes()).unwrap();
    let (_, ca) = X509Certificate::from_der(&pem.contents).unwrap();
    let not_before = OffsetDateTime::parse(marked["not_before"].as_str().unwrap(), &Rfc3339).unwrap();
    assert_eq!(not_before, ca.validity().not_before.to_datetime());
    dial.set(Dial::new().wall());
    assert_eq!(issue(&edge, &token, "c").await.0, 201, "a marked unit does not count for the highest time");
    let folder = edge.dir.path().join("box/ledger/journal");
    let journal: Vec<u8> = std::fs::read_dir(folder)
        .unwrap()
        .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
        .collect();
    let journal = String::from_utf8_lossy(&journal);
    let event = |unit: &Value| {
        let serial = unit["serial"].as_str().unwrap();
        let frame = journal.split("{\"at\":").find(|frame| frame.contains(serial)).unwrap();
        frame.contains("\"clock_unsafe\":true")
    };
    assert!(event(&marked) && !event(&believed));
}

#[tokio::test]
async fn an_end_before_2050_is_in_two_digits_and_a_later_one_in_four() {
    let dial = Dial::new();
    dial.set(datetime!(2029-12-30 12:00 UTC));
    let edge = Running::start_with("profile = { default = { validity = \"20y\" } }", dial.source()).await;
    let token = edge.role("supervisor").await;
    // RFC 5280 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050.
    for (id, year, tag) in [("a", 2049, b"\x17\x0d49"), ("b", 2050, b"\x18\x0f20")] {
        let (status, unit) = issue(&edge, &token, id).await;
        assert_eq!(status, 201, "{unit}");
        assert!(unit["not_after"].as_str().unwrap().starts_with(&year.to_string()), "{unit}");
        let pem = unit["certificate"].as_str().unwrap();
        let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = STANDARD.decode(der).unwrap();
        assert!(der.windows(4).any(|at| at == tag), "{id}");
        dial.pass(Duration::days(4));
    }
}

#[tokio::test]
async fn a_token_that_has_expired_does_not_come_back_with_a_clock_that_is_set_back() {
    let dial = Dial::new();
    let edge = Running::start_with("", dial.source()).await;
    let expires = (dial.wall() + Duration::days(1)).format(&Rfc3339).unwrap();
    let token =
        edge.token(json!({ "name": "short", "role": "station", "line": "L1", "expires": expires })).await;
    assert_eq!(edge.get(&token, "/v1/units").await.0, 200);
    dial.pass(Duration::days(2));
    assert_eq!(edge.get(&token, "/v1/units").await.0, 401);
    dial.set(dial.wall() - Duration::days(3));
    assert_eq!(edge.get(&token, "/v1/units").await.0, 401);
}
