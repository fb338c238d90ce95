//! What a ledger of many units costs: to fill, to open after a good and after a bad end, to rebuild.
//!
//! Every phase is a process of its own, so that its memory is its own and an end can be a bad one.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::child::{Filled, Opened};

/// What was found for one number of units.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    pub(crate) units: u64,
    pub(crate) fill: Filled,
    /// What the journal takes on disk, in bytes.
    pub(crate) journal_bytes: u64,
    /// What the index takes on disk, in bytes.
    pub(crate) index_bytes: u64,
    pub(crate) opens: Vec<Phase>,
}

/// One start of the ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Phase {
    /// What went before.
    pub(crate) after: String,
    /// Whether the page cache was emptied before.
    pub(crate) cold: bool,
    pub(crate) opened: Opened,
}

/// Fills a ledger with `units` below `dir` and opens it in every way.
pub(crate) fn run(dir: &Path, units: u64) -> Result<Scale> {
    eprintln!("scale: filling {units} units");
    let count = units.to_string();
    let fill: Filled = child(&["fill"], dir, &count)?;
    let size = |name: &str| disk_bytes(&dir.join(name));
    let (journal_bytes, index_bytes) = (size("journal")?, size("index")?);
    let mut opens = Vec::new();
    let mut open = |after: &str, cold: bool| -> Result<()> {
        let cold = cold && drop_caches();
        eprintln!("scale: opening after {after}, {}", if cold { "cold" } else { "warm" });
        opens.push(Phase { after: after.to_owned(), cold, opened: child(&["open"], dir, &count)? });
        Ok(())
    };
    open("a clean stop", true)?;
    open("a clean stop", false)?;
    burst(dir, 1 << 40)?;
    open("a kill", true)?;
    burst(dir, 2 << 40)?;
    open("a kill", false)?;
    fs::remove_dir_all(dir.join("index"))?;
    open("losing the index", true)?;
    fs::remove_dir_all(dir)?;
    Ok(Scale { units, fill, journal_bytes, index_bytes, opens })
}

fn command(phase: &[&str], dir: &Path, units: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(phase).arg("--dir").arg(dir).args(["--units", units]);
    Ok(command)
}

/// Runs a phase to its end.
fn child<T: for<'de> Deserialize<'de>>(phase: &[&str], dir: &Path, units: &str) -> Result<T> {
    let output = command(phase, dir, units)?.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{phase:?} ended with {}", output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Commits units from number `from` on, and kills the process in the middle of it.
fn burst(dir: &Path, from: u64) -> Result<()> {
    let mut running = command(&["burst"], dir, &from.to_string())?.stdout(Stdio::piped()).spawn()?;
    let stdout = running.stdout.take().context("it was piped")?;
    let mut line = String::new();
    let read = BufReader::new(stdout).read_line(&mut line);
    running.kill()?;
    running.wait()?;
    read?;
    ensure!(!line.is_empty(), "the burst ended before it was killed");
    eprintln!("scale: killed after a burst of {} more", line.trim());
    Ok(())
}

/// Empties the page cache where we may.
fn drop_caches() -> bool {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3").is_ok()
}

fn disk_bytes(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let found = entry.metadata()?;
        sum += if found.is_dir() { disk_bytes(&entry.path())? } else { found.blocks() * 512 };
    }
    Ok(sum)
}
