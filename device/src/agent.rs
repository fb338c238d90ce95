//! The shell around the mind: does what it says, and tells it how that ended.

use std::time::Duration;

use azure_iot::{RegistrationId, register::Outcome};
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    config::Config,
    files::{Assignment, Files},
    hub,
    mind::{Ended, Mind, Patience, Step},
    mqtt::Gone,
    provisioning,
    tls::Identity,
};

/// What an agent is doing.
#[derive(Debug, Clone, PartialEq)]
pub enum Status {
    /// It has just begun.
    Starting,
    /// It asks DPS where it belongs.
    Registering,
    /// It waits before it tries again.
    Waiting {
        /// What for, in a few words.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// It calls its hub.
    Connecting {
        /// Which.
        hub: String,
    },
    /// It lives there.
    Connected {
        /// Where.
        hub: String,
        /// What its twin wants.
        desired: Map<String, Value>,
        /// How many messages it has sent in this life.
        sent: u64,
    },
}

/// Why an agent cannot run at all.
#[derive(Debug, Error)]
pub enum RunError {
    /// The device was not born yet, or its files are damaged.
    #[error("{0}; run: device-agent birth")]
    NotBorn(String),
}

/// A device's agent.
#[derive(Debug)]
pub struct Agent {
    config: Config,
    files: Files,
    id: RegistrationId,
    identity: Identity,
    status: watch::Sender<Status>,
}

impl Agent {
    /// Reads what the device is.
    pub fn new(config: Config) -> Result<Self, RunError> {
        let files = Files::new(&config.state);
        let id = files
            .read_id()
            .map_err(|error| RunError::NotBorn(format!("{}: {error}", files.id().display())))?;
        let identity = Identity::read(&files, config.extra_root.as_deref()).map_err(RunError::NotBorn)?;
        let (status, _) = watch::channel(Status::Starting);
        Ok(Self { config, files, id, identity, status })
    }

    /// What it is doing, as it changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Runs until cancelled; never gives up. `seed` is the randomness of its delays.
    pub async fn run(self, seed: u64, cancel: CancellationToken) {
        // Dropped between two awaits: a connection breaks, as it may at any time.
        let _ = cancel.run_until_cancelled(self.go_on(seed)).await;
    }

    async fn go_on(&self, seed: u64) {
        let patience = Patience {
            first: self.config.first_delay,
            longest: self.config.longest_delay,
            disabled: self.config.disabled_retry,
        };
        let known = self.files.remembered().is_some();
        let mut mind = Mind::new(patience, known, fastrand::Rng::with_seed(seed));
        let mut step = mind.first();
        let mut why = String::new();
        loop {
            let (Step::Register(wait) | Step::Live(wait)) = step;
            if !wait.is_zero() {
                info!(id = %self.id, why, ?wait, "waiting");
                self.status.send_replace(Status::Waiting { why, wait });
                sleep(wait).await;
            }
            let (ended, reason) = match (step, self.files.remembered()) {
                (Step::Live(_), Some(assignment)) => self.live(&assignment, &mut mind).await,
                _ => self.register().await,
            };
            why = reason;
            step = mind.next(ended);
        }
    }

    async fn register(&self) -> (Ended, String) {
        self.status.send_replace(Status::Registering);
        match provisioning::register(&self.config, &self.id, &self.identity).await {
            Ok(Outcome::Assigned { hub, device_id }) => {
                info!(id = %self.id, hub, "assigned");
                match self.files.remember(&Assignment { hub, device_id }) {
                    Ok(()) => (Ended::Assigned, String::new()),
                    Err(error) => (Ended::Lost, error.to_string()),
                }
            }
            Ok(Outcome::Disabled) => {
                info!(id = %self.id, "nobody has activated this device yet");
                (Ended::Disabled, "waiting to be activated".to_owned())
            }
            Ok(Outcome::Failed { code, message }) => {
                warn!(id = %self.id, code, message, "DPS could not give the device a hub");
                (Ended::Refused, message)
            }
            Ok(Outcome::Refused { status, message }) => {
                warn!(id = %self.id, status, message, "DPS does not accept the device");
                (Ended::Refused, message)
            }
            Err(Gone::Refused) => {
                warn!(id = %self.id, "DPS refuses the connection");
                (Ended::Refused, "DPS refuses the connection".to_owned())
            }
            Err(Gone::Lost(error)) => {
                warn!(id = %self.id, error, "DPS cannot be reached");
                (Ended::Lost, error)
            }
        }
    }

    async fn live(&self, assignment: &Assignment, mind: &mut Mind) -> (Ended, String) {
        self.status.send_replace(Status::Connecting { hub: assignment.hub.clone() });
        match hub::live(&self.config, assignment, &self.identity, &self.status, || mind.alive()).await {
            Gone::Refused => {
                warn!(id = %self.id, hub = assignment.hub, "the hub turns the device away");
                self.files.forget();
                (Ended::TurnedAway, "the hub turns the device away".to_owned())
            }
            Gone::Lost(error) => {
                warn!(id = %self.id, hub = assignment.hub, error, "the connection ended");
                (Ended::Lost, error)
            }
        }
    }
}
