//! A running appliance over real TLS, and a line PC to talk to it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "every test file uses a part of it")]

use std::{fs, net::SocketAddr};

use edge::{Appliance, Config, InitOptions, RunError};
use keys::Passphrase;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SignatureAlgorithm};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub struct Running {
    pub dir: TempDir,
    pub address: SocketAddr,
    pub admin: String,
    pub client: Client,
    cancel: CancellationToken,
    tasks: JoinSet<Result<(), RunError>>,
}

pub fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple".to_owned()).unwrap()
}

fn storage() -> ledger::StorageConfig {
    toml::from_str("segment = '2 MiB'\ncache = '1 MiB'\nfloor = '1 MiB'\nballast = '0 B'").unwrap()
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// Starts with more at the end of the configuration.
    pub async fn start_with(more: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let options = InitOptions { names: vec!["localhost".into()], ledger: storage().options().unwrap() };
        fs::write(dir.path().join("more.toml"), more).unwrap();
        let made = edge::init(&dir.path().join("box"), options, &passphrase(), now()).await.unwrap();
        Self::start_in(dir, made.admin_token)
    }

    pub fn start_in(dir: TempDir, admin: String) -> Self {
        let appliance = Appliance::bind(&Self::config(&dir), &passphrase()).unwrap();
        Self::run(dir, admin, appliance)
    }

    /// The configuration of the box in `dir`.
    pub fn config(dir: &TempDir) -> Config {
        let state = dir.path().join("box");
        let file = dir.path().join("edge.toml");
        let text = format!(
            "state = {state:?}\n[listen]\naddress = \"127.0.0.1:0\"\nnames = [\"localhost\"]\n\
             [ca]\npassphrase = \"prompt\"\n[[line]]\nid = \"L1\"\n[[line]]\nid = \"L2\"\n"
        );
        fs::write(&file, text + &fs::read_to_string(dir.path().join("more.toml")).unwrap()).unwrap();
        let mut config = Config::read(&file).unwrap();
        config.storage = storage();
        config
    }

    fn run(dir: TempDir, admin: String, appliance: Appliance) -> Self {
        let state = dir.path().join("box");
        let address = appliance.local_addr();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(appliance.run(cancel.clone()));
        let root = Certificate::from_pem(&fs::read(state.join("root.pem")).unwrap()).unwrap();
        let client = Client::builder()
            .tls_certs_only([root])
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { dir, address, admin, client, cancel, tasks }
    }

    pub async fn restart(self) -> Self {
        let admin = self.admin.clone();
        Self::start_in(self.stop().await, admin)
    }

    /// Stops it; what is on disk is left.
    pub async fn stop(mut self) -> TempDir {
        self.cancel.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
        self.dir
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address.port())
    }

    /// Talks to the daemon's socket, as the command line does.
    pub async fn local(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let socket = self.dir.path().join("box/edge.sock");
        let client = Client::builder().unix_socket(socket.as_path()).build().unwrap();
        let mut request = client.request(method, format!("http://edge{path}"));
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(request).await
    }

    pub async fn token(&self, new: Value) -> String {
        let (status, body) = self.local(reqwest::Method::POST, "/tokens", Some(new)).await;
        assert_eq!(status, 201, "{body}");
        body["token"].as_str().unwrap().to_owned()
    }

    /// A token of a role, good for every line.
    pub async fn role(&self, role: &str) -> String {
        self.token(json!({ "name": role, "role": role })).await
    }

    pub fn post(&self, token: &str) -> RequestBuilder {
        self.client.post(self.url("/v1/units")).bearer_auth(token)
    }

    pub async fn issue(&self, token: &str, body: &Value) -> (u16, Value) {
        answer(self.post(token).json(body)).await
    }

    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        answer(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    /// The number of the last frame: unchanged if nothing was written.
    pub async fn seq(&self) -> u64 {
        self.local(reqwest::Method::GET, "/status", None).await.1["seq"].as_u64().unwrap()
    }
}

pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// A request with a fresh key.
pub fn csr(name: &str) -> String {
    csr_with(name, |_| {})
}

/// A request with a fresh key that asks for more.
pub fn csr_with(name: &str, wish: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    wish(&mut params);
    params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap()
}

/// A request with a fresh key of a kind.
pub fn csr_of(kind: &'static SignatureAlgorithm, name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(&KeyPair::generate_for(kind).unwrap()).unwrap().pem().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has a time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
