//! A running appliance over real TLS, and a line PC to talk to it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "every test file uses a part of it")]

use std::{fs, net::SocketAddr, time::Duration};

use cloud_sync::CloudEvent;
use edge::{Appliance, Config, EdgeEvent, InitOptions, RunError};
use keys::Passphrase;
use ledger::{Decision, Ledger, Stamp, View};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
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

fn passphrase() -> Passphrase {
    Passphrase::new("correct horse battery staple".to_owned()).unwrap()
}

fn storage() -> ledger::StorageConfig {
    toml::from_str("segment = '2 MiB'\ncache = '1 MiB'\nfloor = '1 MiB'\nballast = '0 B'").unwrap()
}

impl Running {
    pub async fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let options = InitOptions { names: vec!["localhost".into()], ledger: storage().options().unwrap() };
        let made = edge::init(&dir.path().join("box"), options, &passphrase(), now()).await.unwrap();
        Self::start_in(dir, made.admin_token)
    }

    pub fn start_in(dir: TempDir, admin: String) -> Self {
        Self::start_with(dir, admin, |_| {})
    }

    /// The same with another configuration.
    pub fn start_with(dir: TempDir, admin: String, change: impl FnOnce(&mut Config)) -> Self {
        let state = dir.path().join("box");
        let file = dir.path().join("edge.toml");
        let text = format!(
            "state = {state:?}\n[listen]\naddress = \"127.0.0.1:0\"\nnames = [\"localhost\"]\n\
             [ca]\npassphrase = \"prompt\"\n[[line]]\nid = \"L1\"\n[[line]]\nid = \"L2\"\n"
        );
        fs::write(&file, text).unwrap();
        let mut config = Config::read(&file).unwrap();
        config.storage = storage();
        // A test does not wait a minute for the next list.
        config.crl.apart = Duration::from_millis(1);
        change(&mut config);
        let appliance = Appliance::bind(&config, &passphrase()).unwrap();
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
        let (dir, admin) = self.stop().await;
        Self::start_in(dir, admin)
    }

    /// Stops it; what is left is its folder, and the administrator's token.
    pub async fn stop(mut self) -> (TempDir, String) {
        self.cancel.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
        (self.dir, self.admin)
    }

    /// Stops it, writes down that the cloud has these passes of units, as the worker does, and starts it again.
    pub async fn told(self, told: &[(&str, u32)]) -> Self {
        let (dir, admin) = self.stop().await;
        let ledger = open_ledger(&dir);
        for (id, epoch) in told {
            let event = CloudEvent::Accepted { id: id.parse().unwrap(), epoch: *epoch };
            let decide = move |_: &View<'_>| {
                Ok::<_, ()>(Decision { events: vec![EdgeEvent::from(event)], answer: () })
            };
            ledger.commit(Stamp { at: now(), actor: "sync".into() }, decide).await.unwrap();
        }
        ledger.close().await;
        Self::start_in(dir, admin)
    }

    pub async fn ask(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        answer(self.client.post(self.url(path)).bearer_auth(token).json(&body)).await
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

/// The ledger of an appliance that is stopped.
pub fn open_ledger(dir: &TempDir) -> Ledger<EdgeEvent> {
    Ledger::open(&dir.path().join("box/ledger"), &storage().options().unwrap()).unwrap()
}

/// Checks that the index is what the journal makes of it from the beginning.
pub async fn check_rebuild(dir: &TempDir) {
    let live = open_ledger(dir);
    let fingerprint = live.fingerprint().unwrap();
    live.close().await;
    fs::remove_dir_all(dir.path().join("box/ledger/index")).unwrap();
    let rebuilt = open_ledger(dir);
    assert_eq!(rebuilt.fingerprint().unwrap(), fingerprint, "the index is not what the journal says");
    rebuilt.close().await;
}

/// Checks that an answer is a problem that says what to do, and returns its status and code.
pub fn problem((status, body): &(u16, Value)) -> (u16, &str) {
    assert_eq!(body["status"], *status, "{body}");
    assert!(body["detail"].as_str().is_some_and(|detail| detail.len() > 30), "says what to do: {body}");
    (*status, body["code"].as_str().unwrap())
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

#[expect(clippy::disallowed_methods, reason = "a test has a time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
