//! What a line's certificates look like: a `[profile.NAME]` of the configuration.
//!
//! Whether what comes of it is a good certificate is decided in one place, the lint, which makes a trial of every
//! profile at start. Here is only what can be written at all.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;
use time::{OffsetDateTime, macros::datetime};

use crate::key::KeyType;

/// The profile of whoever names none. It exists also where the configuration does not mention it.
pub const DEFAULT: &str = "default";

/// RFC 5280 4.1.2.5: the end of a certificate that has no well-defined end.
pub(crate) const NO_END: OffsetDateTime = datetime!(9999-12-31 23:59:59 UTC);

/// What certificates look like, apart from their id and key.
#[derive(Debug, Clone, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a table of its own for every profile, such as [profile.default]"
)]
pub struct ProfileConfig {
    /// The kinds of key that are certified. The appliance itself makes P-256 only.
    pub keys: Vec<KeyType>,
    /// How long they are good for.
    pub validity: Validity,
    /// How far back they begin, for devices whose clock is slow.
    #[serde(with = "humantime_serde")]
    pub backdate: Duration,
    /// Subject: `O`.
    pub organization: Option<String>,
    /// Subject: `OU`.
    pub organizational_unit: Option<String>,
    /// Subject: `C`, two capital letters of ISO 3166.
    pub country: Option<String>,
    /// Subject: `ST`.
    pub state: Option<String>,
    /// Subject: `L`.
    pub locality: Option<String>,
    /// Whether the id is in the subject's `serialNumber` too, as IEEE 802.1AR wants it.
    pub serial_number: bool,
    /// The `hwType` of a hardwareModuleName (RFC 4108 5) as subject alternative name; its `hwSerialNum` is the id.
    pub hardware_module: Option<ObjectId>,
    /// The certificate policy.
    pub policy: Option<ObjectId>,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            keys: vec![KeyType::P256],
            validity: Validity::default(),
            backdate: Duration::from_secs(3600),
            organization: None,
            organizational_unit: None,
            country: None,
            state: None,
            locality: None,
            serial_number: false,
            hardware_module: None,
            policy: None,
        }
    }
}

impl ProfileConfig {
    /// When a certificate ends that is issued `now`; `None` for a validity that no calendar holds.
    pub(crate) fn not_after(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        match self.validity {
            Validity::For(validity) => now.checked_add(validity.try_into().ok()?),
            Validity::NoEnd => Some(NO_END),
        }
    }

    /// When it begins, not before its issuer does.
    pub(crate) fn not_before(&self, now: OffsetDateTime, issuer: OffsetDateTime) -> OffsetDateTime {
        let backdated = self.backdate.try_into().ok().and_then(|backdate| now.checked_sub(backdate));
        backdated.unwrap_or(issuer).max(issuer)
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

/// An object identifier in its dotted form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ObjectId(Vec<u64>);

/// What is no object identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is no object identifier; write it with dots, as in \"1.3.6.1.4.1.32473.1\"")]
pub struct InvalidObjectId(String);

impl ObjectId {
    pub(crate) fn arcs(&self) -> &[u64] {
        &self.0
    }
}

impl FromStr for ObjectId {
    type Err = InvalidObjectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidObjectId(text.to_owned());
        let canonical = |arc: &str| arc == "0" || !arc.starts_with(['0', '+']);
        let arcs: Vec<u64> = text
            .split('.')
            .map(|arc| canonical(arc).then(|| arc.parse().ok()).flatten().ok_or_else(invalid))
            .collect::<Result<_, _>>()?;
        // X.660: three roots, and 40 below the first two.
        match arcs[..] {
            [0 | 1, 0..40, _, ..] | [2, 0..=0xFFFF, _, ..] => Ok(Self(arcs)),
            _ => Err(invalid()),
        }
    }
}

impl TryFrom<String> for ObjectId {
    type Error = InvalidObjectId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers() {
        assert_eq!("1.3.6.1.4.1.32473.1".parse::<ObjectId>().unwrap().arcs(), [1, 3, 6, 1, 4, 1, 32473, 1]);
        for bad in
            ["", "1", "1.3", "3.1.1", "1.40.1", "1.3.06", "1.3.+6", "1..3", "1.3.x", "1.3.-1", "2.99999999.1"]
        {
            assert_eq!(bad.parse::<ObjectId>(), Err(InvalidObjectId(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_profile_knows_its_ends() {
        let now = datetime!(2026-11-23 12:00 UTC);
        let issuer = datetime!(2026-11-23 11:30 UTC);
        let profile = ProfileConfig::default();
        assert_eq!(profile.not_before(now, issuer), issuer);
        assert_eq!(profile.not_before(now, issuer - time::Duration::DAY), datetime!(2026-11-23 11:00 UTC));
        let forever = ProfileConfig { validity: Validity::NoEnd, ..profile.clone() };
        assert_eq!(forever.not_after(now), Some(NO_END));
        let absurd =
            ProfileConfig { validity: Validity::For(Duration::MAX), backdate: Duration::MAX, ..profile };
        assert_eq!(absurd.not_after(now), None);
        assert_eq!(absurd.not_before(now, issuer), issuer);
    }
}
