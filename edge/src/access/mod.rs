//! Who may do what: five roles, tokens with a scope, default deny.

mod guard;
mod role;
mod token;

pub(crate) use guard::{COOKIE, Principal, authenticate, guard};
pub use role::{Access, Role};
pub use token::TokenCreated;
pub(crate) use token::{NewToken, TokenRecord, created, key, mint, records, revoked};
