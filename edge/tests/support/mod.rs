//! A running appliance over real TLS, and a line PC to talk to it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "every test file uses a part of it")]

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, LazyLock, Mutex},
};

use cloud_sync::CloudEvent;
use edge::{
    Appliance, Config, EdgeEvent, InitOptions, RunError,
    clock::{Reading, Source, machine},
};
use keys::Passphrase;
use ledger::{Decision, Ledger, Stamp, View};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SignatureAlgorithm};
use reqwest::{Certificate, Client, ClientBuilder, Identity, RequestBuilder};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{CertificateRevocationList, FromDer},
};

pub struct Running {
    pub dir: TempDir,
    pub address: SocketAddr,
    pub admin: String,
    pub client: Client,
    more: String,
    cancel: CancellationToken,
    tasks: JoinSet<Result<(), RunError>>,
}

/// One for every appliance of a test: what was derived from it is remembered.
pub fn passphrase() -> Passphrase {
    static ONE: LazyLock<Passphrase> = LazyLock::new(|| Passphrase::new(PASSPHRASE.to_owned()).unwrap());
    ONE.clone()
}

const PASSPHRASE: &str = "correct horse battery staple";

fn storage(floor: &str) -> ledger::StorageConfig {
    let text = format!("segment = '2 MiB'\ncache = '1 MiB'\nfloor = '{floor}'\nballast = '0 B'");
    toml::from_str(&text).unwrap()
}

/// As much free space as a test needs.
pub const FLOOR: &str = "1 MiB";
/// What stands at the end of a configuration, beside the box.
const LAST: &str = "more.toml";

impl Running {
    pub async fn start() -> Self {
        let (dir, admin) = Self::made_at(now()).await;
        Self::start_in(dir, admin)
    }

    /// With `more` in front of its configuration, and a clock of the test's own.
    pub async fn start_with(more: &str, source: Source) -> Self {
        let running = Self::start().await;
        running.restart_with(more, source).await
    }

    /// An appliance that was made at that time.
    pub async fn made_at(at: OffsetDateTime) -> (TempDir, String) {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = TempDir::new().unwrap();
        let options = InitOptions {
            names: vec!["localhost".into()],
            ledger: storage(FLOOR).options().unwrap(),
            ..InitOptions::default()
        };
        let made = edge::init(&dir.path().join("box"), options, &passphrase(), at).await.unwrap();
        (dir, made.admin_token)
    }

    /// Starts with `first` at the head of the configuration.
    pub fn start_headed(dir: TempDir, admin: String, first: &str) -> Self {
        Self::start_in_with(dir, admin, first.to_owned(), FLOOR, machine())
    }

    pub fn start_in(dir: TempDir, admin: String) -> Self {
        Self::start_in_with(dir, admin, String::new(), FLOOR, machine())
    }

    /// Starts with `last` at the end of its configuration.
    pub async fn start_ending(last: &str) -> Self {
        let (dir, admin) = Self::made_at(now()).await;
        fs::write(dir.path().join(LAST), last).unwrap();
        Self::start_in(dir, admin)
    }

    /// Stops it; what is left is its folder, and the administrator's token.
    pub async fn stop(mut self) -> (TempDir, String) {
        self.cancel.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
        (self.dir, self.admin)
    }

    /// Waits until it ends by itself.
    pub async fn ended(mut self) -> Result<(), RunError> {
        let ended = tokio::time::timeout(std::time::Duration::from_secs(20), self.tasks.join_next()).await;
        ended.expect("it goes on").unwrap().unwrap()
    }

    /// Stops it, writes down that the cloud has these passes of units, as the worker does, and starts it again.
    pub async fn told(self, told: &[(&str, u32)]) -> Self {
        let more = self.more.clone();
        let (dir, admin) = self.stop().await;
        for (id, epoch) in told {
            write(&dir, CloudEvent::Accepted { id: id.parse().unwrap(), epoch: *epoch }.into()).await;
        }
        Self::start_headed(dir, admin, &more)
    }

