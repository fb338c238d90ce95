//! The command line. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 daemon unreachable, 4 not found,
//! 5 conflict, 6 storage failed, 7 this box lives on elsewhere.

mod backup;
mod ca;
mod client;
mod clock;
mod courier;
mod explain;
mod export;
mod init;
mod ledger;
mod order;
mod queue;
mod reconcile;
mod resolve;
mod run;
mod say;
mod station;
mod status;
mod token;
mod watch;

use std::{fmt, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};

use crate::no_core;

/// Gives every unit that a line builds its identity, with or without internet.
#[derive(Debug, Parser)]
#[command(name = "edge", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an appliance: its certificate authority, its journal, its first administrator.
    Init(init::Init),
    /// The certificate authorities: what there is, another issuing CA, proofs for the cloud.
    #[command(subcommand)]
    Ca(ca::Ca),
    /// Runs the appliance.
    Run(run::Run),
    /// Lets people, stations and screens in, and out.
    #[command(subcommand)]
    Token(token::Token),
    /// Lets stations in by a TLS client certificate, and out.
    #[command(subcommand)]
    Station(station::Station),
    /// Shows how the appliance is.
    Status(status::StatusCommand),
    /// Looks at the journal: is it whole, what does it say, and what can be proven with it.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Copies everything that makes this box this box; may be done while it runs, and again into the same folder.
    Backup(backup::Backup),
    /// Makes a box of a backup.
    Restore(backup::Restore),
    /// Compares the box with the cloud, and has what differs told again or held; lets a restored box go on.
    ///
    /// What the cloud has otherwise than the ledger is told again where that is ours to do, and else held for a person; see:
    /// edge queue ls. Ends with 0 where nothing differs, and with 5 where something does.
    ///
    /// A box that was restored from a backup compares which units were announced after it. Without --window it only tells;
    /// with it, the box goes on.
    Reconcile(reconcile::Reconcile),
    /// Shows what happens, line by line, as it happens.
    Watch(watch::Watch),
    /// Looks at the clock by which certificates are dated, and vouches for it.
    #[command(subcommand)]
    Clock(clock::Clock),
    /// Explains the code of a problem, or lists them all.
    Explain(explain::Explain),
    /// Opens production orders, closes them, and shows how far they are.
    #[command(subcommand)]
    Order(order::Order),
    /// Looks at what waits for the cloud and what it has refused, has it asked again, or held, or nothing sent.
    #[command(subcommand)]
    Queue(queue::Queue),
    /// Carries jobs out and receipts back, for a plant that is never online.
    #[command(subcommand)]
    Courier(courier::Courier),
}

/// What a command prints, where it can.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Why a command failed, and with which exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// The command could not do what it should.
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// The configuration, or what was asked for, makes no sense.
    pub(crate) fn usage(text: impl fmt::Display) -> Self {
        Self { code: 2, text: text.to_string() }
    }

    /// Whether there was no daemon to talk to.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.code == 3
    }

    /// There is no daemon to talk to.
    pub(crate) fn unreachable(text: impl fmt::Display) -> Self {
        Self { code: 3, text: text.to_string() }
    }

    /// The daemon said no.
    pub(crate) fn refused(status: u16, text: impl fmt::Display) -> Self {
        let code = match status {
            404 => 4,
            409 => 5,
            400..=499 => 2,
            _ => 1,
        };
        Self { code, text: text.to_string() }
    }

    /// There is no such thing.
    pub(crate) fn not_found(text: impl fmt::Display) -> Self {
        Self { code: 4, text: text.to_string() }
    }

    /// This box was restored elsewhere.
    pub(crate) fn superseded(text: impl fmt::Display) -> Self {
        Self { code: 7, text: text.to_string() }
    }

    /// Storage failed.
    pub(crate) fn storage(text: impl fmt::Display) -> Self {
        Self { code: 6, text: text.to_string() }
    }
}

impl From<::ledger::ReadError> for Failure {
    fn from(error: ::ledger::ReadError) -> Self {
        Self::failed(error)
    }
}

/// Runs the command line of this process.
pub async fn main() -> ExitCode {
    // Fails only if somebody was faster with the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let command = Arguments::parse().command;
    // Before anything is opened: whatever this process will hold stays in it.
    if let Err(error) = no_core::forbid() {
        say::error(&format!("edge: core files cannot be forbidden: {error}"));
        return ExitCode::FAILURE;
    }
    let done = match command {
        Command::Init(command) => command.run().await,
        Command::Ca(command) => command.run().await,
        Command::Run(command) => command.run().await,
        Command::Token(command) => command.run().await,
        Command::Station(command) => command.run().await,
        Command::Status(command) => command.run().await,
        Command::Ledger(command) => command.run().await,
        Command::Backup(command) => command.run(),
        Command::Restore(command) => command.run().await,
        Command::Reconcile(command) => command.run().await,
        Command::Watch(command) => command.run().await,
        Command::Clock(command) => command.run().await,
        Command::Explain(command) => command.run(),
        Command::Order(command) => command.run().await,
        Command::Queue(command) => command.run().await,
        Command::Courier(command) => command.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say::error(&format!("edge: {}", failure.text));
            ExitCode::from(failure.code)
        }
    }
}
