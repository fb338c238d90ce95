//! EST as bytes on the wire: media types, base64, who may, and every rule of `POST /v1/units`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use base64::{Engine, engine::general_purpose::STANDARD};
use cloud_sync::{State, Want};
use cms::{cert::CertificateChoices, content_info::ContentInfo, signed_data::SignedData};
use rcgen::{CertificateParams, DnType, KeyPair, SanType};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use support::{Dial, Running, answer, check_rebuild, csr, csr_for, csr_with, open_ledger, self_signed};
use x509_cert::der::{Decode, Encode};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{CertificateRevocationList, FromDer, X509Certificate},
};

const CERTS_ONLY: &str = "application/pkcs7-mime; smime-type=certs-only";

fn der(pem: &str) -> Vec<u8> {
    parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

/// The certificates in an answer.
fn certificates(body: &str) -> Vec<Vec<u8>> {
    assert!(!body.contains(char::is_whitespace), "RFC 8951: no line breaks: {body}");
    let info = ContentInfo::from_der(&STANDARD.decode(body).unwrap()).unwrap();
    let signed = info.content.decode_as::<SignedData>().unwrap();
    assert!(signed.signer_infos.0.is_empty(), "nobody signs certs-only");
    let set = signed.certificates.unwrap().0;
    set.iter()
        .map(|choice| match choice {
            CertificateChoices::Certificate(certificate) => certificate.to_der().unwrap(),
            other @ CertificateChoices::Other(_) => panic!("{other:?}"),
        })
        .collect()
}

struct Bench {
    edge: Running,
    token: String,
}

impl Bench {
    async fn start(more: &str) -> Self {
        Self::start_at(more, edge::clock::machine()).await
    }

    /// With a clock of its own.
    async fn start_at(more: &str, source: edge::clock::Source) -> Self {
        let edge = Running::start_with(more, source).await;
        let token = edge.token(json!({ "name": "bench", "role": "station", "line": "L1" })).await;
        Self { edge, token }
    }

    /// A request as a client of `client` sends it; `pem` is the CSR.
    fn post(&self, client: &Client, path: &str, pem: &str) -> RequestBuilder {
        client
            .post(self.edge.url(&format!("/.well-known/est/{path}")))
            .header("content-type", "application/pkcs10")
            .body(STANDARD.encode(der(pem)))
    }

    fn enroll(&self, pem: &str) -> RequestBuilder {
        self.post(&self.edge.client, "simpleenroll", pem).basic_auth("anybody", Some(&self.token))
    }

    /// A new unit with a fresh key: the key, and a client that shows its certificate.
    async fn unit(&self, id: &str) -> (KeyPair, String, Client) {
        let key = KeyPair::generate().unwrap();
        let certificate = one(self.enroll(&csr_for(&key, id, |_| {})).send().await.unwrap()).await;
        let client = self.edge.client_with(&certificate, &key.serialize_pem());
        (key, certificate, client)
    }

    fn reenroll(&self, client: &Client, pem: &str) -> RequestBuilder {
        self.post(client, "simplereenroll", pem)
    }

    /// Expects a problem, and that nothing was written.
    async fn refuses(&self, what: &str, request: RequestBuilder, status: u16, code: &str) -> Value {
        let seq = self.edge.seq().await;
        let (found, body) = answer(request).await;
        assert_eq!((found, body["code"].as_str()), (status, Some(code)), "{what}: {body}");
        assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 30), "{what}: {body}");
        assert_eq!(self.edge.seq().await, seq, "{what}: nothing is written");
        body
    }
}

/// The one certificate of an answer, PEM.
async fn one(response: Response) -> String {
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    assert_eq!(response.headers()["content-type"], CERTS_ONLY);
    assert_eq!(response.headers()["content-transfer-encoding"], "base64");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let found = certificates(&response.text().await.unwrap());
    assert_eq!(found.len(), 1, "RFC 7030 4.2.3: only the certificate that was issued");
    pem(&found[0])
}

