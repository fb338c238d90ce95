//! An index that is gone, old, broken or of somebody else: every one comes back as it was, without anybody asking.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Result;
use clap::Args;
use edge::EdgeEvent;
use fastrand::Rng;
use ledger::{Applied, Changes, Event, Ledger};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::fault::{
    Common, books,
    report::{Report, Violation},
};

/// Takes the index away, or puts something else in its place.
///
/// Mutated, replaying is not what living was: every fourth event is passed over.
#[derive(Debug, Clone, Args)]
pub struct Rebuild {
    /// What every harness is told.
    #[command(flatten)]
    pub common: Common,
}

/// Whether a replay passes over events.
static FORGETFUL: AtomicBool = AtomicBool::new(false);

/// The appliance's event, applied by rules that may have a gap.
#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Replayed(EdgeEvent);

impl Event for Replayed {
    const INDEX_VERSION: u32 = <EdgeEvent as Event>::INDEX_VERSION;

    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        if !FORGETFUL.load(Ordering::Relaxed) || !at.seq.is_multiple_of(4) {
            self.0.apply(at, changes);
        }
    }
}

impl Rebuild {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("rebuild", &self.common);
        let mut dice = Rng::with_seed(self.common.seed);
        FORGETFUL.store(self.common.mutate, Ordering::Relaxed);
        for _ in 0..self.common.rounds.unwrap_or(20) {
            let dir = TempDir::new()?;
            self.round(dir.path(), &mut dice, &mut report).await?;
            report.add("rounds", 1);
        }
        FORGETFUL.store(false, Ordering::Relaxed);
        Ok(report)
    }

    async fn round(&self, dir: &Path, dice: &mut Rng, report: &mut Report) -> Result<()> {
        let (state, index) = (dir.join("ledger"), dir.join("ledger/index"));
        let (units, half) = (dice.u64(8..60), dice.u64(1..8));
        let ledger = books::open(&state)?;
        for n in 0..half {
            books::issue(&ledger, n).await?;
        }
        ledger.close().await;
        let old = books::files(&index)?;
        let ledger = books::open(&state)?;
        for n in half..units {
            books::issue(&ledger, n).await?;
        }
        let live = books::look(&ledger)?;
        ledger.close().await;
        let new = books::files(&index)?;
        report.add("units", live.units.len());

        let way = dice.usize(..4);
        let what = ["gone", "older", "garbage", "half gone"][way];
        match way {
            0 => fs::remove_dir_all(&index)?,
            1 => books::put(&index, &old)?,
            2 => {
                let noise = |bytes: &Vec<u8>| (0..bytes.len()).map(|_| dice.u8(..)).collect();
                let garbage = new.iter().map(|(path, bytes)| (path.clone(), bytes)).collect::<Vec<_>>();
                let mut noise = noise;
                books::put(&index, &garbage.into_iter().map(|(path, bytes)| (path, noise(bytes))).collect())?;
            }
            _ => fs::remove_file(index.join("db"))?,
        }
        match Ledger::<Replayed>::open(&state, &books::options()) {
            Ok(ledger) => {
                let found = books::look(&ledger)?;
                if found != live {
                    let detail = format!(
                        "an index that is {what}: {} units instead of {}",
                        found.units.len(),
                        live.units.len()
                    );
                    report.found(Violation::Lost, detail);
                }
                ledger.close().await;
            }
            Err(error) => report.found(Violation::Unopenable, format!("an index that is {what}: {error}")),
        }
        report.add("rebuilt", 1);
        Ok(())
    }
}
