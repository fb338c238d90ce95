//! The names by which DPS and IoT Hub know things, checked where they come in.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a text is not an identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{text}' is not {kind}: {rule}")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    rule: &'static str,
}

impl InvalidId {
    /// The rule that the text breaks.
    #[must_use]
    pub fn rule(&self) -> &'static str {
        self.rule
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok(Self(text.into()))
                } else {
                    let shown = text.chars().take(80).collect();
                    Err(InvalidId { text: shown, kind: $kind, rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// Names a device to DPS; also the common name of its certificate.
    ///
    /// Stricter than DPS, which allows 128 characters and ignores case: a common name has room for 64, and a case
    /// mismatch between certificate and enrollment fails at registration.
    RegistrationId, "a registration id",
    "1 to 64 of the characters a-z 0-9 . _ : -, beginning and ending with a letter or digit",
    |text| {
        let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = text.bytes().next().is_some_and(alphanumeric) && text.bytes().next_back().is_some_and(alphanumeric);
        ends && text.len() <= 64 && text.bytes().all(|byte| alphanumeric(byte) || b"._:-".contains(&byte))
    }
}

id! {
    /// Names a device to its IoT Hub; case-sensitive there.
    DeviceId, "a device id",
    "1 to 128 of the characters A-Z a-z 0-9 - : . + % _ # * ? ! ( ) , = @ ; $ '",
    |text| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-:.+%_#*?!(),=@;$'".contains(&byte);
        (1..=128).contains(&text.len()) && text.bytes().all(known)
    }
}

id! {
    /// Names a DPS instance to devices, such as `0ne00A1B2C3`.
    IdScope, "an id scope", "1 to 64 letters and digits",
    |text| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

id! {
    /// Names a running registration; opaque.
    OperationId, "an operation id", "1 to 256 visible ASCII characters",
    |text| (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl RegistrationId {
    /// Parses an id in any case; DPS ignores case, we always write lower case.
    pub fn parse_any_case(text: &str) -> Result<Self, InvalidId> {
        text.to_ascii_lowercase().parse()
    }
}

impl From<RegistrationId> for DeviceId {
    fn from(id: RegistrationId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_registration_id_that_parses_prints_back(text in "[a-z0-9._:-]{0,70}") {
            match text.parse::<RegistrationId>() {
                Ok(id) => prop_assert_eq!(id.to_string(), text),
                Err(error) => prop_assert!(error.to_string().contains("registration id")),
            }
        }

        #[test]
        fn every_id_that_parses_prints_back(text in "\\PC{0,140}") {
            for printed in [
                text.parse::<RegistrationId>().map(String::from),
                text.parse::<DeviceId>().map(String::from),
                text.parse::<IdScope>().map(String::from),
                text.parse::<OperationId>().map(String::from),
            ].into_iter().flatten() {
                prop_assert_eq!(&printed, &text);
            }
        }
    }

    #[test]
    fn what_is_no_registration_id() {
        let long = "a".repeat(65);
        for text in ["", "-a", "a-", "A", "a/b", "a b", " a", "a\n", "ä", "a\0", &long] {
            assert!(text.parse::<RegistrationId>().is_err(), "{text:?}");
        }
        for text in ["a", "0", "a-b", "a.b_c:d-e", &long[1..]] {
            assert!(text.parse::<RegistrationId>().is_ok(), "{text:?}");
        }
    }

    #[test]
    fn upper_case_is_lowered_only_where_it_is_asked_for() {
        assert_eq!(RegistrationId::parse_any_case("GW-01").map(String::from), Ok("gw-01".to_owned()));
        assert!("GW-01".parse::<RegistrationId>().is_err());
    }
}
