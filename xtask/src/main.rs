//! `cargo xtask test | dist`: the developer's one-word commands.
#![expect(clippy::print_stdout, reason = "it talks to a developer")]

mod dist;
mod test;
mod tools;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

/// The developer's one-word commands.
#[derive(Debug, Parser)]
#[command(name = "xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Task {
    /// Everything that proves the project: format, lints, tests, a real browser, official SDKs, docs.
    Test,
    /// What CI runs: the same.
    Ci,
    /// Builds what ships into `target/dist`.
    Dist,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Task::Test | Task::Ci => test::run(),
        Task::Dist => dist::run(),
    }
}

/// The top of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Runs cargo with what stands behind it, and fails if it does.
fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    println!("\n── cargo {}", arguments.join(" "));
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let status = command.args(arguments).envs(environment.iter().copied()).current_dir(root()).status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "cargo {}: {status}", arguments.join(" "));
    Ok(())
}
