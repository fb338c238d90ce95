//! The list of revoked certificates: what is on it, since when, and for how long.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::{collections::HashMap, fs};

use edge::EdgeEvent;
use serde_json::{Value, json};
use support::{Dial, Running, csr, now, problem, write};
use time::{Duration, OffsetDateTime, macros::datetime};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{CertificateRevocationList, FromDer, X509Certificate},
    x509::ReasonCode,
};

/// The list of the issuing CA at work, once it satisfies `wanted`.
async fn list(edge: &Running, wanted: impl Fn(&CertificateRevocationList<'_>) -> bool) -> Vec<u8> {
    edge.crl("", wanted).await
}

fn serials(list: &CertificateRevocationList<'_>) -> Vec<String> {
    let mut found: Vec<_> =
        list.iter_revoked_certificates().map(|entry| hex::encode(entry.raw_serial())).collect();
    found.sort();
    found
}

fn number(list: &[u8]) -> String {
    let (_, list) = CertificateRevocationList::from_der(list).unwrap();
    format!("{:0>40}", list.crl_number().unwrap().to_str_radix(16))
}

fn serial(unit: &Value) -> String {
    unit["serial"].as_str().unwrap().to_owned()
}

fn sorted(serials: &[&Value]) -> Vec<String> {
    let mut serials: Vec<_> = serials.iter().map(|unit| serial(unit)).collect();
    serials.sort();
    serials
}

#[tokio::test]
async fn what_was_scrapped_is_on_it_at_once_and_what_was_reworked_when_the_cloud_carries_the_new_one() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let mut units = Vec::new();
    for id in ["alive", "reworked", "scrapped"] {
        units.push(edge.issue(&token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await.1);
    }
    let empty = list(&edge, |list| list.iter_revoked_certificates().count() == 0).await;
    let edge = edge.told(&[("reworked", 1)]).await;
    let again = json!({ "csr": csr("reworked"), "reason": "board swapped" });
    let (_, second) = edge.ask(&token, "/v1/units/reworked/rework", again).await;
    assert_eq!(edge.ask(&token, "/v1/units/scrapped/scrap", json!({ "reason": "burnt" })).await.0, 200);
    let expected = sorted(&[&units[2]]);
    let before = list(&edge, |list| serials(list) == expected).await;
    // The first certificate of a reworked unit is good until the cloud carries the second one.
    let edge = edge.told(&[("reworked", 2)]).await;
    let expected = sorted(&[&units[1], &units[2]]);
    let after = list(&edge, |list| serials(list) == expected).await;
    assert!(number(&empty) < number(&before) && number(&before) < number(&after), "numbers only rise");

    let issuing = fs::read(edge.dir.path().join("box/issuing.pem")).unwrap();
    let (_, issuing) = parse_x509_pem(&issuing).unwrap();
    let (_, issuing) = X509Certificate::from_der(&issuing.contents).unwrap();
    let (_, signed) = CertificateRevocationList::from_der(&after).unwrap();
    signed.verify_signature(issuing.public_key()).unwrap();
    assert_eq!(signed.issuer(), issuing.subject());
    let reasons = signed
        .iter_revoked_certificates()
        .map(|entry| (hex::encode(entry.raw_serial()), entry.reason_code().unwrap().1));
    let reasons: HashMap<_, _> = reasons.collect();
    assert_eq!(reasons[&serial(&units[1])], ReasonCode::Superseded);
    assert_eq!(reasons[&serial(&units[2])], ReasonCode::CessationOfOperation);
    assert_ne!(serial(&second), serial(&units[1]));
}

#[tokio::test]
async fn a_rekey_revokes_what_was_lost_at_once_and_everybody_may_read_the_list() {
    let edge = Running::start().await;
    let token = edge.role("station").await;
    let (_, first) = edge.issue(&token, &json!({ "id": "a", "line": "L1" })).await;
    let (status, _) = edge.ask(&token, "/v1/units/a/rekey", json!({ "reason": "reply-lost" })).await;
    assert_eq!(status, 201);
    let expected = sorted(&[&first]);
    let listed = list(&edge, |list| serials(list) == expected).await;
    let (_, parsed) = CertificateRevocationList::from_der(&listed).unwrap();
    let (from, until) = (parsed.last_update().to_datetime(), parsed.next_update().unwrap().to_datetime());
    assert_eq!(until - from, Duration::days(7));
}

#[tokio::test]
async fn a_list_is_never_dated_by_a_clock_that_is_not_believed() {
    let dial = Dial::new();
    let edge = Running::start_with("", dial.source()).await;
    let token = edge.role("supervisor").await;
    let right = dial.wall();
    let mut scrapped = Vec::new();
    let clocks = [right + Duration::days(7305), OffsetDateTime::UNIX_EPOCH, right];
    for (n, clock) in clocks.into_iter().enumerate() {
        dial.set(right);
        let id = format!("u{n}");
        let (status, unit) = edge.issue(&token, &json!({ "id": id, "csr": csr(&id), "line": "L1" })).await;
        assert_eq!(status, 201, "{unit}");
        dial.set(clock);
        let scrap = edge.ask(&token, &format!("/v1/units/{id}/scrap"), json!({ "reason": "burnt" })).await;
        assert_eq!(scrap.0, 200, "{clock}: a scrapped unit is scrapped, whatever the clock says");
        scrapped.push(unit);
        let expected = sorted(&scrapped.iter().collect::<Vec<_>>());
        let listed = list(&edge, |list| serials(list) == expected).await;
        let (_, parsed) = CertificateRevocationList::from_der(&listed).unwrap();
        let dated = parsed.last_update().to_datetime();
        assert!((dated - right).abs() < Duration::HOUR, "by a clock at {clock} a list is of {dated}");
    }
}

#[tokio::test]
async fn a_certificate_leaves_the_list_one_term_after_its_end_and_another_authority_is_not_spoken_for() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let (_, unit) = edge.issue(&token, &json!({ "id": "now", "csr": csr(""), "line": "L1" })).await;
    let issuer = edge.issuer();
    list(&edge, |_| true).await;
    let (dir, admin) = edge.stop().await;
    let today = now();
    let rows = [
        ("aa01", today - Duration::days(6), issuer.as_str(), true),
        ("aa02", today - Duration::days(8), issuer.as_str(), false),
        ("aa03", datetime!(9999-12-31 23:59:59 UTC), issuer.as_str(), true),
        ("aa04", datetime!(9999-12-31 23:59:59 UTC), "another", false),
    ];
    for (serial, not_after, issuer_sha256, _) in rows {
        let not_after = not_after.format(&time::format_description::well_known::Rfc3339).unwrap();
        let event: EdgeEvent = serde_json::from_value(json!({ "unit_scrapped": {
            "id": serial, "epoch": 2, "reason": "old", "certificate": "", "sha256": "AB",
            "retired": [{ "epoch": 1, "serial": serial, "sha256": "AB", "not_after": not_after,
                          "issuer_sha256": issuer_sha256 }],
            "claim": { "generation": 1, "salt": "", "sha256": "" },
            "issued_by": { "box": "box", "generation": 1 },
        } }))
        .unwrap();
        write(&dir, event).await;
    }
    let edge = Running::start_in(dir, admin);
    let expected: Vec<_> = rows.iter().filter(|row| row.3).map(|row| row.0.to_owned()).collect();
    let listed = list(&edge, |_| true).await;
    let (_, parsed) = CertificateRevocationList::from_der(&listed).unwrap();
    // A serial number is positive, so DER puts a zero in front of these.
    let found: Vec<_> =
        serials(&parsed).iter().map(|serial| serial.trim_start_matches("00").to_owned()).collect();
    assert_eq!(found, expected, "{unit}");
}

