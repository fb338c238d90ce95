//! The journal from outside: is it whole, what does it say, and what can be proven with it elsewhere.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};
use journeys::{floor::Floor, programs};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Runs the program and returns its exit code and everything that it said.
fn edge(words: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(programs::path("edge")?).args(words).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_order_came_to_can_be_proven_on_another_machine() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let daemon = floor.start()?;
    let station = floor.token("station", "bench")?;
    for number in ["A-1", "A-2"] {
        floor.edge(&["order", "open", number, "--quantity", "3", "--line", "L1"])?;
    }
    for n in 0..6 {
        let order = ["A-1", "A-2"][n % 2];
        let unit = json!({ "id": format!("gw-{n}"), "order": order });
        ensure!(floor.issue(&station, &unit).await?.0 == 201);
    }
    let evidence = dir.path().join("evidence.ndjson");
    let text = |path: &std::path::Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let file = text(&evidence)?;
    // While the daemon runs, of one order.
    ensure!(floor.edge(&["ledger", "export", "--order", "A-1", "--out", &file])?.contains("4 frames"));
    let shown = floor.edge(&["ledger", "show", "--unit", "GW-2"])?;
    ensure!(
        shown.lines().count() == 1 && shown.contains("token:bench") && shown.contains("gw-2 issued on L1"),
        "{shown}"
    );
    let said = floor.edge(&["ledger", "verify"])?;
    ensure!(said.contains("whole") && said.contains("checkpoints, up to frame"), "{said}");
    for line in floor.edge(&["ledger", "show", "--since", "1h", "--output", "ndjson"])?.lines() {
        let line: Value = serde_json::from_str(line)?;
        ensure!(line["commit"]["events"].is_array() && line["seq"].is_u64(), "{line}");
    }
    let code = |words: &[&str]| edge(words).map(|(code, said)| (code.unwrap_or(-1), said));
    let state = text(&floor.state())?;
    let (unknown, said) =
        code(&["ledger", "export", "--units", "gw-1,gw-99", "--out", &file, "--state", &state])?;
    ensure!(unknown == 4 && said.contains("gw-99"), "{unknown} {said}");
    ensure!(code(&["ledger", "show", "--unit", "gw-99", "--state", &state])?.0 == 4);
    ensure!(code(&["ledger", "verify", "--state", "/nowhere"])?.0 == 2);
    daemon.stop()?;

    // Elsewhere: only the file and the root certificate.
    let elsewhere = TempDir::new()?;
    let (root, copy) = (elsewhere.path().join("root.pem"), elsewhere.path().join("evidence.ndjson"));
    fs::copy(floor.state().join("root.pem"), &root)?;
    fs::copy(&evidence, &copy)?;
    let (root, file) = (text(&root)?, text(&copy)?);
    let verify = ["ledger", "verify", &file, "--root", &root, "--state", "/nowhere"];
    let (good, said) = code(&verify)?;
    ensure!(good == 0 && said.contains("4 frames, 3 certificates") && said.contains("order A-1"), "{said}");
    let whole = fs::read_to_string(&copy)?;
    for (from, to) in [("gw-2", "gw-3"), ("A-1", "A-2"), ("L1", "L2")] {
        fs::write(&copy, whole.replacen(from, to, 1))?;
        let (bad, said) = code(&verify)?;
        ensure!(bad == 1 && said.contains("evidence.ndjson"), "{from} to {to}: {bad} {said}");
    }
    fs::write(&copy, &whole)?;
    let stranger = TempDir::new()?;
    let other = Floor::init(stranger.path(), "")?;
    let other = text(&other.state().join("root.pem"))?;
    let (bad, said) = code(&["ledger", "verify", &file, "--root", &other])?;
    ensure!(bad == 1 && said.contains("root"), "{said}");

    // A changed byte of the journal is named: segment, byte and frame.
    let journal = floor.state().join("ledger/journal");
    let segment = fs::read_dir(&journal)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let segment = segment.filter(|path| path.extension().is_some_and(|is| is == "segment")).min();
    let segment = segment.context("no segment")?;
    let mut bytes = fs::read(&segment)?;
    let at = bytes.windows(4).position(|window| window == b"gw-2").context("gw-2 is not in the journal")?;
    bytes[at] ^= 1;
    fs::write(&segment, bytes)?;
    let (bad, said) = code(&["ledger", "verify", "--state", &state])?;
    ensure!(bad == 1 && said.contains(".segment, byte") && said.contains("frame "), "{said}");
    Ok(())
}