#[tokio::test]
async fn everybody_may_ask_what_to_trust_and_what_to_ask_for() {
    let bench = Bench::start("").await;
    let get = async |path: &str| {
        let response = bench.edge.client.get(bench.edge.url(&format!("/.well-known/est/{path}"))).send();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["content-transfer-encoding"], "base64");
        (media_type, response.text().await.unwrap())
    };
    let (media_type, body) = get("cacerts").await;
    assert_eq!(media_type, CERTS_ONLY);
    let read =
        |name: &str| der(&std::fs::read_to_string(bench.edge.dir.path().join("box").join(name)).unwrap());
    let (mut expected, mut found) = (vec![read("root.pem"), read("issuing.pem")], certificates(&body));
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "the root, and what leads from it to units");
    assert_eq!(get("L1/cacerts").await.1, body);
    let (media_type, body) = get("L2/csrattrs").await;
    assert_eq!((media_type.as_str(), &body), ("application/csrattrs", &get("csrattrs").await.1));
    assert_eq!(STANDARD.decode(body).unwrap()[..2], [0x30, 0x21]);
}

#[tokio::test]
async fn a_request_gets_its_certificate_and_the_same_one_again() {
    let bench = Bench::start("").await;
    let request = csr("GW-01");
    let first = one(bench.enroll(&request).send().await.unwrap()).await;
    let (_, shown) = bench.edge.get(&bench.token, "/v1/units/gw-01").await;
    assert_eq!((&shown["line"], &shown["epoch"]), (&json!("L1"), &json!(1)));
    assert_eq!(der(shown["certificate"].as_str().unwrap()), der(&first));
    let seq = bench.edge.seq().await;
    let base64 = STANDARD.encode(der(&request));
    let wrapped = |end: &str| {
        base64.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line) + end).collect::<String>()
    };
    for body in [base64.clone(), wrapped("\r\n"), wrapped("\n"), format!("  {base64}\r\n\r\n")] {
        for media_type in ["application/pkcs10", "Application/PKCS10; charset=us-ascii"] {
            let again = bench.enroll(&request).header("content-transfer-encoding", "binary");
            let mut again = again.body(body.clone()).build().unwrap();
            again.headers_mut().insert("content-type", media_type.parse().unwrap());
            assert_eq!(one(bench.edge.client.execute(again).await.unwrap()).await, first);
        }
    }
    let bearer = bench.post(&bench.edge.client, "L1/simpleenroll", &request).bearer_auth(&bench.token);
    assert_eq!(one(bearer.send().await.unwrap()).await, first, "by another door");
    assert_eq!(bench.edge.seq().await, seq, "a repeat writes nothing");
    let everywhere = bench.edge.role("supervisor").await;
    let elsewhere = bench.post(&bench.edge.client, "L2/simpleenroll", &csr("gw-02")).bearer_auth(everywhere);
    one(elsewhere.send().await.unwrap()).await;
    assert_eq!(bench.edge.get(&bench.edge.role("quality").await, "/v1/units/gw-02").await.1["line"], "L2");
}

