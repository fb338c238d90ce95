//! Who may sign in: names and their password hashes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of an account, as it is typed at the login: lower case, 1 to 64 of `a-z 0-9 . _ @ -`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(String);

/// What an account name must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an account name has 1 to 64 of a-z, 0-9 and . _ @ -, and begins with a letter or digit")]
pub struct InvalidAccountName;

impl FromStr for AccountName {
    type Err = InvalidAccountName;

    /// Takes the name in any case, and keeps it in lower case.
    fn from_str(text: &str) -> Result<Self, InvalidAccountName> {
        let name = text.to_ascii_lowercase();
        let plain = name.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '@' | '-'));
        let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if plain && begins && name.len() <= 64 { Ok(Self(name)) } else { Err(InvalidAccountName) }
    }
}

impl TryFrom<String> for AccountName {
    type Error = InvalidAccountName;

    fn try_from(text: String) -> Result<Self, InvalidAccountName> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_in_any_case_and_kept_in_lower_case() {
        assert_eq!("A.Weber@Muster".parse::<AccountName>().unwrap().to_string(), "a.weber@muster");
    }

    #[test]
    fn a_name_that_could_be_mistaken_for_something_else_is_refused() {
        for text in ["", "-rf", "a b", "a/b", "ä", "<b>", &"a".repeat(65)] {
            assert_eq!(text.parse::<AccountName>(), Err(InvalidAccountName), "{text:?}");
        }
    }
}
