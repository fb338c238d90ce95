//! Everything that must reach the cloud, and the patience to get it there.
//!
//! A program puts into its ledger what it [`Want`]s the cloud to know about a unit; a [`Worker`] tells Azure DPS, at a
//! polite pace, as often as it takes, and commits how it ended.
//! The edge announces units with it and the portal activates devices: same worker, same books, other events.
//!
//! Read in this order: [`state`] (where a unit stands), [`books`] (how that lives in a ledger), [`announce`], [`amend`],
//! [`activate`] and [`deactivate`] (what is said to DPS), [`mind`] (when), [`clerk`] (all of it without I/O), [`Worker`]
//! (the shell around it), [`courier`] (the same, carried by hand), [`drift`] and [`readback`] (whether it is still so).

pub mod activate;
pub mod amend;
pub mod announce;
pub mod answer;
mod attempts;
pub mod books;
mod budget;
mod cause;
pub mod census;
pub mod claim;
pub mod clerk;
mod cloud;
mod config;
pub mod conversation;
pub mod courier;
pub mod deactivate;
mod delays;
pub mod drift;
mod enrollment;
mod event;
pub mod fence;
pub mod link;
pub mod look;
pub mod mind;
pub mod readback;
mod reread;
pub mod rewrite;
mod round;
pub mod state;
mod survey;
mod work;
mod worker;

pub use crate::{
    attempts::Attempts,
    budget::Budget,
    cause::Cause,
    census::Announced,
    cloud::{Cloud, CloudError},
    config::{CloudConfig, ProxyConfig},
    delays::Delays,
    drift::Drift,
    event::CloudEvent,
    link::{Link, LinkState, Sighting},
    look::Found,
    readback::{Progress, ReadBackConfig},
    state::{Resolution, State, Want, Why},
    survey::Survey,
    work::{Activation, Amendment, Announcement, Deactivation, Outcome, Provenance, Work},
    worker::{Describe, Permission, Permit, Worker},
};
