//! `fault HARNESS`: breaks a real appliance on purpose, and tells as JSON what came of it.
//!
//! Exit code 0: nothing was lost. 1: something was. 2: the harness could not do its work.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use journeys::fault::Harness;
use tokio::signal::unix::{SignalKind, signal};

/// Breaks a real appliance on purpose, and tells as JSON what came of it.
#[derive(Debug, Parser)]
#[command(name = "fault", version, about)]
struct Arguments {
    #[command(subcommand)]
    harness: Harness,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Arguments::parse().harness).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("fault: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(harness: &Harness) -> Result<bool> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    // Dropped where it is, it kills what it started and unmounts what it mounted.
    let mut report = tokio::select! {
        report = harness.run() => report?,
        _ = term.recv() => bail!("told to stop"),
        _ = int.recv() => bail!("told to stop"),
    };
    println!("{}", report.json()?);
    Ok(report.clean())
}