#[tokio::test]
async fn who_may_not_and_what_is_no_request_is_refused_with_the_reason() {
    let bench = Bench::start("").await;
    let (supervisor, display) = (bench.edge.role("supervisor").await, bench.edge.role("display").await);
    let client = &bench.edge.client;
    let good = csr("a");
    let post = |path: &str| bench.post(client, path, &good);
    for operation in ["simpleenroll", "serverkeygen", "simplereenroll", "L1/simpleenroll"] {
        let response = post(operation).send().await.unwrap();
        let scheme = response.headers()["www-authenticate"].to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), &scheme[..18]), (401, "Basic realm=\"edge\""), "{operation}");
        assert_eq!(response.text().await.unwrap(), "", "{operation}: a challenge that every client reads");
    }
    let unknown = post("simpleenroll").basic_auth("edge", Some("edge_nobody"));
    bench.refuses("an unknown token", unknown, 401, "unauthenticated").await;
    for header in ["Basic", "Basic !", "Basic YQ==", "Digest a=b"] {
        let request = post("simpleenroll").header("authorization", header);
        bench.refuses(header, request, 401, "unauthenticated").await;
    }
    let elsewhere = client.post(bench.edge.url("/v1/units")).basic_auth("a", Some(&bench.token));
    let elsewhere = elsewhere.json(&json!({ "id": "a", "line": "L1" }));
    let refused = elsewhere.send().await.unwrap();
    assert_eq!(refused.headers()["www-authenticate"], "Bearer", "Basic is for EST");
    assert_eq!(refused.status(), 401);

    let as_bench = |request: RequestBuilder| request.basic_auth("x", Some(&bench.token));
    let display = post("simpleenroll").bearer_auth(&display);
    bench.refuses("a wrong role", display, 403, "forbidden").await;
    bench.refuses("another line's token", as_bench(post("L2/simpleenroll")), 403, "forbidden").await;
    bench.refuses("no unit", as_bench(post("simplereenroll")), 403, "forbidden").await;
    bench.refuses("no line", post("simpleenroll").bearer_auth(&supervisor), 400, "line-required").await;
    bench.refuses("no such label", as_bench(post("L9/simpleenroll")), 404, "label-unknown").await;
    let get = client.get(bench.edge.url("/.well-known/est/simpleenroll"));
    bench.refuses("a wrong method", as_bench(get), 405, "method-not-allowed").await;
    let posted = client.post(bench.edge.url("/.well-known/est/cacerts"));
    bench.refuses("a wrong method", posted, 405, "method-not-allowed").await;
    let full = client.get(bench.edge.url("/.well-known/est/fullcmc"));
    bench.refuses("an operation that is not there", full, 404, "not-found").await;

    let raw = |media_type: &str, body: String| {
        let request = client.post(bench.edge.url("/.well-known/est/simpleenroll"));
        as_bench(request.header("content-type", media_type.to_owned()).body(body))
    };
    let base64 = STANDARD.encode(der(&good));
    bench.refuses("another type", raw("application/pkcs7-mime", base64.clone()), 415, "not-pkcs10").await;
    bench.refuses("PEM", raw("application/pkcs10", good.clone()), 400, "base64-malformed").await;
    let url_safe = base64::engine::general_purpose::URL_SAFE.encode([0xfb, 0xff, 0xfe]);
    bench.refuses("url-safe", raw("application/pkcs10", url_safe), 400, "base64-malformed").await;
    bench.refuses("too large", raw("application/pkcs10", "A".repeat(70_000)), 413, "body-too-large").await;
    let large = raw("application/pkcs10", STANDARD.encode(vec![0; 17 << 10]));
    bench.refuses("a large request", large, 413, "body-too-large").await;
    bench.refuses("no request", raw("application/pkcs10", "AAAA".into()), 422, "csr-malformed").await;
    bench.refuses("an empty body", raw("application/pkcs10", String::new()), 422, "csr-malformed").await;
    bench.refuses("no name", bench.enroll(&csr("")), 400, "csr-cn-required").await;
    bench.refuses("a name that is no id", bench.enroll(&csr("a/b")), 422, "id-invalid").await;
    let ca = csr_with("a", |params| params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained));
    bench.refuses("a wish to be a CA", bench.enroll(&ca), 422, "csr-wants-ca").await;
    one(bench.enroll(&good).send().await.unwrap()).await;
    bench.refuses("another key", bench.enroll(&csr("a")), 409, "unit-exists").await;
}

