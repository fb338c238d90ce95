//! What makes a text a sealed file: a JSON object a line, and in the last line a signature over all before it.
//!
//! The seal is looked at before anything else is, so whatever was read was written by the holder of the key. Every byte
//! is covered: those of the lines by the digest, those of the seal because there is one way to write it.

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use keys::{SignError, SigningKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// The version of both files.
pub(super) const VERSION: u32 = 1;

/// Which file it is. It is part of what is signed, so that a bundle is never taken for a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bundle,
    Receipt,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Receipt => "receipt",
        }
    }

    /// What the key signs.
    fn message(self, sha256: &str) -> Vec<u8> {
        format!("edge courier {} {VERSION}\n{sha256}\n", self.name()).into_bytes()
    }
}

/// Why a file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Broken {
    /// It is something else.
    #[error("this is no {0} of a courier")]
    Foreign(&'static str),
    /// It is not as it was when it was sealed.
    #[error("the {kind} was changed after it was sealed, or is not whole: {what}")]
    Tampered {
        /// `bundle` or `receipt`.
        kind: &'static str,
        /// What shows it.
        what: String,
    },
    /// Another key has sealed it.
    #[error("the {kind} is sealed by the key {key}, which is not the one that is trusted")]
    Stranger {
        /// `bundle` or `receipt`.
        kind: &'static str,
        /// The fingerprint of that key.
        key: String,
    },
    /// Another courier was to do it.
    #[error(
        "the bundle is for the courier with the key {courier}, and this one has another; give it to that one, or trust \
         this one and make another bundle: edge courier trust, edge courier out"
    )]
    Misdirected {
        /// The fingerprint of that courier's key.
        courier: String,
    },
    /// A later version has written it.
    #[error("the {kind} is of version {version}; this program knows version {VERSION}, use a newer one")]
    Version {
        /// `bundle` or `receipt`.
        kind: &'static str,
        /// Its version.
        version: u32,
    },
}

impl Broken {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Foreign(kind) => format!("{kind}-unreadable"),
            Self::Version { kind, .. } => format!("{kind}-version"),
            Self::Tampered { kind, .. } => format!("{kind}-tampered"),
            Self::Stranger { kind, .. } => format!("{kind}-stranger"),
            Self::Misdirected { .. } => "bundle-misdirected".to_owned(),
        }
    }
}

/// By what a key is known: SHA-256 of its SubjectPublicKeyInfo, hex; a journal's checkpoints name theirs the same way.
#[must_use]
pub fn fingerprint(public_key: &[u8]) -> String {
    hex::encode(digest(&SHA256, public_key))
}

/// Whether `text` can be a fingerprint.
#[must_use]
pub fn is_fingerprint(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    seal: Seal,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    /// SHA-256 of all lines before, hex.
    sha256: String,
    /// The key, DER SubjectPublicKeyInfo in base64.
    key: String,
    /// The signature, base64.
    signature: String,
}

/// Writes `lines` and seals them.
pub(super) fn close<L: Serialize>(
    kind: Kind,
    lines: impl IntoIterator<Item = L>,
    key: &dyn SigningKey,
) -> Result<String, SignError> {
    let mut text = String::new();
    for line in lines {
        text.push_str(&print(&line));
    }
    let sha256 = hex::encode(digest(&SHA256, text.as_bytes()));
    let signature = STANDARD.encode(key.sign(&kind.message(&sha256))?);
    text.push_str(&print(&Last {
        seal: Seal { sha256, key: STANDARD.encode(key.public_key_der()), signature },
    }));
    Ok(text)
}

/// Opens what the key with the fingerprint `trusted` has sealed.
pub(super) fn open<L: DeserializeOwned>(kind: Kind, text: &str, trusted: &str) -> Result<Vec<L>, Broken> {
    let name = kind.name();
    if !text.starts_with(&format!("{{\"{name}\":")) {
        return Err(Broken::Foreign(name));
    }
    let tampered = |what: &str| Broken::Tampered { kind: name, what: what.to_owned() };
    let whole = text.strip_suffix('\n').ok_or_else(|| tampered("the last line is cut short"))?;
    let (_, last) = whole.rsplit_once('\n').ok_or_else(|| tampered("there is no seal"))?;
    let body = &text[..whole.len() - last.len()];
    let Last { seal } = serde_json::from_str(last).map_err(|_| tampered("there is no seal"))?;
    let key = STANDARD.decode(&seal.key).map_err(|_| tampered("its key does not read"))?;
    let signature = STANDARD.decode(&seal.signature).map_err(|_| tampered("its signature does not read"))?;
    if seal.sha256 != hex::encode(digest(&SHA256, body.as_bytes())) {
        return Err(tampered("it is not what was sealed"));
    }
    if fingerprint(&key) != trusted {
        return Err(Broken::Stranger { kind: name, key: fingerprint(&key) });
    }
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key)
        .verify(&kind.message(&seal.sha256), &signature)
        .map_err(|_| tampered("the signature does not hold"))?;
    if print(&Last { seal }) != format!("{last}\n") {
        return Err(tampered("the seal is not written as it was"));
    }
    known(name, body)?;
    body.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| tampered(&error.to_string())))
        .collect()
}