/// The certificate in this file of the state folder, DER.
fn certificate_in(edge: &Running, file: &str) -> Vec<u8> {
    let pem = fs::read(edge.dir.path().join("box").join(file)).unwrap();
    parse_x509_pem(&pem).unwrap().1.contents
}

/// Whether the CA of that file has signed the list.
fn signed_by(list: &[u8], edge: &Running, file: &str) -> bool {
    let der = certificate_in(edge, file);
    let (_, ca) = X509Certificate::from_der(&der).unwrap();
    let (_, list) = CertificateRevocationList::from_der(list).unwrap();
    list.verify_signature(ca.public_key()).is_ok()
}

#[tokio::test]
async fn an_issuing_ca_that_gave_way_goes_on_speaking_for_what_it_has_signed() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let issue = async |edge: &Running, id: &str| {
        edge.issue(&token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await.1
    };
    let first = issue(&edge, "first").await;
    let issuer = edge.issuer();
    let name = format!("issuing-{}", &issuer[..16]);
    let of_former = format!("/{}", &issuer[..16]);
    let before = edge.crl(&of_former, |list| serials(list).is_empty()).await;
    assert_eq!(before, edge.crl("", |_| true).await, "the one at work has both addresses");
    edge.rotate().await;
    assert_ne!(edge.issuer(), issuer);
    let second = issue(&edge, "second").await;
    for id in ["first", "second"] {
        let scrap = format!("/v1/units/{id}/scrap");
        assert_eq!(edge.ask(&token, &scrap, json!({ "reason": "burnt" })).await.0, 200);
    }
    let former = edge.crl(&of_former, |list| serials(list) == sorted(&[&first])).await;
    let present = edge.crl("", |list| serials(list) == sorted(&[&second])).await;
    let files = ("issuing.pem", format!("{name}.pem"));
    assert!(signed_by(&former, &edge, &files.1) && !signed_by(&former, &edge, files.0));
    assert!(signed_by(&present, &edge, files.0) && !signed_by(&present, &edge, &files.1));
    assert!(number(&before) < number(&former), "its numbers go on rising");
    for unknown in ["/0123456789abcdef", &of_former[..9], "/"] {
        let answer = support::answer(edge.client.get(edge.url(&format!("/crl{unknown}")))).await;
        assert_eq!(problem(&answer).0, 404, "{unknown}");
    }

    // Its key is gone, and then another one lies in its place: nobody signs for it.
    let state = edge.dir.path().join("box");
    let (key, other) = (state.join(format!("{name}.key")), state.join("issuing.key"));
    let (dir, admin) = edge.stop().await;
    fs::remove_file(&key).unwrap();
    let edge = unsigned(Running::start_in(dir, admin), &of_former, &name).await;
    let (dir, admin) = edge.stop().await;
    fs::copy(other, &key).unwrap();
    unsigned(Running::start_in(dir, admin), &of_former, &name).await;
}

