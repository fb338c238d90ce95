//! The emulator: a cloud, its two faces, and a page to look and to act.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use azure_iot::ConnectionString;
use thiserror::Error;
use time::OffsetDateTime;
use tokio::{sync::watch, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use web::{ClientCertificates, Limits, Server, Tls};

use crate::{
    admin,
    cloud::{Cloud, Identity, assumptions::Assumptions, http::Request},
    door::{Door, Open},
    https::{self, Shell},
    mqtt::{self, Queues},
    state_dir,
    weather::{Fate, Forecast, Weather},
};

/// How an emulator is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its HTTPS face listens.
    pub https: SocketAddr,
    /// Where its MQTT face listens.
    pub mqtt: SocketAddr,
    /// Where its page for looking and acting listens; loopback only.
    pub admin: SocketAddr,
    /// Where it keeps who it is.
    pub state: PathBuf,
    /// The names of the linked hubs, with or without `.azure-devices.net`.
    pub hubs: Vec<String>,
    /// What a device is told to wait between polls, in seconds.
    pub retry_after: u64,
}

/// Why an emulator does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// The refusal.
        source: io::Error,
    },
    /// The admin page would be open to everybody.
    #[error("the admin page has no login, so it listens on loopback only; use 127.0.0.1")]
    AdminNotLoopback,
    /// A file in the state folder is not what it should be.
    #[error("{0}")]
    State(String),
}

/// A bound emulator; nothing is served yet.
pub struct Emulator {
    control: Control,
    https: Server,
    mqtt: mqtt::Server,
    admin: Server,
    doors: [Door; 2],
    addresses: [SocketAddr; 2],
    root: PathBuf,
    connection_string: PathBuf,
    id_scope: String,
}

/// A hand on the emulator: to look into the cloud, to act, and to make weather.
#[derive(Debug, Clone)]
pub struct Control {
    cloud: Arc<Mutex<Cloud>>,
    forecast: Arc<Mutex<Forecast>>,
    queues: Queues,
    weather: watch::Sender<Weather>,
    changes: watch::Sender<u64>,
}

impl Control {
    /// Makes weather.
    pub fn set_weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Lets the chance in the weather begin anew with `seed`, so that a test can repeat it.
    pub fn seed(&self, seed: u64) {
        let forecast = Forecast::new(fastrand::Rng::with_seed(seed));
        *self.forecast.lock().unwrap_or_else(PoisonError::into_inner) = forecast;
    }

