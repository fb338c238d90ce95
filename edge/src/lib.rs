//! The appliance on the factory floor: a local CA, an API for lines, boards, and a command line.
//!
//! It answers from its own disk; the cloud is told later, by the worker that this crate starts and nobody waits for.
//! Read `enroll` for what happens when a line asks for an identity, [`Appliance`] for what runs.

pub mod access;
mod appliance;
mod backup;
mod board;
mod ca;
mod certificate;
mod claim;
pub mod cli;
pub mod clock;
pub mod config;
mod courier;
mod credentials;
mod crl;
mod csr;
mod der;
mod drift;
mod enroll;
pub mod event;
mod evidence;
mod feed;
mod fence;
mod fingerprint;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
mod index;
mod init;
mod issuance;
mod key;
mod life;
mod local;
mod metrics;
mod no_core;
mod order;
mod pem;
mod pki;
mod plain;
mod problems;
mod profile;
mod queue;
mod reconcile;
mod record;
mod renewal;
mod resolve;
mod signing;
mod state_dir;
mod stations;
mod trust;

pub use crate::{
    appliance::{Appliance, RunError, StartError},
    ca::{CaChain, CaInstalled, CaProved, CaToken, Origin},
    config::{Config, ConfigError},
    event::EdgeEvent,
    http::{Face, ROUTES, Route},
    init::{InitError, InitOptions, InitReport, init},
};
