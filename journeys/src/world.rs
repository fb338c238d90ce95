//! A factory, its cloud and its customer on one machine. Nothing is short-circuited: what runs is what the programs run.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use device::{Agent, Born};
use edge::Appliance;
use emulator::{Control, Emulator};
use keys::Passphrase;
use portal::{AccountIs, Portal};
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// The one account of the portal.
pub const ACCOUNT: &str = "weber";
/// The hub that devices are sent to.
pub const HUB: &str = "hub-eu.azure-devices.net";
/// The lines of the factory.
pub const LINES: [&str; 3] = ["L1", "L2", "L3"];

/// How a world is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where everything keeps its state.
    pub dir: PathBuf,
    /// Where the edge listens.
    pub edge: SocketAddr,
    /// Where the portal listens.
    pub portal: SocketAddr,
}

impl Settings {
    /// Everything in `dir`, on free ports.
    #[must_use]
    pub fn in_dir(dir: &Path) -> Self {
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        Self { dir: dir.to_owned(), edge: free, portal: free }
    }
}

/// A running world. [`World::stop`] ends it in good order.
#[derive(Debug)]
pub struct World {
    dir: PathBuf,
    /// The cloud.
    pub cloud: Control,
    /// Where devices find the cloud.
    pub mqtt: SocketAddr,
    /// Where the cloud's service API is.
    pub https: SocketAddr,
    /// Where the cloud can be looked at and acted on.
    pub cloud_admin: SocketAddr,
    /// What devices and daemons must trust to talk to it.
    pub cloud_root: PathBuf,
    /// The id scope of the DPS instance.
    pub id_scope: String,
    /// Where the edge listens.
    pub edge: SocketAddr,
    /// The first administrator's token.
    pub admin: String,
    /// Where the portal listens.
    pub portal: SocketAddr,
    /// The password of [`ACCOUNT`].
    pub password: String,
    client: reqwest::Client,
    cancel: CancellationToken,
    tasks: JoinSet<Result<()>>,
}

impl World {
    /// Starts the cloud, the edge and the portal.
    pub async fn start(settings: Settings) -> Result<Self> {
        // Fails only if somebody was faster with the same.
        let _ = rustls_provider();
        let Settings { dir, edge: edge_address, portal: portal_address } = settings;
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        let options = emulator::Options {
            https: free,
            mqtt: free,
            admin: free,
            state: dir.join("cloud"),
            hubs: vec![HUB.to_owned(), "hub-us.azure-devices.net".to_owned()],
            retry_after: 1,
        };
        let emulator = Emulator::bind(options).await?;
        let (cloud, https, mqtt) = (emulator.control(), emulator.https_addr(), emulator.mqtt_addr());
        let cloud_admin = emulator.admin_addr();
        let (cloud_root, id_scope) = (emulator.root().to_owned(), emulator.id_scope().to_owned());
        let section = format!(
            "[cloud]\nconnection_string_file = {:?}\nconnect_to = \"{https}\"\nextra_root = {cloud_root:?}\n\
             operations_per_minute = 6000\nrequest_timeout = \"5s\"\nfirst_delay = \"200ms\"\nlongest_delay = \"1s\"\n",
            emulator.connection_string()
        );
        let stop = cancel.clone();
        tasks.spawn(async move { Ok(emulator.run(stop).await?) });

        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let passphrase = Passphrase::new(random_words())?;
        let state = dir.join("edge");
        let made = edge::init(
            &state,
            edge::InitOptions { names: names.to_vec(), ..Default::default() },
            &passphrase,
            now(),
        )
        .await?;
        let lines: String =
            LINES.iter().map(|line| format!("[[line]]\nid = \"{line}\"\ntarget = 40\n")).collect();
        let file = dir.join("edge.toml");
        fs::write(
            &file,
            format!(
                "state = {state:?}\n[listen]\naddress = \"{edge_address}\"\nnames = [\"localhost\", \"127.0.0.1\"]\n\
             [ca]\npassphrase = \"prompt\"\n{section}{lines}"
            ),
        )?;
        let appliance = Appliance::bind(&edge::Config::read(&file)?, &passphrase)?;
        let edge = appliance.local_addr();
        let stop = cancel.clone();
        tasks.spawn(async move { Ok(appliance.run(stop).await?) });

        let state = dir.join("portal");
        let password = random_words();
        portal::init(&state, names.to_vec()).await?;
        portal::set_account(&state, ACCOUNT.parse()?, &Passphrase::new(password.clone())?, AccountIs::New)
            .await?;
        let text = format!(
            "state = {state:?}\nhubs = [\"{HUB}\", \"hub-us.azure-devices.net\"]\n\
             [listen]\naddress = \"{portal_address}\"\n{section}"
        );
        let portal = Portal::bind(portal::Config::parse(&text, Path::new("portal.toml"))?).await?;
        let portal_address = portal.local_addr();
        let stop = cancel.clone();
        tasks.spawn(async move { Ok(portal.run(stop).await?) });

        let root = reqwest::Certificate::from_pem(&fs::read(&made.root)?)?;
        let client = reqwest::Client::builder().tls_certs_only([root]).build()?;
        Ok(Self {
            dir,
            cloud,
            mqtt,
            https,
            cloud_admin,
            cloud_root,
            id_scope,
            edge,
            admin: made.admin_token,
            portal: portal_address,
            password,
            client,
            cancel,
            tasks,
        })
    }

