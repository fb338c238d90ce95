//! `edge token`

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{Failure, client::Daemon, say};
use crate::{
    access::{NewToken, Role, TokenRecord},
    http::now,
    local::Minted,
};

/// Lets people, stations and screens in, and out.
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Makes a token and prints it, this once.
    New(New),
    /// Lists the tokens, never their secrets.
    Ls(Ls),
    /// Ends a token at once.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct New {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// station, supervisor, quality, display or admin.
    #[arg(long)]
    role: Role,
    /// A name for people; never given twice.
    #[arg(long)]
    name: String,
    /// The one line that it is good for; every line without it.
    #[arg(long)]
    line: Option<String>,
    /// The station that it stands at.
    #[arg(long)]
    station: Option<String>,
    /// How long it is good for, such as 365d; for ever without it.
    #[arg(long, value_parser = humantime::parse_duration)]
    expires: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// The token's name.
    #[arg(long)]
    name: String,
}

impl Token {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::New(new) => {
                let expires = new.expires.map(|expires| now() + expires);
                let asked = NewToken {
                    name: new.name,
                    role: new.role,
                    line: new.line,
                    station: new.station,
                    expires,
                };
                let minted: Minted = Daemon::of(&new.state)?.post("/tokens", &asked).await?;
                say::line(&minted.token);
            }
            Self::Ls(ls) => {
                for TokenRecord { token, revoked, last_used, .. } in
                    Daemon::of(&ls.state)?.get::<Vec<TokenRecord>>("/tokens").await?
                {
                    let line = token.line.as_deref().unwrap_or("*");
                    let until = match (revoked, token.expires) {
                        (true, _) => "revoked".to_owned(),
                        (false, Some(expires)) => format!("until {}", expires.date()),
                        (false, None) => "no end".to_owned(),
                    };
                    let used = last_used
                        .map_or_else(|| "never used".to_owned(), |at| format!("last used {}", at.date()));
                    say::line(&format!(
                        "{:<24} {:<10} {:<8} {until:<18} {used}",
                        token.name,
                        token.role.to_string(),
                        line
                    ));
                }
            }
            Self::Revoke(revoke) => {
                Daemon::of(&revoke.state)?.delete(&format!("/tokens/{}", revoke.name)).await?;
            }
        }
        Ok(())
    }
}
