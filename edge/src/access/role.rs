//! The five roles, everywhere the same.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What somebody is on the floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A line PC or rig: issues units on its line.
    Station,
    /// Issues on every line, and decides.
    Supervisor,
    /// Reads everything about units.
    Quality,
    /// A screen: reads boards.
    Display,
    /// Lets others in; issues nothing.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Station, Self::Supervisor, Self::Quality, Self::Display, Self::Admin];

    fn name(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Supervisor => "supervisor",
            Self::Quality => "quality",
            Self::Display => "display",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            format!("'{text}' is no role; there are station, supervisor, quality, display and admin")
        })
    }
}

/// Who may use a route. A route cannot be made without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Public,
    /// These roles.
    Roles(&'static [Role]),
    /// A unit, by the certificate that it was issued.
    Unit,
}

impl Access {
    /// Everybody with a token.
    pub const ANY_ROLE: Self = Self::Roles(&Role::ALL);

    /// Whether somebody with `role` may.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Public => true,
            Self::Roles(roles) => roles.contains(&role),
            Self::Unit => false,
        }
    }
}