    /// The edge, for clients.
    #[must_use]
    pub fn edge_url(&self) -> String {
        format!("https://localhost:{}", self.edge.port())
    }

    /// The portal, for browsers.
    #[must_use]
    pub fn portal_url(&self) -> String {
        format!("https://localhost:{}", self.portal.port())
    }

    /// The edge's root certificate, PEM.
    #[must_use]
    pub fn edge_root(&self) -> PathBuf {
        self.dir.join("edge/root.pem")
    }

    /// The portal's root certificate, PEM.
    #[must_use]
    pub fn portal_root(&self) -> PathBuf {
        self.dir.join("portal/root.pem")
    }

    /// The file with the connection string of the cloud.
    #[must_use]
    pub fn connection_string(&self) -> PathBuf {
        self.dir.join("cloud/connection-string.txt")
    }

    /// Makes a token through the daemon's socket, as `edge token new` does.
    pub async fn token(&self, role: &str, name: &str) -> Result<String> {
        let socket = self.dir.join("edge/edge.sock");
        let client = reqwest::Client::builder().unix_socket(socket.as_path()).no_proxy().build()?;
        let asked =
            client.post("http://edge/tokens").json(&json!({ "name": name, "role": role })).send().await?;
        let answer: Value = asked.error_for_status()?.json().await?;
        Ok(answer["token"].as_str().context("no token")?.to_owned())
    }

    /// Asks the edge for a unit; returns status and body.
    pub async fn issue(&self, token: &str, request: &Value) -> Result<(u16, Value)> {
        let request =
            self.client.post(format!("{}/v1/units", self.edge_url())).bearer_auth(token).json(request);
        let response = request.send().await?;
        Ok((response.status().as_u16(), response.json().await?))
    }

    /// What the edge says about itself.
    pub async fn status(&self, token: &str) -> Result<Value> {
        let request = self.client.get(format!("{}/v1/status", self.edge_url())).bearer_auth(token);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Makes a device on the line.
    pub async fn birth(&self, token: &str, id: &str, line: &str) -> Result<Born> {
        let options = device::BirthOptions {
            edge: self.edge_url(),
            token: token.to_owned(),
            root: Some(fs::read(self.edge_root())?),
            line: Some(line.to_owned()),
            id: Some(id.parse()?),
            state: self.device_dir(id),
        };
        Ok(device::birth(options).await?)
    }

    /// Where a device keeps what it is.
    #[must_use]
    pub fn device_dir(&self, id: &str) -> PathBuf {
        self.dir.join("devices").join(id)
    }

    /// Switches a device on, at the customer's site.
    pub fn boot(&mut self, id: &str) -> Result<watch::Receiver<device::Status>> {
        let agent = Agent::new(device::Config {
            state: self.device_dir(id),
            id_scope: self.id_scope.parse()?,
            dps_host: "global.azure-devices-provisioning.net".to_owned(),
            connect_to: Some(self.mqtt),
            extra_root: Some(self.cloud_root.clone()),
            telemetry_interval: Duration::from_secs(1),
            disabled_retry: Duration::from_secs(2),
            first_delay: Duration::from_millis(200),
            longest_delay: Duration::from_secs(2),
        })?;
        let status = agent.status();
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            agent.run(7, cancel).await;
            Ok(())
        });
        Ok(status)
    }

    /// Waits until something of the world has ended by itself, which it should not.
    pub async fn broken(&mut self) -> Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => bail!("a part of the world has ended: {:?}", ended?),
            None => bail!("the world has ended"),
        }
    }

    /// Stops everything in good order.
    pub async fn stop(mut self) -> Result<()> {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}

fn rustls_provider() -> std::result::Result<(), impl Sized> {
    rustls::crypto::aws_lc_rs::default_provider().install_default()
}

/// A password that nobody has used before.
fn random_words() -> String {
    std::iter::repeat_with(fastrand::alphanumeric).take(20).collect()
}

#[expect(clippy::disallowed_methods, reason = "a world has a time")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
