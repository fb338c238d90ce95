//! `edge order`

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Failure, Output, client::Daemon, say};
use crate::{
    order::{Closed, OrderOpened, OrderRecord},
    plain::is_plain,
};

/// Opens production orders, closes them, and shows how far they are.
#[derive(Debug, Subcommand)]
pub(super) enum Order {
    /// Opens an order: so many units on one line.
    Open(Open),
    /// Closes an order for ever, and writes the evidence of what was made under it.
    Close(One),
    /// Lists all orders.
    Ls(Ls),
    /// Shows an order.
    Show(Show),
}

#[derive(Debug, Args)]
pub(super) struct Open {
    /// Its number; never given twice.
    number: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// How many units it is for.
    #[arg(long)]
    quantity: u32,
    /// The line that makes them.
    #[arg(long)]
    line: String,
    /// The profile of their certificates.
    #[arg(long)]
    profile: Option<String>,
    /// Something that all of its units have in common, as name=value; may be said again.
    #[arg(long = "attribute", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// When nothing is issued under it any more: 2026-11-25, or 2026-11-25T18:00:00Z.
    #[arg(long, value_parser = end)]
    ends: Option<OffsetDateTime>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its number.
    number: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its number.
    number: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is not name=value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn end(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339))
        .map_err(|_| "say a day (2026-11-25), or a time (2026-11-25T18:00:00Z)".to_owned())
}

impl Order {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Open(open) => {
                let attributes: Map<String, Value> =
                    open.attributes.into_iter().map(|(name, value)| (name, Value::String(value))).collect();
                let order = OrderOpened {
                    number: open.number,
                    quantity: open.quantity,
                    line: open.line,
                    profile: open.profile,
                    attributes,
                    ends: open.ends,
                };
                let record: OrderRecord = Daemon::of(&open.state)?.post("/orders", &order).await?;
                say::line(&line(&record));
            }
            Self::Close(one) => {
                let path = format!("/orders/{}/close", checked(&one.number)?);
                let closed: Closed = Daemon::of(&one.state)?.post(&path, &json!({})).await?;
                say::line(&line(&closed.record));
                say::line(&format!("evidence in {}", one.state.join(closed.evidence).display()));
            }
            Self::Ls(ls) => {
                let records: Vec<OrderRecord> = Daemon::of(&ls.state)?.get("/orders").await?;
                match ls.output {
                    Output::Json => say::line(&json!(records).to_string()),
                    Output::Text => records.iter().for_each(|record| say::line(&line(record))),
                }
            }
            Self::Show(show) => {
                let path = format!("/orders/{}", checked(&show.number)?);
                let record: OrderRecord = Daemon::of(&show.state)?.get(&path).await?;
                match show.output {
                    Output::Json => say::line(&json!(record).to_string()),
                    Output::Text => {
                        say::line(&line(&record));
                        for (name, value) in &record.order.attributes {
                            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                            say::line(&format!("  {name} = {value}"));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// A number goes into an address; one with other signs names no order.
fn checked(number: &str) -> Result<&str, Failure> {
    if is_plain(number, usize::MAX) {
        return Ok(number);
    }
    Err(Failure::refused(404, format!("there is no order {number} here; see: edge order ls")))
}

/// An order in a line.
fn line(record: &OrderRecord) -> String {
    let order = &record.order;
    let state = match (record.closed, order.ends) {
        (Some(closed), _) => format!("closed {}", closed.date()),
        (None, Some(ends)) => format!("open until {}", ends.date()),
        (None, None) => "open".to_owned(),
    };
    let profile = order.profile.as_ref().map(|name| format!("   profile {name}")).unwrap_or_default();
    format!(
        "{:<20} {:<8} {:>6} of {:<6} {state}{profile}",
        order.number, order.line, record.issued, order.quantity
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_or_named() {
        assert_eq!(attribute("model=MX=2"), Ok(("model".into(), "MX=2".into())));
        assert!(attribute("model").unwrap_err().contains("name=value"));
        assert_eq!(end("2026-11-25").unwrap(), time::macros::datetime!(2026-11-25 0:00 UTC));
        assert!(end("tomorrow").unwrap_err().contains("2026-11-25"));
        assert!(checked("../status").is_err());
    }
}
