//! An edge as a child process: what a kill, a stop and a restart really do to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use reqwest::{Certificate, Client};
use serde_json::Value;

use crate::programs::{Running, run};

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

    /// The same with more in its environment.
    pub fn start_with(&self, environment: &[(&str, &str)]) -> Result<Running> {
        let config = self.dir.join("edge.toml");
        let ready = |line: &str| line.starts_with("edge: listening");
        Running::start_with(
            "edge",
            &["run", "--config", text(&config)?],
            environment,
            &self.dir.join("edge.log"),
            ready,
        )
    }

    /// Makes a token, as the command line does.
    pub fn token(&self, role: &str, name: &str) -> Result<String> {
        let state = self.dir.join("box");
        let printed =
            run("edge", &["token", "new", "--state", text(&state)?, "--role", role, "--name", name])?;
        Ok(printed.trim().to_owned())
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

    /// Reads something.
    pub async fn get(&self, token: &str, path: &str) -> Result<(u16, Value)> {
        let response = self.client.get(self.url(path)).bearer_auth(token).send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
