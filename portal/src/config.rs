//! The portal's configuration file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloud_sync::CloudConfig;
use ledger::StorageConfig;
use serde::Deserialize;

/// What `portal run --config FILE` reads.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The state folder that `portal init` has made.
    pub state: PathBuf,
    /// The hubs that a device may be sent to, as they are linked to DPS.
    pub hubs: Vec<String>,
    /// Where browsers reach the portal.
    pub listen: Listen,
    /// Another certificate than the one that `portal init` made.
    pub tls: Option<TlsFiles>,
    /// How to reach DPS. Without it requests are saved, and wait.
    pub cloud: Option<CloudConfig>,
    /// How often somebody may try.
    #[serde(default)]
    pub limits: Limits,
    /// How requests are kept on disk.
    #[serde(default)]
    pub storage: StorageConfig,
}

/// The `[listen]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// The address and port.
    pub address: SocketAddr,
    /// What stands in front of the path in a browser, such as `https://portal.example`, where a reverse proxy changes
    /// the host name. Forms from any other origin are refused; without it, the origin must be the host that was asked.
    pub origin: Option<String>,
}

/// The `[tls]` section: PEM files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and its chain, leaf first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The `[limits]` section.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Wrong passwords a minute, for one account; four times as many from one address.
    pub logins_per_minute: usize,
    /// Wrong claim codes an hour, for one device, from one account, and from one address.
    pub claim_misses_per_hour: usize,
    /// Activation requests an hour, from one account, and as many deactivations; twice as many from one address.
    pub requests_per_hour: usize,
    /// How long a browser stays signed in without doing anything.
    #[serde(with = "humantime_serde")]
    pub session: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            logins_per_minute: 5,
            claim_misses_per_hour: 10,
            requests_per_hour: 120,
            session: Duration::from_secs(30 * 60),
        }
    }
}

/// Why a configuration is none.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be; the text shows the place.
    #[error("{path}:{line}:{column}: {what}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What is wrong, and what is known instead.
        what: String,
    },
    /// The storage section makes no sense.
    #[error("{path}: {what}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no hub to choose.
    #[error("{path}: hubs is empty; name at least one hub that is linked to DPS")]
    NoHubs {
        /// The file.
        path: PathBuf,
    },
}

impl Config {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, or with the place in it that is wrong.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a configuration from `text`; `path` is for what is said about it.
    ///
    /// # Errors
    /// With the place that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let before = &text[..error.span().map_or(0, |span| span.start).min(text.len())];
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            ConfigError::Invalid {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                what: error.message().to_owned(),
            }
        })?;
        if config.hubs.is_empty() {
            return Err(ConfigError::NoHubs { path: path.to_owned() });
        }
        if let Err(what) = config.storage.options() {
            return Err(ConfigError::Storage { path: path.to_owned(), what });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "state = \"/var/lib/portal\"\nhubs = [\"hub.azure-devices.net\"]\n\n[listen]\naddress = \"127.0.0.1:8444\"\n";

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("portal.toml"))
    }

    #[test]
    fn state_hubs_and_address_are_all_it_needs() {
        let config = parse(LEAST).unwrap();
        assert!(config.cloud.is_none() && config.tls.is_none());
        assert_eq!(config.limits.session, Duration::from_secs(1800));
    }

    #[test]
    fn a_mistake_is_named_with_file_line_and_column() {
        let wrong = parse(&format!("{LEAST}adress = 1\n")).unwrap_err().to_string();
        assert!(wrong.starts_with("portal.toml:6:1: unknown field `adress`"), "{wrong}");
        let wrong = parse(&LEAST.replace("127.0.0.1:8444", "here")).unwrap_err().to_string();
        assert!(wrong.starts_with("portal.toml:5:11: "), "{wrong}");
    }

    #[test]
    fn a_portal_without_a_hub_to_choose_does_not_start() {
        let wrong = parse(&LEAST.replace("\"hub.azure-devices.net\"", "")).unwrap_err().to_string();
        assert!(wrong.contains("at least one hub"), "{wrong}");
    }
}
