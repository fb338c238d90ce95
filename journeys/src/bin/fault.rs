//! `fault HARNESS`: breaks a real appliance on purpose, and tells as JSON what came of it.
//!
//! Exit code 0: nothing was lost. 1: something was. 2: the harness could not do its work.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use journeys::fault::Harness;

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
    let mut report = harness.run().await?;
    println!("{}", report.json()?);
    Ok(report.clean())
}
