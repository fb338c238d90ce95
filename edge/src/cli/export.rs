//! `edge ledger export`: evidence for somebody else.

use std::path::PathBuf;

use clap::{ArgGroup, Args};
use serde_json::{Value, json};

use super::{
    Failure,
    client::Daemon,
    ledger::{Since, id, journal, since},
    say,
};
use crate::{
    evidence::{EvidenceError, Selection, collect},
    http::now,
    state_dir::StateDir,
};

/// Writes evidence: some events, and what proves them, in a file that can be checked elsewhere.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["order", "units", "since"])))]
pub(super) struct Export {
    /// The state folder.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// This production order, and every unit that was issued under it.
    #[arg(long)]
    order: Option<String>,
    /// These units, with commas between them.
    #[arg(long, value_delimiter = ',')]
    units: Option<Vec<String>>,
    /// Everything since: 2026-11-25, 2026-11-25T08:00:00Z, or 2h.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// The file to write.
    #[arg(long)]
    out: PathBuf,
}

impl Export {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let state = StateDir::new(&self.state);
        journal(&self.state)?;
        // A running daemon signs what it has; one that is stopped has done so as its last act.
        match Daemon::of(&self.state)?.post::<Value>("/checkpoint", &json!({})).await {
            Err(failure) if !failure.is_unreachable() => return Err(failure),
            _ => {}
        }
        let selection = match (self.order, self.units, self.since) {
            (Some(order), _, _) => Selection::order(order),
            (_, Some(units), _) => {
                Selection::Units(units.iter().map(|unit| id(unit)).collect::<Result<_, _>>()?)
            }
            (_, _, Some(since)) => Selection::Since(since.time(now())),
            (None, None, None) => return Err(Failure::usage("say --order, --units or --since")),
        };
        let found = collect(&state, selection, now()).map_err(|error| match error {
            EvidenceError::Nothing(detail) => Failure::refused(404, detail),
            EvidenceError::Failed(detail) => Failure::failed(detail),
        })?;
        keys::write_private(&self.out, found.text.as_bytes()).map_err(Failure::failed)?;
        say::line(&format!("{} frames in {}", found.frames, self.out.display()));
        Ok(())
    }
}
