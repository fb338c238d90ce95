//! Who may do what: five roles, tokens with a scope, default deny.

mod guard;
mod role;
mod token;
mod usage;

pub(crate) use guard::{COOKIE, Principal, authenticate, guard};
pub use role::{Access, Role};
pub use token::TokenCreated;
pub(crate) use token::{NewToken, TokenRecord, created, key, mint, revoked};
pub use usage::TokenUse;
pub(crate) use usage::{Usage, used};