#[tokio::test]
async fn a_unit_renews_with_the_certificate_that_it_has_and_with_no_other() {
    let bench = Bench::start("").await;
    let (key, first, client) = bench.unit("gw-01").await;
    let request = |key: &KeyPair| csr_for(key, "GW-01", |_| {});
    let seq = bench.edge.seq().await;
    let same = one(bench.reenroll(&client, &request(&key)).send().await.unwrap()).await;
    assert_eq!(same, first, "the same key, the same certificate");
    assert_eq!(bench.edge.seq().await, seq, "nothing is written");

    let (other_key, _, other) = bench.unit("gw-02").await;
    let next = KeyPair::generate().unwrap();
    let named = |name: &str| csr_for(&next, name, |_| {});
    bench
        .refuses("another unit's name", bench.reenroll(&other, &named("gw-01")), 422, "csr-subject-differs")
        .await;
    let more =
        csr_for(&next, "gw-01", |params| params.distinguished_name.push(DnType::OrganizationName, "x"));
    bench.refuses("more names", bench.reenroll(&client, &more), 422, "csr-subject-differs").await;
    let alternative = csr_for(&next, "gw-01", |params| {
        params.subject_alt_names = vec![SanType::DnsName("admin.example".try_into().unwrap())];
    });
    bench.refuses("another SAN", bench.reenroll(&client, &alternative), 422, "csr-subject-differs").await;
    bench
        .refuses("another unit's key", bench.reenroll(&client, &request(&other_key)), 409, "key-in-use")
        .await;
    let label = bench.post(&client, "L2/simplereenroll", &request(&next));
    bench.refuses("another line", label, 403, "forbidden").await;
    let forged = bench.edge.client_with(&self_signed(&next, "gw-01"), &next.serialize_pem());
    bench
        .refuses("a certificate of its own", bench.reenroll(&forged, &request(&next)), 401, "unauthenticated")
        .await;
    let forged = bench.edge.client_with(&self_signed(&key, "gw-01"), &key.serialize_pem());
    let foreign = bench.reenroll(&forged, &request(&key));
    bench.refuses("a foreign certificate for its key", foreign, 401, "unauthenticated").await;
    let as_device = bench.post(&client, "simpleenroll", &csr("gw-03"));
    bench.refuses("a unit is no station", as_device, 401, "unauthenticated").await;

    let second = one(bench.reenroll(&client, &request(&next)).send().await.unwrap()).await;
    let (_, parsed) = parse_x509_pem(second.as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&parsed.contents).unwrap();
    assert_eq!(leaf.subject().to_string(), "CN=gw-01");
    assert_eq!(leaf.public_key().subject_public_key.data.as_ref(), next.public_key_raw());
    let (_, shown) = bench.edge.get(&bench.token, "/v1/units/gw-01").await;
    assert_eq!((&shown["epoch"], &shown["line"]), (&json!(2), &json!("L1")), "{shown}");
    assert_eq!(shown["cloud"]["state"], "waiting", "the cloud is to hear of it");

    let seq = bench.edge.seq().await;
    let lost = one(bench.reenroll(&client, &request(&next)).send().await.unwrap()).await;
    assert_eq!(lost, second, "whose answer was lost hears it again");
    assert_eq!(bench.edge.seq().await, seq, "nothing is written");
    let third = KeyPair::generate().unwrap();
    let superseded = bench.reenroll(&client, &request(&third));
    bench.refuses("a superseded certificate", superseded, 403, "certificate-superseded").await;
    let client = bench.edge.client_with(&second, &next.serialize_pem());
    bench.refuses("an earlier key", bench.reenroll(&client, &request(&key)), 409, "key-unchanged").await;

    let (_, listed) = bench.edge.get(&bench.token, "/v1/units").await;
    assert_eq!(listed["units"].as_array().unwrap().len(), 2, "a later pass is no other unit: {listed}");
    let (_, status) = bench.edge.get(&bench.token, "/v1/status").await;
    let line = status["lines"].as_array().unwrap().iter().find(|line| line["id"] == "L1").unwrap().clone();
    assert_eq!(line["issued"], 2, "{status}");

    let bench = Bench { edge: bench.edge.restart().await, ..bench };
    let client = bench.edge.client_with(&second, &next.serialize_pem());
    assert_eq!(one(bench.reenroll(&client, &request(&next)).send().await.unwrap()).await, second);
}

#[tokio::test]
async fn a_renewal_replaces_what_the_cloud_has_and_then_the_former_certificate_is_revoked() {
    let mut bench = Bench::start("").await;
    let (key, former, _) = bench.unit("gw-01").await;
    bench.edge = bench.edge.told(&[("gw-01", 1)]).await;
    let supervisor = bench.edge.role("supervisor").await;
    let client = bench.edge.client_with(&former, &key.serialize_pem());
    one(bench.reenroll(&client, &csr("gw-01")).send().await.unwrap()).await;
    let (_, page) = bench.edge.get(&supervisor, "/v1/units/gw-01/events").await;
    let kinds: Vec<_> = page["events"].as_array().unwrap().iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["issued", "in-cloud", "renewed"]);
    assert_eq!(page["events"][2]["actor"], "unit:gw-01");
    bench.edge.crl("", |list| list.iter_revoked_certificates().count() == 0).await;
    let (dir, admin) = bench.edge.stop().await;
    let ledger = open_ledger(&dir);
    let standing = cloud_sync::books::committed(&ledger, &"gw-01".parse().unwrap()).unwrap().unwrap();
    assert_eq!(standing.state, State::Waiting { want: Want::Replace, epoch: 2, etag: None });
    ledger.close().await;
    let edge = Running::start_in(dir, admin).told(&[("gw-01", 2)]).await;
    let list = edge.crl("", |list| list.iter_revoked_certificates().count() == 1).await;
    let (_, list) = CertificateRevocationList::from_der(&list).unwrap();
    let (_, former) = parse_x509_pem(former.as_bytes()).unwrap();
    let (_, former) = X509Certificate::from_der(&former.contents).unwrap();
    let revoked = list.iter_revoked_certificates().next().unwrap();
    assert_eq!(revoked.raw_serial(), former.raw_serial());
    check_rebuild(&edge.stop().await.0).await;
}

