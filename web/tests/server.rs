//! A server over real TLS.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for its server by itself")]

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    routing::{get, post},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Identity};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use web::{ClientCertificates, Json, Limits, Peer, Server, Tls};

struct Running {
    address: SocketAddr,
    client: Client,
    cancel: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

fn certificate(name: &str) -> (String, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    (cert.pem(), signing_key.serialize_pem())
}

fn client(root: &str, identity: Option<Identity>) -> Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let builder = Client::builder().tls_certs_only([Certificate::from_pem(root.as_bytes()).unwrap()]);
    let builder = match identity {
        Some(identity) => builder.identity(identity),
        None => builder,
    };
    builder.build().unwrap()
}

async fn who(Peer(chain): Peer) -> String {
    chain.len().to_string()
}

async fn echo(Json(value): Json<Value>) -> Json<Value> {
    Json(value)
}

async fn broken() -> String {
    panic!("on purpose");
}

async fn stuck() {
    std::future::pending::<()>().await;
}

fn start() -> (Running, String, Tls) {
    let (chain, key) = certificate("localhost");
    let tls = Tls::new(chain.as_bytes(), key.as_bytes(), ClientCertificates::Requested).unwrap();
    let router = Router::new()
        .route("/who", get(who))
        .route("/echo", post(echo))
        .route("/broken", get(broken))
        .route("/stuck", get(stuck));
    let limits =
        Limits { request: Duration::from_millis(300), head: Duration::from_millis(300), ..Limits::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Some(tls.clone()), router, limits)
        .unwrap()
        .for_browsers();
    let address = server.local_addr();
    let cancel = CancellationToken::new();
    let task = tokio::task::spawn(server.run(cancel.clone()));
    (Running { address, client: client(&chain, None), cancel, task }, chain, tls)
}

