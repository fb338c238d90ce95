//! The appliance on the factory floor: a local CA, an API for lines, boards, and a command line.
//!
//! It answers from its own disk; the cloud is told later, by the worker that this crate starts and nobody waits for.
//! Read `enroll` for what happens when a line asks for an identity, [`Appliance`] for what runs.

pub mod access;
mod appliance;
mod backup;
mod board;
mod claim;
pub mod cli;
pub mod config;
mod credentials;
mod crl;
mod csr;
mod enroll;
pub mod event;
mod evidence;
mod feed;
mod fence;
mod http;
mod index;
mod init;
mod issuance;
mod life;
mod local;
mod order;
mod pem;
mod pki;
mod reconcile;
mod record;
mod state_dir;
mod trust;

pub use crate::{
    appliance::{Appliance, RunError, StartError},
    config::{Config, ConfigError},
    event::EdgeEvent,
    http::{ROUTES, Route},
    init::{InitError, InitOptions, InitReport, init},
};
