//! Enrolling stations: a client certificate for a line PC that shall not keep a token.

use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use http::StatusCode;
use keys::{Algorithm, EncryptedKey, Passphrase, SigningKey};
use ledger::{Decision, Stamp, View};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;
use web::Problem;

use crate::{
    EdgeEvent,
    access::{Role, StationEnrolled, StationRecord, station_by_key, station_key},
    appliance::StartError,
    credentials::certificate,
    csr::Csr,
    fingerprint::sha256,
    http::{Shared, now, refused, unreadable},
    index::{self, BoxRecord},
    init::serial,
    issuance::unprocessable,
    pem,
    pki::{self, STATIONS},
    plain::is_plain,
    state_dir::StateDir,
};

/// The authority of stations, open for signing.
pub(crate) struct StationCa {
    key: EncryptedKey,
    certificate: CertificateDer<'static>,
}

impl StationCa {
    /// Opens it; makes it where it is not there yet.
    pub(crate) fn open(
        state: &StateDir,
        box_id: &str,
        passphrase: &Passphrase,
        now: OffsetDateTime,
    ) -> Result<Self, StartError> {
        let wrong = |error: &dyn std::fmt::Display| StartError::Certificate(error.to_string());
        let (key_path, path) = (state.key(STATIONS.name), state.certificate(STATIONS.name));
        // The certificate is written last: a key without one has signed nothing.
        if !path.exists() {
            let key = if key_path.exists() {
                EncryptedKey::open(&key_path, passphrase)?
            } else {
                EncryptedKey::create(&key_path, Algorithm::P256, passphrase)?
            };
            let serial = serial().map_err(|error| wrong(&error))?;
            let made = pki::make_own(STATIONS, &key, box_id, now, serial).map_err(|error| wrong(&error))?;
            keys::write_private(&path, pem::encode("CERTIFICATE", &made).as_bytes())?;
            info!("the authority of stations' client certificates was made");
            return Ok(Self { key, certificate: made });
        }
        let key = EncryptedKey::open(&key_path, passphrase)?;
        Ok(Self { key, certificate: certificate(&path, state.path())? })
    }
}

/// What somebody asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewStation {
    pub(crate) name: String,
    pub(crate) role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires: OffsetDateTime,
    /// PKCS#10, PEM: of it the public key is taken.
    pub(crate) csr: String,
}

/// What they get.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    /// The station's certificate, PEM.
    pub(crate) certificate: String,
}

/// Why a station is not enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Taken {
    Name,
    Key,
}

/// Signs a certificate for a station and writes down whose it is.
pub(crate) async fn enroll(floor: &Shared, actor: String, new: NewStation) -> Result<Enrolled, Problem> {
    let NewStation { name, role, line, expires, csr } = new;
    let at = now();
    if !is_plain(&name, 64) {
        let detail = "a station's name has 1 to 64 letters, digits, '-', '_' and '.'";
        return Err(unprocessable("name-invalid", detail.to_owned()));
    }
    if let Some(line) = &line {
        floor.line(line)?;
    }
    // Certificates know whole seconds.
    let expires = expires.replace_nanosecond(0).unwrap_or(expires);
    if expires <= at {
        let detail = "the certificate would have expired already; choose a later end";
        return Err(unprocessable("expired", detail.to_owned()));
    }
    let csr = Csr::parse(&csr).map_err(|why| unprocessable(why.code(), why.to_string()))?;
    let this_box: BoxRecord = floor.this_box().map_err(|error| unreadable(&error))?;
    let mut serial = [this_box.issued_by.generation; 17];
    aws_lc_rs::rand::fill(&mut serial[1..]).map_err(|_| Problem::internal())?;
    let StationCa { key, certificate: authority } = &floor.stations;
    let signed =
        pki::station_certificate(&name, &csr.spki, authority, key as &dyn SigningKey, (at, expires), serial);
    let signed = signed.map_err(|error| {
        tracing::error!(%error, "a station's certificate could not be signed");
        Problem::internal()
    })?;
    let event = StationEnrolled {
        name: name.clone(),
        role,
        line,
        key_sha256: sha256(&csr.spki),
        sha256: sha256(&signed),
        serial: hex::encode(serial),
        expires,
        certificate: STANDARD.encode(&signed),
    };
    let decide = move |view: &View<'_>| {
        if view.get::<StationRecord>(&station_key(&event.name)).is_some() {
            return Err(Taken::Name);
        }
        let a_units = view.get::<RegistrationId>(&index::key(&event.key_sha256)).is_some();
        if a_units || view.get::<String>(&station_by_key(&event.key_sha256)).is_some() {
            return Err(Taken::Key);
        }
        Ok(Decision { events: vec![EdgeEvent::StationEnrolled(Box::new(event))], answer: () })
    };
    let committed = floor.ledger.commit(Stamp { at, actor: actor.clone() }, decide).await;
    committed.map_err(|error| refused(error, taken))?;
    info!(name, %role, actor, "station enrolled");
    Ok(Enrolled { certificate: pem::encode("CERTIFICATE", &signed).to_string() })
}

fn taken(why: Taken) -> Problem {
    match why {
        Taken::Name => {
            let detail = "a station of this name exists; names are never given twice, choose another";
            Problem::new(StatusCode::CONFLICT, "name-taken", detail)
        }
        Taken::Key => {
            let detail =
                "this key belongs to another station or to a unit; a station needs a fresh key of its own";
            Problem::new(StatusCode::CONFLICT, "key-in-use", detail)
        }
    }
}

/// Shuts a station out at once.
pub(crate) async fn revoke(floor: &Shared, actor: String, name: String) -> Result<(), Problem> {
    let wanted = name.clone();
    let decide = move |view: &View<'_>| match view.get::<StationRecord>(&station_key(&wanted)) {
        Some(record) if record.revoked => Ok(Decision { events: vec![], answer: () }),
        Some(_) => Ok(Decision { events: vec![EdgeEvent::StationRevoked { name: wanted }], answer: () }),
        None => Err(()),
    };
    let committed = floor.ledger.commit(Stamp { at: now(), actor: actor.clone() }, decide).await;
    committed.map_err(|error| {
        refused(error, |()| {
            let detail = "there is no station of this name; see: edge station ls";
            Problem::new(StatusCode::NOT_FOUND, "station-unknown", detail)
        })
    })?;
    info!(name, actor, "station revoked");
    Ok(())
}
