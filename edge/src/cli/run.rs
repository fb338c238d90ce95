//! `edge run`

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

use super::{Failure, say};
use crate::{Appliance, Config, RunError, StartError};

/// Runs the appliance until it is told to stop.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
    /// The state folder, instead of the one in the configuration.
    #[arg(long)]
    state: Option<PathBuf>,
}

impl Run {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
        let mut config = Config::read(&self.config).map_err(Failure::usage)?;
        if let Some(state) = self.state {
            config.state = state;
        }
        let passphrase = config.ca.passphrase.fetch().map_err(Failure::usage)?;
        let appliance = Appliance::bind(&config, &passphrase).map_err(|error| match error {
            StartError::Superseded(_) => Failure::superseded(error),
            StartError::Profile(_) => Failure::usage(error),
            error => Failure::failed(error),
        })?;
        drop(passphrase);
        say::line(&format!("edge: listening on https://{}", appliance.local_addr()));
        let cancel = CancellationToken::new();
        let (mut term, mut int) = (stop(SignalKind::terminate())?, stop(SignalKind::interrupt())?);
        let asked = async {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            info!("stopping");
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let ended = tokio::select! {
            ended = appliance.run(cancel.clone()) => ended,
            () = asked => Ok(()),
        };
        ended.map_err(|error| match error {
            RunError::Storage(_) => Failure::storage(error),
            RunError::Superseded(_) => Failure::superseded(error),
            RunError::Part { .. } => Failure::failed(error),
        })
    }
}

fn stop(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(kind).map_err(Failure::failed)
}
