//! Everybody has a short turn, in another order each round, so that a slow minute of the disk hits all alike.
//!
//! A store is opened for its turn and closed behind it, outside of the time that counts; what it keeps stays.
//! Nobody's background work then falls into another's turn.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use clap::ValueEnum;
use ledger::Options;
use tokio::runtime::{Builder, Runtime};

use crate::{
    bare::{self, Bare},
    committers::{self, Slice},
    group::Group,
    ours::{Issued, Records},
    redb::Redb,
    sled::Sled,
    sqlite::Sqlite,
};

/// Who takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contestant {
    /// Our ledger with plain records.
    Ours,
    /// Our ledger with the appliance's own event.
    OursUnits,
    /// sled, with a real sync.
    Sled,
    /// redb.
    Redb,
    /// SQLite.
    Sqlite,
    /// The disk itself, in a loop.
    Bare,
    /// The disk itself, behind a thread.
    BareThread,
}

/// What came of all turns of one contestant.
#[derive(Debug)]
pub(crate) struct Turns {
    pub(crate) who: Contestant,
    /// The last record's number is one less.
    next: u64,
    pub(crate) slices: Vec<Slice>,
}

impl Contestant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::OursUnits => "ours, UnitIssued",
            Self::Sled => "sled 0.34 + fdatasync",
            Self::Redb => "redb",
            Self::Sqlite => "SQLite WAL FULL",
            Self::Bare => "bare write + fdatasync",
            Self::BareThread => "bare, behind a thread",
        }
    }

    /// Whether it is a store of another make.
    pub(crate) fn is_peer(self) -> bool {
        matches!(self, Self::Sled | Self::Redb | Self::Sqlite)
    }
}

/// Measures everybody in `who`, or everybody, with `tasks` tasks below `dir`.
pub(crate) fn run(
    dir: &Path,
    who: &[Contestant],
    tasks: usize,
    rounds: usize,
    length: Duration,
) -> Result<Vec<Turns>> {
    let mut all = vec![
        Contestant::Ours,
        Contestant::OursUnits,
        Contestant::Sled,
        Contestant::Redb,
        Contestant::Sqlite,
        Contestant::BareThread,
    ];
    if tasks == 1 {
        // Many tasks share a sync; one is what can be compared with a loop.
        all.push(Contestant::Bare);
    }
    all.retain(|one| who.is_empty() || who.contains(one));
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let mut turns: Vec<Turns> =
        all.into_iter().map(|who| Turns { who, next: 0, slices: Vec::new() }).collect();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 1..=rounds {
        let mut order: Vec<_> = turns.iter_mut().collect();
        random.shuffle(&mut order);
        for turn in order {
            let name = turn.who.name();
            let slice = take(turn, &runtime, dir, tasks, length).with_context(|| name.to_owned())?;
            let rate = slice.latencies.len() as f64 / slice.seconds;
            eprintln!("round {round} of {rounds}, {tasks} committers: {name:24} {rate:9.0} commits/s");
            turn.slices.push(slice);
            // What is left in memory must not burden the next one.
            rustix::fs::sync();
        }
    }
    Ok(turns)
}

fn take(turn: &mut Turns, runtime: &Runtime, dir: &Path, tasks: usize, length: Duration) -> Result<Slice> {
    let dir = dir.join(format!("{:?}", turn.who).to_lowercase());
    std::fs::create_dir_all(&dir)?;
    let cache = Options::default().cache_bytes;
    let next = &mut turn.next;
    match turn.who {
        Contestant::Ours => runtime.block_on(committers::slice(Records::open(&dir)?, tasks, length, next)),
        Contestant::OursUnits => {
            runtime.block_on(committers::slice(Issued::open(&dir)?, tasks, length, next))
        }
        Contestant::Sled => {
            let group = Group::start(Sled::open(&dir, cache)?);
            runtime.block_on(committers::slice(group, tasks, length, next))
        }
        Contestant::Redb => {
            let group = Group::start(Redb::open(&dir, cache)?);
            runtime.block_on(committers::slice(group, tasks, length, next))
        }
        Contestant::Sqlite => {
            let group = Group::start(Sqlite::open(&dir, cache)?);
            runtime.block_on(committers::slice(group, tasks, length, next))
        }
        Contestant::Bare => bare::slice(Bare::open(&dir)?, length),
        Contestant::BareThread => {
            let group = Group::start(Bare::open(&dir)?);
            runtime.block_on(committers::slice(group, tasks, length, next))
        }
    }
}
