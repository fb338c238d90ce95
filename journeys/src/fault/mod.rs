//! Faults of processes and disks, made on purpose, and the proof that nothing that was answered is lost by them.
//!
//! Every harness runs the real `edge` and speaks to its real API. What clients were told is kept by the harness, away
//! from the disk that fails. Every harness can also take away the very guard that it tests ([`Common::mutate`]): it must
//! then find a loss, or it proves nothing.

pub(crate) mod bench;
mod books;
mod check;
mod contract;
mod corrupt;
pub(crate) mod daemon;
mod fill;
mod full_disk;
mod io_sweep;
mod kill;
pub(crate) mod load;
mod mount;
mod power_cut;
mod rebuild;
mod report;
mod scene;
mod shim;
mod told;
mod truth;

use anyhow::Result;
use clap::{Args, Subcommand};

pub use crate::fault::{
    corrupt::Corrupt,
    full_disk::FullDisk,
    io_sweep::IoSweep,
    kill::Kill,
    mount::{Fs, missing},
    power_cut::PowerCut,
    rebuild::Rebuild,
    report::{Report, Violation},
    shim::compiler,
};

/// What every harness is told.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// How many faults; every harness has a number of its own.
    #[arg(long)]
    pub rounds: Option<u64>,
    /// Where randomness begins; the same seed makes the same choices, though never the same timing.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Takes away the guard that is tested; the harness must then report a loss.
    #[arg(long)]
    pub mutate: bool,
}

/// A way to break things.
#[derive(Debug, Clone, Subcommand)]
pub enum Harness {
    /// Kills the daemon at random moments, under load and while it starts.
    Kill(Kill),
    /// Cuts the power of its disk: everything that was not forced out is gone.
    PowerCut(PowerCut),
    /// Makes the n-th storage call fail, for every n and in every way.
    IoSweep(IoSweep),
    /// Damages files: every damage has to be noticed, or to do no harm.
    Corrupt(Corrupt),
    /// Takes the index away: it has to come back as it was.
    Rebuild(Rebuild),
    /// Fills the disk and makes room again; turns it read-only.
    FullDisk(FullDisk),
}

impl Harness {
    /// Breaks things, and tells what came of it.
    ///
    /// # Errors
    /// Where the harness itself could not do its work; what it found in the daemon is in the report.
    pub async fn run(&self) -> Result<Report> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        match self {
            Self::Kill(kill) => kill.run().await,
            Self::PowerCut(cut) => cut.run().await,
            Self::IoSweep(sweep) => sweep.run().await,
            Self::Corrupt(corrupt) => corrupt.run().await,
            Self::Rebuild(rebuild) => rebuild.run().await,
            Self::FullDisk(full) => full.run().await,
        }
    }
}
