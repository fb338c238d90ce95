//! Tokens: 256 random bits with a prefix. Only their hash is kept.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ledger::{Applied, Changes, Event, Ledger, ReadError};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::role::Role;
use crate::fingerprint::sha256;

/// What makes a token recognisable, to people and to scanners for leaked secrets.
const PREFIX: &str = "edge_";
/// Where tokens are, by name.
const TOKENS: &str = "token/";

/// Somebody was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenCreated {
    /// A name for people, unique.
    pub name: String,
    /// What the holder may do.
    pub role: Role,
    /// SHA-256 of the token, hex.
    pub sha256: String,
    /// The one line that the holder may work on; every line if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// The station that it stands at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub station: Option<String>,
    /// When it ends; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub expires: Option<OffsetDateTime>,
}

/// What is asked for when a token is made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) station: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) expires: Option<OffsetDateTime>,
}

impl NewToken {
    /// The event that makes it, for a token with this hash.
    pub(crate) fn created(self, sha256: String) -> TokenCreated {
        let Self { name, role, line, station, expires } = self;
        TokenCreated { name, role, sha256, line, station, expires }
    }
}

/// A token in the index, under `token/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    #[serde(flatten)]
    pub(crate) token: TokenCreated,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created: OffsetDateTime,
    #[serde(default)]
    pub(crate) revoked: bool,
    /// When it was used last, as far as that is written down.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub(crate) last_used: Option<OffsetDateTime>,
}

/// Makes a token from 32 random bytes: the text for its holder, and the hash to keep.
pub(crate) fn mint(random: [u8; 32]) -> (String, String) {
    let token = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let sha256 = hash(&token);
    (token, sha256)
}

/// The hash by which a token is known.
pub(crate) fn hash(token: &str) -> String {
    sha256(token.as_bytes())
}

pub(crate) fn key(name: &str) -> Vec<u8> {
    [TOKENS, name].concat().into_bytes()
}

fn hash_key(sha256: &str) -> Vec<u8> {
    ["tokenhash/", sha256].concat().into_bytes()
}

/// Applies that a token was made.
pub(crate) fn created(changes: &mut Changes<'_>, at: &Applied<'_>, token: &TokenCreated) {
    let record = TokenRecord { token: token.clone(), created: at.at, revoked: false, last_used: None };
    changes.put(&key(&token.name), &record);
    changes.put(&hash_key(&token.sha256), &token.name);
}

/// Applies that a token was revoked; its name stays taken.
pub(crate) fn revoked(changes: &mut Changes<'_>, _: &Applied<'_>, name: &str) {
    if let Some(record) = changes.get::<TokenRecord>(&key(name)) {
        changes.remove(&hash_key(&record.token.sha256));
        changes.put(&key(name), &TokenRecord { revoked: true, ..record });
    }
}

/// Finds the token with this hash.
pub(crate) fn find<E: Event>(ledger: &Ledger<E>, sha256: &str) -> Result<Option<TokenRecord>, ReadError> {
    let Some(name) = ledger.get::<String>(&hash_key(sha256))? else { return Ok(None) };
    ledger.get(&key(&name))
}

/// Every token, by name.
pub(crate) fn records<E: Event>(ledger: &Ledger<E>) -> Result<Vec<TokenRecord>, ReadError> {
    let found = ledger.scan::<TokenRecord>(TOKENS.as_bytes(), None, usize::MAX)?;
    Ok(found.into_iter().map(|(_, record)| record).collect())
}
