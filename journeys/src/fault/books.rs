//! A small ledger of an appliance, in a folder of its own: what `corrupt` and `rebuild` work on, in this process.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, anyhow};
use azure_iot::RegistrationId;
use cloud_sync::CloudEvent;
use edge::{EdgeEvent, event::UnitIssued};
use fastrand::Rng;
use ledger::{
    CommitError, Decision, Event, FrameRef, Hash, Ledger, OpenError, Options, SpaceOptions, Stamp, View,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// How the ledgers of these harnesses are kept: many small segments.
pub(crate) fn options() -> Options {
    Options {
        journal: journal::Options { segment_bytes: 32 << 10 },
        cache_bytes: 1 << 20,
        space: SpaceOptions { floor: 0, ballast: 0 },
        ..Options::default()
    }
}

/// Everything that a ledger shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// The whole index, and with it the number and the hash of the last commit.
    pub(crate) index: Hash,
    /// What was issued: every unit's event, read back from the journal.
    pub(crate) units: BTreeMap<String, Value>,
}

/// Reads everything that a ledger shows.
pub(crate) fn look<E: Event>(ledger: &Ledger<E>) -> Result<Shown> {
    let mut units = BTreeMap::new();
    for (key, unit) in ledger.scan::<Value>(b"unit/", None, usize::MAX)? {
        let frame: FrameRef = serde_json::from_value(unit["frame"].clone())?;
        let entry = ledger.entry(&frame)?;
        units.insert(String::from_utf8_lossy(&key).into_owned(), json!(entry.events));
    }
    Ok(Shown { index: ledger.fingerprint()?, units })
}

/// Opens a ledger of an appliance.
pub(crate) fn open(dir: &Path) -> Result<Ledger<EdgeEvent>, OpenError> {
    Ledger::open(dir, &options())
}

/// Commits unit `n`, and later perhaps that the cloud has it.
pub(crate) async fn issue(ledger: &Ledger<EdgeEvent>, n: u64) -> Result<()> {
    commit(ledger, EdgeEvent::UnitIssued(Box::new(unit(n)?))).await?;
    if n.is_multiple_of(3) {
        commit(ledger, EdgeEvent::Cloud(CloudEvent::Accepted { id: id(n)?, epoch: 1 })).await?;
    }
    Ok(())
}

async fn commit(ledger: &Ledger<EdgeEvent>, event: EdgeEvent) -> Result<()> {
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "token:rig".to_owned() };
    let decide =
        move |_: &View<'_>| Ok::<_, std::convert::Infallible>(Decision { events: vec![event], answer: () });
    ledger.commit(stamp, decide).await.map(drop).map_err(|error| match error {
        CommitError::Unavailable(why) => anyhow!(why),
        CommitError::Refused(never) => match never {},
    })
}

fn id(n: u64) -> Result<RegistrationId> {
    format!("gw-{n:06}").parse().map_err(|error| anyhow!("{error}"))
}

fn unit(n: u64) -> Result<UnitIssued> {
    let mut dice = Rng::with_seed(n);
    let mut hex = |bytes: usize| (0..2 * bytes).map(|_| dice.digit(16)).collect::<String>();
    Ok(serde_json::from_value(json!({
        "id": id(n)?, "epoch": 1, "line": format!("L{}", n % 3), "key_sha256": hex(32), "key_origin": "csr",
        "serial": hex(17), "sha256": hex(32).to_uppercase(), "not_before": "2026-11-23T14:00:00Z",
        "not_after": "2046-11-20T14:00:00Z", "certificate": hex(240), "issuer_sha256": hex(32),
        "claim": { "generation": 1, "salt": hex(16), "sha256": hex(32) }, "scope": "*",
        "issued_by": { "box": "edge", "generation": 1 },
    }))?)
}

/// Every file below `dir`, by its path.
pub(crate) fn files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(dir)?.to_owned(), fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

/// Makes `dir` hold exactly `files`.
pub(crate) fn put(dir: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap_or(dir))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
