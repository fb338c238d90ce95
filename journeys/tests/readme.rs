//! Law 14: the quick start of the README is run as it stands, with our programs on the path. Drives: openssl, curl.
//!
//! A block that begins with ```` ```sh ```` is run, one after the other, in one folder; ```` ```sh background ```` is
//! started and left running. Blocks that begin with ```` ```console ```` are checked by other tests: the demo and `cargo xtask test`.

use std::{
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use journeys::{
    fault::Harness,
    page::{blocks, shell},
    programs,
};
use tempfile::TempDir;

const README: &str = include_str!("../../README.md");

struct Background(Child);

impl Drop for Background {
    fn drop(&mut self) {
        // The shell and what it started.
        let _ = Command::new("pkill").args(["-P", &self.0.id().to_string()]).status();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the README says about the fault harnesses.
#[derive(Debug, Parser)]
struct Fault {
    #[command(subcommand)]
    _harness: Harness,
}

#[test]
fn every_fault_harness_of_the_readme_is_one() -> Result<()> {
    let begin = "cargo run --release -p journeys --bin fault";
    let commands: Vec<_> = README.lines().filter_map(|line| line.strip_prefix(begin)).collect();
    ensure!(commands.len() >= 6, "{commands:?}");
    for command in commands {
        // `tests/fault.rs` runs them, small.
        Fault::try_parse_from(std::iter::once("fault").chain(command.split_whitespace().skip(1)))
            .with_context(|| command.to_owned())?;
    }
    Ok(())
}

#[test]
fn the_quick_start_works_as_it_stands() -> Result<()> {
    let dir = TempDir::new()?;
    let programs = programs::path("edge")?;
    let programs = programs.parent().context("no folder")?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    // The port of the README may be taken on this machine.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let blocks = blocks(README);
    ensure!(blocks.len() == 6, "the quick start has {} blocks", blocks.len());
    let mut background = Vec::new();
    let mut last = String::new();
    for (stays, block) in blocks {
        let block = block.replace("8443", &port.to_string());
        let mut shell = shell(&block, dir.path(), &path);
        if stays {
            background.push(Background(shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?));
            listening(port)?;
            continue;
        }
        let output = shell.output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{block}\n{}\n{error}", output.status);
        last = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    ensure!(last.trim() == "device.pem: OK", "openssl verify says: {last}");
    Ok(())
}

/// Waits until somebody listens; a connection that is refused costs nothing.
#[expect(clippy::disallowed_methods, reason = "a test waits for a program that says nothing to it")]
fn listening(port: u16) -> Result<()> {
    let began = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        ensure!(began.elapsed() < Duration::from_secs(30), "nobody listens on {port}");
        std::thread::yield_now();
    }
    Ok(())
}

#[test]
fn a_failing_command_fails_the_test() -> Result<()> {
    let dir = TempDir::new()?;
    let found =
        blocks("text\n```sh\ntrue\nfalse\n```\n```console\nfalse\n```\n```sh background\nsleep 1\n```\n");
    ensure!(found == [(false, "true\nfalse\n".to_owned()), (true, "sleep 1\n".to_owned())], "{found:?}");
    ensure!(!shell(&found[0].1, dir.path(), "/usr/bin:/bin").status()?.success());
    Ok(())
}
