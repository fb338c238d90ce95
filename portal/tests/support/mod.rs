//! A running portal over real TLS, and a browser to visit it with.
#![allow(dead_code, unreachable_pub, reason = "every test file uses a part of it")]

use std::net::SocketAddr;
use std::path::Path;

use keys::Passphrase;
use ledger::{Decision, Ledger, Stamp};
use portal::event::PortalEvent;
use portal::{AccountIs, Config, Portal};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, RequestBuilder, Response};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub const PASSWORD: &str = "correct horse battery";
pub const HUB: &str = "hub-eu.azure-devices.net";
/// A well-formed claim code.
pub const CODE: &str = "2222-2222-2222-2222-2";

pub struct Running {
    pub dir: TempDir,
    pub address: SocketAddr,
    pub ledger: Ledger<PortalEvent>,
    pub root: String,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Running {
    /// A portal with the accounts `weber` and `klein`; `more` is added to its configuration.
    pub async fn start(more: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), more).await
    }

    pub async fn start_in(dir: TempDir, more: &str) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let state = dir.path().join("portal");
        if !state.exists() {
            portal::init(&state, vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).await.unwrap();
            for name in ["weber", "klein"] {
                let password = Passphrase::new(PASSWORD.to_owned()).unwrap();
                portal::set_account(&state, name.parse().unwrap(), &password, AccountIs::New).await.unwrap();
            }
        }
        let root = std::fs::read_to_string(state.join("root.pem")).unwrap();
        let portal = Portal::bind(config(&state, more)).await.unwrap();
        let (address, ledger) = (portal.local_addr(), portal.ledger().clone());
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stop = cancel.clone();
        tasks.spawn(async move { portal.run(stop).await.unwrap() });
        Self { dir, address, ledger, root, cancel, tasks }
    }

    /// Stops it in good order, and leaves its folder.
    pub async fn stop(mut self) -> TempDir {
        self.cancel.cancel();
        drop(self.ledger);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        self.dir
    }

    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub fn browser(&self) -> Browser {
        let root = Certificate::from_pem(self.root.as_bytes()).unwrap();
        let client = Client::builder().tls_certs_only([root]).cookie_store(true).redirect(Policy::none());
        Browser { client: client.build().unwrap(), origin: self.origin() }
    }

    pub async fn signed_in(&self, name: &str) -> Browser {
        let browser = self.browser();
        let answer = browser.sign_in(name, PASSWORD).await;
        assert_eq!((answer.status, answer.location.as_str()), (303, "/activate"), "{}", answer.body);
        browser
    }

    /// Writes what the worker would write.
    pub async fn cloud_says(&self, event: cloud_sync::CloudEvent) {
        let stamp = Stamp { at: time::macros::datetime!(2026-11-23 10:00 UTC), actor: "test".to_owned() };
        self.happens(stamp, event).await;
    }

    pub async fn happens(&self, stamp: Stamp, event: cloud_sync::CloudEvent) {
        let decide = move |_: &ledger::View<'_>| {
            Ok::<_, ()>(Decision { events: vec![PortalEvent::Cloud(event)], answer: () })
        };
        self.ledger.commit(stamp, decide).await.unwrap();
    }
}

pub fn config(state: &Path, more: &str) -> Config {
    let text = format!(
        "state = {state:?}\nhubs = [\"hub-us.azure-devices.net\", \"{HUB}\"]\n[listen]\naddress = \"127.0.0.1:0\"\n{more}"
    );
    Config::parse(&text, Path::new("portal.toml")).unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub location: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    async fn read(response: Response) -> Self {
        let headers = response.headers().clone();
        let location = headers.get(LOCATION).map(|to| to.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let location = location.unwrap_or_default();
        Self { status, location, headers, body: response.text().await.unwrap() }
    }

    /// The token of the form in the page.
    pub fn token(&self) -> String {
        let (_, rest) = self.body.rsplit_once("name=\"token\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }
}

pub struct Browser {
    pub client: Client,
    pub origin: String,
}

impl Browser {
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Answer::read(request.send().await.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.client.get(format!("{}{path}", self.origin))).await
    }

    pub async fn json(&self, path: &str) -> (u16, serde_json::Value) {
        let request = self.client.get(format!("{}{path}", self.origin)).header("accept", "application/json");
        let answer = self.send(request).await;
        (answer.status, serde_json::from_str(&answer.body).unwrap())
    }

    /// Sends a form as a browser does from a page of the portal.
    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.post_from(path, form, Some(&self.origin)).await
    }

    pub async fn post_from(&self, path: &str, form: &[(&str, &str)], origin: Option<&str>) -> Answer {
        let mut request = self.client.post(format!("{}{path}", self.origin)).form(form);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        self.send(request).await
    }

    pub async fn sign_in(&self, name: &str, password: &str) -> Answer {
        let token = self.get("/login").await.token();
        self.post("/login", &[("name", name), ("password", password), ("token", &token)]).await
    }

    /// Fills in the activation form and sends it.
    pub async fn activate(&self, device: &str, claim: &str, metadata: &str, hub: &str) -> Answer {
        let token = self.get("/activate").await.token();
        let form = [
            ("token", token.as_str()),
            ("device", device),
            ("claim", claim),
            ("metadata", metadata),
            ("hub", hub),
        ];
        self.post("/activate", &form).await
    }

    /// Fills in the form that takes the device of an activation out of service, and sends it.
    pub async fn deactivate(&self, activation: &str, reason: &str) -> Answer {
        let path = format!("{activation}/deactivate");
        let token = self.get("/activate").await.token();
        self.post(&path, &[("token", &token), ("reason", reason)]).await
    }
}
