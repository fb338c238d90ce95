//! An edge as a child process: what a kill, a stop and a restart really do to it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, Client};
use serde_json::Value;
use tokio::time::sleep;

use crate::programs::{Running, run};

/// How often somebody looks who waits for something to show.
const LOOK: Duration = Duration::from_millis(100);

/// An initialised appliance in a folder; it runs when told to.
#[derive(Debug)]
pub struct Floor {
    dir: PathBuf,
    address: String,
    /// A client that trusts it.
    pub client: Client,
}

impl Floor {
    /// Makes an appliance in `dir` with the lines L1 to L3; `more` is added to its configuration.
    pub fn init(dir: &Path, more: &str) -> Result<Self> {
        let passphrase = dir.join("passphrase");
        keys::write_private(&passphrase, b"correct horse battery staple\n")?;
        let state = dir.join("box");
        run("edge", &["init", "--state", text(&state)?, "--passphrase-file", text(&passphrase)?])?;
        Self::around(dir, more)
    }

    /// As [`init`](Self::init), with more words for `edge ca init` and more keys in the section `[ca]`.
    pub fn init_with(dir: &Path, words: &[&str], ca: &str) -> Result<Self> {
        let passphrase = dir.join("passphrase");
        keys::write_private(&passphrase, b"correct horse battery staple\n")?;
        let state = dir.join("box");
        let init = ["ca", "init", "--state", text(&state)?, "--passphrase-file", text(&passphrase)?];
        run("edge", &[&init[..], words].concat())?;
        Self::around(dir, ca)
    }

    /// Makes an appliance in `dir` of the backup in `backup`.
    pub fn restore(dir: &Path, backup: &Path, more: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        keys::write_private(&dir.join("passphrase"), b"correct horse battery staple\n")?;
        run("edge", &["restore", text(backup)?, "--state", text(&dir.join("box"))?])?;
        Self::around(dir, more)
    }

    /// The configuration of an appliance, and a client for it.
    fn around(dir: &Path, more: &str) -> Result<Self> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (passphrase, state) = (dir.join("passphrase"), dir.join("box"));
        // A port of its own that stays the same over restarts.
        let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let lines: String = ["L1", "L2", "L3"]
            .iter()
            .map(|line| format!("[[line]]\nid = \"{line}\"\ntarget = 120\n"))
            .collect();
        fs::write(
            dir.join("edge.toml"),
            format!(
                "state = {state:?}\n[listen]\naddress = \"{address}\"\nnames = [\"localhost\", \"127.0.0.1\"]\n\
             [ca]\npassphrase = {{ file = {passphrase:?} }}\n{more}{lines}"
            ),
        )?;
        let root = Certificate::from_pem(&fs::read(state.join("root.pem"))?)?;
        let client = Client::builder().tls_certs_only([root]).build()?;
        Ok(Self { dir: dir.to_owned(), address, client })
    }

    /// Starts the daemon; returns once it is ready.
    pub fn start(&self) -> Result<Running> {
        self.start_with(&[])
    }

    /// The same, with more in its environment.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Result<Running> {
        let config = self.config();
        let args = ["run", "--config", text(&config)?];
        let ready = |line: &str| line.starts_with("edge: listening");
        Running::start_with("edge", &args, environment, &self.dir.join("edge.log"), ready)
    }

    /// Makes a token, as the command line does.
    pub fn token(&self, role: &str, name: &str) -> Result<String> {
        let state = self.dir.join("box");
        let printed =
            run("edge", &["token", "new", "--state", text(&state)?, "--role", role, "--name", name])?;
        Ok(printed.trim().to_owned())
    }

    /// The configuration of its daemon.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("edge.toml")
    }

    /// The state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.dir.join("box")
    }

    /// Runs `edge WORDS --state …` to its end and returns what it printed.
    pub fn edge(&self, words: &[&str]) -> Result<String> {
        let state = self.state();
        run("edge", &[words, &["--state", text(&state)?]].concat())
    }

    /// An address of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let port = self.address.rsplit(':').next().unwrap_or_default();
        format!("https://localhost:{port}{path}")
    }

    /// Asks for a unit; an `Err` is no answer at all.
    pub async fn issue(&self, token: &str, request: &Value) -> Result<(u16, Value)> {
        let request = self.client.post(self.url("/v1/units")).bearer_auth(token).json(request);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// What the box says of its cloud. Its books balance, and nothing is held.
    pub async fn cloud(&self, token: &str) -> Result<Value> {
        let (_, mut status) = self.get(token, "/v1/status").await?;
        ensure!(status["books_balance"] == true, "the books do not balance: {status}");
        ensure!(status["cloud"]["books"]["held"] == 0, "somebody has to look: {status}");
        Ok(status["cloud"].take())
    }

    /// Waits until the box has nothing more to tell its cloud, looking as a person would: again and again.
    pub async fn settled(&self, token: &str) -> Result<Value> {
        loop {
            let cloud = self.cloud(token).await?;
            if cloud["books"]["waiting"] == 0 {
                return Ok(cloud);
            }
            sleep(LOOK).await;
        }
    }

    /// Reads something.
    pub async fn get(&self, token: &str, path: &str) -> Result<(u16, Value)> {
        let response = self.client.get(self.url(path)).bearer_auth(token).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
