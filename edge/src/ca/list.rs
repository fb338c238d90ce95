//! Every certificate of a box: what it is for, and when it ends.

use std::{fs, path::PathBuf};

use rustls_pki_types::CertificateDer;
use serde::Serialize;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Chain;
use crate::{
    StartError,
    credentials::{certificate, read},
    fingerprint::sha256,
    state_dir::StateDir,
};

/// From so many days before its end on, a certificate is warned about; with every step more urgently.
const STEPS: [i64; 3] = [7, 30, 90];

/// A certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    pub(crate) role: &'static str,
    pub(crate) subject: String,
    pub(crate) serial: String,
    pub(crate) sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) not_before: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) not_after: OffsetDateTime,
    /// Whole days until it ends; negative once it has.
    pub(crate) days: i64,
    /// The step that it is in: 90, 30 or 7 days before its end; 0 behind it. Absent while there is time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<i64>,
}

/// All certificates in a state folder, the root first.
pub(crate) fn list(state: &StateDir, now: OffsetDateTime) -> Result<Vec<Listed>, StartError> {
    let one = |name: &str| certificate(&state.certificate(name), state.path());
    let wrong = |name: &str, why: String| StartError::Certificate(format!("{name}: {why}"));
    let mut found = vec![describe("root", &one("root")?, now).map_err(|why| wrong("root.pem", why))?];
    let text = read(&state.certificate("issuing"), state.path())?;
    let chain = Chain::from_pem(&text).map_err(|why| wrong("issuing.pem", why))?;
    for (place, der) in chain.certificates().iter().enumerate() {
        let role = if place == 0 { "issuing" } else { "above issuing" };
        found.push(describe(role, der, now).map_err(|why| wrong("issuing.pem", why))?);
    }
    for chain in previous(state)? {
        let listed = describe("previous", chain.issuing(), now);
        found.push(listed.map_err(|why| wrong("a previous CA", why))?);
    }
    for role in ["floor", "server", "checkpoint"] {
        // The checkpoint key is made by the first start.
        if state.certificate(role).exists() {
            found.push(describe(role, &one(role)?, now).map_err(|why| wrong(role, why))?);
        }
    }
    Ok(found)
}

/// The issuing CAs that have given way, the oldest first.
pub(crate) fn previous(state: &StateDir) -> Result<Vec<Chain>, StartError> {
    let io = |source| StartError::Io { path: state.path().display().to_string(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(state.path()).map_err(io)? {
        let path: PathBuf = entry.map_err(io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("issuing-") && name.ends_with(".pem") {
            let chain = Chain::from_pem(&read(&path, state.path())?);
            let chain = chain.map_err(|why| StartError::Certificate(format!("{name}: {why}")))?;
            let begin = X509Certificate::from_der(chain.issuing())
                .map_or(0, |(_, parsed)| parsed.validity().not_before.timestamp());
            found.push((begin, chain));
        }
    }
    found.sort_by_key(|(begin, chain)| (*begin, chain.sha256()));
    Ok(found.into_iter().map(|(_, chain)| chain).collect())
}

fn describe(role: &'static str, der: &CertificateDer<'_>, now: OffsetDateTime) -> Result<Listed, String> {
    let (_, parsed) = X509Certificate::from_der(der).map_err(|_| "it does not parse".to_owned())?;
    let validity = parsed.validity();
    let (not_before, not_after) = (validity.not_before.to_datetime(), validity.not_after.to_datetime());
    let days = (not_after - now).whole_days();
    let warning = if not_after <= now { Some(0) } else { STEPS.into_iter().find(|step| days <= *step) };
    Ok(Listed {
        role,
        subject: parsed.subject().to_string(),
        serial: hex::encode(parsed.raw_serial()),
        sha256: sha256(der),
        not_before,
        not_after,
        days,
        warning,
    })
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey};
    use tempfile::TempDir;
    use time::{Duration, macros::datetime};

    use super::*;
    use crate::pki::make_root;

    #[test]
    fn the_end_is_warned_of_in_three_steps() {
        let dir = TempDir::new().unwrap();
        let key = FileKey::create(&dir.path().join("root"), Algorithm::P256).unwrap();
        let made = datetime!(2026-11-28 12:00 UTC);
        let root = make_root(&key, "0123456789abcdef", made, [1; 17]).unwrap();
        let end = describe("root", &root, made).unwrap().not_after;
        for (days, expected) in [
            (91, None),
            (90, Some(90)),
            (31, Some(90)),
            (30, Some(30)),
            (8, Some(30)),
            (7, Some(7)),
            (0, Some(0)),
            (-1, Some(0)),
        ] {
            let found = describe("root", &root, end - Duration::days(days)).unwrap();
            assert_eq!((found.days, found.warning), (days, expected));
        }
    }
}
