//! `load WHAT`: puts load on a real appliance, and tells as JSON what it took.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it talks to whoever started it")]

use std::process::ExitCode;

use clap::Parser;
use journeys::load::Load;

/// Puts load on a real appliance, and tells as JSON what it took.
#[derive(Debug, Parser)]
#[command(name = "load", version, about)]
struct Arguments {
    #[command(subcommand)]
    load: Load,
}

fn main() -> ExitCode {
    match Arguments::parse().load.run() {
        Ok(measured) => {
            println!("{measured:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(2)
        }
    }
}
