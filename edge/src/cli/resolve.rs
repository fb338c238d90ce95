//! `edge queue show` and `edge queue resolve`: a job that is held, both sides of it, and what a person decides.

use clap::Args;
use serde_json::json;

use super::{
    Failure, Output,
    client::Daemon,
    queue::{Of, encoded, line},
    say,
};
use crate::{
    http::units::time,
    resolve::{Compared, Comparison, InCloud, Ours, Resolve as Asked, Resolved, Verdict},
};

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The unit.
    id: String,
    #[command(flatten)]
    of: Of,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(id = "decision", required = true, args = ["keep_cloud", "replace_cloud"])]
pub(super) struct Resolve {
    /// The unit.
    id: String,
    /// What the cloud has stays; if that is another certificate than ours, ours is revoked.
    #[arg(long)]
    keep_cloud: bool,
    /// What the cloud has gives way, if it is still the version that you have looked at.
    #[arg(long)]
    replace_cloud: bool,
    /// That version, as edge queue show tells it.
    #[arg(long, conflicts_with = "keep_cloud")]
    etag: Option<String>,
    /// Why; it stands in the journal for ever.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    of: Of,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let compared = compared(&Daemon::of(&self.of.state)?, &self.id).await?;
        match self.output {
            Output::Json => say::line(&json!(compared).to_string()),
            Output::Text => text(&compared).iter().for_each(|line| say::line(line)),
        }
        Ok(())
    }
}

impl Resolve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let daemon = Daemon::of(&self.of.state)?;
        if self.replace_cloud && self.etag.is_none() {
            return Err(unseen(&compared(&daemon, &self.id).await?));
        }
        let decision = if self.keep_cloud { Verdict::KeepCloud } else { Verdict::ReplaceCloud };
        let asked = Asked { decision, reason: Some(self.reason), etag: self.etag };
        let path = format!("/queue/jobs/{}/resolve", encoded(&self.id));
        let Resolved { job, revoked, next } = daemon.post(&path, &asked).await?;
        say::line(&line(&job));
        say::line(&format!("  {next}"));
        if let Some(serial) = revoked {
            say::line(&format!("  revoked: serial {serial}"));
        }
        Ok(())
    }
}

async fn compared(daemon: &Daemon, id: &str) -> Result<Compared, Failure> {
    daemon.get(&format!("/queue/jobs/{}", encoded(id))).await
}

/// Why nothing is replaced that nobody has looked at; shows it.
fn unseen(compared: &Compared) -> Failure {
    let id = &compared.job.id;
    text(compared).iter().for_each(|line| say::line(line));
    match compared.comparison.as_ref().map(|comparison| &comparison.cloud) {
        None => {
            Failure::refused(409, format!("{id} is {}, not held; nothing was decided", compared.job.state))
        }
        Some(InCloud::Unknown { detail, .. }) => Failure::failed(format!(
            "nothing was decided: what gives way is named by its ETag, and the cloud cannot be asked for it: {detail}"
        )),
        Some(InCloud::Found(_) | InCloud::Absent) => Failure::usage(
            "nothing was decided: look at what the cloud has, above, and name it with --etag if that shall give way",
        ),
    }
}

/// A job, both sides of it if it is held, and what to do about it.
fn text(compared: &Compared) -> Vec<String> {
    let Compared { job, comparison } = compared;
    let mut lines = vec![line(job)];
    lines.extend(job.why.as_ref().map(|why| format!("  {}", why.detail)));
    lines.extend(
        job.etag.as_ref().map(|etag| format!("  decided: version {etag} of the cloud's record gives way")),
    );
    let Some(Comparison { cloud, ours, likely, choices }) = comparison else { return lines };
    lines.extend(in_cloud(cloud));
    let Ours { sha256, epoch, issued_at } = ours;
    lines.push(format!("  we have    SHA-256 {sha256}, pass {epoch}, issued {}", time(*issued_at)));
    lines.push(format!("  likely     {likely}"));
    for (at, choice) in choices.iter().enumerate() {
        let head = if at == 0 { "choose" } else { "" };
        lines.push(format!("  {head:<10} {}", choice.command));
        lines.push(format!("             ({})", choice.means));
    }
    lines
}

fn in_cloud(cloud: &InCloud) -> Vec<String> {
    let found = match cloud {
        InCloud::Found(found) => found,
        InCloud::Absent => return vec!["  cloud has  no record of this unit".to_owned()],
        InCloud::Unknown { detail, .. } => return vec![format!("  cloud has  not known: {detail}")],
    };
    let certificate = match &found.sha256 {
        Some(sha256) => format!("SHA-256 {sha256}"),
        None => format!("no certificate, but {}", found.attestation),
    };
    let mut facts = vec![if found.is_enabled() { "enabled" } else { "disabled" }.to_owned()];
    facts.extend(found.scrapped.then(|| "scrapped".to_owned()));
    facts.extend(found.registration_status.map(|status| {
        let hub = found.assigned_hub.as_ref().map(|hub| format!(" to {hub}")).unwrap_or_default();
        format!("{}{hub}", json!(status).as_str().unwrap_or_default())
    }));
    facts.extend(found.last_updated.as_ref().map(|at| format!("written {at}")));
    let mut lines = vec![format!("  cloud has  {certificate}"), format!("             {}", facts.join(", "))];
    lines.extend(
        found
            .secondary_sha256
            .as_ref()
            .map(|sha256| format!("             and a second one, SHA-256 {sha256}")),
    );
    lines.extend(found.announced_by.as_ref().map(|by| {
        let more = [("generation", by.generation.map(u32::from)), ("pass", by.epoch)];
        let more =
            more.into_iter().filter_map(|(name, value)| value.map(|value| format!(", {name} {value}")));
        format!("             of box {}{}", by.box_id, more.collect::<String>())
    }));
    lines.extend(found.etag.as_ref().map(|etag| format!("             version {etag}")));
    lines
}
