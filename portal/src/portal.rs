//! A portal, put together: folder, ledger, worker, server; started and stopped in order.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use azure_iot::RegistrationId;
use cloud_sync::claim::ClaimCode;
use cloud_sync::{Activation, Cloud, CloudConfig, CloudError, Deactivation, Describe, Work, Worker};
use keys::{KeyError, read_private};
use ledger::Ledger;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use web::{ClientCertificates, Server, Tls};

use crate::config::Config;
use crate::event::PortalEvent;
use crate::folder::{Folder, FolderError};
use crate::http;
use crate::password::PasswordError;
use crate::seal::{Seal, SealError};

/// Why a portal does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder is not usable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The sealing key is not usable.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A certificate or key file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key of the server certificate cannot be read, or can be read by others.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Certificate and key do not make a server.
    #[error(transparent)]
    Tls(#[from] web::TlsError),
    /// The address is taken, or not ours.
    #[error(transparent)]
    Bind(#[from] web::BindError),
    /// The way to DPS is not configured right.
    #[error(transparent)]
    Cloud(#[from] CloudError),
    /// The library refuses to hash.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Random,
    /// Something broke on the way.
    #[error("the ledger was not opened: {0}")]
    Broken(String),
}

/// Why a portal stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Storage failed; the next start verifies what is on disk.
    #[error("storage failed, nothing more can be saved: {0}")]
    Storage(String),
    /// The listener broke.
    #[error("the server stopped: {0}")]
    Server(String),
}

/// A portal with its address taken and its ledger open; nothing is served yet.
#[derive(Debug)]
pub struct Portal {
    server: Server,
    worker: Option<Worker<PortalEvent>>,
    ledger: Ledger<PortalEvent>,
    // Last, so that the folder is free only after everything else is gone.
    _folder: Folder,
}

impl Portal {
    /// Opens the state folder and takes the address.
    ///
    /// # Errors
    /// When anything that it needs is missing; nothing was served or sent.
    pub async fn bind(config: Config) -> Result<Self, StartError> {
        let folder = Folder::enter(&config.state)?;
        let seal = Arc::new(Seal::open(&folder.seal_key())?);
        let tls = tls(&config, &folder)?;
        let options = config.storage.options().map_err(StartError::Broken)?;
        let (folder, ledger) = tokio::task::spawn_blocking(move || {
            let ledger = folder.ledger(&options)?;
            Ok::<_, FolderError>((folder, ledger))
        })
        .await
        .map_err(|broken| StartError::Broken(broken.to_string()))??;
        let worker = config.cloud.as_ref().map(|cloud| worker(&ledger, cloud, seal.clone())).transpose()?;
        let link = worker.as_ref().map(Worker::link);
        let listen = config.listen.address;
        let (router, limits) = http::router(ledger.clone(), link, seal, &config)?;
        let server = Server::bind(listen, Some(tls), router, limits)?.for_browsers();
        Ok(Self { server, worker, ledger, _folder: folder })
    }

    /// Where it listens; of interest after asking for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Its ledger, for whoever wants to follow what happens.
    #[must_use]
    pub fn ledger(&self) -> &Ledger<PortalEvent> {
        &self.ledger
    }

    /// Serves and works until cancelled; stops in the order server, worker, ledger.
    ///
    /// # Errors
    /// When it stopped because storage failed or the listener broke.
    pub async fn run(self, cancel: CancellationToken) -> Result<(), RunError> {
        let (serve, work) = (CancellationToken::new(), CancellationToken::new());
        let mut servers = JoinSet::new();
        servers.spawn(self.server.run(serve.clone()));
        let mut workers = JoinSet::new();
        if let Some(worker) = self.worker {
            workers.spawn(worker.run(work.clone()));
        }
        info!("the portal is open");
        let result = tokio::select! {
            () = cancel.cancelled() => Ok(()),
            why = self.ledger.failed() => Err(RunError::Storage(why)),
            Some(ended) = servers.join_next() => Err(RunError::Server(match ended {
                Ok(Ok(())) => "it ended without being asked".to_owned(),
                Ok(Err(why)) => why.to_string(),
                Err(why) => why.to_string(),
            })),
        };
        serve.cancel();
        while servers.join_next().await.is_some() {}
        work.cancel();
        while workers.join_next().await.is_some() {}
        self.ledger.close().await;
        match &result {
            Ok(()) => info!("the portal is closed"),
            Err(why) => error!(%why, "the portal is closed"),
        }
        result
    }
}

fn tls(config: &Config, folder: &Folder) -> Result<Tls, StartError> {
    let (certificate, key) = match &config.tls {
        Some(files) => (files.certificate.clone(), files.key.clone()),
        None => (folder.server_certificate(), folder.server_key()),
    };
    let chain = read(&certificate)?;
    Ok(Tls::new(&chain, &read_private(&key)?, ClientCertificates::Ignored)?)
}

fn read(path: &Path) -> Result<Vec<u8>, StartError> {
    fs::read(path).map_err(|source| StartError::Read { path: path.to_owned(), source })
}

fn worker(
    ledger: &Ledger<PortalEvent>,
    config: &CloudConfig,
    seal: Arc<Seal>,
) -> Result<Worker<PortalEvent>, StartError> {
    let mut seed = [0; 8];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| StartError::Random)?;
    let describe: Describe<PortalEvent> =
        Arc::new(move |entry, id| entry.events.iter().find_map(|event| describe(event, id, &seal)));
    Ok(Worker::new(ledger.clone(), Cloud::new(config)?, describe, config.pace(), u64::from_ne_bytes(seed)))
}

/// What is to be said to DPS about `id`, if `event` is what asked for it.
fn describe(event: &PortalEvent, id: &RegistrationId, seal: &Seal) -> Option<Work> {
    match event {
        PortalEvent::ActivationRequested(request) if request.id == *id => {
            let code = unsealed(seal, &request.claim, id)?;
            let (id, twin, hub) = (id.clone(), request.twin.clone(), request.hub.clone());
            Some(Work::Activate(Activation { id, code, twin, hub }))
        }
        PortalEvent::DeactivationRequested(asked) if asked.id == *id => {
            let code = unsealed(seal, &asked.claim, id)?;
            Some(Work::Deactivate(Deactivation { id: id.clone(), code }))
        }
        _ => None,
    }
}

fn unsealed(seal: &Seal, claim: &str, id: &RegistrationId) -> Option<ClaimCode> {
    let code = seal.reveal(claim, id.as_ref());
    if code.is_none() {
        error!(%id, "the claim code cannot be unsealed; was the sealing key replaced?");
    }
    code
}