/// Whether the first line says a version that is known here.
fn known(kind: &'static str, body: &str) -> Result<(), Broken> {
    let first = body.lines().next().unwrap_or_default();
    let first: serde_json::Value = serde_json::from_str(first).unwrap_or_default();
    match first[kind]["version"].as_u64().and_then(|version| version.try_into().ok()) {
        Some(VERSION) => Ok(()),
        Some(version) => Err(Broken::Version { kind, version }),
        None => Err(Broken::Foreign(kind)),
    }
}

fn print(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("plain data") + "\n"
}

#[cfg(test)]
pub(super) mod tests {
    use keys::{Algorithm, FileKey};
    use serde_json::{Value, json};

    use super::*;

    /// A key, and its fingerprint.
    pub(in crate::courier) fn key() -> (FileKey, String) {
        let dir = tempfile::tempdir().unwrap();
        let key = FileKey::create(&dir.path().join("key"), Algorithm::P256).unwrap();
        let name = fingerprint(key.public_key_der());
        (key, name)
    }

    /// Checks that no byte of `text` can be another one, and none can be missing at its end.
    pub(in crate::courier) fn check_every_byte(text: &str, open: impl Fn(&str) -> Result<(), Broken>) {
        open(text).unwrap();
        for at in 0..text.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut bytes = text.as_bytes().to_vec();
                bytes[at] ^= flip;
                let changed = String::from_utf8_lossy(&bytes);
                assert!(
                    open(&changed).is_err(),
                    "byte {at}, flipped by {flip:#x}, is not missed:\n{changed}"
                );
            }
            assert!(open(&text[..at]).is_err(), "what stands behind byte {at} is not missed");
        }
        assert!(open(&format!("{text}\n")).is_err() && open(&format!("{text} ")).is_err());
    }

    fn sealed(kind: Kind, first: &Value, key: &FileKey) -> String {
        close(kind, [first.clone(), json!({ "job": 1 }), json!({ "job": 2 })], key).unwrap()
    }

    fn check(text: &str, trusted: &str, expected: &str) {
        let code = match open::<Value>(Kind::Receipt, text, trusted) {
            Ok(_) => "taken".to_owned(),
            Err(why) => why.code(),
        };
        assert_eq!(code, expected, "{text}");
    }

    #[test]
    fn what_is_not_as_it_was_sealed_is_refused_by_name() {
        let (key, name) = key();
        let text = sealed(Kind::Receipt, &json!({ "receipt": { "version": 1 } }), &key);
        check(&text, &name, "taken");
        check(&text, &self::key().1, "receipt-stranger");
        check("", &name, "receipt-unreadable");
        check("{\"receipt\":", &name, "receipt-tampered");
        check(&text.replace("{\"job\":1}\n", ""), &name, "receipt-tampered");
        check(
            &text.replace("{\"job\":1}\n{\"job\":2}\n", "{\"job\":2}\n{\"job\":1}\n"),
            &name,
            "receipt-tampered",
        );
        check(&text.replace("{\"seal\":{", "{\"seal\": {"), &name, "receipt-tampered");
        let later = sealed(Kind::Receipt, &json!({ "receipt": { "version": 2 } }), &key);
        check(&later, &name, "receipt-version");
        check(&sealed(Kind::Receipt, &json!({ "receipt": 1 }), &key), &name, "receipt-unreadable");
        check(
            &sealed(Kind::Receipt, &json!({ "bundle": { "version": 1 } }), &key),
            &name,
            "receipt-unreadable",
        );
    }

    #[test]
    fn a_seal_is_for_one_kind_of_file() {
        let (key, name) = key();
        let bundle = sealed(Kind::Bundle, &json!({ "receipt": { "version": 1 } }), &key);
        check(&bundle, &name, "receipt-tampered");
    }

    #[test]
    fn another_key_cannot_be_shown_in_place_of_the_one_that_signed() {
        let (key, _) = key();
        let (_, trusted) = self::key();
        let (other, _) = self::key();
        let text = sealed(Kind::Receipt, &json!({ "receipt": { "version": 1 } }), &key);
        let spki = |key: &FileKey| STANDARD.encode(key.public_key_der());
        check(
            &text.replace(&spki(&key), &spki(&other)),
            &fingerprint(other.public_key_der()),
            "receipt-tampered",
        );
        check(&text, &trusted, "receipt-stranger");
    }

    #[test]
    fn a_fingerprint_is_64_digits_of_one_case() {
        assert!(is_fingerprint(&fingerprint(b"key")));
        for wrong in ["", &"A".repeat(64), &"a".repeat(63), &"g".repeat(64)] {
            assert!(!is_fingerprint(wrong), "{wrong}");
        }
    }
}
