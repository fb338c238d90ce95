//! The connection string of a DPS instance.

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use thiserror::Error;

use crate::sas::SasKey;

/// `HostName=…;SharedAccessKeyName=…;SharedAccessKey=…`, as the Azure portal shows it under "Shared access policies".
#[derive(Clone)]
pub struct ConnectionString {
    host: String,
    policy: String,
    key: SasKey,
}

/// Why a text is not a connection string of DPS.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidConnectionString {
    /// A part is missing.
    #[error("the connection string has no {0}=…; copy the whole string from the shared access policy")]
    Missing(&'static str),
    /// The key is cut or mistyped.
    #[error("SharedAccessKey is not base64; copy the whole connection string again")]
    Key,
    /// The string is that of another service.
    #[error("'{0}' is an IoT Hub; use the connection string of the Device Provisioning Service")]
    Hub(String),
    /// The host is none.
    #[error("'{0}' is not a host name; give it without https:// and without a path")]
    Host(String),
}

impl ConnectionString {
    /// The host name of the instance, such as `plant7.azure-devices-provisioning.net`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The name of the shared access policy.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The policy's key.
    #[must_use]
    pub fn key(&self) -> &SasKey {
        &self.key
    }
}

impl FromStr for ConnectionString {
    type Err = InvalidConnectionString;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A key is base64 and may end in '=': only the first one separates.
        let parts: Vec<_> = text.trim().split(';').filter_map(|part| part.split_once('=')).collect();
        let part = |name: &'static str| {
            let found = parts.iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim());
            found.filter(|value| !value.is_empty()).ok_or(InvalidConnectionString::Missing(name))
        };
        let host = part("HostName")?.to_ascii_lowercase();
        if host.ends_with(".azure-devices.net") {
            return Err(InvalidConnectionString::Hub(host));
        }
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)) {
            return Err(InvalidConnectionString::Host(host));
        }
        let policy = part("SharedAccessKeyName")?.to_owned();
        let key = STANDARD.decode(part("SharedAccessKey")?).map_err(|_| InvalidConnectionString::Key)?;
        Ok(Self { host, policy, key: SasKey::new(key) })
    }
}

impl fmt::Debug for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionString")
            .field("host", &self.host)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_contain_the_separator() {
        let text = "SharedAccessKey=c2VjcmV0LWtleS0wMDE=;HostName=Plant.azure-devices-provisioning.net;SharedAccessKeyName=owner\n";
        let parsed: ConnectionString = text.parse().expect("a connection string");
        assert_eq!((parsed.host(), parsed.policy()), ("plant.azure-devices-provisioning.net", "owner"));
        assert!(!format!("{parsed:?}").contains("c2Vj"), "the key stays out of logs");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |text: &str, expected| {
            assert_eq!(text.parse::<ConnectionString>().err(), Some(expected), "{text}");
        };
        check("", InvalidConnectionString::Missing("HostName"));
        check("HostName=a;SharedAccessKey=AA==", InvalidConnectionString::Missing("SharedAccessKeyName"));
        check("HostName=a;SharedAccessKeyName=b;SharedAccessKey=!", InvalidConnectionString::Key);
        check("HostName=h.azure-devices.net", InvalidConnectionString::Hub("h.azure-devices.net".into()));
        check("HostName=https://a", InvalidConnectionString::Host("https://a".into()));
    }
}
