//! The `[cloud]` section of a daemon's configuration.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use serde::Deserialize;

use crate::{mind::Pace, readback::ReadBackConfig};

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
    /// Whether every enrollment of a bulk counts as an operation, or the bulk as one.
    #[serde(default = "yes")]
    pub count_enrollments: bool,
    /// How many requests may be under way at once; it gets there step by step while all goes well.
    #[serde(default = "requests_at_once")]
    pub requests_at_once: usize,
    /// The way out of the plant, if it is one.
    pub proxy: Option<ProxyConfig>,
    /// How long to wait for a connection.
    #[serde(default = "connect_timeout", with = "humantime_serde")]
    pub connect_timeout: Duration,
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

/// An HTTP proxy; connections go through it with CONNECT, so it sees the host of DPS and nothing that is said.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    /// Where it is: `http://proxy.plant.example:3128`.
    pub address: String,
    /// As whom to log in, if it wants that (Basic).
    pub user: Option<String>,
    /// The file with the password.
    pub password_file: Option<PathBuf>,
}

impl CloudConfig {
    /// What a section says that only names the file with the connection string.
    #[must_use]
    pub fn new(connection_string_file: PathBuf) -> Self {
        Self {
            connection_string_file,
            connect_to: None,
            extra_root: None,
            operations_per_minute: operations_per_minute(),
            count_enrollments: yes(),
            requests_at_once: requests_at_once(),
            proxy: None,
            connect_timeout: connect_timeout(),
            request_timeout: request_timeout(),
            first_delay: first_delay(),
            longest_delay: longest_delay(),
        }
    }

    /// The pace that it sets; nothing is read back, unless the program says so.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace {
            per_minute: self.operations_per_minute,
            count_units: self.count_enrollments,
            in_flight: self.requests_at_once,
            first_delay: self.first_delay,
            longest_delay: self.longest_delay,
            read_back: ReadBackConfig::OFF,
        }
    }
}

/// What even an old DPS instance takes; newer ones take 1000.
fn operations_per_minute() -> u32 {
    200
}

fn yes() -> bool {
    true
}

fn requests_at_once() -> usize {
    4
}

fn connect_timeout() -> Duration {
    Duration::from_secs(10)
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
