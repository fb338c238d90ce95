//! On the line: a key that never leaves the device, and a certificate for it. The one door to `reqwest`.

use std::{fs, io, path::PathBuf};

use azure_iot::RegistrationId;
use reqwest::{Certificate, Client, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    files::Files,
    identity::{self, IdentityError},
};

/// What a birth needs.
#[derive(Debug, Clone)]
pub struct BirthOptions {
    /// The edge, such as `https://edge.local:8443`.
    pub edge: String,
    /// A token of a station.
    pub token: String,
    /// The edge's root, PEM; the operating system's roots without it.
    pub root: Option<Vec<u8>>,
    /// The line that the device is made on; that of the token without it.
    pub line: Option<String>,
    /// The registration id; a fresh GUID without it.
    pub id: Option<RegistrationId>,
    /// Where the device keeps what it is.
    pub state: PathBuf,
}

/// A device that was born.
#[derive(Debug, Clone)]
pub struct Born {
    /// Its registration id.
    pub id: RegistrationId,
    /// The claim code for its label, where this station may see it.
    pub claim_code: Option<String>,
}

/// Why a device was not born. Asking again goes on with the same key.
#[derive(Debug, Error)]
pub enum BirthError {
    /// Key or request.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A file.
    #[error(transparent)]
    File(#[from] keys::KeyError),
    /// The id file.
    #[error("the id in {path} cannot be used: {source}")]
    Id {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The device has another name already.
    #[error("this device is {found} already; give another --state for another device")]
    OtherId {
        /// Its name.
        found: RegistrationId,
    },
    /// The edge does not answer.
    #[error("the edge does not answer: {0}")]
    Unreachable(String),
    /// The edge says no.
    #[error("the edge refuses ({code}): {detail}")]
    Refused {
        /// The stable code.
        code: String,
        /// What to do.
        detail: String,
    },
}

#[derive(Deserialize)]
struct Issued {
    certificate: String,
    chain: String,
    #[serde(default)]
    claim_code: Option<String>,
}

/// Makes the device's key, if it has none, and gets its certificate. Repeating it is harmless.
pub async fn birth(options: BirthOptions) -> Result<Born, BirthError> {
    let files = Files::new(&options.state);
    let id = name(&files, options.id)?;
    let csr = identity::request(&files.key(), &id)?;
    let mut builder =
        Client::builder().https_only(true).no_proxy().timeout(std::time::Duration::from_secs(30));
    if let Some(root) = &options.root {
        let roots = Certificate::from_pem_bundle(root).map_err(|error| unreachable(&error))?;
        builder = builder.tls_certs_only(roots);
    }
    let client = builder.build().map_err(|error| unreachable(&error))?;
    let url = format!("{}/v1/units", options.edge.trim_end_matches('/'));
    let body = json!({ "id": id, "csr": csr, "line": options.line });
    let response = client.post(url).bearer_auth(options.token.trim()).json(&body).send().await;
    let response = response.map_err(|error| unreachable(&error))?;
    if !matches!(response.status(), StatusCode::OK | StatusCode::CREATED) {
        let status = response.status();
        let problem: Value = response.json().await.unwrap_or_default();
        let text = |name: &str| problem.get(name).and_then(Value::as_str).map(str::to_owned);
        return Err(BirthError::Refused {
            code: text("code").unwrap_or_else(|| status.to_string()),
            detail: text("detail").unwrap_or_default(),
        });
    }
    let issued: Issued = response.json().await.map_err(|error| unreachable(&error))?;
    keys::write_private(&files.chain(), issued.chain.as_bytes())?;
    // Last: with a certificate the device is born.
    keys::write_private(&files.certificate(), issued.certificate.as_bytes())?;
    Ok(Born { id, claim_code: issued.claim_code })
}

/// The device's name: the one it has, the one it is given, or a fresh one; written down before anybody hears of it.
fn name(files: &Files, given: Option<RegistrationId>) -> Result<RegistrationId, BirthError> {
    let wrong = |source| BirthError::Id { path: files.id().display().to_string(), source };
    if files.id().exists() {
        let found = files.read_id().map_err(wrong)?;
        return match given {
            Some(given) if given != found => Err(BirthError::OtherId { found }),
            _ => Ok(found),
        };
    }
    let id = match given {
        Some(id) => id,
        None => Uuid::new_v4().to_string().parse().map_err(|error| wrong(io::Error::other(error)))?,
    };
    fs::create_dir_all(files.dir()).map_err(wrong)?;
    keys::write_private(&files.id(), id.as_ref().as_bytes())?;
    Ok(id)
}

fn unreachable(error: &reqwest::Error) -> BirthError {
    let mut reason: &dyn std::error::Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    BirthError::Unreachable(reason.to_string())
}
