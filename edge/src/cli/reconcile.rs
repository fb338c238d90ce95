//! `edge reconcile`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Failure, Output, client::Daemon, say};
use crate::{
    drift::{Difference, Differences},
    event::{Reconciled, Window},
    http::Status,
    reconcile::{Comparison, Order},
};

/// As many lost units as are named; the journal has them all.
const NAMED: usize = 20;

/// Compares the box with the cloud.
#[derive(Debug, Args)]
pub(super) struct Reconcile {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// Confirms the time in which units may have been issued that nobody knows any more, such as
    /// 2026-11-25T08:00:00Z/2026-11-25T09:30:00Z: from the end of the backup to the loss of the box.
    #[arg(long, value_parser = window)]
    window: Option<Window>,
    /// Goes on without asking the cloud, for this reason.
    #[arg(long, value_name = "REASON", requires = "window")]
    accept_gap: Option<String>,
    /// Only tells, and changes nothing.
    #[arg(long, conflicts_with = "window")]
    dry_run: bool,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn window(text: &str) -> Result<Window, String> {
    let time = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok();
    let parsed = text.split_once('/').and_then(|(from, until)| Some((time(from)?, time(until)?)));
    let (from, until) =
        parsed.ok_or("say two times with a slash between: 2026-11-25T08:00:00Z/2026-11-25T09:30:00Z")?;
    Ok(Window { from, until })
}

impl Reconcile {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let daemon = Daemon::of(&self.state)?;
        if self.window.is_none() && daemon.get::<Status>("/status").await?.fence.is_none() {
            return self.compare(&daemon).await;
        }
        if self.accept_gap.is_none() {
            let comparison: Comparison = daemon.get("/reconcile").await?;
            match self.output {
                Output::Json => say::line(&json!(comparison).to_string()),
                Output::Text => tell(&comparison),
            }
        }
        let Some(window) = self.window else {
            say::error(
                "Nothing was changed. To go on, confirm the window: from the end of the backup to the loss of the box.",
            );
            return Ok(());
        };
        let order = Order { window, accept_gap: self.accept_gap };
        let done: Reconciled = daemon.post("/reconcile", &order).await?;
        say::line(&format!("reconciled  generation {}; this box issues and sends again", done.generation));
        Ok(())
    }

    /// Compares a box in its ordinary life.
    async fn compare(&self, daemon: &Daemon) -> Result<(), Failure> {
        let found: Differences = if self.dry_run {
            daemon.get("/drift").await?
        } else {
            daemon.post("/drift", &json!({})).await?
        };
        match self.output {
            Output::Json => say::line(&json!(found).to_string()),
            Output::Text => differences(&found, self.dry_run).iter().for_each(|line| say::line(line)),
        }
        let differ = found.differ.len() + found.phantoms.len() + found.not_looked_at;
        if differ == 0 {
            return Ok(());
        }
        Err(Failure::refused(409, format!("the cloud and the ledger differ in {differ}")))
    }
}

/// What the cloud has otherwise, in lines.
fn differences(found: &Differences, dry_run: bool) -> Vec<String> {
    let mut lines = vec![
        format!("cloud       has {} enrollments of this box", found.enrollments),
        format!("compared    {} units that are settled", found.compared),
    ];
    lines.extend(found.differ.iter().map(|Difference { id, what, why }| {
        let then = match (why, dry_run) {
            (Some(why), true) => format!("would be held ({}): {}", why.code, why.detail),
            (Some(why), false) => format!("held ({}): {}; see: edge queue show {id}", why.code, why.detail),
            (None, true) => "would be told again".to_owned(),
            (None, false) => "is told again".to_owned(),
        };
        format!("differs     {id}  {}: {then}", what.code())
    }));
    lines.extend(found.phantoms.iter().map(|phantom| {
        format!(
            "phantom     {}  says frame {} of this box, which does not know it: {}",
            phantom.id, phantom.seq, phantom.sha256
        )
    }));
    if found.not_looked_at > 0 {
        lines.push(format!("            {} more may differ; run it again", found.not_looked_at));
    }
    lines
}

fn tell(comparison: &Comparison) {
    let at = comparison.at.replace_nanosecond(0).unwrap_or(comparison.at);
    say::line(&format!(
        "backup      ends at frame {}, {}",
        comparison.seq,
        at.format(&Rfc3339).unwrap_or_default()
    ));
    say::line(&format!("cloud       has {} enrollments of this box", comparison.enrollments));
    match comparison.missing() {
        None => say::line("missing     nothing that the cloud knows of"),
        Some((from, to)) => {
            say::line(&format!(
                "missing     frames {from} to {to}, in which {} units were issued and announced:",
                comparison.lost.len()
            ));
            for unit in comparison.lost.iter().take(NAMED) {
                say::line(&format!("            frame {:>8}  {}  {}", unit.seq, unit.id, unit.sha256));
            }
            if comparison.lost.len() > NAMED {
                say::line(&format!("            and {} more", comparison.lost.len() - NAMED));
            }
        }
    }
    say::line(&format!(
        "window      units issued after {} and never announced are known to nobody; so are tokens made or revoked since",
        at.format(&Rfc3339).unwrap_or_default()
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_two_times() {
        let found = window("2026-11-25T08:00:00Z/2026-11-25T09:30:00Z").unwrap();
        assert_eq!((found.until - found.from).whole_minutes(), 90);
        for wrong in ["", "2026-11-25T08:00:00Z", "a/b"] {
            assert!(window(wrong).unwrap_err().contains("slash"));
        }
    }
}