    /// The configuration of the box in `dir`, with `more` at its head.
    pub fn config(dir: &TempDir, more: &str, floor: &str) -> Config {
        let state = dir.path().join("box");
        let file = dir.path().join("edge.toml");
        let text = format!(
            "state = {state:?}\n{more}\n[listen]\naddress = \"127.0.0.1:0\"\nnames = [\"localhost\"]\n\
             [ca]\npassphrase = \"prompt\"\n[[line]]\nid = \"L1\"\n[[line]]\nid = \"L2\"\n"
        );
        let last = fs::read_to_string(dir.path().join(LAST)).unwrap_or_default();
        fs::write(&file, text + &last).unwrap();
        let mut config = Config::read(&file).unwrap();
        config.storage = storage(floor);
        // A test does not wait a minute for the next list.
        config.crl.apart = std::time::Duration::from_millis(1);
        config
    }

    fn start_in_with(dir: TempDir, admin: String, more: String, floor: &str, source: Source) -> Self {
        let state = dir.path().join("box");
        let config = Self::config(&dir, &more, floor);
        let appliance = Appliance::bind_with_clock(&config, &passphrase(), source).unwrap();
        let address = appliance.local_addr();
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(appliance.run(cancel.clone()));
        let client = client(&state).build().unwrap();
        Self { dir, address, admin, client, more, cancel, tasks }
    }

    pub async fn restart(self) -> Self {
        let more = self.more.clone();
        self.restart_with(&more, machine()).await
    }

    pub async fn restart_with(self, more: &str, source: Source) -> Self {
        let (dir, admin) = self.stop().await;
        Self::start_in_with(dir, admin, more.to_owned(), FLOOR, source)
    }

    /// Starts it again so that it wants so much free space.
    pub async fn restart_with_floor(self, floor: &str) -> Self {
        let more = self.more.clone();
        let (dir, admin) = self.stop().await;
        Self::start_in_with(dir, admin, more, floor, machine())
    }

    /// A client that shows a certificate; both are PEM.
    pub fn client_with(&self, certificate: &str, key: &str) -> Client {
        let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes()).unwrap();
        client(&self.dir.path().join("box")).identity(identity).build().unwrap()
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

    /// Enrolls a station, with a request for a key.
    pub async fn enroll(&self, name: &str, line: &str, key: &KeyPair, life: Duration) -> (u16, Value) {
        let expires = (now() + life).format(&Rfc3339).unwrap();
        let csr = csr_for(key, "a name that does not count", |_| {});
        let new = json!({ "name": name, "role": "station", "line": line, "expires": expires, "csr": csr });
        self.local(reqwest::Method::POST, "/stations", Some(new)).await
    }

    /// A station with a fresh key: that, its certificate, and a client that shows it.
    pub async fn station(&self, name: &str, line: &str, life: Duration) -> (KeyPair, String, Client) {
        let key = KeyPair::generate().unwrap();
        let (status, body) = self.enroll(name, line, &key, life).await;
        assert_eq!(status, 201, "{body}");
        let certificate = body["certificate"].as_str().unwrap().to_owned();
        let client = self.client_with(&certificate, &key.serialize_pem());
        (key, certificate, client)
    }

    pub fn post(&self, token: &str) -> RequestBuilder {
        self.client.post(self.url("/v1/units")).bearer_auth(token)
    }

    pub async fn issue(&self, token: &str, body: &Value) -> (u16, Value) {
        answer(self.post(token).json(body)).await
    }

    pub async fn ask(&self, token: &str, path: &str, body: Value) -> (u16, Value) {
        answer(self.client.post(self.url(path)).bearer_auth(token).json(&body)).await
    }

    pub async fn get(&self, token: &str, path: &str) -> (u16, Value) {
        answer(self.client.get(self.url(path)).bearer_auth(token)).await
    }

