//! The appliance: everything bound, then everything running, then stopped in the right order.
//!
//! ```text
//! run ─┬─ web::Server   (HTTPS)      stopped first: nothing new comes in
//!      ├─ Local         (CLI socket)
//!      ├─ Boards        (feed)
//!      ├─ Crls          (revoked certificates)
//!      ├─ Worker        (cloud)      then this: what was said is written down
//!      ├─ Renewal       (TLS)
//!      └─ Ledger        (disk)       last
//! ```

use std::{io, net::SocketAddr, path::Path, sync::Arc};

use aws_lc_rs::rand;
use cloud_sync::{Cloud, CloudError, Survey, Worker, mind::Pace};
use keys::{KeyError, Passphrase, PassphraseError, open_encrypted_secret};
use ledger::{Ledger, Options};
use thiserror::Error;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;
use web::{Limits, Server, Tls};

use crate::{
    Config, EdgeEvent,
    access::Usage,
    board::{Boards, Lookout},
    ca::{Issuing, Keyring, settle},
    claim::ClaimKey,
    clock::{self, Clock, Keeper, Source},
    credentials::{FloorCa, read},
    crl::{Crls, Lists},
    fence::{self, Fence},
    http::{self, Floor, Shared, now},
    index::{self, BoxRecord},
    local::Local,
    metrics::Tally,
    renewal::Renewal,
    signing::Slots,
    state_dir::StateDir,
    stations::StationCa,
};

/// Why an appliance does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The state folder is not one.
    #[error("{} was not made by edge init ({what} is missing); run: edge init --state {}", dir.display(), dir.display())]
    NotInitialised {
        /// The folder.
        dir: std::path::PathBuf,
        /// What is missing.
        what: String,
    },
    /// A key does not open.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The PIN of the CA's token is not there.
    #[error("the PIN of the CA's token is missing: {0}; see ca.key and ca.pin in the configuration")]
    Pin(#[from] PassphraseError),
    /// A certificate is not what it should be.
    #[error("{0}")]
    Certificate(String),
    /// A profile of the configuration would lead to certificates that do not hold.
    #[error("{0}")]
    Profile(String),
    /// This box was restored elsewhere.
    #[error("{0}")]
    Superseded(String),
    /// The storage part of the configuration cannot be used.
    #[error("{0}")]
    Storage(String),
    /// The ledger does not open.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ledger::ReadError),
    /// The cloud's part of the configuration cannot be used.
    #[error("[cloud] {0}")]
    Cloud(#[from] CloudError),
    /// The address is taken.
    #[error(transparent)]
    Bind(#[from] web::BindError),
    /// Something of the operating system.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// The refusal.
        source: io::Error,
    },
}

/// How an appliance ended, when not because it was told to.
#[derive(Debug, Error)]
pub enum RunError {
    /// Storage failed; the next start verifies what is on disk.
    #[error("storage failed: {0}; start again to verify what is on disk")]
    Storage(String),
    /// This box was restored elsewhere, and must not go on here.
    #[error("{0}")]
    Superseded(String),
    /// A part of it stopped by itself.
    #[error("{part} stopped: {why}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why.
        why: String,
    },
}

/// A bound appliance; nothing is served yet.
pub struct Appliance {
    server: Server,
    local: Local,
    boards: Boards,
    crls: Crls,
    worker: Option<Worker<EdgeEvent>>,
    renewal: Renewal,
    ledger: Ledger<EdgeEvent>,
    floor: Shared,
}

/// What a start begins with.
struct Opened {
    state: StateDir,
    keyring: Keyring,
    tls: Tls,
    claim: ClaimKey,
    /// PEM.
    root: Vec<u8>,
    /// Of what signs checkpoints, DER.
    own_certificate: Vec<u8>,
    ledger: Ledger<EdgeEvent>,
}

impl std::fmt::Debug for Appliance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Appliance").field("address", &self.server.local_addr()).finish_non_exhaustive()
    }
}

