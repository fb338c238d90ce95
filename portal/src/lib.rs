//! The machine manufacturer's window: claim a device, say what it is, activate it, take it out of service.
//!
//! What a person types is saved in the portal's own ledger before the page says so, and carried out by the same worker
//! that the edge uses; a cloud that is away delays it and loses nothing.
//!
//! Read [`event`] for what is remembered, [`claim`] and [`deactivation`] for who may ask for what,
//! [`status`] for what a page says.

pub mod account;
pub mod attempts;
pub mod claim;
pub mod config;
pub mod deactivation;
pub mod event;
pub mod folder;
mod http;
pub mod init;
pub mod metadata;
pub mod password;
mod pki;
mod portal;
pub mod reason;
pub mod seal;
pub mod status;

pub use crate::{
    account::AccountName,
    config::{Config, ConfigError},
    init::{AccountIs, init, set_account},
    portal::{Portal, RunError, StartError},
};

#[expect(clippy::disallowed_methods, reason = "the portal is a shell: here the time comes in")]
fn now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc()
}
