//! `edge ledger`: the journal, looked at from outside. Needs no daemon, and may be done beside one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::{Args, Subcommand, ValueEnum};
use ledger::{
    audit::{Record, audit, records},
    evidence::{self, Header},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Failure, export::Export, say};
use crate::{
    EdgeEvent, StartError, credentials::certificate, http::now, record::Commit, state_dir::StateDir,
    trust::Root,
};

/// Looks at the journal: is it whole, what does it say, and what can be proven with it.
#[derive(Debug, Subcommand)]
pub(super) enum Ledger {
    /// Checks every frame and every signature, or a file of evidence.
    Verify(Verify),
    /// Shows what happened.
    Show(Show),
    /// Writes evidence: some events, and what proves them, in a file that can be checked elsewhere.
    Export(Export),
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// A file of evidence; the whole journal without it.
    file: Option<PathBuf>,
    /// The state folder, or a backup.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// The root certificate to trust; that of the state folder without it.
    #[arg(long)]
    root: Option<PathBuf>,
    /// A root certificate of a plant or a company that has signed the issuing CA; trusted for units alone.
    #[arg(long)]
    units_root: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The state folder, or a backup.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// Only what is about this unit.
    #[arg(long)]
    unit: Option<String>,
    /// Only what happened since: 2026-11-25, 2026-11-25T08:00:00Z, or 2h.
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// For a person, or for a program.
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Ndjson,
}

/// A point in time, or a distance to now.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    At(OffsetDateTime),
    Ago(Duration),
}

impl Since {
    pub(super) fn time(self, now: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(at) => at,
            Self::Ago(duration) => now - duration,
        }
    }
}

pub(super) fn since(text: &str) -> Result<Since, String> {
    let at = OffsetDateTime::parse(text, &Rfc3339)
        .or_else(|_| OffsetDateTime::parse(&format!("{text}T00:00:00Z"), &Rfc3339));
    at.map(Since::At)
        .or_else(|_| humantime::parse_duration(text).map(Since::Ago))
        .map_err(|_| "say a day (2026-11-25), a time (2026-11-25T08:00:00Z), or how long ago (2h)".to_owned())
}

impl Ledger {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(verify) => verify.run(),
            Self::Show(show) => show.run(),
            Self::Export(export) => export.run().await,
        }
    }
}

/// The journal of a state folder, or of a backup.
pub(super) fn journal(state: &Path) -> Result<PathBuf, Failure> {
    let journal = StateDir::new(state).ledger().join("journal");
    if journal.is_dir() {
        return Ok(journal);
    }
    Err(Failure::usage(format!("{} is no state folder and no backup: it has no journal", state.display())))
}

pub(super) fn id(text: &str) -> Result<RegistrationId, Failure> {
    RegistrationId::parse_any_case(text).map_err(|error| Failure::usage(format!("unit {text}: {error}")))
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        let state = StateDir::new(&self.state);
        let root = self.root.unwrap_or_else(|| state.certificate("root"));
        let der = certificate(&root, state.path()).map_err(Failure::usage)?;
        let others = self.units_root.iter().map(|path| Ok(certificate(path, state.path())?.to_vec()));
        let others = others.collect::<Result<Vec<_>, StartError>>().map_err(Failure::usage)?;
        let root = Root::new(der.to_vec()).map_err(Failure::usage)?.and_for_units(others);
        let check = |certificates: &[Vec<u8>], key: &str, message: &[u8], signature: &[u8]| {
            root.check(certificates, key, message, signature)
        };
        let Some(file) = self.file else {
            let found = audit::<EdgeEvent>(&journal(&self.state)?, &check).map_err(Failure::failed)?;
            say::line(&format!("whole      {} frames, head {}", found.last, hex::encode(found.head)));
            let behind = found.last - found.signed;
            say::line(&format!(
                "signed     {} checkpoints, up to frame {} ({behind} behind it are not signed yet)",
                found.checkpoints, found.signed
            ));
            if let Some(what) = found.torn {
                say::line(&format!(
                    "unfinished {what}, behind frame {}: was never acknowledged, or is just being written",
                    found.last
                ));
            }
            return Ok(());
        };
        let text = fs::read_to_string(&file).map_err(|error| Failure::usage(named(&file, &error)))?;
        let found = evidence::verify(&text, &check)
            .map_err(|error| Failure::failed(format!("{}: {error}", file.display())))?;
        let mut certificates = 0;
        for frame in &found.frames {
            certificates +=
                check_certificates(&root, &frame.payload, &found.certificates).map_err(|error| {
                    Failure::failed(format!("{}: frame {}: {error}", file.display(), frame.seq))
                })?;
        }
        let Header { box_id, selection, made_at, frames, .. } = found.header;
        say::line(&format!("holds      {frames} frames, {certificates} certificates"));
        say::line(&format!("of         box {box_id}: {selection}"));
        say::line(&format!("made       {}", made_at.replace_nanosecond(0).unwrap_or(made_at)));
        Ok(())
    }
}

