//! `edge queue` as plant IT uses it, on a real box below a real cloud: a pause that nothing gets past, a job that a person
//! holds, and everything told in the end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use journeys::{floor::Floor, programs, sky::Sky};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Units that are made while nothing is sent.
const UNITS: usize = 5;

/// Runs `edge queue`, and returns its exit code and what it says.
fn queue(floor: &Floor, words: &[&str]) -> Result<(i32, String)> {
    let state = floor.state();
    let output = Command::new(programs::path("edge")?)
        .arg("queue")
        .args(words)
        .arg("--state")
        .arg(state)
        .stdin(Stdio::null())
        .output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().context("a signal")?, String::from_utf8(said)?))
}

/// The same, and expects an exit code and a word.
fn check(floor: &Floor, words: &[&str], code: i32, says: &str) -> Result<String> {
    let (found, said) = queue(floor, words)?;
    ensure!(found == code && said.contains(says), "{words:?}: {found}, without '{says}':\n{said}");
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_everything_back_and_loses_nothing() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let floor = Floor::init(dir.path(), sky.section())?;
    let daemon = floor.start()?;
    let token = floor.token("station", "press-1")?;
    check(&floor, &["pause", "--reason", " "], 2, "say why")?;
    check(&floor, &["pause", "--reason", "the hub is moved"], 0, "the hub is moved")?;
    for n in 0..UNITS {
        let unit = json!({ "id": format!("unit-{n}"), "line": "L1" });
        ensure!(floor.issue(&token, &unit).await?.0 == 201, "a line does not wait for the cloud");
    }
    let listed = check(&floor, &["ls"], 0, "PAUSED")?;
    ensure!(listed.matches("waiting  unit-").count() == UNITS, "{listed}");
    let status = floor.edge(&["status"])?;
    ensure!(status.contains("PAUSED: the hub is moved"), "{status}");

    check(&floor, &["hold", "unit-1", "--reason", "an audit"], 0, "1 held")?;
    check(&floor, &["hold", "unit-1", "--reason", "an audit"], 5, "not waiting, and left alone: unit-1")?;
    check(&floor, &["show", "unit-1"], 0, "edge queue retry unit-1")?;
    check(&floor, &["show", "unit-9"], 4, "check the id")?;
    check(&floor, &["ls", "--by-cause"], 0, "1  asked")?;
    check(&floor, &["ls", "--only", "held", "--limit", "0"], 0, "0 shown")?;
    let exported = check(&floor, &["export"], 0, "unit-1")?;
    let jobs = exported.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    ensure!(jobs.len() == UNITS && jobs[0]["why"]["detail"] == "an audit", "{exported}");

    check(&floor, &["resume"], 0, "goes on")?;
    check(&floor, &["wait"], 0, "1 held")?;
    check(&floor, &["ls", "-o", "json"], 0, "\"held\":1")?;
    check(&floor, &["retry", "unit-2"], 5, "not held")?;
    check(&floor, &["retry"], 2, "required")?;
    check(&floor, &["retry", "--code", "asked", "--wait"], 0, "0 held")?;
    check(&floor, &["ls"], 0, "5 settled + 0 waiting + 0 held + 0 superseded   the books balance")?;

    let told = floor.edge(&["ledger", "show"])?;
    let at = |what: &str| told.find(what).with_context(|| format!("no '{what}':\n{told}"));
    ensure!(at("is in the cloud")? > at("sending goes on")?, "something got past the pause:\n{told}");
    ensure!(daemon.stop()?.success(), "the daemon does not stop well");
    sky.set().await?;
    Ok(())
}
