//! `edge clock`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Failure, client::Daemon, say};
use crate::clock::{Acceptance, ClockAccepted, ClockView};

/// Looks at the clock by which certificates are dated, and vouches for it.
#[derive(Debug, Subcommand)]
pub(super) enum Clock {
    /// Shows whether the clock is believed, and why not.
    Status(Status),
    /// Vouches for the time that the clock shows now, whatever it was before. Journalled.
    Accept(Accept),
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Accept {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// Why it is right; stands in the journal.
    #[arg(long)]
    reason: String,
}

impl Clock {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Status(status) => {
                let view: ClockView = Daemon::of(&status.state)?.get("/clock").await?;
                text(&view).iter().for_each(|line| say::line(line));
            }
            Self::Accept(accept) => {
                let asked = Acceptance { reason: accept.reason };
                let accepted: ClockAccepted =
                    Daemon::of(&accept.state)?.post("/clock/accept", &asked).await?;
                say::line(&format!(
                    "the clock is believed from {} on; before, it was {}",
                    accepted.now, accepted.before
                ));
            }
        }
        Ok(())
    }
}

/// The clock in a few lines; also a part of `edge status`.
pub(super) fn text(view: &ClockView) -> Vec<String> {
    let skew = view.skew_seconds.map(|seconds| format!("   DPS is {seconds} s ahead"));
    let mut lines = vec![format!(
        "clock    {}   highest {}{}",
        view.state,
        view.highest.replace_nanosecond(0).unwrap_or(view.highest),
        skew.unwrap_or_default()
    )];
    lines.extend(view.why.iter().map(|why| format!("CLOCK    {why}")));
    lines
}