#[tokio::test]
async fn of_two_renewals_at_once_one_wins() {
    let bench = Bench::start("").await;
    let (_, _, client) = bench.unit("gw-01").await;
    let asked: Vec<_> = (0..8).map(|_| bench.reenroll(&client, &csr("gw-01"))).collect();
    let answers = futures_util::future::join_all(asked.into_iter().map(answer)).await;
    let count = |status: u16| answers.iter().filter(|(found, _)| *found == status).count();
    assert_eq!((count(200), count(403)), (1, 7), "{answers:?}");
    assert_eq!(bench.edge.get(&bench.token, "/v1/units/gw-01").await.1["epoch"], 2);
}

#[tokio::test]
async fn an_expired_certificate_renews_nothing() {
    let dial = Dial::new();
    let bench = Bench::start_at("profile = { default = { validity = '2d' } }\n", dial.source()).await;
    let (key, _, client) = bench.unit("gw-01").await;
    let request = csr_for(&key, "gw-01", |_| {});
    dial.pass(time::Duration::days(3));
    let (status, refused) = answer(bench.reenroll(&client, &request)).await;
    assert_eq!(status, 401, "{refused}");
    assert!(refused["detail"].as_str().unwrap().contains("not valid now"), "{refused}");
}

#[tokio::test]
async fn a_key_made_here_is_given_once() {
    let bench = Bench::start("").await;
    let ask =
        |pem: &str| bench.post(&bench.edge.client, "serverkeygen", pem).basic_auth("x", Some(&bench.token));
    // RFC 7030 4.4.1: key and signature of the request do not count.
    let mut unsigned = der(&csr("gw-01"));
    *unsigned.last_mut().unwrap() ^= 1;
    let response = ask(&csr("gw-01")).body(STANDARD.encode(&unsigned)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let boundary = media_type.strip_prefix("multipart/mixed; boundary=").unwrap();
    let body = response.text().await.unwrap();
    let parts: Vec<_> = body.split(&format!("--{boundary}")).collect();
    assert_eq!((parts.len(), parts[0], parts[3]), (4, "", "--\r\n"), "{body}");
    let part = |n: usize| {
        let (head, body) = parts[n].split_once("\r\n\r\n").unwrap();
        (head.trim().to_owned(), body.trim().to_owned())
    };
    let (head, key) = part(1);
    assert_eq!(head, "Content-Type: application/pkcs8\r\nContent-Transfer-Encoding: base64");
    let key = KeyPair::try_from(STANDARD.decode(key).unwrap()).unwrap();
    let (head, pkcs7) = part(2);
    assert_eq!(head, format!("Content-Type: {CERTS_ONLY}\r\nContent-Transfer-Encoding: base64"));
    let found = certificates(&pkcs7);
    let (_, leaf) = X509Certificate::from_der(&found[0]).unwrap();
    assert_eq!(leaf.public_key().subject_public_key.data.as_ref(), key.public_key_raw());
    assert_eq!(leaf.subject().to_string(), "CN=gw-01");

    let repeat = bench.refuses("a repeat", ask(&csr("gw-01")), 409, "key-already-given").await;
    assert_eq!(der(repeat["certificate"].as_str().unwrap()), found[0], "with the certificate");
    assert!(repeat["chain"].as_str().is_some() && !repeat.to_string().contains("PRIVATE"), "{repeat}");
    bench.refuses("no name", ask(&csr("")), 400, "csr-cn-required").await;
    let wish = rcgen::Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 16, 2, 37], values: vec![0x31, 2, 4, 0] };
    let params = CertificateParams::new([]).unwrap();
    let encrypted = params.serialize_request_with_attributes(&key, vec![wish]).unwrap().pem().unwrap();
    bench.refuses("a wish for encryption", ask(&encrypted), 400, "key-encryption-unsupported").await;
    let longer = STANDARD.encode([der(&csr("gw-02")), vec![0]].concat());
    bench.refuses("bytes that follow", ask(&csr("gw-02")).body(longer), 422, "csr-malformed").await;
}

