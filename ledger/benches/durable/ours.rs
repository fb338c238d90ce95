//! Our ledger: with the smallest event that a record fits into, and with the event of the appliance.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use edge::EdgeEvent;
use ledger::{Applied, Changes, CommitError, Decision, Event, FrameRef, Ledger, Options, View};
use serde::{Deserialize, Serialize};

use crate::{
    committers::{Store, record},
    unit::{self, Units},
};

/// A record was kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    n: u64,
    record: String,
}

impl Event for Kept {
    /// The record stays in the journal; the index says where.
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        changes.put(&key(self.n), &at.frame);
    }
}

/// Records in a ledger.
pub(crate) struct Records(Ledger<Kept>);

impl Records {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self(Ledger::open(dir, &Options::default())?))
    }
}

impl Store for Records {
    async fn put(&self, n: u64) -> Result<()> {
        let events = vec![Kept { n, record: record(n) }];
        let decide = |_: &View<'_>| Ok::<_, ()>(Decision { events, answer: () });
        self.0.commit(unit::stamp(), decide).await.map(drop).map_err(|error| match error {
            CommitError::Refused(()) => anyhow!("refused"),
            CommitError::Unavailable(why) => why.into(),
        })
    }

    async fn finish(self, n: u64) -> Result<()> {
        let frame: Option<FrameRef> = self.0.get(&key(n))?;
        let frame = frame.ok_or_else(|| anyhow!("record {n} is not in the index"))?;
        ensure!(self.0.entry(&frame)?.events[0].record == record(n), "record {n} is another");
        self.0.close().await;
        Ok(())
    }
}

fn key(n: u64) -> Vec<u8> {
    format!("record/{n:016x}").into_bytes()
}

/// Units in a ledger.
pub(crate) struct Issued {
    ledger: Ledger<EdgeEvent>,
    units: Units,
}

impl Issued {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { ledger: Ledger::open(dir, &Options::default())?, units: Units::new()? })
    }
}

impl Store for Issued {
    async fn put(&self, n: u64) -> Result<()> {
        self.units.issue(&self.ledger, n).await
    }

    async fn finish(self, n: u64) -> Result<()> {
        let entry = self.ledger.entry(&unit::frame(&self.ledger, n)?)?;
        let expected = EdgeEvent::UnitIssued(Box::new(self.units.unit(n)?));
        ensure!(entry.events == [expected], "unit {n} is another");
        self.ledger.close().await;
        Ok(())
    }
}
