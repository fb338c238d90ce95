//! Stations that show a client certificate instead of a token.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use rcgen::KeyPair;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use support::{Dial, Running, answer, csr, csr_for, self_signed};
use time::Duration;
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

/// Enrolls a station of line L1.
async fn enroll(edge: &Running, name: &str, key: &KeyPair, life: Duration) -> (u16, Value) {
    edge.enroll(name, "L1", key, life).await
}

/// A station of line L1, as a client that shows its certificate.
async fn station(edge: &Running, name: &str, life: Duration) -> (KeyPair, String, Client) {
    edge.station(name, "L1", life).await
}

async fn ask(edge: &Running, client: &Client, id: &str, line: &str) -> (u16, Value) {
    let request = json!({ "id": id, "csr": csr(id), "line": line });
    answer(client.post(edge.url("/v1/units")).json(&request)).await
}

#[tokio::test]
async fn a_station_is_known_by_its_key_and_bound_to_its_line() {
    let edge = Running::start().await;
    let (key, certificate, client) = station(&edge, "press-1", Duration::days(365)).await;
    let (status, unit) = ask(&edge, &client, "a", "L1").await;
    assert_eq!((status, &unit["station"]), (201, &json!("press-1")), "{unit}");
    let (status, body) = ask(&edge, &client, "b", "L2").await;
    assert_eq!((status, body["code"].as_str()), (403, Some("forbidden")), "{body}");
    assert_eq!(answer(client.get(edge.url("/v1/units/a"))).await.0, 200);

    let block = parse_x509_pem(certificate.as_bytes()).unwrap().1.contents;
    let (_, leaf) = X509Certificate::from_der(&block).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=press-1", "the name is ours to give");
    let read = |name: &str| {
        let pem = std::fs::read(edge.dir.path().join("box").join(name)).unwrap();
        parse_x509_pem(&pem).unwrap().1.contents
    };
    let (stations, issuing) = (read("stations.pem"), read("issuing.pem"));
    let [stations, issuing] = [&stations, &issuing].map(|der| X509Certificate::from_der(der).unwrap().1);
    assert!(leaf.verify_signature(Some(stations.public_key())).is_ok());
    assert!(
        leaf.verify_signature(Some(issuing.public_key())).is_err(),
        "the devices' authority signs devices"
    );
    assert!(stations.is_ca() && stations.verify_signature(None).is_ok(), "an authority of its own");

    let edge = edge.restart().await;
    let client = edge.client_with(&certificate, &key.serialize_pem());
    assert_eq!(ask(&edge, &client, "c", "L1").await.0, 201);
    let (_, listed) = edge.local(Method::GET, "/stations", None).await;
    assert_eq!((&listed[0]["name"], &listed[0]["line"]), (&json!("press-1"), &json!("L1")), "{listed}");
}

#[tokio::test]
async fn certificates_of_others_are_not_a_stations() {
    let dial = Dial::new();
    let edge = Running::start_with("", dial.source()).await;
    let (key, certificate, client) = station(&edge, "press-1", Duration::days(1)).await;
    let check = async |what: &str, client: &Client| {
        let seq = edge.seq().await;
        let (status, body) = ask(&edge, client, "x", "L1").await;
        assert_eq!((status, body["code"].as_str()), (401, Some("unauthenticated")), "{what}: {body}");
        assert_eq!(edge.seq().await, seq, "{what}: nothing is written");
    };
    let other = KeyPair::generate().unwrap();
    check(
        "the same name, another key",
        &edge.client_with(&self_signed(&other, "press-1"), &other.serialize_pem()),
    )
    .await;
    check(
        "its key, a foreign certificate",
        &edge.client_with(&self_signed(&key, "press-1"), &key.serialize_pem()),
    )
    .await;
    let device = KeyPair::generate().unwrap();
    let request = json!({ "id": "d", "csr": csr_for(&device, "d", |_| {}), "line": "L1" });
    let (_, unit) = edge.issue(&edge.role("supervisor").await, &request).await;
    check("a device", &edge.client_with(unit["certificate"].as_str().unwrap(), &device.serialize_pem()))
        .await;

    assert_eq!(ask(&edge, &client, "a", "L1").await.0, 201);
    let token = edge.role("display").await;
    let request = json!({ "id": "b", "csr": csr("b"), "line": "L1" });
    let both = client.post(edge.url("/v1/units")).bearer_auth(&token).json(&request);
    assert_eq!(answer(both).await.0, 403, "who sends a token is who the token says");
    assert_eq!(edge.local(Method::DELETE, "/stations/press-1", None).await.0, 204);
    check("a revoked station, on a connection that it has", &client).await;
    check("a revoked station", &edge.client_with(&certificate, &key.serialize_pem())).await;
    assert_eq!(edge.local(Method::DELETE, "/stations/press-1", None).await.0, 204, "again is no harm");
    assert_eq!(edge.local(Method::DELETE, "/stations/press-9", None).await.1["code"], "station-unknown");

    let (.., short) = station(&edge, "press-2", Duration::seconds(2)).await;
    dial.pass(Duration::days(1));
    let (status, refused) = ask(&edge, &short, "late", "L1").await;
    assert_eq!(status, 401, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("has expired"), "{refused}");
}

#[tokio::test]
async fn a_station_is_enrolled_once_with_a_fresh_key() {
    let edge = Running::start().await;
    let (key, ..) = station(&edge, "press-1", Duration::days(1)).await;
    let day = Duration::days(1);
    let check = |(status, body): (u16, Value), expected: (u16, &str)| {
        assert_eq!((status, body["code"].as_str().unwrap_or_default()), expected, "{body}");
    };
    let fresh = || KeyPair::generate().unwrap();
    check(enroll(&edge, "press-1", &fresh(), day).await, (409, "name-taken"));
    check(enroll(&edge, "press-2", &key, day).await, (409, "key-in-use"));
    let device = fresh();
    let request = json!({ "id": "d", "csr": csr_for(&device, "d", |_| {}), "line": "L1" });
    assert_eq!(edge.issue(&edge.role("station").await, &request).await.0, 201);
    check(enroll(&edge, "press-2", &device, day).await, (409, "key-in-use"));
    check(enroll(&edge, "press 2", &fresh(), day).await, (422, "name-invalid"));
    check(enroll(&edge, "press-2", &fresh(), -day).await, (422, "expired"));
    let new = json!({ "name": "a", "role": "station", "line": "L9", "expires": "2099-01-01T00:00:00Z", "csr": csr("a") });
    check(edge.local(Method::POST, "/stations", Some(new)).await, (422, "line-unknown"));
}