#[tokio::test]
async fn while_nothing_can_be_issued_a_client_is_told_when_to_ask_again() {
    let bench = Bench::start("").await;
    let (_, _, client) = bench.unit("gw-01").await;
    let bench = Bench { edge: bench.edge.restart_with_floor("1 EiB").await, ..bench };
    let seq = bench.edge.seq().await;
    let asked = [
        bench.enroll(&csr("gw-02")),
        bench.reenroll(&client, &csr("gw-01")),
        bench.post(&bench.edge.client, "serverkeygen", &csr("gw-03")).basic_auth("x", Some(&bench.token)),
    ];
    let port = bench.edge.address.port();
    for request in asked {
        let mut request = request.build().unwrap();
        request.url_mut().set_port(Some(port)).unwrap();
        let response = client.execute(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (202, &"60".parse().unwrap())
        );
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        assert!(response.text().await.unwrap().contains("free some space"));
    }
    assert_eq!(bench.edge.seq().await, seq, "nothing is written");
}

#[tokio::test]
async fn a_label_is_a_line_a_profile_or_an_order() {
    let bench = Bench::start("[profile.plain]\nvalidity = '10y'\n").await;
    let supervisor = bench.edge.role("supervisor").await;
    for (number, quantity) in [("PO-1", 2), ("PO-2", 2), ("L1", 2)] {
        let order = json!({ "number": number, "quantity": quantity, "line": "L2", "profile": "plain" });
        assert_eq!(bench.edge.ask(&supervisor, "/v1/orders", order).await.0, 201, "{number}");
    }
    let key = KeyPair::generate().unwrap();
    let enroll = |path: &str, id: &str| {
        bench.post(&bench.edge.client, path, &csr_for(&key, id, |_| {})).bearer_auth(&supervisor)
    };
    let unit = async |id: &str| bench.edge.get(&supervisor, &format!("/v1/units/{id}")).await.1;

    let certificate = one(enroll("PO-1/simpleenroll", "u1").send().await.unwrap()).await;
    assert_eq!(one(enroll("PO-1/simpleenroll", "u1").send().await.unwrap()).await, certificate, "a repeat");
    let found = unit("u1").await;
    assert_eq!(
        [&found["order"], &found["line"], &found["profile"]],
        [&json!("PO-1"), &json!("L2"), &json!("plain")],
        "{found}"
    );
    let elsewhere = enroll("PO-2/simpleenroll", "u1");
    assert_eq!(bench.refuses("another order", elsewhere, 409, "differs").await["field"], "order");
    let (status, _) = answer(enroll("PO-1/serverkeygen", "u2")).await;
    assert_eq!(status, 200);
    bench.refuses("a full order", enroll("PO-1/serverkeygen", "u3"), 409, "order-full").await;
    let bound = bench.post(&bench.edge.client, "PO-2/serverkeygen", &csr_for(&key, "u3", |_| {}));
    let bound = bound.basic_auth("x", Some(&bench.token));
    bench.refuses("an order of another line", bound, 409, "order-line").await;

    // A profile says nothing of the line: that is the token's, or there is none.
    bench.refuses("no line", enroll("plain/serverkeygen", "u4"), 400, "line-required").await;
    let plain = bench.post(&bench.edge.client, "plain/serverkeygen", &csr_for(&key, "u4", |_| {}));
    assert_eq!(answer(plain.basic_auth("x", Some(&bench.token))).await.0, 200);
    let found = unit("u4").await;
    assert_eq!([&found["profile"], &found["line"]], [&json!("plain"), &json!("L1")]);

    // A line stays a line, whatever a planner calls an order.
    assert_eq!(answer(enroll("L1/serverkeygen", "u5")).await.0, 200);
    let found = unit("u5").await;
    assert_eq!([&found["order"], &found["line"]], [&Value::Null, &json!("L1")]);

    let device = bench.edge.client_with(&certificate, &key.serialize_pem());
    let renew = |path: &str| bench.post(&device, path, &csr_for(&key, "u1", |_| {}));
    for elsewhere in ["PO-2", "default", "L1"] {
        bench.refuses(elsewhere, renew(&format!("{elsewhere}/simplereenroll")), 403, "forbidden").await;
    }
    for own in ["PO-1", "plain", "L2"] {
        assert_eq!(one(renew(&format!("{own}/simplereenroll")).send().await.unwrap()).await, certificate);
    }
    check_rebuild(&bench.edge.stop().await.0).await;
}
