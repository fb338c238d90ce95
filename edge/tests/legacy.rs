//! The face for scripts that were written for the public sample.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use rcgen::KeyPair;
use serde_json::{Value, json};
use support::{Running, answer};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, X509Certificate},
};

#[tokio::test]
async fn a_script_gets_key_and_certificate_once() {
    let edge = Running::start_with("legacy_api = true\n", edge::clock::machine()).await;
    let token = edge.token(json!({ "name": "script", "role": "station", "line": "L1" })).await;
    let get = |query: &str| edge.client.get(edge.url(&format!("/createleaf{query}")));
    let response = get("?deviceid=Dev-1").send().await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    let (status, leaf) = answer(get("?deviceid=Dev-1").basic_auth("anybody", Some(&token))).await;
    assert_eq!(status, 200, "{leaf}");
    assert_eq!(leaf.as_object().unwrap().keys().collect::<Vec<_>>(), ["key", "public"]);
    let key = KeyPair::from_pem(leaf["key"].as_str().unwrap()).unwrap();
    let der = parse_x509_pem(leaf["public"].as_str().unwrap().as_bytes()).unwrap().1.contents;
    let (_, certificate) = X509Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.subject().to_string(), "CN=dev-1");
    assert_eq!(certificate.public_key().subject_public_key.data.as_ref(), key.public_key_raw());

    let check = |what: &str, (status, body): (u16, Value), expected: (u16, &str)| {
        assert_eq!((status, body["code"].as_str().unwrap_or_default()), expected, "{what}: {body}");
        assert!(body.get("key").is_none(), "{what}: {body}");
    };
    let everywhere = edge.role("supervisor").await;
    let seq = edge.seq().await;
    let bearer = |query: &str| answer(get(query).bearer_auth(&token));
    check("a repeat", bearer("?deviceid=dev-1").await, (409, "key-already-given"));
    check("no id", bearer("").await, (400, "query-unexpected"));
    check("more than an id", bearer("?deviceid=a&days=1").await, (400, "query-unexpected"));
    check("no such id", bearer("?deviceid=a/b").await, (422, "id-invalid"));
    check("another line", bearer("?deviceid=b&line=L2").await, (403, "forbidden"));
    let foreign = get("?deviceid=c").bearer_auth(&token).header("sec-fetch-site", "cross-site");
    check("a page of another site", answer(foreign).await, (403, "foreign-origin"));
    let head = edge.client.head(edge.url("/createleaf?deviceid=c")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(head.status(), 405, "an answer without its body would be a lost key");
    let lineless = answer(get("?deviceid=b").bearer_auth(&everywhere)).await;
    check("no line", lineless, (422, "line-required"));
    assert_eq!(edge.seq().await, seq, "nothing is written");
    assert_eq!(answer(get("?deviceid=b&line=L2").bearer_auth(&everywhere)).await.0, 200);
    let root = edge.client.get(edge.url("/createroot")).bearer_auth(&everywhere);
    assert_eq!(answer(root).await.0, 404, "there is no way to make a root from outside");
}

#[tokio::test]
async fn without_the_setting_it_is_not_there() {
    let edge = Running::start().await;
    let token = edge.role("station").await;
    let get = edge.client.get(edge.url("/createleaf?deviceid=a&line=L1"));
    assert_eq!(answer(get.try_clone().unwrap()).await.0, 404);
    assert_eq!(answer(get.bearer_auth(token)).await.0, 404);
}
