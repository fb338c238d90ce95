//! The configuration of an agent. Every key stands, commented, in `configs/device-agent.toml`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use azure_iot::IdScope;
use serde::Deserialize;
use thiserror::Error;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder that `device-agent birth` has filled.
    pub state: PathBuf,
    /// The id scope of the DPS instance.
    pub id_scope: IdScope,
    /// The host of the DPS device API.
    #[serde(default = "dps_host")]
    pub dps_host: String,
    /// Connects to this address instead of DPS and every hub; their names are still verified. For the emulator.
    pub connect_to: Option<SocketAddr>,
    /// A PEM file with roots to trust besides those of the operating system. For the emulator.
    pub extra_root: Option<PathBuf>,
    /// How often telemetry is sent, until the twin says otherwise.
    #[serde(default = "telemetry_interval", with = "humantime_serde")]
    pub telemetry_interval: Duration,
    /// About how long to wait before asking again while nobody has activated the device.
    #[serde(default = "disabled_retry", with = "humantime_serde")]
    pub disabled_retry: Duration,
    /// The longest first delay after a failure; it doubles from there.
    #[serde(default = "first_delay", with = "humantime_serde")]
    pub first_delay: Duration,
    /// The longest delay between two tries.
    #[serde(default = "longest_delay", with = "humantime_serde")]
    pub longest_delay: Duration,
}

fn dps_host() -> String {
    "global.azure-devices-provisioning.net".to_owned()
}

fn telemetry_interval() -> Duration {
    Duration::from_secs(1)
}

fn disabled_retry() -> Duration {
    Duration::from_secs(300)
}

fn first_delay() -> Duration {
    Duration::from_secs(1)
}

fn longest_delay() -> Duration {
    Duration::from_secs(300)
}

/// Why a configuration cannot be used. The text names file, line and column.
#[derive(Debug, Error)]
#[error("{}: {what}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    what: String,
}

impl Config {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let error = |what: String| ConfigError { path: path.to_owned(), what };
        let text = fs::read_to_string(path).map_err(|why| error(why.to_string()))?;
        toml::from_str(&text).map_err(|why| error(why.to_string()))
    }
}
