//! `edge station`

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use keys::{Algorithm, FileKey, KeyError, create_private};

use super::{Failure, client::Daemon, say};
use crate::{
    access::{Role, StationRecord},
    http::now,
    pki::request,
    stations::{Enrolled, NewStation},
};

/// Lets stations in by a TLS client certificate, and out.
#[derive(Debug, Subcommand)]
pub(super) enum Station {
    /// Makes a client certificate for a station.
    Enroll(Enroll),
    /// Lists the stations that have one.
    Ls(Ls),
    /// Shuts a station out at once.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Enroll {
    /// A name for people; never given twice.
    name: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// station, supervisor, quality, display or admin.
    #[arg(long, default_value = "station")]
    role: Role,
    /// The one line that it is good for; every line without it.
    #[arg(long)]
    line: Option<String>,
    /// A request (PKCS#10, PEM) that the station has made with its own key; without one a key is made here.
    #[arg(long)]
    csr: Option<PathBuf>,
    /// Where NAME.pem goes, and NAME.key where a key is made.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// How long it is good for, such as 365d.
    #[arg(long, default_value = "365d", value_parser = humantime::parse_duration)]
    expires: Duration,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    /// The station's name.
    name: String,
    /// The state folder of the daemon.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
}

impl Station {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Enroll(enroll) => enroll.run().await,
            Self::Ls(ls) => {
                for station in Daemon::of(&ls.state)?.get::<Vec<StationRecord>>("/stations").await? {
                    let line = station.line.as_deref().unwrap_or("*");
                    let until = match station.revoked {
                        true => "revoked".to_owned(),
                        false => format!("until {}", station.expires.date()),
                    };
                    say::line(&format!(
                        "{:<24} {:<10} {line:<8} {until}",
                        station.name,
                        station.role.to_string()
                    ));
                }
                Ok(())
            }
            Self::Revoke(revoke) => {
                Daemon::of(&revoke.state)?.delete(&format!("/stations/{}", revoke.name)).await
            }
        }
    }
}

impl Enroll {
    async fn run(self) -> Result<(), Failure> {
        let Self { name, state, role, line, csr, out, expires } = self;
        let daemon = Daemon::of(&state)?;
        let (key_path, path) = (out.join(format!("{name}.key")), out.join(format!("{name}.pem")));
        if let Some(taken) = [&path, &key_path].into_iter().find(|path| path.exists()) {
            return Err(Failure::usage(format!(
                "{} is there already; choose another --out",
                taken.display()
            )));
        }
        let (csr, made) = match &csr {
            Some(csr) => (read(csr)?, None),
            None => {
                let key = FileKey::create(&key_path, Algorithm::P256).map_err(Failure::failed)?;
                (request(&name, &key).map_err(Failure::failed)?, Some(key_path))
            }
        };
        let asked = NewStation { name, role, line, expires: now() + expires, csr };
        let enrolled = daemon.post::<Enrolled>("/stations", &asked).await;
        let written = enrolled.and_then(|Enrolled { certificate }| {
            create_private(&path, certificate.as_bytes()).map_err(|error: KeyError| Failure::failed(error))
        });
        if let (Err(_), Some(key)) = (&written, &made) {
            // A key without a certificate is of no use, and its name would be in the way of the next try.
            let _ = fs::remove_file(key);
        }
        written?;
        say::line(&format!("certificate  {}", path.display()));
        if let Some(key) = made {
            say::line(&format!("key          {}", key.display()));
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}