impl Running {
    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    async fn post(&self, body: impl Into<reqwest::Body>, kind: &str) -> (u16, Value) {
        let request = self.client.post(self.url("/echo")).header("content-type", kind).body(body);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(self.url(path)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

fn code((status, body): (u16, Value)) -> (u16, String) {
    assert_eq!(body["status"], status);
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 20), "{body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn every_kind_of_bad_request_is_a_problem_with_a_code() {
    let (server, ..) = start();
    assert_eq!(server.post("{\"a\":1}", "application/json").await, (200, serde_json::json!({ "a": 1 })));
    assert_eq!(code(server.post("{", "application/json").await), (400, "json-malformed".into()));
    assert_eq!(code(server.post("{}", "text/plain").await), (415, "not-json".into()));
    let large = format!("\"{}\"", "x".repeat(70_000));
    assert_eq!(code(server.post(large, "application/json").await), (413, "body-too-large".into()));
    assert_eq!(code(server.get("/nowhere").await), (404, "not-found".into()));
    assert_eq!(code(server.get("/echo").await), (405, "method-not-allowed".into()));
    assert_eq!(code(server.get("/broken").await), (500, "internal".into()));
    assert_eq!(code(server.get("/stuck").await), (408, "too-slow".into()));
}

#[tokio::test]
async fn a_client_certificate_of_any_issuer_reaches_the_handler() {
    let (server, root, _) = start();
    let without = server.client.get(server.url("/who")).send().await.unwrap();
    assert_eq!(without.text().await.unwrap(), "0");
    let (chain, key) = certificate("device");
    let identity = Identity::from_pem(format!("{chain}{key}").as_bytes()).unwrap();
    let with = client(&root, Some(identity)).get(server.url("/who")).send().await.unwrap();
    assert_eq!(with.text().await.unwrap(), "1");
}

#[tokio::test]
async fn pages_keep_to_themselves() {
    let (server, ..) = start();
    for path in ["/who", "/nowhere", "/broken", "/stuck"] {
        let response = server.client.get(server.url(path)).send().await.unwrap();
        let policy = response.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self'"), "{path}: {policy}");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_used_without_a_restart() {
    let (server, old, tls) = start();
    let (chain, key) = certificate("localhost");
    tls.replace(chain.as_bytes(), key.as_bytes()).unwrap();
    assert!(client(&old, None).get(server.url("/who")).send().await.is_err());
    assert!(client(&chain, None).get(server.url("/who")).send().await.is_ok());
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go() {
    let (chain, key) = certificate("localhost");
    let tls = Tls::new(chain.as_bytes(), key.as_bytes(), ClientCertificates::Ignored).unwrap();
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), Some(tls), Router::new(), limits).unwrap();
    let address = server.local_addr();
    let cancel = CancellationToken::new();
    let task = tokio::task::spawn(server.run(cancel.clone()));
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut buffer = [0; 16];
    let heard = tokio::time::timeout(Duration::from_secs(10), silent.read(&mut buffer))
        .await
        .expect("let go in time");
    assert!(matches!(heard, Ok(0) | Err(_)));
    cancel.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn it_stops_when_told_to_and_the_port_is_free_again() {
    let (server, ..) = start();
    server.client.get(server.url("/who")).send().await.unwrap();
    server.cancel.cancel();
    server.task.await.unwrap().unwrap();
    std::net::TcpListener::bind(server.address).unwrap();
}

/// Sends raw bytes without TLS, and returns everything that comes back until the server closes.
async fn raw(limits: Limits, send: &[u8]) -> String {
    let router = Router::new().route("/echo", post(echo)).route("/who", get(who));
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), None, router, limits).unwrap();
    let address = server.local_addr();
    let cancel = CancellationToken::new();
    let task = tokio::task::spawn(server.run(cancel.clone()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(send).await.unwrap();
    let mut heard = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut heard));
    read.await.expect("let go in time").unwrap();
    cancel.cancel();
    task.await.unwrap().unwrap();
    String::from_utf8(heard).unwrap()
}

#[tokio::test]
async fn a_body_without_a_length_is_measured_while_it_comes() {
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let head = "POST /echo HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let sent = format!("{head}{}0\r\n\r\n", chunk.repeat(2));
    let heard = raw(Limits { body: 0x1800, ..Limits::default() }, sent.as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 413 ") && heard.contains("body-too-large"), "{heard}");
}

#[tokio::test]
async fn a_connection_that_falls_silent_after_a_request_is_let_go() {
    let limits = Limits { idle: Duration::from_millis(200), ..Limits::default() };
    let heard = raw(limits, b"GET /who HTTP/1.1\r\nhost: localhost\r\n\r\nGET /who HT").await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let sent = format!("GET /who HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(40 << 10));
    let heard = raw(Limits::default(), sent.as_bytes()).await;
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
}

/// Presents a certificate together with the key of another one.
#[derive(Debug)]
struct Impostor(std::sync::Arc<rustls::sign::CertifiedKey>);

impl rustls::client::ResolvesClientCert for Impostor {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[rustls::SignatureScheme],
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_client_certificate_without_its_key_gets_nowhere() {
    use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let (server, root, _) = start();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    for (version, with_its_key) in [
        (&rustls::version::TLS12, true),
        (&rustls::version::TLS12, false),
        (&rustls::version::TLS13, true),
        (&rustls::version::TLS13, false),
    ] {
        let (chain, own_key) = certificate("device");
        let key = if with_its_key { own_key } else { certificate("other").1 };
        let chain = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let identity = std::sync::Arc::new(rustls::sign::CertifiedKey::new(vec![chain], key));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_client_cert_resolver(std::sync::Arc::new(Impostor(identity)));
        let client = Client::builder().tls_backend_preconfigured(config).build().unwrap();
        let answer = client.get(server.url("/who")).send().await;
        assert_eq!(answer.is_ok(), with_its_key, "{version:?}: {answer:?}");
    }
}
