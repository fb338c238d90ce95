//! `edge ledger export`: evidence for somebody else.

use std::{collections::BTreeSet, path::PathBuf};

use azure_iot::RegistrationId;
use clap::{ArgGroup, Args};
use ledger::{
    Seq,
    evidence::{self, Header},
};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Failure,
    client::Daemon,
    ledger::{Since, id, journal, since, visit},
    say,
};
use crate::{
    EdgeEvent, StartError, ca,
    credentials::{open_checkpoint_key, read},
    http::now,
    record::Commit,
    state_dir::StateDir,
};

/// Writes evidence: some events, and what proves them, in a file that can be checked elsewhere.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["order", "units", "since"])))]
pub(super) struct Export {
    /// The state folder.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// The units whose attribute "order" is this.
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

/// What is to be proven. Units are told by their first event, so that all later ones about them are taken too.
enum Selection {
    Order(String, BTreeSet<RegistrationId>),
    Units(BTreeSet<RegistrationId>),
    Since(OffsetDateTime),
}

impl Selection {
    /// Whether a commit belongs to it.
    fn takes(&mut self, commit: &Commit) -> bool {
        let mut about = commit.events.iter().filter_map(EdgeEvent::unit);
        match self {
            Self::Since(since) => commit.at >= *since,
            Self::Units(units) => about.any(|id| units.contains(id)),
            Self::Order(order, units) => {
                units.extend(commit.events.iter().filter_map(|event| match event {
                    EdgeEvent::UnitIssued(unit) if unit.attributes.get("order") == Some(&json!(order)) => {
                        Some(unit.id.clone())
                    }
                    _ => None,
                }));
                about.any(|id| units.contains(id))
            }
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Order(order, _) => format!("order {order}"),
            Self::Units(units) => {
                format!("units {}", units.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
            }
            Self::Since(since) => format!("everything since {}", since.format(&Rfc3339).unwrap_or_default()),
        }
    }
}

impl Export {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let state = StateDir::new(&self.state);
        // A running daemon signs what it has; one that is stopped has done so as its last act.
        match Daemon::of(&self.state)?.post::<Value>("/checkpoint", &json!({})).await {
            Err(failure) if !failure.is_unreachable() => return Err(failure),
            _ => {}
        }
        let mut selection = match (self.order, self.units, self.since) {
            (Some(order), _, _) => Selection::Order(order, BTreeSet::new()),
            (_, Some(units), _) => {
                Selection::Units(units.iter().map(|unit| id(unit)).collect::<Result<_, _>>()?)
            }
            (_, _, Some(since)) => Selection::Since(since.time(now())),
            (None, None, None) => return Err(Failure::usage("say --order, --units or --since")),
        };
        let (mut wanted, mut box_id, mut seen) = (BTreeSet::<Seq>::new(), String::new(), BTreeSet::new());
        visit(&self.state, |record, commit| {
            for event in &commit.events {
                if let EdgeEvent::BoxNamed { box_id: name, .. } = event {
                    box_id.clone_from(name);
                }
            }
            if selection.takes(commit) {
                wanted.insert(record.seq);
                seen.extend(commit.events.iter().filter_map(EdgeEvent::unit).cloned());
            }
            Ok(())
        })?;
        if let Selection::Units(units) = &selection
            && let Some(unit) = units.difference(&seen).next()
        {
            return Err(Failure::refused(404, format!("nothing is known of {unit}; nothing was written")));
        }
        if wanted.is_empty() {
            let detail = format!("there is nothing of that here: {}; nothing was written", selection.words());
            return Err(Failure::refused(404, detail));
        }
        let proven =
            evidence::collect::<EdgeEvent>(&journal(&self.state)?, &wanted).map_err(Failure::failed)?;
        let authorities = authorities(&state).map_err(Failure::failed)?;
        let key = open_checkpoint_key(&state).map_err(Failure::failed)?;
        let header = Header::new(box_id, selection.words(), now(), proven.frames.len());
        let text = evidence::write(header, &authorities, &proven, &key).map_err(Failure::failed)?;
        keys::write_private(&self.out, text.as_bytes()).map_err(Failure::failed)?;
        say::line(&format!("{} frames in {}", proven.frames.len(), self.out.display()));
        Ok(())
    }
}

/// The certificates of every issuing CA that is, or was, at work here, and what leads to their roots, DER.
fn authorities(state: &StateDir) -> Result<Vec<Vec<u8>>, StartError> {
    let text = read(&state.certificate("issuing"), state.path())?;
    let mut chains = vec![ca::Chain::from_pem(&text).map_err(StartError::Certificate)?];
    chains.extend(ca::previous(state)?);
    Ok(chains.iter().flat_map(ca::Chain::certificates).map(|der| der.to_vec()).collect())
}
