//! An initialised appliance that can be started again and again, and a line PC that talks to it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Certificate, Client, RequestBuilder};
use serde_json::Value;

use crate::{
    fault::daemon::{Came, Daemon, Environment, PATIENCE},
    programs,
};

/// An initialised appliance.
#[derive(Debug, Clone)]
pub(crate) struct Bench {
    config: PathBuf,
    log: PathBuf,
    state: PathBuf,
    port: u16,
    root: Certificate,
    token: String,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Heard {
    /// An answer.
    Answer(u16, Value),
    /// No answer: the connection broke, or there was none.
    Nothing,
    /// No answer in [`PATIENCE`].
    Late,
}

impl Bench {
    /// Makes an appliance in `state`; its configuration, with `more` in it, and its log are in `dir`.
    pub(crate) async fn init(dir: &Path, state: &Path, more: &str) -> Result<Self> {
        let passphrase = dir.join("passphrase");
        keys::write_private(&passphrase, b"correct horse battery staple\n")?;
        programs::run("edge", &["init", "--state", text(state)?, "--passphrase-file", text(&passphrase)?])?;
        let port = port()?;
        let config = dir.join("edge.toml");
        fs::write(
            &config,
            format!(
                "state = {state:?}\n[listen]\naddress = \"127.0.0.1:{port}\"\nnames = [\"localhost\", \"127.0.0.1\"]\n\
                 [ca]\npassphrase = {{ file = {passphrase:?} }}\n{more}[[line]]\nid = \"L1\"\ntarget = 120\n"
            ),
        )?;
        let root = Certificate::from_pem(&fs::read(state.join("root.pem"))?)?;
        let log = dir.join("edge.log");
        let mut bench = Self { config, log, state: state.to_owned(), port, root, token: String::new() };
        let mut daemon = bench.spawn(&Environment::new())?;
        match daemon.come_up().await? {
            Came::Up(_) => {}
            other => bail!("a new appliance does not start: {other:?}\n{}", bench.last_words(5)),
        }
        let token = ["token", "new", "--state", text(state)?, "--role", "station", "--name", "bench"];
        bench.token = programs::run("edge", &token)?.trim().to_owned();
        daemon.stop().await?.context("a new appliance does not stop")?;
        Ok(bench)
    }

    /// The same appliance with its state in `state`, and its configuration and log in `dir`.
    pub(crate) fn moved(&self, dir: &Path, state: &Path) -> Result<Self> {
        let before = fs::read_to_string(&self.config)?;
        let (from, to) = (format!("state = {:?}", self.state), format!("state = {state:?}"));
        let (config, log) = (dir.join("edge.toml"), dir.join("edge.log"));
        fs::write(&config, before.replace(&from, &to))?;
        Ok(Self { config, log, state: state.to_owned(), ..self.clone() })
    }

    /// Where it keeps its state.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Starts the daemon; it is not up yet.
    pub(crate) fn spawn(&self, environment: &Environment) -> Result<Daemon> {
        Daemon::spawn(&self.config, &self.log, environment)
    }

    /// The last lines of its log; of a panic, where it was and what it said.
    pub(crate) fn last_words(&self, lines: usize) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log[log.len().saturating_sub(1 << 16)..]).into_owned();
        let all: Vec<_> = log.lines().collect();
        let last = all.len().saturating_sub(40);
        let panicked = all[last..].iter().position(|line| line.contains("panicked at"));
        match panicked {
            Some(at) => all[last + at..].iter().take(2).copied().collect::<Vec<_>>().join("\n"),
            None => all[all.len().saturating_sub(lines)..].join("\n"),
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What a line PC says who it is with.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// A line PC that has not talked to it yet.
    pub(crate) fn line(&self) -> Result<Line> {
        let client = Client::builder().tls_certs_only([self.root.clone()]).timeout(PATIENCE);
        let client = client.connect_timeout(Duration::from_secs(5)).no_proxy().build()?;
        Ok(Line { client, url: format!("https://localhost:{}", self.port), token: self.token.clone() })
    }
}

/// A line PC. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    client: Client,
    url: String,
    token: String,
}

impl Line {
    /// Asks for a unit.
    pub(crate) async fn issue(&self, request: &Value) -> Heard {
        self.ask(self.client.post(format!("{}/v1/units", self.url)).json(request)).await
    }

    /// Reads something.
    pub(crate) async fn get(&self, path: &str) -> Heard {
        self.ask(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn ask(&self, request: RequestBuilder) -> Heard {
        let asked = async {
            let response = request.bearer_auth(&self.token).send().await?;
            let (status, body) = (response.status().as_u16(), response.bytes().await?);
            Ok::<_, reqwest::Error>((status, body))
        };
        match asked.await {
            Ok((status, body)) => {
                let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
                Heard::Answer(status, serde_json::from_slice(&body).unwrap_or_else(|_| text()))
            }
            Err(error) if error.is_timeout() => Heard::Late,
            Err(_) => Heard::Nothing,
        }
    }
}

/// The SHA-256 of the certificate in an answer, upper case; `None` unless it is the one that the answer speaks of.
pub(crate) fn fingerprint(unit: &Value) -> Option<String> {
    let pem = unit["certificate"].as_str()?;
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let sha256 = digest(&SHA256, &STANDARD.decode(base64).ok()?);
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    (unit["sha256"].as_str() == Some(&sha256)).then_some(sha256)
}

/// A free port that no outgoing connection takes while the daemon is down.
fn port() -> Result<u16> {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| fastrand::u16(12_000..32_000));
    ports.by_ref().take(1000).find(free).context("no free port")
}

pub(crate) fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
