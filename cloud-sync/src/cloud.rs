//! The one door to `reqwest`: says a [`Call`] to DPS and brings back what it answered.

use std::{error::Error, fs, io, path::PathBuf, time::Duration};

use azure_iot::{ConnectionString, InvalidConnectionString, sas};
use reqwest::{Certificate, Client, header, redirect};
use thiserror::Error;
use time::OffsetDateTime;

use crate::{
    answer::{Answer, Call, Method, Trouble},
    config::CloudConfig,
    link::Cause,
    skew::Skew,
};

/// The version of the service API that we speak.
const API_VERSION: &str = "2021-10-01";
/// How long a token that we make is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);
/// The most that is read of an answer.
const LONGEST_ANSWER: usize = 1 << 20;

/// Why a cloud cannot be set up; nothing was sent.
#[derive(Debug, Error)]
pub enum CloudError {
    /// A file of the configuration cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection string is none.
    #[error("{}: {source}", path.display())]
    ConnectionString {
        /// The file that it is in.
        path: PathBuf,
        /// What is wrong with it.
        source: InvalidConnectionString,
    },
    /// A root is none, or the operating system's roots cannot be used.
    #[error("cannot set up TLS to the cloud: {0}")]
    Tls(String),
}

/// A way to one DPS instance.
#[derive(Debug, Clone)]
pub struct Cloud {
    client: Client,
    credential: ConnectionString,
    skew: Skew,
}

impl Cloud {
    /// Reads the files that `config` names.
    pub fn new(config: &CloudConfig) -> Result<Self, CloudError> {
        let path = &config.connection_string_file;
        let text = read(path)?;
        let credential: ConnectionString = String::from_utf8_lossy(&text)
            .trim()
            .parse()
            .map_err(|source| CloudError::ConnectionString { path: path.clone(), source })?;
        let mut builder = Client::builder()
            .user_agent(concat!("edge/", env!("CARGO_PKG_VERSION")))
            .https_only(true)
            .no_proxy()
            // DPS never redirects; who does is somebody else.
            .redirect(redirect::Policy::none())
            .timeout(config.request_timeout);
        if let Some(path) = &config.extra_root {
            let roots = Certificate::from_pem_bundle(&read(path)?).map_err(|error| tls(&error))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let Some(address) = config.connect_to {
            builder = builder.resolve(credential.host(), address);
        }
        Ok(Self { client: builder.build().map_err(|error| tls(&error))?, credential, skew: Skew::default() })
    }

    /// How far the cloud's clock is from ours.
    #[must_use]
    pub fn skew(&self) -> Skew {
        self.skew.clone()
    }

    /// Says `call` and brings back the answer, whatever its status.
    pub async fn call(&self, call: &Call, now: OffsetDateTime) -> Result<Answer, Trouble> {
        let url = format!("https://{}{}?api-version={API_VERSION}", self.credential.host(), call.path);
        let mut request = match call.method {
            Method::Get => self.client.get(url),
            Method::Put => self.client.put(url),
            Method::Post => self.client.post(url),
        };
        let expires = (now + TOKEN_LIFE).unix_timestamp();
        let token =
            sas::sign(self.credential.host(), self.credential.policy(), self.credential.key(), expires);
        request = request.header(header::AUTHORIZATION, token).header(header::ACCEPT, "application/json");
        if let Some(etag) = &call.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(page) = &call.page {
            request = request.header("x-ms-max-item-count", page.most);
            if let Some(token) = &page.continuation {
                request = request.header("x-ms-continuation", token);
            }
        }
        if let Some(body) = &call.body {
            request = request
                .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
                .body(body.to_string());
        }
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let text =
            |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        if let Some(date) = text(header::DATE) {
            self.skew.note(date, now);
        }
        let mut answer = Answer {
            status: response.status().as_u16(),
            retry_after: text(header::RETRY_AFTER)
                .and_then(|value| value.parse().ok())
                .map(Duration::from_secs),
            continuation: text(header::HeaderName::from_static("x-ms-continuation")).map(str::to_owned),
            json: text(header::CONTENT_TYPE).is_some_and(|kind| kind.contains("json")),
            body: Vec::new(),
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
            answer.body.extend_from_slice(&chunk);
            if answer.body.len() > LONGEST_ANSWER {
                let detail = "an answer longer than any of DPS".to_owned();
                return Err(Trouble { cause: Cause::Stranger, detail, retry_after: None });
            }
        }
        Ok(answer)
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, CloudError> {
    fs::read(path).map_err(|source| CloudError::File { path: path.clone(), source })
}

fn tls(error: &reqwest::Error) -> CloudError {
    CloudError::Tls(chain(error))
}

fn unreachable(error: &reqwest::Error) -> Trouble {
    Trouble { cause: Cause::Unreachable, detail: chain(error), retry_after: None }
}

/// The innermost reason says the most: "connection refused", "certificate expired".
fn chain(error: &reqwest::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}
