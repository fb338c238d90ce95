//! A journal filled on purpose, to the brink of its next segment.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use crate::fault::{
    bench::{Bench, Heard},
    daemon::{Came, Environment},
};

/// What a unit is padded with; a request takes 64 KiB at most.
const PADDING: usize = 56 << 10;
/// About what a frame takes besides the padding.
const FRAME: u64 = 4 << 10;

/// Issues large units until two more would not fit into the segment. Returns what to pad the next ones with.
pub(crate) async fn nearly(bench: &Bench) -> Result<usize> {
    let mut daemon = bench.spawn(&Environment::new())?;
    ensure!(matches!(daemon.come_up().await?, Came::Up(_)), "it does not start");
    let line = bench.line()?;
    let journal = bench.state().join("ledger/journal");
    let padding = "x".repeat(PADDING);
    let brink = 2 * (PADDING as u64 + FRAME);
    let (mut used, capacity) = used(&journal)?;
    let mut number = 0;
    while used + brink < capacity {
        let request =
            json!({ "id": format!("fill-{number}"), "line": "L1", "attributes": { "padding": padding } });
        match line.issue(&request).await {
            Heard::Answer(201, _) => number += 1,
            other => bail!("it does not fill: {other:?}"),
        }
        used += PADDING as u64;
        if used + brink >= capacity {
            used = self::used(&journal)?.0;
        }
    }
    daemon.stop().await?.context("it does not stop")?;
    Ok(PADDING)
}

/// The bytes of the last segment that were written, and its size.
fn used(journal: &Path) -> Result<(u64, u64)> {
    let mut segments: Vec<_> = fs::read_dir(journal)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "segment"));
    let bytes = fs::read(segments.iter().max().context("no segment")?)?;
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    Ok((used as u64, bytes.len() as u64))
}
