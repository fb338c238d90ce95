//! A box whose machine has the wrong time, at a start and while it runs. Drives: libfaketime.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use journeys::{
    floor::Floor,
    tools::{Tool, find},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A machine whose clock a test turns.
struct Machine {
    floor: Floor,
    library: String,
    dial: String,
}

impl Machine {
    /// Turns its clock by as much, such as `-20y` or `+8d`; it stays so while the machine runs.
    fn turn(&self, by: &str) -> Result<()> {
        // In one step: the library reads it at any time.
        let next = format!("{}.next", self.dial);
        fs::write(&next, format!("{by}\n"))?;
        Ok(fs::rename(next, &self.dial)?)
    }

    fn start(&self) -> Result<journeys::programs::Running> {
        self.floor.start_with(&[
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.dial),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ])
    }

    /// Asks for a unit, and returns the status and the code.
    async fn issue(&self, token: &str, id: &str) -> Result<(u16, String)> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&KeyPair::generate()?)?.pem()?;
        let (status, body) = self.floor.issue(token, &json!({ "id": id, "csr": csr, "line": "L1" })).await?;
        Ok((status, body["code"].as_str().unwrap_or_default().to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_the_wrong_time_issues_nothing_until_it_is_right_or_somebody_vouches_for_it()
-> Result<()> {
    let Some(library) = find(Tool::Faketime) else { return Ok(()) };
    let dir = TempDir::new()?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("a path that is no text");
    let machine = Machine {
        floor: Floor::init(dir.path(), "")?,
        library: text(&library)?,
        dial: text(&dir.path().join("dial"))?,
    };
    let refused = (503, "clock-unsafe".to_owned());
    let issued = (201, String::new());

    machine.turn("+0")?;
    let daemon = machine.start()?;
    let token = machine.floor.token("supervisor", "supervisor")?;
    let found = machine.issue(&token, "right").await?;
    ensure!(found == issued, "{found:?}");
    for (i, wrong) in ["-20y", "-2d", "+8d", "+20y"].into_iter().enumerate() {
        machine.turn(wrong)?;
        let found = machine.issue(&token, "wrong").await?;
        ensure!(found == refused, "{wrong}: {found:?}");
        machine.turn("+0")?;
        let found = machine.issue(&token, &format!("after-{i}")).await?;
        ensure!(found == issued, "after {wrong}: {found:?}");
    }
    machine.turn("+6d")?;
    ensure!(machine.issue(&token, "later").await? == issued, "less than a week is borne, and on record");
    ensure!(daemon.stop()?.success());

    machine.turn("+0")?;
    let daemon = machine.start()?;
    ensure!(machine.issue(&token, "behind").await? == refused, "it was later already");
    let status = machine.floor.edge(&["clock", "status"])?;
    ensure!(status.contains("unsafe") && status.contains("edge clock accept"), "{status}");
    let said = machine.floor.edge(&["clock", "accept", "--reason", "the date was set wrong on Monday"])?;
    ensure!(said.contains("believed"), "{said}");
    ensure!(machine.issue(&token, "vouched").await? == issued);
    let status: Value = serde_json::from_str(&machine.floor.edge(&["status", "--output", "json"])?)?;
    ensure!(status["clock"]["state"] == "safe", "{status}");
    ensure!(daemon.stop()?.success());
    Ok(())
}
