//! A daemon's durable truth: events in a journal, and a sled index that can be rebuilt from them.
//!
//! [`Ledger::commit`] takes a *decision*: a closure that looks at the state and returns events or a refusal.
//! There is one writer at a time, so looking and writing are one step, and it is answered once its events are on disk.
//! [`Event::apply`] turns an event into index changes; living and recovering call the same function, so the index may be
//! deleted at any time.
//!
//! Read [`event`] for what a program brings, [`Ledger`] for what it gets, and `core` for what happens in between.

pub mod audit;
mod block;
mod cache;
mod changes;
mod checkpoint;
mod config;
mod core;
mod desk;
mod error;
pub mod event;
pub mod evidence;
mod index;
mod ledger;
mod memory;
pub mod merkle;
mod reads;
mod recovery;
mod space;
mod tree;
mod writer;

pub use journal::{FrameRef, Hash, Seq};

pub use crate::{
    changes::{Changes, View},
    checkpoint::{CheckpointKey, Sign, SignedCheckpoint},
    config::StorageConfig,
    core::{Committed, Decision},
    error::{CommitError, OpenError, ReadError, Unavailable},
    event::{Applied, Entry, Event, Stamp},
    ledger::{Ledger, Options, Status},
    memory::Memory,
    reads::Reads,
    space::SpaceOptions,
};