impl Appliance {
    /// Opens everything and takes the address. Blocks while the journal is verified.
    pub fn bind(config: &Config, passphrase: &Passphrase) -> Result<Self, StartError> {
        Self::bind_with_clock(config, passphrase, clock::machine())
    }

    /// The same with a clock of one's own, for units and tokens.
    pub fn bind_with_clock(
        config: &Config,
        passphrase: &Passphrase,
        source: Source,
    ) -> Result<Self, StartError> {
        let state = StateDir::new(&config.state);
        let keyring = Keyring::new(&config.ca, passphrase)?;
        let floor_ca = FloorCa { state: &state, passphrase, now: now() };
        let tls = floor_ca.tls(&config.listen.names)?;
        let claim = ClaimKey::new(&open_encrypted_secret(&state.claim_key(), passphrase)?);
        let root = read(&state.certificate("root"), &config.state)?;
        let options = config.storage.options().map_err(StartError::Storage)?;
        let checkpoint_key = floor_ca.checkpoint_key()?;
        let own_certificate = checkpoint_key.certificates.first().cloned().unwrap_or_default();
        let options = Options { checkpoint_key: Some(checkpoint_key), ..options };
        let ledger = Ledger::open(&state.ledger(), &options)?;
        let opened = Opened { state, keyring, tls, claim, root, own_certificate, ledger: ledger.clone() };
        // Whoever is refused may try again at once, and finds nobody in the ledger.
        Self::bind_on(opened, config, passphrase, source).inspect_err(|_| ledger.close_blocking())
    }

    /// The rest of it, with the ledger open.
    fn bind_on(
        opened: Opened,
        config: &Config,
        passphrase: &Passphrase,
        source: Source,
    ) -> Result<Self, StartError> {
        let Opened { state, keyring, tls, claim, root, own_certificate, ledger } = opened;
        settle(&state, &ledger)?;
        let issuing = Issuing::open(&state, keyring, config.profiles.clone(), now())?;
        let this_box = ledger.get::<BoxRecord>(index::BOX)?;
        let this_box = this_box.ok_or_else(|| not_initialised(&config.state, "the box's name"))?;
        let fence = fence::committed(&ledger)?;
        if let Some(fence @ Fence::Superseded { .. }) = &fence {
            return Err(StartError::Superseded(fence.words()));
        }
        if let Some(fence) = &fence {
            warn!("{}", fence.words());
        }
        let cloud = config.cloud.as_ref().map(Cloud::new).transpose()?;
        let clock = Clock::new(source, config.clock, clock::highest(&ledger)?);
        let per_minute = config.cloud.as_ref().map(|cloud| cloud.operations_per_minute);
        let survey = cloud.clone().zip(per_minute).map(|(cloud, pace)| Survey::new(cloud, pace));
        let read_back = config.read_back;
        let worker = match config.cloud.as_ref().zip(cloud) {
            Some((config, cloud)) => {
                let mut seed = [0; 8];
                rand::fill(&mut seed).map_err(|_| StartError::Certificate("no randomness".to_owned()))?;
                let describe = Arc::new(crate::event::work);
                let permission = {
                    let (ledger, own) = (ledger.clone(), own_certificate);
                    Arc::new(move || fence::permit(&ledger, &own))
                };
                let pace = Pace { read_back, ..config.pace() };
                let worker = Worker::new(ledger.clone(), cloud, describe, pace, u64::from_ne_bytes(seed));
                Some(worker.permitted_by(permission))
            }
            None => None,
        };
        let link = worker.as_ref().map(Worker::link);
        let attempts = worker.as_ref().map(Worker::attempts);
        let read_back = worker.as_ref().map(Worker::read_back);
        let lookout = Lookout { ledger: ledger.clone(), lines: config.lines.clone(), link };
        let boards = Boards::new(lookout.clone())?;
        let stations = StationCa::open(&state, &this_box.issued_by.box_id, passphrase, now())?;
        let (shown, crl) = watch::channel(Lists::default());
        let floor: Shared = Arc::new(Floor {
            ledger: ledger.clone(),
            issuing,
            root,
            claim,
            lines: config.lines.clone(),
            survey,
            read_back,
            boot_id: Uuid::new_v4(),
            started: now(),
            board: boards.subscribe(),
            lookout,
            clock,
            usage: Usage::default(),
            signing: Slots::new(config.limits.signatures),
            stations,
            legacy_api: config.legacy_api,
            state: state.clone(),
            orders: config.orders,
            crl,
            tally: Tally::new(config.profiles.keys()),
            attempts,
        });
        let crls = Crls::new(floor.clone(), config.crl, shown);
        let local = Local::bind(&state.socket(), floor.clone())
            .map_err(|source| StartError::Io { path: state.socket().display().to_string(), source })?;
        let limits = Limits {
            connections: config.limits.connections,
            connections_per_address: config.limits.connections_per_address,
            ..Limits::default()
        };
        let renewal = Renewal {
            state,
            passphrase: passphrase.clone(),
            names: config.listen.names.clone(),
            tls: tls.clone(),
            clock: now,
        };
        let router = http::router(floor.clone());
        let server = Server::bind(config.listen.address, Some(tls), router, limits)?.for_browsers();
        Ok(Self { server, local, boards, crls, worker, renewal, ledger, floor })
    }

