//! Bad input gets the right status and a sentence that says what to do, and nothing is written.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use serde_json::{Value, json};
use support::{Running, answer, csr, csr_of, csr_with};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

struct Bench {
    edge: Running,
    token: String,
}

impl Bench {
    /// Sends a request and expects a problem, and no new frame.
    async fn refuses(&self, what: &str, request: reqwest::RequestBuilder, status: u16, code: &str) {
        let seq = self.edge.seq().await;
        let (found, body) = answer(request).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{what}: {body}");
        assert_eq!(body["status"], status, "{what}: {body}");
        assert!(
            body["detail"].as_str().is_some_and(|detail| detail.len() > 30),
            "{what} says what to do: {body}"
        );
        assert_eq!(self.edge.seq().await, seq, "{what}: nothing is written");
    }

    async fn refuses_body(&self, what: &str, body: Value, status: u16, code: &str) {
        self.refuses(what, self.edge.post(&self.token).json(&body), status, code).await;
    }
}

#[tokio::test]
async fn every_kind_of_bad_input() {
    let edge = Running::start().await;
    let token = edge.token(json!({ "name": "bench", "role": "station", "line": "L1" })).await;
    let (display, supervisor) = (edge.role("display").await, edge.role("supervisor").await);
    let good = json!({ "id": "a", "csr": csr("a"), "line": "L1" });
    let bench = Bench { edge, token };
    let post = || bench.edge.client.post(bench.edge.url("/v1/units"));

    bench.refuses("no token", post().json(&good), 401, "unauthenticated").await;
    bench
        .refuses("an unknown token", post().bearer_auth("edge_nobody").json(&good), 401, "unauthenticated")
        .await;
    bench
        .refuses(
            "a token in the query",
            bench.edge.client.post(bench.edge.url(&format!("/v1/units?token={}", bench.token))).json(&good),
            401,
            "unauthenticated",
        )
        .await;
    bench.refuses("a wrong role", post().bearer_auth(&display).json(&good), 403, "forbidden").await;
    let elsewhere = json!({ "id": "a", "csr": csr("a"), "line": "L2" });
    bench.refuses_body("another line's token", elsewhere, 403, "forbidden").await;
    let raw = |body: &str| {
        bench.edge.post(&bench.token).header("content-type", "application/json").body(body.to_owned())
    };
    bench.refuses("malformed JSON", raw("{\"id\": "), 400, "json-malformed").await;
    bench.refuses("unexpected JSON", raw("[]"), 422, "json-unexpected").await;
    bench
        .refuses("an unknown field", raw(r#"{"line":"L1","id":"a","serial":"01"}"#), 422, "json-unexpected")
        .await;
    bench
        .refuses("no line", post().bearer_auth(&supervisor).json(&json!({ "id": "a" })), 422, "line-required")
        .await;
    bench.refuses("no JSON", bench.edge.post(&bench.token).body("id=a"), 415, "not-json").await;
    let large = format!(r#"{{"line":"L1","id":"a","attributes":{{"x":"{}"}}}}"#, "x".repeat(70_000));
    bench.refuses("an oversize body", raw(&large), 413, "body-too-large").await;
    for id in ["a/b", "", "-a", "a b", "ä", &"a".repeat(65)] {
        bench
            .refuses_body(&format!("the id '{id}'"), json!({ "id": id, "line": "L1" }), 422, "id-invalid")
            .await;
    }
    bench
        .refuses_body(
            "a common name that is no id",
            json!({ "csr": csr("a/b"), "line": "L1" }),
            422,
            "id-invalid",
        )
        .await;
    bench.refuses_body("an unknown line", json!({ "id": "a", "line": "L9" }), 422, "line-unknown").await;
    let with = |csr: String| json!({ "id": "a", "csr": csr, "line": "L1" });
    bench.refuses_body("another common name", with(csr("b")), 422, "csr-cn-differs").await;
    bench.refuses_body("no csr at all", with("hello".into()), 422, "csr-malformed").await;
    bench.refuses_body("two csrs", with(csr("a") + &csr("a")), 422, "csr-malformed").await;
    let ca = csr_with("a", |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    bench.refuses_body("a csr that wants to be a CA", with(ca), 422, "csr-wants-ca").await;
    let signer = csr_with("a", |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign]);
    bench.refuses_body("a csr that wants to sign", with(signer), 422, "csr-wants-ca").await;
    bench.refuses_body("a broken signature", with(tampered(&csr("a"))), 422, "csr-signature").await;
    let p384 = csr_of(&rcgen::PKCS_ECDSA_P384_SHA384, "a");
    bench.refuses_body("another curve", with(p384), 422, "csr-key-unsupported").await;
    let ed25519 = csr_of(&rcgen::PKCS_ED25519, "a");
    bench.refuses_body("another kind of key", with(ed25519), 422, "csr-key-unsupported").await;
    bench
        .refuses(
            "a wrong method",
            bench.edge.client.delete(bench.edge.url("/v1/units")),
            405,
            "method-not-allowed",
        )
        .await;
    bench
        .refuses("nothing there", bench.edge.client.get(bench.edge.url("/v1/nothing")), 404, "not-found")
        .await;
    let unknown = bench.edge.client.get(bench.edge.url("/v1/units/nobody")).bearer_auth(&bench.token);
    bench.refuses("an unknown unit", unknown, 404, "unit-unknown").await;
}

/// Changes the last byte of the signature.
fn tampered(pem: &str) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut der = parse_x509_pem(pem.as_bytes()).unwrap().1.contents;
    *der.last_mut().unwrap() ^= 1;
    format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        STANDARD.encode(der)
    )
}

#[tokio::test]
async fn what_a_csr_wishes_besides_its_key_is_ignored() {
    let edge = Running::start().await;
    let token = edge.role("station").await;
    let wishing = csr_with("a", |params| {
        params.subject_alt_names = vec![SanType::DnsName("admin.example".try_into().unwrap())];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Evil");
    });
    let (status, unit) = edge.issue(&token, &json!({ "csr": wishing, "line": "L1" })).await;
    assert_eq!(status, 201, "{unit}");
    let (_, block) = parse_x509_pem(unit["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&block.contents).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=a");
    assert!(leaf.subject_alternative_name().unwrap().is_none());
    let usage = leaf.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth && !usage.any);
    assert_eq!(leaf.key_usage().unwrap().unwrap().value.to_string(), "Digital Signature");
}
