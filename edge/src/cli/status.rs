//! `edge status`: the five-second answer.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Failure, Output, client::Daemon, say};
use crate::http::Status;

/// Shows how the appliance is.
#[derive(Debug, Args)]
pub(super) struct StatusCommand {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl StatusCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let status: Status = Daemon::of(&self.state)?.get("/status").await?;
        match self.output {
            Output::Json => say::line(&json!(status).to_string()),
            Output::Text => text(&status).iter().for_each(|line| say::line(line)),
        }
        Ok(())
    }
}

fn text(status: &Status) -> Vec<String> {
    let books = &status.board.cloud.books;
    let cloud = match (status.board.cloud.link.as_str(), &status.board.cloud.why) {
        ("off", _) => "not configured".to_owned(),
        ("unknown", _) => "not tried yet".to_owned(),
        ("up", _) => "reachable".to_owned(),
        ("paused", why) => format!("PAUSED: {}", why.as_deref().unwrap_or("no reason")),
        (_, why) => format!("working offline ({})", why.as_deref().unwrap_or("unreachable")),
    };
    let balance = if status.books_balance { "the books balance" } else { "THE BOOKS DO NOT BALANCE" };
    let days = (status.issuing_ca_ends - status.now).whole_days();
    let mut lines = vec![
        format!("edge {}   box {}   generation {}", status.version, status.box_id, status.generation),
        format!("storage  {}   frame {}", status.storage, status.board.seq),
        format!(
            "cloud    {cloud}   {} waiting, {} settled, {} held   {balance}",
            books.waiting, books.settled, books.held
        ),
        format!("CA       {days} days left"),
    ];
    lines.extend(status.read_back.iter().map(super::queue::read_back));
    lines.extend(super::clock::text(&status.clock));
    lines.extend(status.fence.iter().map(|fence| format!("FENCED   {fence}")));
    for line in &status.board.lines {
        let last = line.last.as_deref().unwrap_or("-");
        lines
            .push(format!("line     {:<8} {} today, {} ever, last {last}", line.id, line.today, line.issued));
    }
    lines
}