/// Checks that there is a list of the CA at work, and none of the one that gave way.
async fn unsigned(edge: Running, of_former: &str, name: &str) -> Running {
    // Those that gave way come first.
    edge.crl("", |_| true).await;
    let answer = support::answer(edge.client.get(edge.url(&format!("/crl{of_former}")))).await;
    assert_eq!(problem(&answer), (503, "crl-unavailable"));
    let detail = answer.1["detail"].as_str().unwrap();
    assert!(detail.contains(&format!("{name}.key")), "{detail}");
    edge
}

#[tokio::test]
async fn a_box_that_does_not_know_what_it_has_revoked_says_so_instead_of_signing() {
    let edge = Running::start().await;
    let (dir, admin) = edge.stop().await;
    let event: EdgeEvent = serde_json::from_value(json!({ "restored": {
        "box_id": "box", "generation": 2, "instance": "i", "seq": 1, "at": "2026-11-28T12:00:00Z" } }))
    .unwrap();
    write(&dir, event).await;
    let edge = Running::start_in(dir, admin);
    let last = edge.last_frame().await;
    let answer = support::answer(edge.client.get(edge.url("/crl"))).await;
    assert_eq!(problem(&answer), (503, "crl-unavailable"));
    assert_eq!(edge.last_frame().await, last, "nothing was signed");
}
