//! The configuration file of an appliance. Every key stands, commented, in `configs/edge.toml`.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use cloud_sync::{CloudConfig, ReadBackConfig};
use keys::{Passphrase, PassphraseError, TokenUri};
use ledger::StorageConfig;
use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use crate::{clock::ClockPolicy, plain::is_plain};
pub use crate::{
    key::KeyType,
    profile::{DEFAULT, InvalidObjectId, ObjectId, ProfileConfig, Validity},
};

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
    /// What certificates look like, by the names of the profiles. One with the name `default` is always there.
    #[serde(default, rename = "profile")]
    pub profiles: BTreeMap<String, ProfileConfig>,
    /// Where DPS is; without it nothing is announced, and everything waits safely.
    pub cloud: Option<CloudConfig>,
    /// How the ledger is kept on disk.
    #[serde(default)]
    pub storage: StorageConfig,
    /// What is done about a unit while the clock is not believed.
    #[serde(default)]
    pub clock: ClockPolicy,
    /// How much of us everybody may take.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// Whether the addresses of the public sample are served to scripts that were written for it.
    #[serde(default)]
    pub legacy_api: bool,
    /// Whether units are issued without a production order.
    #[serde(default)]
    pub orders: Orders,
    /// How the list of revoked certificates is kept.
    #[serde(default)]
    pub crl: CrlConfig,
    /// How it is seen whether DPS still has what it was told.
    #[serde(default)]
    pub read_back: ReadBackConfig,
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
    /// Its profile; `default` if absent.
    pub profile: Option<String>,
}

/// How the CA's keys are opened.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaConfig {
    /// Where the passphrase comes from.
    pub passphrase: PassphraseSource,
    /// The token that holds the issuing CA's key; a file of the state folder without it.
    #[serde(default, deserialize_with = "token_uri")]
    pub key: Option<TokenUri>,
    /// The library that speaks to the token, unless `key` says.
    pub module: Option<PathBuf>,
    /// Where the token's PIN comes from, unless `key` says.
    pub pin: Option<PassphraseSource>,
}

fn token_uri<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TokenUri>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
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
        self.fetch_as("Passphrase of the CA")
    }

    /// Fetches it; a person is asked for what `question` says.
    pub(crate) fn fetch_as(&self, question: &str) -> Result<Passphrase, PassphraseError> {
        match self {
            Self::File(path) => Passphrase::from_file(path),
            Self::Credential(name) => Passphrase::from_credential(name),
            Self::Prompt => Passphrase::prompt(question),
        }
    }
}

/// How much of us everybody may take; beyond it is refused before any work is done.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address.
    pub connections_per_address: usize,
    /// Units in the making at a time.
    pub signatures: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { connections: 1024, connections_per_address: 32, signatures: 256 }
    }
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
#[derive(Debug, Clone, Copy, Deserialize)]
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
        let unreadable = |why: std::io::Error| ConfigError {
            path: path.to_owned(),
            place: String::new(),
            what: why.to_string(),
        };
        Self::parse(path, &fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads the text of a file, whose path is for the errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let error = |place: String, what: String| ConfigError { path: path.to_owned(), place, what };
        let mut config: Self = toml::from_str(text).map_err(|why| {
            let place = why.span().map(|span| place(text, span.start)).unwrap_or_default();
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
        config.profiles.entry(DEFAULT.to_owned()).or_default();
        for name in config.profiles.keys() {
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if name.is_empty() || name.len() > 32 || !name.chars().all(valid) {
                return refuse(&format!("profile name '{name}': 1 to 32 letters, digits, '-' and '_'"));
            }
        }
        if let Err(what) = config.storage.options() {
            return refuse(&what);
        }
        let LimitsConfig { connections, connections_per_address, signatures } = config.limits;
        if [connections, connections_per_address, signatures].contains(&0) {
            return refuse("a limit of 0 lets nobody in; see [limits]");
        }
        if let Err(what) = config.crl.check() {
            return refuse(what);
        }
        if let Err(what) = config.read_back.check() {
            return refuse(what);
        }
        for (i, line) in config.lines.iter().enumerate() {
            if !is_plain(&line.id, 32) {
                return refuse(&format!("line id '{}': 1 to 32 letters, digits, '-', '_' and '.'", line.id));
            }
            if config.lines[..i].iter().any(|other| other.id == line.id) {
                return refuse(&format!("line id '{}' is there twice", line.id));
            }
            if let Some(name) = line.profile.as_ref().filter(|name| !config.profiles.contains_key(*name)) {
                return refuse(&format!("line '{}': there is no [profile.{name}]", line.id));
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
[profile.default]
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
        assert_eq!(config.profiles[DEFAULT].validity, Validity::default());
        assert!(config.cloud.is_none());
        assert_eq!(config.read_back, ReadBackConfig::default());
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
        check(
            "[profile.default]",
            "[profile]",
            "a table of its own for every profile, such as [profile.default]",
        );
        check("[profile.default]", "[profile.'a b']", "profile name 'a b'");
        check("validity = \"20y\"", "key = ['p256']", "unknown field `key`, expected one of `keys`");
        check("validity = \"20y\"", "keys = ['p521']", "unknown variant `p521`, expected one of `p256`");
        check("validity = \"20y\"", "policy = '1.x'", "'1.x' is no object identifier");
        check("id = \"L1\"", "id = \"L1\"\nprofile = \"x\"", "line 'L1': there is no [profile.x]");
        check("[[line]]\nid = \"L1\"", "", "missing field `line`");
        check(
            "[profile.default]",
            "key = \"pkcs11:object=a\"\n[profile.default]",
            "/edge.toml:8:7: 'token' is missing",
        );
        check("[ca]", "[storage]\nsegment = \"1 KiB\"\n[ca]", "storage.segment is at least");
        check("[ca]", "[limits]\nsignatures = 0\n[ca]", "a limit of 0");
        check("[listen]", "clock = \"ignore\"\n[listen]", "unknown variant `ignore`");
        check("\"L1\"", "\"L/1\"", "line id 'L/1'");
        check("[ca]", "[crl]\nvalid = \"1m\"\n[ca]", "crl.valid is between");
        check("[ca]", "[crl]\napart = \"6d\"\n[ca]", "crl.apart is at most half");
        for share in ["-0.1", "0.6", "nan"] {
            check("[ca]", &format!("[read_back]\nshare = {share}\n[ca]"), "read_back.share is between 0");
        }
        check("[ca]", "[read_back]\nevery = \"1ms\"\n[ca]", "read_back.every is at least 1s");
        check("[listen]", "orders = \"always\"\n[listen]", "expected `optional` or `required`");
        check("id = \"L1\"", "id = \"L1\"\n[[line]]\nid = \"L1\"", "is there twice");
    }
}