    /// Where it listens; of interest after asking for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves until cancelled, or until storage fails.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), RunError> {
        let (faces, background) = (CancellationToken::new(), CancellationToken::new());
        let mut serving = JoinSet::new();
        serving.spawn(part("the HTTPS face", self.server.run(faces.clone())));
        serving.spawn(part("the local face", self.local.run(faces.clone())));
        // As a task: it looks at every commit, and the thread that waits here would have to be woken for each.
        serving.spawn(superseded(self.ledger.clone(), faces.clone()));
        let mut working = JoinSet::new();
        working.spawn(self.boards.run(background.clone()));
        let keeper = Keeper { clock: self.floor.clock.clone(), ledger: self.ledger.clone() };
        working.spawn(keeper.run(background.clone()));
        let (floor, stop) = (self.floor, background.clone());
        working.spawn(async move { floor.usage.run(&floor.ledger, &floor.clock, stop).await });
        working.spawn(self.renewal.run(background.clone()));
        working.spawn(self.crls.run(background.clone()));
        if let Some(worker) = self.worker {
            working.spawn(worker.run(background.clone()));
        }
        let ended = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            why = self.ledger.failed() => Err(RunError::Storage(why)),
            Some(ended) = serving.join_next() => {
                ended.unwrap_or_else(|error| Err(RunError::Part { part: "a face", why: error.to_string() }))
            }
        };
        faces.cancel();
        while serving.join_next().await.is_some() {}
        background.cancel();
        while working.join_next().await.is_some() {}
        self.ledger.close().await;
        match &ended {
            Ok(()) => info!("stopped in good order"),
            Err(why) => warn!(%why, "stopped"),
        }
        ended
    }
}

/// Waits until it is written down that this box lives on elsewhere, and says so; or until cancelled.
async fn superseded(ledger: Ledger<EdgeEvent>, cancel: CancellationToken) -> Result<(), RunError> {
    let mut changed = ledger.changed();
    loop {
        changed.borrow_and_update();
        if let Ok(Some(fence @ Fence::Superseded { .. })) = fence::committed(&ledger) {
            return Err(RunError::Superseded(fence.words()));
        }
        match cancel.run_until_cancelled(changed.changed()).await {
            Some(Ok(())) => {}
            // The ledger has ended; that is told elsewhere.
            Some(Err(_)) => cancel.cancelled().await,
            None => return Ok(()),
        }
    }
}

async fn part(part: &'static str, run: impl Future<Output = io::Result<()>>) -> Result<(), RunError> {
    run.await.map_err(|error| RunError::Part { part, why: error.to_string() })
}

fn not_initialised(dir: &Path, what: &str) -> StartError {
    StartError::NotInitialised { dir: dir.to_owned(), what: what.to_owned() }
}
