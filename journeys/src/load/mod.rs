//! Load on a real appliance, and what it costs: rates and latencies as JSON, always beside what they are compared with.

mod cost;
mod drain;
mod drip;
mod hole;
mod issue;
mod latency;
pub(crate) mod line;
mod raw;

use anyhow::Result;
use clap::Subcommand;
use serde_json::Value;
use tokio::runtime::{self, Runtime};

pub use drain::Drain;
pub use issue::Issue;

/// What is loaded.
#[derive(Debug, Clone, Subcommand)]
pub enum Load {
    /// Lines that ask for identities over HTTPS.
    Issue(Issue),
    /// Lets a backlog of units drain into the emulator, without any limit of the budget.
    Drain(Drain),
}

impl Load {
    /// Loads, and tells what was measured.
    ///
    /// # Errors
    /// Where the harness itself could not do its work, or was answered what it did not expect.
    pub fn run(&self) -> Result<Value> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match self {
            // Lines share the machine with the appliance that is measured: they keep to one thread.
            Self::Issue(issue) => {
                runtime::Builder::new_current_thread().enable_all().build()?.block_on(issue.run())
            }
            // The emulator is to take whatever comes.
            Self::Drain(drain) => Runtime::new()?.block_on(drain.run()),
        }
    }
}
