//! Stations that show a TLS client certificate instead of a token. The ledger knows them by the key, never by the name.

use ledger::{Applied, Changes, Event, Ledger, ReadError};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::role::Role;
use crate::fingerprint::sha256;

/// Where stations are, by name.
const STATIONS: &str = "station/";

/// A station was given a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StationEnrolled {
    /// A name for people, unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// The one line that it may work on; every line if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// SHA-256 of its public key (DER `SubjectPublicKeyInfo`), hex.
    pub key_sha256: String,
    /// SHA-256 of its certificate, hex.
    pub sha256: String,
    /// The certificate's serial number, hex.
    pub serial: String,
    /// When the certificate ends, and with it the way in.
    #[serde(with = "time::serde::rfc3339")]
    pub expires: OffsetDateTime,
    /// The certificate, base64 of the DER.
    pub certificate: String,
}

/// A station in the index, under `station/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StationRecord {
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
    pub(crate) sha256: String,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires: OffsetDateTime,
    #[serde(default)]
    pub(crate) revoked: bool,
}

pub(crate) fn station_key(name: &str) -> Vec<u8> {
    format!("{STATIONS}{name}").into_bytes()
}

/// Where the name of the station with this public key is.
pub(crate) fn station_by_key(key_sha256: &str) -> Vec<u8> {
    format!("stationkey/{key_sha256}").into_bytes()
}

/// Applies that a station was enrolled.
pub(crate) fn station_enrolled(changes: &mut Changes<'_>, _: &Applied<'_>, station: &StationEnrolled) {
    let StationEnrolled { name, role, line, key_sha256, sha256, expires, .. } = station.clone();
    changes.put(&station_by_key(&key_sha256), &name);
    let record = StationRecord { name, role, line, sha256, expires, revoked: false };
    changes.put(&station_key(&station.name), &record);
}

/// Applies that a station was shut out; its name and its key stay taken.
pub(crate) fn station_revoked(changes: &mut Changes<'_>, _: &Applied<'_>, name: &str) {
    if let Some(record) = changes.get::<StationRecord>(&station_key(name)) {
        changes.put(&station_key(name), &StationRecord { revoked: true, ..record });
    }
}

/// Every station, by name.
pub(crate) fn stations<E: Event>(ledger: &Ledger<E>) -> Result<Vec<StationRecord>, ReadError> {
    let found = ledger.scan::<StationRecord>(STATIONS.as_bytes(), None, usize::MAX)?;
    Ok(found.into_iter().map(|(_, record)| record).collect())
}

/// Finds the station whose certificate this is: its key is known, and it is the very certificate that was given for it.
///
/// That the peer has the key was proved by TLS. Another certificate for the same key, whoever signed it, is not taken.
pub(crate) fn find_station<E: Event>(
    ledger: &Ledger<E>,
    certificate: &CertificateDer<'_>,
) -> Result<Option<StationRecord>, ReadError> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Ok(None) };
    let key = sha256(parsed.public_key().raw);
    let Some(name) = ledger.get::<String>(&station_by_key(&key))? else { return Ok(None) };
    let record = ledger.get::<StationRecord>(&station_key(&name))?;
    Ok(record.filter(|record| record.sha256 == sha256(certificate)))
}
