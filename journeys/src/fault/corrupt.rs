//! Damage to files: a flipped bit, a file cut short, a page of zeros, two pages in each other's place, a file gone.
//!
//! Every one has to be noticed, or to do no harm; never may a ledger open and show less, or something else, than before.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use fastrand::Rng;
use journal::{frame, segment};
use tempfile::TempDir;

use crate::fault::{
    Common,
    books::{self, Shown},
    report::{Report, Violation},
};

const PAGE: usize = 4096;

/// Damages the files of a ledger that was closed in good order.
///
/// Mutated, whoever changes a frame also makes its checksum and every hash after it fit, so that nothing is left that
/// could notice.
#[derive(Debug, Clone, Args)]
pub struct Corrupt {
    /// What every harness is told.
    #[command(flatten)]
    pub common: Common,
    /// How many units the ledger has.
    #[arg(long, default_value_t = 90)]
    pub units: u64,
}

impl Corrupt {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("corrupt", &self.common);
        let mut dice = Rng::with_seed(self.common.seed);
        let dir = TempDir::new()?;
        let state = dir.path().join("ledger");
        let ledger = books::open(&state)?;
        for n in 0..self.units {
            books::issue(&ledger, n).await?;
        }
        let shown = books::look(&ledger)?;
        ledger.close().await;
        let whole = books::files(&state)?;
        for round in 0..self.common.rounds.unwrap_or(200) {
            let mut files = whole.clone();
            let what = if self.common.mutate {
                forge(&mut files, &mut dice)?
            } else {
                damage(&mut files, &mut dice).context("no file to damage")?
            };
            books::put(&state, &files)?;
            report.add("rounds", 1);
            judge(&state, &files, &shown, &what, &mut report).await?;
            if round % 500 == 499 {
                report.progress(format!("{} rounds", round + 1));
            }
        }
        Ok(report)
    }
}

/// Opens what was damaged, and decides.
async fn judge(
    state: &Path,
    damaged: &BTreeMap<PathBuf, Vec<u8>>,
    shown: &Shown,
    what: &str,
    report: &mut Report,
) -> Result<()> {
    let Ok(opened) = catch_unwind(AssertUnwindSafe(|| books::open(state))) else {
        report.found(Violation::Crash, format!("{what}: it panics"));
        return Ok(());
    };
    let ledger = match opened {
        Ok(ledger) => ledger,
        Err(error) => {
            report.add("refused", 1);
            let journal = |files: &BTreeMap<PathBuf, Vec<u8>>| {
                files
                    .iter()
                    .filter(|(path, _)| path.extension().is_some_and(|is| is == "segment"))
                    .map(|(path, bytes)| (path.clone(), bytes.clone()))
                    .collect::<Vec<_>>()
            };
            if journal(&books::files(state)?) != journal(damaged) {
                report.found(
                    Violation::Unexpected,
                    format!("{what}: refused ({error}), and the journal was touched"),
                );
            }
            return Ok(());
        }
    };
    let healed = state.join("index.unusable").exists();
    match books::look(&ledger) {
        Ok(found) if found == *shown => {
            report.add(if healed { "index_rebuilt" } else { "harmless" }, 1);
        }
        Ok(found) => {
            let less = shown.units.len() - shown.units.len().min(found.units.len());
            let detail = format!("{what}: opens, and shows something else, {less} units less");
            report.found(if less > 0 { Violation::Lost } else { Violation::Changed }, detail);
        }
        // Noticed while reading: the ledger ends, and the next start has to heal it.
        Err(error) => {
            ledger.close().await;
            let again = books::open(state).map(|ledger| books::look(&ledger));
            match again {
                Ok(Ok(found)) if found == *shown => report.add("healed_at_the_next_start", 1),
                _ => report.found(Violation::Unopenable, format!("{what}: {error}, and does not heal")),
            }
            return Ok(());
        }
    }
    ledger.close().await;
    Ok(())
}

/// Damages one file in one way; says how.
fn damage(files: &mut BTreeMap<PathBuf, Vec<u8>>, dice: &mut Rng) -> Option<String> {
    // Every second time the journal, else anything but it.
    let journal = dice.bool();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|is| is == "segment");
    let names: Vec<PathBuf> = files.keys().filter(|path| is_segment(path) == journal).cloned().collect();
    let name = dice.choice(names)?;
    let bytes = files.get_mut(&name)?;
    let pages = bytes.len() / PAGE;
    let place = name.display().to_string();
    match dice.u8(..5) {
        0 if !bytes.is_empty() => {
            let (at, bit) = (dice.usize(..bytes.len()), dice.u8(..8));
            bytes[at] ^= 1 << bit;
            Some(format!("{place}: bit {bit} of byte {at} flipped"))
        }
        1 if !bytes.is_empty() => {
            let kept = dice.usize(..bytes.len());
            let kept = if dice.bool() { kept } else { kept / PAGE * PAGE };
            bytes.truncate(kept);
            Some(format!("{place}: cut to {kept} bytes"))
        }
        2 if pages > 0 => {
            let page = dice.usize(..pages);
            bytes[page * PAGE..][..PAGE].fill(0);
            Some(format!("{place}: page {page} zeroed"))
        }
        3 if pages > 1 => {
            let (one, other) = (dice.usize(..pages), dice.usize(..pages));
            for at in 0..PAGE {
                bytes.swap(one * PAGE + at, other * PAGE + at);
            }
            Some(format!("{place}: pages {one} and {other} swapped"))
        }
        _ => {
            files.remove(&name);
            Some(format!("{place}: deleted"))
        }
    }
}

/// Changes a frame, and makes every checksum and every hash after it fit.
fn forge(files: &mut BTreeMap<PathBuf, Vec<u8>>, dice: &mut Rng) -> Result<String> {
    let target = dice.u64(1..90);
    let (mut prev, mut changed) = ([0; 32], String::new());
    let segments: Vec<PathBuf> =
        files.keys().filter(|path| path.extension().is_some_and(|is| is == "segment")).cloned().collect();
    for name in segments {
        let bytes = files.get_mut(&name).context("no such segment")?;
        let mut out = bytes[..segment::HEADER].to_vec();
        out[32..64].copy_from_slice(&prev);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out[..12]), &out[16..64]);
        out[12..16].copy_from_slice(&crc.to_le_bytes());
        let mut at = segment::HEADER;
        while let frame::Found::Frame(found) = frame::decode(&bytes[at..]) {
            let mut payload = found.payload.to_vec();
            let certificate = payload.windows(15).position(|text| text == b"\"certificate\":\"");
            if let (true, Some(place)) = (found.seq >= target && changed.is_empty(), certificate) {
                let digit = &mut payload[place + 20];
                *digit = if *digit == b'0' { b'1' } else { b'0' };
                changed = format!("frame {} forged", found.seq);
            }
            prev = frame::encode(found.seq, found.durable, &prev, &payload, &mut out);
            at += frame::room(found.payload.len());
        }
        out.resize(bytes.len(), 0);
        *bytes = out;
    }
    // The index remembers the hash of its last frame: it goes as well.
    files.retain(|path, _| !path.starts_with("index") && !path.to_string_lossy().starts_with("index."));
    Ok(changed)
}
