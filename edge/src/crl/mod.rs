//! Which certificates are revoked, and the lists that say so (RFC 5280 5), each signed by the issuing CA that signed them.
//!
//! | key | value |
//! | --- | --- |
//! | `revoked/{serial}` | [`Revoked`] |
//! | `revocations/{SHA-256 of an issuing CA}` | the frame of its last revocation: whether its list has changed |
//! | `crl/{SHA-256 of an issuing CA}` | [`CrlIssued`]: its last list that was signed |
//!
//! A CA that gave way to another goes on speaking for what it has signed, with its own key: one list for every issuing CA
//! that is good. The lists are kept in memory and made anew at every start, on change, and at half of their life. Their
//! numbers are written down before they are shown, so they only ever rise, also over a restart and a restore; and every
//! use of a CA's key is in the journal.

mod list;
mod scribe;

pub(crate) use scribe::Crls;

use std::{collections::BTreeMap, sync::Arc};

use ledger::{Applied, Changes};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::life::Retired;

/// Why a certificate is revoked (RFC 5280 5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The unit has another one.
    Superseded,
    /// The unit is no more.
    CessationOfOperation,
}

/// A certificate that must not be trusted any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) serial: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) at: OffsetDateTime,
    pub(crate) reason: Reason,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) not_after: OffsetDateTime,
    pub(crate) issuer_sha256: String,
}

/// A list was signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrlIssued {
    /// Its number: the generation of the box above 40 bits of a counter.
    pub number: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub this_update: OffsetDateTime,
    /// When the next one is made at the latest.
    #[serde(with = "time::serde::rfc3339")]
    pub next_update: OffsetDateTime,
    /// How many certificates it holds.
    pub entries: usize,
    /// SHA-256 of its DER, hex.
    pub sha256: String,
    /// SHA-256 of the issuing CA's certificate, hex.
    pub issuer_sha256: String,
}

const REVOKED: &[u8] = b"revoked/";

fn revocations(issuer_sha256: &str) -> Vec<u8> {
    format!("revocations/{issuer_sha256}").into_bytes()
}

fn last(issuer_sha256: &str) -> Vec<u8> {
    format!("crl/{issuer_sha256}").into_bytes()
}

/// Applies that a certificate is revoked; one that was before stays as it is.
pub(crate) fn revoke(changes: &mut Changes<'_>, at: &Applied<'_>, retired: &Retired, reason: Reason) {
    let key = format!("revoked/{}", retired.serial).into_bytes();
    if changes.get::<Revoked>(&key).is_none() {
        let (serial, issuer_sha256) = (retired.serial.clone(), retired.issuer_sha256.clone());
        let revoked = Revoked { serial, at: at.at, reason, not_after: retired.not_after, issuer_sha256 };
        changes.put(&key, &revoked);
    }
    changes.put(&revocations(&retired.issuer_sha256), &at.seq);
}

/// Applies that a list was signed.
pub(crate) fn issued(changes: &mut Changes<'_>, list: &CrlIssued) {
    changes.put(&last(&list.issuer_sha256), list);
}

/// Every list as it can be shown, by the SHA-256 of the issuing CA. A CA that is missing has none yet.
pub(crate) type Lists = BTreeMap<String, Shown>;

/// A list as it can be shown.
#[derive(Debug, Clone)]
pub(crate) enum Shown {
    /// This one.
    List {
        /// DER.
        der: Arc<[u8]>,
        /// When it is good no more.
        until: OffsetDateTime,
    },
    /// There are more revoked certificates than a list holds.
    TooLong,
    /// The key of the CA cannot be opened.
    NoKey,
}
