//! How fast a commit is on disk, side by side with what else could keep it, and what a large ledger costs to open.
//!
//! `cargo bench -p ledger` prints tables on standard error and one JSON object on standard output.
//! Absolute numbers belong to one disk on one day; read the ratios, which come from the same minutes.
#![expect(clippy::print_stdout, reason = "the JSON object is the product of this program")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock; that is all it is for")]

mod bare;
mod child;
mod committers;
mod group;
mod machine;
mod ours;
mod redb;
mod report;
mod rounds;
mod scale;
mod sled;
mod sqlite;
mod unit;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use serde_json::json;
use tikv_jemallocator::Jemalloc;

/// The allocator of the appliance; everybody here has it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Durable commits, ours and others', and what a large ledger costs.
#[derive(Debug, Parser)]
struct Args {
    /// Measure this alone.
    #[arg(long)]
    only: Option<Measurement>,
    /// Who takes part in `committers` and `one`; everybody if not said.
    #[arg(long, value_delimiter = ',')]
    who: Vec<rounds::Contestant>,
    /// The length of one contestant's slice.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// How often everybody has a slice.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// The sizes of the ledgers of `scale`.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000")]
    units: Vec<u64>,
    /// Where the records go; a folder of its own below `target` if not said. It is emptied afterwards.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Writes the JSON here as well.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What cargo passes.
    #[arg(long, hide = true)]
    bench: bool,
    /// A phase of `scale`, which measures itself in a process of its own.
    #[command(subcommand)]
    child: Option<child::Phase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Measurement {
    /// 64 tasks, each waiting for its own commit.
    Committers,
    /// One task, and a bare loop of write and sync.
    One,
    /// Filling, opening and rebuilding a ledger of many units.
    Scale,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(phase) = &args.child {
        println!("{}", child::run(phase)?);
        return Ok(());
    }
    if !args.bench {
        eprintln!("this measures, and takes minutes: run it with `cargo bench -p ledger`");
        return Ok(());
    }
    ensure!(args.rounds > 0 && args.seconds > 0.0, "a measurement needs a round and some seconds");
    let parent = args.dir.clone().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    fs::create_dir_all(&parent).with_context(|| parent.display().to_string())?;
    let dir = tempfile::Builder::new().prefix("durable-").tempdir_in(&parent)?;

    let wanted = |one| args.only.is_none_or(|only| only == one);
    let length = Duration::from_secs_f64(args.seconds);
    let mut results = json!({ "machine": machine::describe(dir.path()) });
    if wanted(Measurement::Committers) {
        let found = rounds::run(&dir.path().join("committers"), &args.who, 64, args.rounds, length)?;
        report::rates("64 committers, each waiting for its own durable 1.5 KB record", &found);
        results["committers"] = report::rates_json(&found);
    }
    if wanted(Measurement::One) {
        let found = rounds::run(&dir.path().join("one"), &args.who, 1, args.rounds, length)?;
        report::rates("1 committer, and a bare loop of write and fdatasync", &found);
        results["one"] = report::rates_json(&found);
    }
    if wanted(Measurement::Scale) {
        let found = args.units.iter().map(|&units| scale::run(&dir.path().join("scale"), units));
        let found = found.collect::<Result<Vec<_>>>()?;
        report::scale(&found);
        results["scale"] = serde_json::to_value(&found)?;
    }
    let json = serde_json::to_string_pretty(&results)?;
    if let Some(out) = &args.out {
        fs::write(out, &json).with_context(|| out.display().to_string())?;
    }
    println!("{json}");
    Ok(())
}
