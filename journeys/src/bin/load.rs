//! `load LOAD`: puts a load on an appliance, and tells as JSON how much it takes.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::process::ExitCode;

use clap::Parser;
use journeys::load::Load;

/// Puts a load on an appliance, and tells as JSON how much it takes.
#[derive(Debug, Parser)]
#[command(name = "load", version, about)]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Arguments::parse().load.run().await {
        Ok(report) => {
            println!("{report:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(1)
        }
    }
}
