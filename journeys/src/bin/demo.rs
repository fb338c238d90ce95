//! `cargo run --release`: the whole story on one machine, and then a board and a portal to play with.
#![expect(clippy::print_stdout, reason = "the demo talks to whoever started it")]

use std::{io::IsTerminal, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use journeys::{
    story::{self, Teller},
    world::{ACCOUNT, LINES, Settings, World},
};
use serde_json::json;
use tokio::time::interval;
use tracing_subscriber::EnvFilter;

/// Tells the whole story of a device, from its line to its customer.
#[derive(Debug, Parser)]
#[command(name = "demo", version, about)]
struct Arguments {
    /// Tells the story, checks it and ends, with exit code 0 or 1.
    #[arg(long)]
    once: bool,
}

/// One line a step; a spinner while it runs, where somebody watches.
struct Terminal {
    spinner: Option<ProgressBar>,
    number: usize,
    step: String,
}

impl Teller for Terminal {
    fn begins(&mut self, step: &str) {
        self.number += 1;
        self.step = step.to_owned();
        if std::io::stdout().is_terminal() {
            let spinner = ProgressBar::new_spinner().with_message(format!("{} {step}", self.number));
            spinner.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            spinner.enable_steady_tick(Duration::from_millis(100));
            self.spinner = Some(spinner);
        }
    }

    fn done(&mut self, outcome: &str) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
        println!("{} {}\n      {outcome}", self.number, self.step);
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(Arguments::parse().once).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(once: bool) -> Result<()> {
    println!("A factory, its cloud and its customer, on this machine.\n");
    let dir = tempfile::Builder::new().prefix("edge-demo-").tempdir()?;
    let mut world = World::start(Settings::in_dir(dir.path())).await?;
    let mut terminal = Terminal { spinner: None, number: 0, step: String::new() };
    story::tell(&mut world, &mut terminal).await?;
    if once {
        world.stop().await?;
        println!("\nThe whole story is true.");
        return Ok(());
    }
    stay(world).await
}

/// Stays up, with a line that makes a unit now and then, until ctrl-C.
async fn stay(mut world: World) -> Result<()> {
    let display = world.token("display", "your-browser").await?;
    let station = world.token("supervisor", "demo-line").await?;
    let (edge, portal) = (world.edge_url(), world.portal_url());
    println!(
        "\nIt all stays up until ctrl-C. Your browser will warn about certificates of a CA that it does not know.\n"
    );
    println!("board    {edge}/pair#{display}");
    println!("portal   {portal}   account {ACCOUNT}   password {}", world.password);
    println!("edge     {edge}/v1/units   administrator {}", world.admin);
    println!("trust    {}", world.edge_root().display());
    let mut pace = interval(Duration::from_secs(3));
    let mut number = 0;
    loop {
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                println!("\nStopping.");
                return world.stop().await;
            }
            broken = world.broken() => return broken,
            _ = pace.tick() => {
                number += 1;
                let line = LINES[number % LINES.len()];
                world.issue(&station, &json!({ "id": format!("live-{number:05}"), "line": line })).await?;
            }
        }
    }
}