/// Checks that every certificate in a frame is one of this box's; returns how many there are.
fn check_certificates(root: &Root, payload: &str, authorities: &[Vec<u8>]) -> Result<usize, String> {
    let commit: Commit = serde_json::from_str(payload).map_err(|error| error.to_string())?;
    let mut checked = 0;
    for event in &commit.events {
        if let EdgeEvent::UnitIssued(unit) = event {
            let der = STANDARD.decode(&unit.certificate).map_err(|error| error.to_string())?;
            root.check_issued(&der, authorities)
                .map_err(|why| format!("certificate of {}: {why}", unit.id))?;
            checked += 1;
        }
    }
    Ok(checked)
}

fn named(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let unit = self.unit.as_deref().map(id).transpose()?;
        let since = self.since.map(|since| since.time(now()));
        let mut shown = 0;
        visit(&self.state, |record, commit| {
            if unit.as_ref().is_some_and(|unit| !commit.is_about(unit))
                || since.is_some_and(|since| commit.at < since)
            {
                return Ok(());
            }
            shown += 1;
            match self.output {
                Output::Ndjson => say::line(&ndjson(record)),
                Output::Text => {
                    let at = commit.at.replace_nanosecond(0).unwrap_or(commit.at);
                    let at = at.format(&Rfc3339).unwrap_or_default();
                    for event in &commit.events {
                        say::line(&format!(
                            "{at}  {:>8}  {:<16} {}",
                            record.seq,
                            commit.actor,
                            event.words()
                        ));
                    }
                }
            }
            Ok(())
        })?;
        match unit {
            Some(unit) if shown == 0 => Err(Failure::refused(404, format!("nothing is known of {unit}"))),
            _ => Ok(()),
        }
    }
}

/// A record with its place, and itself byte for byte.
fn ndjson(record: &Record<'_>) -> String {
    let Record { seq, hash, json } = record;
    format!("{{\"seq\":{seq},\"hash\":\"{}\",\"commit\":{json}}}", hex::encode(hash))
}

/// Shows every commit, read, to `look`.
pub(super) fn visit(
    state: &Path,
    mut look: impl FnMut(&Record<'_>, &Commit) -> Result<(), Failure>,
) -> Result<(), Failure> {
    records(&journal(state)?, |record| {
        let commit = Commit::parse(&record)
            .map_err(|error| Failure::failed(format!("frame {}: {error}", record.seq)))?;
        look(&record, &commit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_day_a_time_or_a_distance() {
        let now = OffsetDateTime::parse("2026-11-25T12:00:00Z", &Rfc3339).unwrap();
        let check = |text: &str, expected: &str| {
            let found = since(text).unwrap().time(now);
            assert_eq!(found.format(&Rfc3339).unwrap(), expected, "{text}");
        };
        check("2026-11-24", "2026-11-24T00:00:00Z");
        check("2026-11-24T08:30:00Z", "2026-11-24T08:30:00Z");
        check("2h", "2026-11-25T10:00:00Z");
        assert!(since("yesterday").unwrap_err().contains("2h"));
    }
}
