//! Why somebody takes a device out of service, in their own words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most characters of a reason.
const LONGEST: usize = 200;

/// A reason: one line of 1 to 200 characters, without blanks around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

/// Why something typed is not a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReason {
    /// There is nothing but blanks.
    #[error("Say why, for example “sold” or “returned by the customer”.")]
    Empty,
    /// It is too long.
    #[error("Shorten the reason: it has {found} characters, and at most {LONGEST} are kept.")]
    TooLong {
        /// How many characters there are.
        found: usize,
    },
    /// There is a line break, a tab or something else that is no text.
    #[error("Write the reason in one line, without tabs.")]
    Control,
}

impl FromStr for Reason {
    type Err = InvalidReason;

    /// Takes a reason as it is typed, with blanks around it.
    fn from_str(text: &str) -> Result<Self, InvalidReason> {
        let text = text.trim();
        let found = text.chars().count();
        if found == 0 {
            return Err(InvalidReason::Empty);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidReason::Control);
        }
        if found > LONGEST {
            return Err(InvalidReason::TooLong { found });
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = InvalidReason;

    fn try_from(text: String) -> Result<Self, InvalidReason> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_a_line_of_text_and_loses_only_the_blanks_around_it() {
        let long = "ü".repeat(LONGEST);
        for (typed, kept) in [("  sold to  Ulm \n", "sold to  Ulm"), ("x", "x"), (&long, &long)] {
            assert_eq!(typed.parse::<Reason>().unwrap().to_string(), kept);
        }
        let longer = "ü".repeat(LONGEST + 1);
        let rows = [
            ("", InvalidReason::Empty),
            (" \t\r\n", InvalidReason::Empty),
            ("sold\nyesterday", InvalidReason::Control),
            ("sold\tyesterday", InvalidReason::Control),
            ("sold\u{7}", InvalidReason::Control),
            (&longer, InvalidReason::TooLong { found: LONGEST + 1 }),
        ];
        for (typed, why) in rows {
            assert_eq!(typed.parse::<Reason>(), Err(why), "{typed:?}");
        }
    }
}