    /// The weather now.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *self.weather.borrow()
    }

    /// Looks into the cloud, or acts on it, at this time.
    pub fn with<T>(&self, act: impl FnOnce(&mut Cloud, OffsetDateTime) -> T) -> T {
        let result = act(&mut self.cloud.lock().unwrap_or_else(PoisonError::into_inner), now());
        self.changes.send_modify(|changes| *changes += 1);
        result
    }

    /// Waits until the cloud is as `ready` wants it, and returns what it saw there. Looks at every change.
    pub async fn until<T>(&self, mut ready: impl FnMut(&Cloud) -> Option<T>) -> T {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = ready(&self.cloud.lock().unwrap_or_else(PoisonError::into_inner)) {
                return found;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn queues(&self) -> &Queues {
        &self.queues
    }

    /// What becomes of `request` in this weather.
    pub(crate) fn fate(&self, request: &Request) -> Fate {
        let mut forecast = self.forecast.lock().unwrap_or_else(PoisonError::into_inner);
        forecast.fate(self.weather(), now(), request)
    }
}

impl Emulator {
    /// Opens the state folder and takes the addresses.
    pub async fn bind(options: Options) -> Result<Self, StartError> {
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Io { what, source }
        };
        if !options.admin.ip().is_loopback() {
            return Err(StartError::AdminNotLoopback);
        }
        let kept =
            state_dir::open(&options.state, now()).map_err(io(&options.state.display().to_string()))?;
        let credential: ConnectionString = kept
            .connection_string
            .parse()
            .map_err(|error| StartError::State(format!("connection-string.txt: {error}")))?;
        let identity = Identity {
            host: credential.host().to_owned(),
            id_scope: kept.id_scope.clone(),
            policy: credential.policy().to_owned(),
            key: credential.key().clone(),
            hubs: options.hubs.iter().map(|hub| host_name(hub)).collect(),
            retry_after: options.retry_after,
        };
        let seed = || state_dir::random().map(u64::from_ne_bytes).map_err(io("randomness"));
        let (changes, _) = watch::channel(0);
        let (weather, weather_now) = watch::channel(Weather::Clear);
        let control = Control {
            cloud: Arc::new(Mutex::new(Cloud::new(identity, Assumptions::default(), seed()?))),
            forecast: Arc::new(Mutex::new(Forecast::new(fastrand::Rng::with_seed(seed()?)))),
            queues: Queues::default(),
            weather,
            changes,
        };
        let state = |error: web::TlsError| StartError::State(error.to_string());
        let (chain, key) = (kept.server_chain.as_bytes(), kept.server_key.as_bytes());
        let requested = ClientCertificates::Requested;
        let open = Open::default();
        let inside: SocketAddr = ([127, 0, 0, 1], 0).into();
        let tls = Tls::new(chain, key, requested).map_err(state)?;
        let limits =
            Limits { body: 1 << 20, request: std::time::Duration::from_secs(120), ..Limits::default() };
        let bind = |error: web::BindError| StartError::State(error.to_string());
        let shell = Shell { control: control.clone(), open: open.clone() };
        let https = Server::bind(inside, Some(tls), https::router(shell), limits.clone()).map_err(bind)?;
        let tls = TlsAcceptor::from(Tls::plain(chain, key, requested).map_err(state)?.server_config());
        let mqtt =
            mqtt::Server::bind(tls, control.clone(), open.clone()).await.map_err(io("the MQTT listener"))?;
        let admin =
            Server::bind(options.admin, None, admin::router(control.clone()), limits).map_err(bind)?;
        let behind = mqtt.local_addr().map_err(io("the MQTT listener"))?;
        let doors = [
            Door::bind(options.https, https.local_addr(), open.clone(), weather_now.clone())
                .await
                .map_err(io("--https"))?,
            Door::bind(options.mqtt, behind, open, weather_now).await.map_err(io("--mqtt"))?,
        ];
        let addresses =
            [doors[0].local_addr().map_err(io("--https"))?, doors[1].local_addr().map_err(io("--mqtt"))?];
        let file = |name: &str| options.state.join(name);
        Ok(Self {
            control,
            https,
            mqtt,
            admin,
            doors,
            addresses,
            root: file("root.pem"),
            connection_string: file("connection-string.txt"),
            id_scope: kept.id_scope,
        })
    }

    /// Where the HTTPS face listens.
    #[must_use]
    pub fn https_addr(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Where the MQTT face listens.
    #[must_use]
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.addresses[1]
    }

    /// Where the page for looking and acting listens.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// The file with the root that clients must trust.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file with the connection string of the service API.
    #[must_use]
    pub fn connection_string(&self) -> &Path {
        &self.connection_string
    }

    /// The id scope that devices name.
    #[must_use]
    pub fn id_scope(&self) -> &str {
        &self.id_scope
    }

    /// A hand on it.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until cancelled.
    pub async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let mut serving = JoinSet::new();
        serving.spawn(self.https.run(cancel.clone()));
        serving.spawn(self.mqtt.run(cancel.clone()));
        serving.spawn(self.admin.run(cancel.clone()));
        for door in self.doors {
            serving.spawn(door.run(cancel.clone()));
        }
        let mut ended = Ok(());
        while let Some(done) = serving.join_next().await {
            // One face that ends takes the others with it.
            cancel.cancel();
            ended = ended.and(done.map_err(io::Error::other).and_then(|done| done));
        }
        ended
    }
}

fn host_name(hub: &str) -> String {
    let hub = hub.to_ascii_lowercase();
    if hub.contains('.') { hub } else { format!("{hub}.azure-devices.net") }
}

#[expect(clippy::disallowed_methods, reason = "the emulator is the cloud's shell: here the time comes in")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
