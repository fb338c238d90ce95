//! The one door to `reqwest`: says a [`Call`] to DPS and brings back what it answered.

use std::{error::Error, fs, io, path::PathBuf, time::Duration};

use azure_iot::{ConnectionString, InvalidConnectionString, sas};
use reqwest::{Certificate, Client, Proxy, header, redirect};
use thiserror::Error;
use time::{OffsetDateTime, format_description::well_known::Rfc2822};

use crate::{
    answer::{Answer, Call, Method, Trouble},
    cause::Cause,
    config::{CloudConfig, ProxyConfig},
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
    /// The proxy's address is none.
    #[error("[cloud.proxy] {0}")]
    Proxy(String),
}

/// A way to one DPS instance.
#[derive(Debug, Clone)]
pub struct Cloud {
    client: Client,
    credential: ConnectionString,
    /// The address of the proxy on the way, for whoever has to look why it does not let us through.
    proxy: Option<String>,
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
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout);
        if let Some(path) = &config.extra_root {
            let roots = Certificate::from_pem_bundle(&read(path)?).map_err(|error| tls(&error))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let Some(address) = config.connect_to {
            builder = builder.resolve(credential.host(), address);
        }
        if let Some(config) = &config.proxy {
            builder = builder.proxy(proxy(config)?);
        }
        let proxy = config.proxy.as_ref().map(|proxy| proxy.address.clone());
        Ok(Self { client: builder.build().map_err(|error| tls(&error))?, credential, proxy })
    }

    /// The host of the DPS instance.
    #[must_use]
    pub fn host(&self) -> &str {
        self.credential.host()
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
        let mut response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let mut answer = head(response.status().as_u16(), response.headers(), now);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            answer.body.extend_from_slice(&chunk);
            if answer.body.len() > LONGEST_ANSWER {
                let detail = "an answer longer than any of DPS".to_owned();
                return Err(Trouble { cause: Cause::Stranger, detail, retry_after: None });
            }
        }
        Ok(answer)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let mut cause = cause(error);
        let mut detail = chain(error);
        // Whoever cannot be reached through a proxy is the proxy, unless it says otherwise.
        if let (Some(proxy), Cause::Refused | Cause::Name | Cause::Proxy) = (&self.proxy, cause) {
            cause = Cause::Proxy;
            detail = format!("{proxy}: {detail}");
        }
        Trouble { cause, detail, retry_after: None }
    }
}

/// What an answer says before its body.
fn head(status: u16, headers: &header::HeaderMap, now: OffsetDateTime) -> Answer {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let moment = |text: &str| OffsetDateTime::parse(text, &Rfc2822).ok();
    let date = text(header::DATE).and_then(moment);
    // Seconds, or a moment by the server's own clock (RFC 9110, 10.2.3).
    let retry_after = text(header::RETRY_AFTER).and_then(|value| match value.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(Duration::try_from(moment(value)? - date.unwrap_or(now)).unwrap_or_default()),
    });
    Answer {
        status,
        retry_after,
        continuation: text(header::HeaderName::from_static("x-ms-continuation")).map(str::to_owned),
        json: text(header::CONTENT_TYPE).is_some_and(|kind| kind.contains("json")),
        skew: date.map(|date| date - now),
        body: Vec::new(),
    }
}

/// The proxy on the way.
fn proxy(config: &ProxyConfig) -> Result<Proxy, CloudError> {
    let ProxyConfig { address, user, password_file } = config;
    if !address.starts_with("http://") {
        return Err(CloudError::Proxy(format!("address = {address:?}: write it as \"http://HOST:PORT\"")));
    }
    let proxy = Proxy::https(address).map_err(|error| {
        CloudError::Proxy(format!(
            "address = {address:?}: {}; write it as \"http://HOST:PORT\"",
            chain(&error)
        ))
    })?;
    match (user, password_file) {
        (None, None) => Ok(proxy),
        (Some(user), Some(path)) => {
            let password = String::from_utf8_lossy(&read(path)?).trim_end().to_owned();
            Ok(proxy.basic_auth(user, &password))
        }
        _ => Err(CloudError::Proxy("give both user and password_file, or neither".to_owned())),
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, CloudError> {
    fs::read(path).map_err(|source| CloudError::File { path: path.clone(), source })
}

fn tls(error: &reqwest::Error) -> CloudError {
    CloudError::Tls(chain(error))
}

/// What a request that was not answered failed of, as far as it can be told.
fn cause(error: &reqwest::Error) -> Cause {
    let mut reason: Option<&(dyn Error + 'static)> = Some(error);
    let mut found = if error.is_timeout() { Cause::TimedOut } else { Cause::Unreachable };
    while let Some(error) = reason {
        // What hides inside of an io::Error is no source of it, and may be one itself.
        let mut hidden = error.downcast_ref::<io::Error>();
        while let Some(error) = hidden {
            let inner = error.get_ref();
            if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
                return Cause::Tls;
            }
            match error.kind() {
                io::ErrorKind::ConnectionRefused => return Cause::Refused,
                io::ErrorKind::TimedOut => found = Cause::TimedOut,
                _ => {}
            }
            hidden = inner.and_then(|inner| inner.downcast_ref::<io::Error>());
        }
        if error.is::<rustls::Error>() {
            return Cause::Tls;
        }
        // The connector's own errors have no public type; these are its words.
        let words = error.to_string();
        if words.starts_with("dns error") {
            return Cause::Name;
        }
        if words.starts_with("tunnel error") {
            found = Cause::Proxy;
        }
        reason = error.source();
    }
    found
}

/// The innermost reason says the most: "connection refused", "certificate expired".
fn chain(error: &reqwest::Error) -> String {
    let mut reason: &dyn Error = error;
    while let Some(source) = reason.source() {
        reason = source;
    }
    reason.to_string()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn the_date_of_an_answer_tells_how_far_the_clocks_are_apart() {
        let skew = |date: Option<&str>| {
            let headers = date.map(|date| (header::DATE, date.parse().unwrap())).into_iter().collect();
            let skew = head(200, &headers, datetime!(2026-11-28 04:30:00 UTC)).skew;
            skew.map(time::Duration::whole_seconds)
        };
        assert_eq!(skew(None), None);
        assert_eq!(skew(Some("Sat, 28 Nov 2026 05:30:07 GMT")), Some(3607));
        assert_eq!(skew(Some("yesterday")), None, "what is no date tells nothing");
    }
}
