//! What an appliance promises about a disk that is full, and what it must do once there is room again.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use tokio::time::{Instant, interval};

use crate::fault::{
    bench::{Heard, Line, fingerprint},
    check::{self, Standing},
    load::ask,
    report::{Report, Violation},
    told::Told,
};

/// How long it may take to notice that there is room again.
const RECOVERY: Duration = Duration::from_secs(10);

/// A new unit is refused with 507, and readiness says the same and why; it is alive all the same.
pub(crate) async fn refuses_when_full(line: &Line, id: &str, report: &mut Report) -> Result<()> {
    match line.issue(&ask(id, true)?).await {
        Heard::Answer(507, problem) if problem["code"] == "storage-full" => report.add("refused_507", 1),
        Heard::Answer(201, _) => report.found(Violation::FalseAck, "a unit was issued on a full disk"),
        other => report.found(Violation::Unexpected, format!("a new unit on a full disk: {other:?}")),
    }
    match line.get("/readyz").await {
        Heard::Answer(503, problem)
            if problem["code"] == "storage-full"
                && problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()) =>
        {
            report.add("not_ready_503", 1);
        }
        other => report.found(Violation::Unexpected, format!("readiness on a full disk: {other:?}")),
    }
    if !matches!(line.get("/livez").await, Heard::Answer(200, _)) {
        report.found(Violation::Unexpected, "it is not alive on a full disk");
    }
    Ok(())
}

/// What was issued can be read.
pub(crate) async fn reads(line: &Line, told: &Told, dice: &mut Rng, report: &mut Report) {
    let some = told.since(told.len(), 20, dice);
    check::units(line, told, some, report).await;
}

/// What waits gets to the cloud.
pub(crate) async fn announces(line: &Line, report: &mut Report) {
    match check::settled(line).await {
        Standing::Settled => report.add("announced_on_a_full_disk", 1),
        Standing::Gone => report.found(Violation::Crash, "it is gone"),
        Standing::Stuck(books) => {
            report.found(Violation::Hang, format!("on a full disk nothing is announced any more: {books}"));
        }
    }
}

/// There is room: it issues again, in the same process, and is ready.
pub(crate) async fn issues_again(line: &Line, id: &str, told: &Told, report: &mut Report) -> Result<()> {
    let (begun, mut pace, request) = (Instant::now(), interval(Duration::from_millis(100)), ask(id, true)?);
    while begun.elapsed() < RECOVERY {
        pace.tick().await;
        if let Heard::Answer(201, unit) = line.issue(&request).await {
            match fingerprint(&unit) {
                Some(sha256) => told.yes(id, &sha256),
                None => report.found(Violation::Unexpected, format!("not a whole answer: {unit}")),
            }
            report.most("recovered_after_ms", u64::try_from(begun.elapsed().as_millis())?);
            if !matches!(line.get("/readyz").await, Heard::Answer(200, _)) {
                report.found(Violation::Unexpected, "it issues, and says that it is not ready");
            }
            return Ok(());
        }
    }
    report.found(Violation::Hang, "there is room again, and nothing is issued");
    Ok(())
}
