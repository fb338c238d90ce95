//! Whether what clients were told is what the daemon knows.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use tokio::time::{Instant, interval};

use crate::fault::{
    bench::{Heard, Line, fingerprint},
    report::{Report, Violation},
    told::{Told, Unit},
};
use crate::sky::Sky;

/// How many questions are asked at a time.
const AT_A_TIME: usize = 16;
/// How long a backlog may take.
const DRAIN: Duration = Duration::from_secs(120);
/// How long a handful of units may take.
const SETTLE: Duration = Duration::from_secs(8);

/// Asks for each of these units, and compares certificates.
pub(crate) async fn units(line: &Line, told: &Told, units: Vec<(String, Unit)>, report: &mut Report) {
    report.add("checked", units.len());
    let ask =
        |(id, unit): (String, Unit)| async move { (line.get(&format!("/v1/units/{id}")).await, id, unit) };
    let mut answers = stream::iter(units).map(ask).buffer_unordered(AT_A_TIME);
    while let Some((heard, id, unit)) = answers.next().await {
        match heard {
            Heard::Answer(200, kept) => match fingerprint(&kept) {
                Some(sha256) if sha256 == unit.sha256 => told.confirm(&id),
                _ => report.found(Violation::Changed, format!("{id}: told {}, kept {kept}", unit.sha256)),
            },
            Heard::Answer(404, _) => missing(told, &id, &unit, report),
            Heard::Answer(status, body) => {
                report.found(Violation::Lost, format!("{id} cannot be read: {status} {body}"));
            }
            Heard::Nothing => report.found(Violation::Crash, format!("no answer about {id}")),
            Heard::Late => report.found(Violation::Hang, format!("no answer about {id}")),
        }
    }
}

fn missing(told: &Told, id: &str, unit: &Unit, report: &mut Report) {
    told.forget(id);
    if unit.certain {
        report.found(Violation::Lost, format!("{id} was answered and is not there"));
    } else {
        report.add("too_late_to_count", 1);
    }
}

/// Looks at the books: balanced, and one job for every unit. Returns the number of units.
pub(crate) async fn books(line: &Line, report: &mut Report) -> Result<Option<u64>> {
    let status = match line.get("/v1/status").await {
        Heard::Answer(200, status) => status,
        other => {
            report.found(Violation::Unexpected, format!("/v1/status: {other:?}"));
            return Ok(None);
        }
    };
    let enqueued = status["cloud"]["books"]["enqueued"].as_u64().context("no books")?;
    let lines = status["lines"].as_array().context("no lines")?;
    let issued: u64 = lines.iter().filter_map(|line| line["issued"].as_u64()).sum();
    if status["books_balance"] != true || enqueued != issued {
        let books = &status["cloud"]["books"];
        report.found(Violation::HalfCommit, format!("{issued} units were issued, the books say {books}"));
    }
    Ok(Some(enqueued))
}

/// Reads the whole list and compares it with everything that was told, and with the books. Returns it, if it can be read.
pub(crate) async fn everything(
    line: &Line,
    told: &Told,
    report: &mut Report,
) -> Result<Option<BTreeMap<String, String>>> {
    let kept = match list(line).await? {
        Ok(kept) => kept,
        Err(heard) => {
            report.found(Violation::Crash, format!("the list cannot be read: {heard:?}"));
            return Ok(None);
        }
    };
    for (id, unit) in told.all() {
        match kept.get(&id) {
            Some(sha256) if *sha256 == unit.sha256 => {}
            Some(sha256) => {
                report.found(Violation::Changed, format!("{id}: told {}, listed {sha256}", unit.sha256));
            }
            None => missing(told, &id, &unit, report),
        }
    }
    if let Some(enqueued) = books(line, report).await?
        && enqueued != kept.len() as u64
    {
        report.found(Violation::HalfCommit, format!("{} units are listed, {enqueued} have jobs", kept.len()));
    }
    report.add("units_kept", kept.len());
    Ok(Some(kept))
}

/// Every unit, or what was heard instead.
async fn list(line: &Line) -> Result<Result<BTreeMap<String, String>, Heard>> {
    let (mut all, mut after) = (BTreeMap::new(), String::new());
    loop {
        let page = match line.get(&format!("/v1/units?limit=1000{after}")).await {
            Heard::Answer(200, page) => page,
            other => return Ok(Err(other)),
        };
        for unit in page["units"].as_array().context("no units")? {
            let text = |name: &str| unit[name].as_str().unwrap_or_default().to_owned();
            if all.insert(text("id"), text("sha256")).is_some() {
                bail!("{} is listed twice", unit["id"]);
            }
        }
        let Some(next) = page["next"].as_str() else { return Ok(Ok(all)) };
        after = format!("&after={next}");
    }
}

/// Waits until nothing waits for the cloud any more. The books are looked at again and again, as a person would.
pub(crate) async fn drained(line: &Line, report: &mut Report) -> bool {
    let (begun, mut pace) = (Instant::now(), interval(Duration::from_millis(20)));
    let mut last = Value::Null;
    while begun.elapsed() < DRAIN {
        pace.tick().await;
        let mut status = match line.get("/v1/status").await {
            Heard::Answer(200, status) => status,
            other => {
                report.found(Violation::Crash, format!("/v1/status: {other:?}"));
                return false;
            }
        };
        last = status["cloud"].take();
        if last["books"]["held"] != 0 {
            report.found(Violation::Cloud, format!("somebody has to look: {last}"));
            return false;
        }
        if last["books"]["waiting"] == 0 {
            return true;
        }
    }
    report.found(Violation::Hang, format!("the backlog does not drain: {last}"));
    false
}

/// How a small backlog went.
#[derive(Debug)]
pub(crate) enum Standing {
    /// The cloud has everything.
    Settled,
    /// The daemon has ended.
    Gone,
    /// It runs, and what waits does not go.
    Stuck(Value),
}

/// Waits until a few units are settled, or the daemon is gone.
pub(crate) async fn settled(line: &Line) -> Standing {
    let (begun, mut pace) = (Instant::now(), interval(Duration::from_millis(10)));
    let mut books = Value::Null;
    while begun.elapsed() < SETTLE {
        pace.tick().await;
        match line.get("/v1/status").await {
            Heard::Answer(200, mut status) => books = status["cloud"]["books"].take(),
            Heard::Nothing => return Standing::Gone,
            // It says no to everybody, and is about to end.
            Heard::Answer(..) | Heard::Late => continue,
        }
        if books["waiting"] == 0 {
            return Standing::Settled;
        }
    }
    Standing::Stuck(books)
}

/// Every unit that is kept is enrolled exactly once, with its certificate, and nothing else is.
pub(crate) fn enrolled(kept: &BTreeMap<String, String>, sky: &Sky, report: &mut Report) {
    let enrolled = sky.enrollments();
    for (id, sha256) in kept {
        match enrolled.get(id).map(|record| record.thumbprint()) {
            Some(Some(thumbprint)) if thumbprint == sha256 => {}
            Some(other) => report.found(Violation::Cloud, format!("{id}: kept {sha256}, enrolled {other:?}")),
            None => report.found(Violation::Cloud, format!("{id} was never announced")),
        }
    }
    for id in enrolled.keys().filter(|id| !kept.contains_key(*id)) {
        report.found(Violation::Cloud, format!("{id} was announced and is not in the ledger"));
    }
    report.add("enrolled", enrolled.len());
}
