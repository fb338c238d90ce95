//! The agent: born on the line, wakes up at the customer's site.
//!
//! On the line, [`birth()`] makes the device's key where it will stay and asks the edge for a certificate.
//! At the customer's site, [`Agent::run`] asks DPS where the device belongs, as often as it takes, and lives there:
//! telemetry, twin, methods.
//!
//! Read [`mind`] for what it does next and when; everything else is the shell around it.

mod agent;
mod birth;
mod config;
mod files;
mod hub;
mod identity;
pub mod mind;
mod mqtt;
mod provisioning;
mod readings;
mod tls;

pub use crate::{
    agent::{Agent, RunError, Status},
    birth::{BirthError, BirthOptions, Born, birth},
    config::{Config, ConfigError},
    identity::IdentityError,
};
