//! Evidence for somebody else: some events of the journal, and what proves them, in one text.

use std::collections::BTreeSet;

use azure_iot::RegistrationId;
use ledger::{
    ReadError, Seq,
    audit::records,
    evidence::{self, Header},
};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    EdgeEvent, StartError, ca,
    credentials::{open_checkpoint_key, read},
    record::Commit,
    state_dir::StateDir,
};

/// What is to be proven. Units are told by their first event, so that all later ones about them are taken too.
pub(crate) enum Selection {
    /// A production order, and the units that were issued under it.
    Order(String, BTreeSet<RegistrationId>),
    /// These units.
    Units(BTreeSet<RegistrationId>),
    /// Everything since.
    Since(OffsetDateTime),
}

impl Selection {
    /// Everything of the production order `number`.
    pub(crate) fn order(number: String) -> Self {
        Self::Order(number, BTreeSet::new())
    }

    /// Whether a commit belongs to it.
    fn takes(&mut self, commit: &Commit) -> bool {
        let mut about = commit.events.iter().filter_map(EdgeEvent::unit);
        match self {
            Self::Since(since) => commit.at >= *since,
            Self::Units(units) => about.any(|id| units.contains(id)),
            Self::Order(order, units) => {
                units.extend(commit.events.iter().filter_map(|event| match event {
                    EdgeEvent::UnitIssued(unit) if unit.order.as_ref() == Some(order) => {
                        Some(unit.id.clone())
                    }
                    _ => None,
                }));
                let own = |event: &EdgeEvent| event.order() == Some(order.as_str());
                commit.events.iter().any(own) || about.any(|id| units.contains(id))
            }
        }
    }

    /// What it is, in a few words.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Order(order, _) => format!("order {order}"),
            Self::Units(units) => {
                format!("units {}", units.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", "))
            }
            Self::Since(since) => format!("everything since {}", since.format(&Rfc3339).unwrap_or_default()),
        }
    }
}

/// Evidence, ready to be written.
#[derive(Debug)]
pub(crate) struct Collected {
    /// A JSON object a line.
    pub(crate) text: String,
    /// How many frames it proves.
    pub(crate) frames: usize,
}

/// Why there is no evidence.
#[derive(Debug, Error)]
pub(crate) enum EvidenceError {
    /// There is nothing to prove.
    #[error("{0}")]
    Nothing(String),
    /// The journal, a certificate or the key cannot be used.
    #[error("{0}")]
    Failed(String),
}

impl From<ReadError> for EvidenceError {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Collects what `selection` selects from the journal of `state`. Reads all of it.
pub(crate) fn collect(
    state: &StateDir,
    mut selection: Selection,
    now: OffsetDateTime,
) -> Result<Collected, EvidenceError> {
    let (mut wanted, mut box_id, mut seen) = (BTreeSet::<Seq>::new(), String::new(), BTreeSet::new());
    records(&state.journal(), |record| {
        let commit = Commit::parse(&record)
            .map_err(|error| EvidenceError::Failed(format!("frame {}: {error}", record.seq)))?;
        for event in &commit.events {
            if let EdgeEvent::BoxNamed { box_id: name, .. } = event {
                box_id.clone_from(name);
            }
        }
        if selection.takes(&commit) {
            wanted.insert(record.seq);
            seen.extend(commit.events.iter().filter_map(EdgeEvent::unit).cloned());
        }
        Ok::<_, EvidenceError>(())
    })?;
    if let Selection::Units(units) = &selection
        && let Some(unit) = units.difference(&seen).next()
    {
        return Err(EvidenceError::Nothing(format!("nothing is known of {unit}; nothing was written")));
    }
    if wanted.is_empty() {
        let detail = format!("there is nothing of that here: {}; nothing was written", selection.words());
        return Err(EvidenceError::Nothing(detail));
    }
    let failed = |error: &dyn std::fmt::Display| EvidenceError::Failed(error.to_string());
    let proven = evidence::collect::<EdgeEvent>(&state.journal(), &wanted).map_err(|error| failed(&error))?;
    let authorities = authorities(state).map_err(|error| failed(&error))?;
    let key = open_checkpoint_key(state).map_err(|error| failed(&error))?;
    let header = Header::new(box_id, selection.words(), now, proven.frames.len());
    let text = evidence::write(header, &authorities, &proven, &key).map_err(|error| failed(&error))?;
    Ok(Collected { text, frames: proven.frames.len() })
}

/// The certificates of every issuing CA that is, or was, at work here, and what leads to their roots, DER.
fn authorities(state: &StateDir) -> Result<Vec<Vec<u8>>, StartError> {
    let text = read(&state.certificate("issuing"), state.path())?;
    let mut chains = vec![ca::Chain::from_pem(&text).map_err(StartError::Certificate)?];
    chains.extend(ca::previous(state)?);
    Ok(chains.iter().flat_map(ca::Chain::certificates).map(|der| der.to_vec()).collect())
}
