//! Whether what the index shows after a fault is what the journal says: the index as it is caught up, and one that is
//! built from nothing, have to be the same to the last byte.

use std::path::Path;

use anyhow::{Context, Result};
use edge::EdgeEvent;
use ledger::{Hash, Ledger, Options, SpaceOptions};
use tempfile::TempDir;

use crate::fault::{
    books,
    report::{Report, Violation},
};

/// Looks at a copy of the ledger in the state folder `state`, which nobody has open.
pub(crate) async fn check(state: &Path, report: &mut Report) -> Result<()> {
    let dir = TempDir::new()?;
    let copy = dir.path().join("ledger");
    books::put(&copy, &books::files(&state.join("ledger"))?)?;
    let caught_up = fingerprint(&copy).await;
    for name in ["index", "index.unusable"] {
        match std::fs::remove_dir_all(copy.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("the copy of the index");
            }
            _ => {}
        }
    }
    let rebuilt = fingerprint(&copy).await;
    report.add("indexes_compared", 1);
    match (caught_up, rebuilt) {
        (Ok(caught_up), Ok(rebuilt)) if caught_up == rebuilt => {}
        (Ok(_), Ok(_)) => report.found(Violation::HalfCommit, "the index is not what the journal says"),
        (Err(error), _) | (_, Err(error)) => report.found(Violation::Unopenable, format!("{error:#}")),
    }
    Ok(())
}

async fn fingerprint(dir: &Path) -> Result<Hash> {
    let options = Options { space: SpaceOptions { floor: 0, ballast: 0 }, ..Options::default() };
    let ledger = Ledger::<EdgeEvent>::open(dir, &options)?;
    let fingerprint = ledger.fingerprint()?;
    ledger.close().await;
    Ok(fingerprint)
}
