//! `edge backup`, `edge restore`

use std::path::PathBuf;

use clap::Args;
use ledger::Options;

use super::{Failure, say};
use crate::{
    backup::{BackupError, backup, restore},
    http::now,
};

/// Copies everything that makes this box this box.
#[derive(Debug, Args)]
pub(super) struct Backup {
    /// The folder of the backup: a new one, or one that an earlier call has filled.
    dir: PathBuf,
    /// The state folder.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (label, copied) = backup(&self.state, &self.dir, now()).map_err(failure)?;
        say::line(&format!("backup of   box {}, in {}", label.box_id, self.dir.display()));
        say::line(&format!("holds       frames 1 to {}, every one checked", label.seq));
        say::line(&format!("copied      {} segments; the others were there already", copied.segments));
        say::error("Keep it like the box itself: with the passphrase, whoever has it is this box.");
        Ok(())
    }
}

/// Makes a box of a backup.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The folder of the backup.
    dir: PathBuf,
    /// The state folder to make; new or empty.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

impl Restore {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let options = Options::default();
        let (label, restored) = restore(&self.dir, &self.state, options, now()).await.map_err(failure)?;
        say::line(&format!("restored    box {}, in {}", label.box_id, self.state.display()));
        say::line(&format!(
            "holds       frames 1 to {}, the last of {}",
            restored.seq,
            restored.at.replace_nanosecond(0).unwrap_or(restored.at)
        ));
        say::line(&format!("generation  {}", restored.generation));
        say::error(
            "What was issued after that is not in it. Start the daemon, then run: edge reconcile. \
             Until then nothing is issued and nothing is sent.",
        );
        Ok(())
    }
}

fn failure(error: BackupError) -> Failure {
    match error {
        BackupError::NoState(_)
        | BackupError::NotEmpty(_)
        | BackupError::OtherBox { .. }
        | BackupError::NoBackup { .. } => Failure::usage(error),
        BackupError::OtherLife { .. } => Failure::refused(409, error),
        error => Failure::failed(error),
    }
}