    /// SHA-256 of the issuing CA at work, hex.
    pub fn issuer(&self) -> String {
        let pem = fs::read(self.dir.path().join("box/issuing.pem")).unwrap();
        let (_, pem) = parse_x509_pem(&pem).unwrap();
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pem.contents))
    }

    /// Has another issuing CA take over, as the command line does.
    pub async fn rotate(&self) {
        let passphrase = self.dir.path().join("passphrase");
        keys::write_private(&passphrase, PASSPHRASE.as_bytes()).unwrap();
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_edge"));
        command.args(["ca", "rotate", "--config"]).arg(self.dir.path().join("edge.toml"));
        let output = command.arg("--passphrase-file").arg(passphrase).output().await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The list of revoked certificates at `/crl` and what follows there, once it satisfies `wanted`.
    pub async fn crl(&self, of: &str, wanted: impl Fn(&CertificateRevocationList<'_>) -> bool) -> Vec<u8> {
        let look = async {
            loop {
                let response = self.client.get(self.url(&format!("/crl{of}"))).send().await.unwrap();
                let kind = response.headers()["content-type"].clone();
                let found = response.status() == 200;
                let body = response.bytes().await.unwrap().to_vec();
                if found {
                    assert_eq!(kind, "application/pkix-crl");
                    let (rest, parsed) = CertificateRevocationList::from_der(&body).unwrap();
                    assert!(rest.is_empty());
                    if wanted(&parsed) {
                        return body;
                    }
                }
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), look).await.expect("no such list")
    }

    /// The number of the last frame, once the first list of revoked certificates is there: unchanged if nothing was
    /// written.
    pub async fn seq(&self) -> u64 {
        self.crl("", |_| true).await;
        self.last_frame().await
    }

    /// The number of the last frame.
    pub async fn last_frame(&self) -> u64 {
        self.local(reqwest::Method::GET, "/status", None).await.1["seq"].as_u64().unwrap()
    }
}

/// The ledger of an appliance that is stopped.
pub fn open_ledger(dir: &TempDir) -> Ledger<EdgeEvent> {
    Ledger::open(&dir.path().join("box/ledger"), &storage(FLOOR).options().unwrap()).unwrap()
}

/// Writes an event into the journal of an appliance that is stopped.
pub async fn write(dir: &TempDir, event: EdgeEvent) {
    let ledger = open_ledger(dir);
    let decide = move |_: &View<'_>| Ok::<_, ()>(Decision { events: vec![event], answer: () });
    ledger.commit(Stamp { at: now(), actor: "sync".into() }, decide).await.unwrap();
    ledger.close().await;
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

/// A clock that shows what a test sets.
#[derive(Clone)]
pub struct Dial(Arc<Mutex<Reading>>);

impl Dial {
    /// Set right, and by a time server.
    pub fn new() -> Self {
        let wall = now();
        Self(Arc::new(Mutex::new(Reading { wall, uptime: std::time::Duration::ZERO, synchronised: true })))
    }

    pub fn source(&self) -> Source {
        let reading = self.0.clone();
        Arc::new(move || *reading.lock().unwrap())
    }

    pub fn wall(&self) -> OffsetDateTime {
        self.0.lock().unwrap().wall
    }

    pub fn set(&self, wall: OffsetDateTime) {
        self.0.lock().unwrap().wall = wall;
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        let mut reading = self.0.lock().unwrap();
        reading.wall += time;
        reading.uptime += time.unsigned_abs();
    }
}

fn client(state: &Path) -> ClientBuilder {
    let root = Certificate::from_pem(&fs::read(state.join("root.pem")).unwrap()).unwrap();
    Client::builder().tls_certs_only([root]).redirect(reqwest::redirect::Policy::none())
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
    csr_for(&KeyPair::generate().unwrap(), name, wish)
}

/// A request for a key.
pub fn csr_for(key: &KeyPair, name: &str, wish: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !name.is_empty() {
        params.distinguished_name.push(DnType::CommonName, name);
    }
    wish(&mut params);
    params.serialize_request(key).unwrap().pem().unwrap()
}

/// A certificate that a key has signed for itself.
pub fn self_signed(key: &KeyPair, name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.self_signed(key).unwrap().pem()
}

/// A request with a fresh key of a kind.
pub fn csr_of(kind: &'static SignatureAlgorithm, name: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(&KeyPair::generate_for(kind).unwrap()).unwrap().pem().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "a test has a time")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
