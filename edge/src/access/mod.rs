//! Who may do what: five roles, tokens with a scope, default deny.

mod guard;
mod role;
mod station;
mod token;
mod unit;
mod usage;

pub(crate) use guard::{COOKIE, Principal, authenticate, guard};
pub use role::{Access, Role};
pub use station::StationEnrolled;
pub(crate) use station::{
    StationRecord, station_by_key, station_enrolled, station_key, station_revoked, stations,
};
pub use token::TokenCreated;
pub(crate) use token::{NewToken, TokenRecord, created, key, mint, revoked};
pub(crate) use unit::UnitPeer;
pub use usage::TokenUse;
pub(crate) use usage::{Usage, used};
