//! What the journal and the index know about CAs.

use ledger::{Changes, Ledger, ReadError, View};
use serde::{Deserialize, Serialize};

use super::Chain;
use crate::EdgeEvent;

/// Another issuing CA has taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaInstalled {
    /// Who has signed it.
    pub origin: Origin,
    /// The one that issues from now on.
    pub current: CaChain,
    /// The one that issued until now.
    pub previous: CaChain,
}

/// Who has signed an issuing CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The root of this box.
    OwnRoot,
    /// The root of a plant or a company.
    OtherRoot,
}

/// An issuing CA with what leads to its root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaChain {
    /// SHA-256 of the issuing CA's certificate, hex.
    pub sha256: String,
    /// The certificates, base64 of the DER: the issuing CA first, each signed by the next.
    pub certificates: Vec<String>,
}

/// A CA has proven that it holds its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaProved {
    /// What somebody else has asked it to sign.
    pub code: String,
    /// SHA-256 of the CA's certificate, hex.
    pub ca_sha256: String,
    /// SHA-256 of the certificate that proves it, hex.
    pub sha256: String,
    /// That certificate's serial number, hex.
    pub serial: String,
}

/// The SHA-256 of the issuing CA at work; absent while it is the one that `edge init` made.
const CURRENT: &[u8] = b"ca";

fn key(sha256: &str) -> Vec<u8> {
    format!("ca/{sha256}").into_bytes()
}

/// Applies that another issuing CA has taken over.
pub(crate) fn installed(changes: &mut Changes<'_>, event: &CaInstalled) {
    for ca in [&event.previous, &event.current] {
        changes.put(&key(&ca.sha256), ca);
    }
    changes.put(CURRENT, &event.current.sha256);
}

/// The issuing CA that the journal says is at work, if it ever took over from another.
pub(crate) fn current(ledger: &Ledger<EdgeEvent>) -> Result<Option<CaChain>, ReadError> {
    let current: Option<String> = ledger.get(CURRENT)?;
    current.map_or(Ok(None), |sha256| ledger.get(&key(&sha256)))
}

/// The same, for a decision.
pub(super) fn current_in(view: &View<'_>) -> Option<String> {
    view.get(CURRENT)
}

/// The chain of an issuing CA that is, or was, at work.
pub(crate) fn known(ledger: &Ledger<EdgeEvent>, sha256: &str) -> Result<Option<Chain>, ReadError> {
    let found: Option<CaChain> = ledger.get(&key(sha256))?;
    Ok(found.as_ref().and_then(Chain::of_event))
}

/// All issuing CAs that are, or were, at work; none while it is the one that `edge init` made.
pub(crate) fn all(ledger: &Ledger<EdgeEvent>) -> Result<Vec<Chain>, ReadError> {
    let found = ledger.scan::<CaChain>(b"ca/", None, usize::MAX)?;
    Ok(found.iter().filter_map(|(_, ca)| Chain::of_event(ca)).collect())
}
