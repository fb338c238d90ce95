//! A journal filled on purpose, to the brink of its next segment.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, stream};
use serde_json::json;

use crate::fault::{
    bench::{Bench, Heard},
    daemon::{Came, Environment},
};

/// A configuration with small segments, so that many are begun, and little of everything else.
pub(crate) const SMALL_SEGMENTS: &str =
    "[storage]\nfloor = \"16 MiB\"\nballast = \"4 MiB\"\nsegment = \"2 MiB\"\n";
/// What a unit is padded with; a request takes 64 KiB at most.
const PADDING: usize = 56 << 10;
/// How many are asked for at a time.
const AT_A_TIME: usize = 16;
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
    let mut number = 0_u64;
    while used + brink < capacity {
        // Rather too few than too many at a time: what is really used is looked up.
        let room = (capacity - used - brink) / (PADDING as u64 + FRAME);
        let some = number..number + room.clamp(1, 64);
        let ask = |number: u64| {
            let padding = json!({ "padding": padding });
            let request = json!({ "id": format!("fill-{number}"), "line": "L1", "attributes": padding });
            let line = &line;
            async move { line.issue(&request).await }
        };
        number = some.end;
        let mut answers = stream::iter(some).map(ask).buffer_unordered(AT_A_TIME);
        while let Some(heard) = answers.next().await {
            ensure!(matches!(heard, Heard::Answer(201, _)), "it does not fill: {heard:?}");
        }
        used = self::used(&journal)?.0;
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
