//! The command line of the edge, as plant IT uses it: what it says, and with which exit code.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use journeys::{floor::Floor, programs};
use serde_json::Value;
use tempfile::TempDir;

fn edge(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(programs::path("edge")?).args(arguments).stdin(Stdio::null()).output()?)
}

/// Runs it, and expects an exit code and a word in what it says.
fn check(arguments: &[&str], code: i32, says: &str) -> Result<()> {
    let output = edge(arguments)?;
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{arguments:?}: {} instead of {code}\n{said}", output.status);
    ensure!(said.contains(says), "{arguments:?} does not say '{says}':\n{said}");
    Ok(())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_what_to_do_and_ends_with_the_right_code() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let (state, passphrase, config) =
        (dir.path().join("box"), dir.path().join("passphrase"), dir.path().join("edge.toml"));
    let state = text(&state);

    check(&["init", "--state", state, "--passphrase-file", text(&passphrase)], 1, "is not empty")?;
    check(
        &["init", "--state", text(&dir.path().join("b2")), "--passphrase-file", "/nowhere"],
        2,
        "/nowhere",
    )?;
    check(&["frobnicate"], 2, "unrecognized")?;
    check(&["status", "--state", state], 3, "start it with: edge run")?;
    check(&["token", "new", "--state", state, "--role", "station", "--name", "a"], 3, "no daemon answers")?;
    check(
        &["token", "new", "--state", state, "--role", "boss", "--name", "a"],
        2,
        "station, supervisor, quality",
    )?;
    let broken = dir.path().join("broken.toml");
    std::fs::write(&broken, std::fs::read_to_string(&config)?.replace("address", "adress"))?;
    check(&["run", "--config", text(&broken)], 2, "broken.toml:3:1: unknown field `adress`")?;
    check(&["run", "--config", text(&config), "--state", text(&dir.path().join("none"))], 1, "edge init")?;

    let daemon = floor.start()?;
    check(&["run", "--config", text(&config)], 1, "in use by another process")?;
    check(&["status", "--state", state], 0, "the books balance")?;
    let status: Value = serde_json::from_slice(&edge(&["status", "--state", state, "-o", "json"])?.stdout)?;
    ensure!(status["lines"].as_array().is_some_and(|lines| lines.len() == 3), "{status}");
    let token = floor.token("display", "DSP-07")?;
    ensure!(token.starts_with("edge_"), "a token that nobody recognises");
    check(&["token", "new", "--state", state, "--role", "display", "--name", "DSP-07"], 5, "choose another")?;
    check(&["token", "ls", "--state", state], 0, "DSP-07")?;
    check(&["token", "ls", "--state", state], 0, "never used")?;
    check(&["clock", "status", "--state", state], 0, "clock    safe")?;
    check(&["clock", "accept", "--state", state, "--reason", " "], 2, "why the clock is right")?;
    check(&["explain", "clock-unsafe"], 0, "edge clock accept")?;
    check(&["explain"], 0, "unit-exists")?;
    check(&["explain", "no-such-code"], 4, "see them all")?;
    check(&["token", "revoke", "--state", state, "--name", "nobody"], 4, "no token of this name")?;

    let open = ["order", "open", "PO-1", "--state", state, "--quantity", "2", "--line", "L1"];
    check(&[&open[..], &["--attribute", "model"]].concat(), 2, "is not name=value")?;
    check(&[&open[..], &["--line", "L1"]].concat(), 2, "cannot be used multiple times")?;
    check(&[&open[..6], &["0", "--line", "L1"]].concat(), 2, "at least one unit")?;
    check(&[&open[..], &["--attribute", "model=MX"]].concat(), 0, "0 of 2")?;
    check(&open, 5, "choose another")?;
    check(&["order", "ls", "--state", state], 0, "PO-1")?;
    check(&["order", "show", "PO-1", "--state", state], 0, "model = MX")?;
    check(&["order", "show", "PO-9", "--state", state], 4, "edge order ls")?;
    let order: Value =
        serde_json::from_slice(&edge(&["order", "show", "PO-1", "--state", state, "-o", "json"])?.stdout)?;
    ensure!(order["order"]["quantity"] == 2 && order["issued"] == 0, "{order}");
    check(&["order", "close", "PO-1", "--state", state], 0, "evidence/PO-1.json")?;
    check(&["order", "close", "PO-1", "--state", state], 0, "closed")?;
    check(&["ledger", "verify", &format!("{state}/evidence/PO-1.json"), "--state", state], 0, "order PO-1")?;

    for (path, says) in [("/livez", "alive"), ("/readyz", "ready")] {
        let answer = floor.client.get(floor.url(path)).send().await?.text().await?;
        ensure!(answer.trim() == says, "{path}: {answer}");
    }

    let file = dir.path().join("display.token");
    std::fs::write(&file, &token)?;
    let origin = floor.url("");
    let root = format!("{state}/root.pem");
    let watch = ["watch", "--url", &origin, "--root", &root, "--token-file", text(&file)];
    let mut watching = Command::new(programs::path("edge")?)
        .args(watch)
        .stdout(Stdio::piped())
        .stdin(Stdio::null())
        .spawn()?;
    let mut lines = BufReader::new(watching.stdout.take().context("no output")?).lines();
    let hello: Value = serde_json::from_str(&lines.next().context("it said nothing")??)?;
    let snapshot: Value = serde_json::from_str(&lines.next().context("it said nothing more")??)?;
    ensure!(hello["type"] == "hello" && snapshot["type"] == "snapshot", "{hello} {snapshot}");
    watching.kill()?;
    watching.wait()?;
    check(&["token", "revoke", "--state", state, "--name", "DSP-07"], 0, "")?;
    check(&watch, 2, "401")?;
    ensure!(daemon.stop()?.success(), "it did not stop in good order");
    check(&watch, 3, "feed")
}
