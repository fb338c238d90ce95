//! The `[cloud]` section of a daemon's configuration.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

/// Where DPS is, how to prove who we are, and at which pace to talk.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudConfig {
    /// The file with the DPS service connection string
    /// (`HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`); its policy needs EnrollmentRead and EnrollmentWrite.
    pub connection_string_file: PathBuf,
    /// Connects to this address instead of the host of the connection string; the name is still verified.
    /// For the emulator.
    pub connect_to: Option<SocketAddr>,
    /// A PEM file with roots to trust besides those of the operating system. For the emulator, or a TLS-inspecting proxy.
    pub extra_root: Option<PathBuf>,
    /// Operations that DPS allows a minute, shared by everybody who uses this DPS; an enrollment of a bulk counts as one.
    #[serde(default = "operations_per_minute")]
    pub operations_per_minute: u32,
    /// How long to wait for an answer.
    #[serde(default = "request_timeout", with = "humantime_serde")]
    pub request_timeout: Duration,
    /// The longest first delay after a failure; it doubles from there.
    #[serde(default = "first_delay", with = "humantime_serde")]
    pub first_delay: Duration,
    /// The longest delay between two tries.
    #[serde(default = "longest_delay", with = "humantime_serde")]
    pub longest_delay: Duration,
}

/// What even an old DPS instance takes; newer ones take 1000.
fn operations_per_minute() -> u32 {
    200
}

fn request_timeout() -> Duration {
    Duration::from_secs(30)
}

fn first_delay() -> Duration {
    Duration::from_secs(1)
}

fn longest_delay() -> Duration {
    Duration::from_secs(300)
}
