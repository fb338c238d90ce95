//! The configuration file of an appliance. Every key stands, commented, in `configs/edge.toml`.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use cloud_sync::CloudConfig;
use keys::{Passphrase, PassphraseError};
use ledger::StorageConfig;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The state folder that `edge init` made.
    pub state: PathBuf,
    /// Where line PCs and screens find us.
    pub listen: Listen,
    /// The production lines.
    #[serde(rename = "line")]
    pub lines: Vec<LineConfig>,
    /// How the CA's keys are opened.
    pub ca: CaConfig,
    /// What certificates look like.
    #[serde(default)]
    pub profile: ProfileConfig,
    /// Where DPS is; without it nothing is announced, and everything waits safely.
    pub cloud: Option<CloudConfig>,
    /// How the ledger is kept on disk.
    #[serde(default)]
    pub storage: StorageConfig,
    /// Whether units are issued without a production order.
    #[serde(default)]
    pub orders: Orders,
    /// How the list of revoked certificates is kept.
    #[serde(default)]
    pub crl: CrlConfig,
}

/// Whether units are issued without a production order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orders {
    /// They are.
    #[default]
    Optional,
    /// They are not.
    Required,
}

/// How the list of revoked certificates is kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrlConfig {
    /// How long a list is good for; it is made anew at half of that.
    #[serde(with = "humantime_serde")]
    pub valid: Duration,
    /// How much time is between two lists at least, however many certificates are revoked.
    #[serde(with = "humantime_serde")]
    pub apart: Duration,
}

impl Default for CrlConfig {
    fn default() -> Self {
        Self { valid: Duration::from_secs(7 * 86_400), apart: Duration::from_secs(60) }
    }
}

impl CrlConfig {
    /// Says what is wrong with it, if anything is.
    fn check(&self) -> Result<(), &'static str> {
        let year = Duration::from_secs(366 * 86_400);
        if self.valid < Duration::from_secs(3600) || self.valid > year {
            return Err("crl.valid is between 1h and 1y");
        }
        if self.apart > self.valid / 2 {
            return Err("crl.apart is at most half of crl.valid, when a list is made anew anyway");
        }
        Ok(())
    }
}

/// Where line PCs and screens find us.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// The names and addresses under which clients call; the server certificate is made for them.
    pub names: Vec<String>,
}

/// A production line.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineConfig {
    /// Its short name in requests and on boards, such as `L1`.
    pub id: String,
    /// What people call it; the id if absent.
    pub name: Option<String>,
    /// Units that it shall make a day.
    pub target: Option<u32>,
}

/// How the CA's keys are opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaConfig {
    /// Where the passphrase comes from.
    pub passphrase: PassphraseSource,
}

/// Where a passphrase comes from.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum PassphraseSource {
    /// A file that only we may read.
    File(PathBuf),
    /// A systemd credential.
    Credential(String),
    /// A person at the terminal.
    Prompt,
}

impl PassphraseSource {
    /// Fetches it.
    pub fn fetch(&self) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::File(path) => Passphrase::from_file(path),
            Self::Credential(name) => Passphrase::from_credential(name),
            Self::Prompt => Passphrase::prompt("Passphrase of the CA"),
        }
    }
}

/// What certificates look like.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// How long they are good for.
    pub validity: Validity,
    /// How far back they begin, for devices whose clock is slow.
    #[serde(with = "humantime_serde")]
    pub backdate: Duration,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self { validity: Validity::default(), backdate: Duration::from_secs(3600) }
    }
}

/// How long a certificate is good for: `"20y"`, or `"none"` for no defined end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// So long.
    For(Duration),
    /// Until 99991231235959Z (RFC 5280 4.1.2.5).
    NoEnd,
}

impl Default for Validity {
    fn default() -> Self {
        Self::For(Duration::from_secs(20 * 31_557_600))
    }
}

impl<'de> Deserialize<'de> for Validity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "none" {
            return Ok(Self::NoEnd);
        }
        let parsed = humantime::parse_duration(&text).ok().filter(|duration| !duration.is_zero());
        parsed.map(Self::For).ok_or_else(|| {
            de::Error::custom(format!("'{text}' is no validity; say \"20y\", \"90d\" or \"none\""))
        })
    }
}

/// Why a configuration cannot be used. The text names file, line and column.
#[derive(Debug, Error)]
#[error("{}{place}: {what}", path.display())]
pub struct ConfigError {
    path: PathBuf,
    place: String,
    what: String,
}

impl Config {
    /// Reads a file. Paths in it are relative to where we are started.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let error = |place: String, what: String| ConfigError { path: path.to_owned(), place, what };
        let text = fs::read_to_string(path).map_err(|why| error(String::new(), why.to_string()))?;
        let config: Self = toml::from_str(&text).map_err(|why| {
            let place = why.span().map(|span| place(&text, span.start)).unwrap_or_default();
            error(place, why.message().to_owned())
        })?;
        let refuse = |what: &str| Err(error(String::new(), what.to_owned()));
        if config.lines.is_empty() {
            return refuse("there is no [[line]]; name at least one");
        }
        if config.listen.names.is_empty() {
            return refuse(
                "listen.names is empty; name at least one host name or address by which clients call",
            );
        }
        if let Err(what) = config.storage.options() {
            return refuse(&what);
        }
        if let Err(what) = config.crl.check() {
            return refuse(what);
        }
        for (i, line) in config.lines.iter().enumerate() {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if line.id.is_empty() || line.id.len() > 32 || !line.id.chars().all(valid) {
                return refuse(&format!("line id '{}': 1 to 32 letters, digits, '-', '_' and '.'", line.id));
            }
            if config.lines[..i].iter().any(|other| other.id == line.id) {
                return refuse(&format!("line id '{}' is there twice", line.id));
            }
        }
        Ok(config)
    }
}

/// Line and column, both from 1, as editors count.
fn place(text: &str, offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!(":{line}:{column}")
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const GOOD: &str = r#"
state = "box"
[listen]
address = "127.0.0.1:8443"
names = ["localhost"]
[ca]
passphrase = { file = "pass" }
[profile]
validity = "20y"
[[line]]
id = "L1"
"#;

    fn read(text: &str) -> Result<Config, String> {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("edge.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|error| error.to_string().replace(&*dir.path().to_string_lossy(), ""))
    }

    #[test]
    fn a_small_file_is_enough() {
        let config = read(GOOD).unwrap();
        assert_eq!(config.profile.validity, Validity::default());
        assert!(config.cloud.is_none());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let check = |from: &str, to: &str, expected: &str| {
            let error = read(&GOOD.replace(from, to)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check("address", "adress", "/edge.toml:4:1: unknown field `adress`, expected `address` or `names`");
        check("127.0.0.1:8443", "somewhere", "/edge.toml:4:11: ");
        check("20y", "forever", "/edge.toml:9:12: 'forever' is no validity");
        check("[[line]]\nid = \"L1\"", "", "missing field `line`");
        check("[ca]", "[storage]\nsegment = \"1 KiB\"\n[ca]", "storage.segment is at least");
        check("\"L1\"", "\"L/1\"", "line id 'L/1'");
        check("[ca]", "[crl]\nvalid = \"1m\"\n[ca]", "crl.valid is between");
        check("[ca]", "[crl]\napart = \"6d\"\n[ca]", "crl.apart is at most half");
        check("[listen]", "orders = \"always\"\n[listen]", "expected `optional` or `required`");
        check("id = \"L1\"", "id = \"L1\"\n[[line]]\nid = \"L1\"", "is there twice");
    }
}
