//! How much an appliance takes, measured: every load is one subcommand, and answers as JSON.

mod drain;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;

pub use crate::load::drain::Drain;

/// A load.
#[derive(Debug, Clone, Subcommand)]
pub enum Load {
    /// Lets a backlog of units drain into the emulator, without any limit of the budget.
    Drain(Drain),
}

impl Load {
    /// Puts the load on, and tells what came of it.
    ///
    /// # Errors
    /// Where the load could not be put on.
    pub async fn run(&self) -> Result<Value> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match self {
            Self::Drain(drain) => drain.run().await,
        }
    }
}
