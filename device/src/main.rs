//! The agent on the device.
#![expect(clippy::print_stdout, reason = "birth tells the station what to print on the label")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use azure_iot::RegistrationId;
use clap::{Parser, Subcommand};
use device::{Agent, BirthOptions, Config, birth};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Born on the line, wakes up at the customer's site.
#[derive(Debug, Parser)]
#[command(name = "device-agent", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// On the line: makes the device's key and gets its certificate from the edge. Repeating it is harmless.
    Birth {
        /// The edge, such as `https://edge.local:8443`.
        #[arg(long)]
        edge: String,
        /// A file with the token of a station.
        #[arg(long)]
        token_file: PathBuf,
        /// The line that the device is made on; that of the token without it.
        #[arg(long)]
        line: Option<String>,
        /// The registration id; a fresh GUID without it.
        #[arg(long)]
        id: Option<String>,
        /// The edge's root certificate.
        #[arg(long)]
        root: Option<PathBuf>,
        /// Where the device keeps what it is.
        #[arg(long, default_value = "/var/lib/device-agent")]
        state: PathBuf,
    },
    /// At the customer's site: finds the device's hub and lives there.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Fails only if somebody was faster with the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match Arguments::parse().command {
        Command::Birth { edge, token_file, line, id, root, state } => {
            let token =
                std::fs::read_to_string(&token_file).with_context(|| token_file.display().to_string())?;
            let root = root
                .map(|root| std::fs::read(&root).with_context(|| root.display().to_string()))
                .transpose()?;
            let id = id.map(|id| RegistrationId::parse_any_case(&id)).transpose()?;
            let born = birth(BirthOptions { edge, token, root, line, id, state }).await?;
            println!("id     {}", born.id);
            if let Some(code) = born.claim_code {
                println!("claim  {code}");
            }
        }
        Command::Run { config } => {
            let agent = Agent::new(Config::read(&config)?)?;
            let cancel = CancellationToken::new();
            let seed = fastrand::u64(..);
            tokio::select! {
                () = agent.run(seed, cancel.clone()) => {}
                interrupted = tokio::signal::ctrl_c() => { interrupted?; cancel.cancel(); }
            }
        }
    }
    Ok(())
}
