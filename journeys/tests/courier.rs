//! A plant that is never online: a bundle goes out, is done at an office that is, and its receipt comes back; each of
//! the files replayed, lost and tampered with.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::ProvisioningStatus;
use emulator::Weather;
use journeys::{floor::Floor, programs, sky::Sky};
use serde_json::json;
use tempfile::TempDir;

/// The machine with a way to DPS, and the stick that travels.
struct Office<'a> {
    dir: &'a Path,
    sky: Sky,
    /// The fingerprint of the box's key.
    trusted: String,
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours is text")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn run(name: &str, words: &[&str], code: i32, says: &str) -> Result<String> {
    let output = Command::new(programs::path(name)?).args(words).stdin(Stdio::null()).output()?;
    let said = said(&output);
    ensure!(
        output.status.code() == Some(code),
        "{name} {words:?}: {} instead of {code}\n{said}",
        output.status
    );
    ensure!(said.contains(says), "{name} {words:?} does not say '{says}':\n{said}");
    Ok(said)
}

impl Office<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Runs a bundle; the receipt is `BUNDLE.receipt`.
    fn run(&self, bundle: &str, more: &[&str], code: i32, says: &str) -> Result<String> {
        let (bundle, key) = (self.file(bundle), self.file("courier.key"));
        let section: toml::Table = self.sky.section().parse()?;
        let cloud = |name: &str| section["cloud"][name].as_str().context("no such key");
        let words = [
            &["run", text(&bundle), "--box", &self.trusted, "--key", text(&key)][..],
            &["--connection-string-file", cloud("connection_string_file")?],
            &["--connect-to", cloud("connect_to")?, "--extra-root", cloud("extra_root")?],
            &["--operations-per-minute", "60000"],
            more,
        ];
        run("courier", &words.concat(), code, says)
    }
}

/// The plant, and the words that it is asked with.
struct Plant {
    floor: Floor,
    supervisor: String,
}

impl Plant {
    fn courier(&self, words: &[&str], code: i32, says: &str) -> Result<String> {
        let state = self.floor.state();
        run("edge", &[&["courier"], words, &["--state", text(&state)]].concat(), code, says)
    }

    async fn issue(&self, id: &str) -> Result<()> {
        let (status, unit) = self.floor.issue(&self.supervisor, &json!({ "id": id, "line": "L1" })).await?;
        ensure!(status == 201, "{unit}");
        Ok(())
    }

    async fn ask(&self, path: &str) -> Result<()> {
        let body = json!({ "reason": "as the journey wants it" });
        let post = self.floor.client.post(self.floor.url(path)).bearer_auth(&self.supervisor).json(&body);
        let status = post.send().await?.status();
        ensure!(status.is_success(), "{path}: {status}");
        Ok(())
    }

    /// The books: what waits, is settled, is held.
    async fn books(&self) -> Result<[i64; 3]> {
        let (_, status) = self.floor.get(&self.supervisor, "/v1/status").await?;
        ensure!(status["books_balance"] == true, "{status}");
        let books = &status["cloud"]["books"];
        Ok(["waiting", "settled", "held"].map(|name| books[name].as_i64().unwrap_or(-1)))
    }
}

/// Changes one byte in the middle of a file.
fn tamper(from: &Path, to: &Path) -> Result<()> {
    let mut bytes = fs::read(from)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    Ok(fs::write(to, bytes)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plant_that_is_never_online_reaches_the_cloud_by_courier() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let daemon = floor.start()?;
    let plant = Plant { supervisor: floor.token("supervisor", "lead")?, floor };
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let mut office = Office { dir: dir.path(), sky, trusted: String::new() };
    let stick = |name: &str| text(&dir.path().join(name)).to_owned();

    // Once: each learns the other's fingerprint.
    let (key, first) = (stick("courier.key"), stick("first"));
    plant.courier(&["out", &first], 5, "edge courier trust")?;
    let own = run("courier", &["key", &key], 0, "")?;
    ensure!(run("courier", &["key", &key], 0, "")? == own, "its key was made anew");
    plant.courier(&["trust", "nonsense"], 2, "64 hexadecimal digits")?;
    plant.courier(&["trust", own.trim()], 0, own.trim())?;
    plant.courier(&["out", &first], 0, "nothing waits")?;

    // Out.
    for id in ["gw-1", "gw-2", "gw-3"] {
        plant.issue(id).await?;
    }
    let out = plant.courier(&["out", &first], 0, "bundle      1, in")?;
    let trusted = out.lines().find_map(|line| line.strip_prefix("box         ")).context("no fingerprint")?;
    office.trusted = trusted.to_owned();
    ensure!(plant.books().await? == [3, 0, 0], "a bundle takes nothing away");

    // Run, but not what was tampered with, nor for somebody else.
    tamper(&dir.path().join("first"), &dir.path().join("bent"))?;
    office.run("bent", &[], 2, "bundle-tampered")?;
    ensure!(office.sky.enrollments().is_empty(), "a bundle that was tampered with was done");
    let elsewhere = Office { dir: office.dir, sky: office.sky, trusted: own.trim().to_owned() };
    elsewhere.run("first", &[], 2, "bundle-stranger")?;
    office = Office { trusted: office.trusted, ..elsewhere };
    office.sky.control().set_weather(Weather::Offline);
    office.run("first", &["--patience", "1s"], 1, "not everything was told")?;
    office.sky.control().set_weather(Weather::Flaky);
    office.run("first", &["--patience", "60s"], 0, "3 jobs, 3 settled, 0 held, 0 not told")?;
    office.sky.clear();
    let told = office.sky.enrollments();
    ensure!(told.len() == 3, "{told:?}");
    let disabled = |status| status == Some(ProvisioningStatus::Disabled);
    ensure!(told.values().all(|record| disabled(record.provisioning_status)), "{told:?}");
    // Replayed, it changes nothing, and its receipt says the same.
    fs::copy(dir.path().join("first.receipt"), dir.path().join("kept"))?;
    office.run("first", &[], 0, "3 jobs, 3 settled")?;
    ensure!(office.sky.enrollments() == told, "a second run has changed something");

    // In, but not what was tampered with; replayed, it is a no-op that says so.
    tamper(&dir.path().join("first.receipt"), &dir.path().join("bent"))?;
    plant.courier(&["in", &stick("bent")], 2, "was changed after it was sealed")?;
    plant.courier(&["in", &first], 2, "no receipt")?;
    ensure!(plant.books().await? == [3, 0, 0], "a receipt that was tampered with was taken");
    plant.courier(&["in", &stick("first.receipt")], 0, "3 settled, 0 held, 0 not told")?;
    ensure!(plant.books().await? == [0, 3, 0], "the receipt settles the jobs");
    for again in ["first.receipt", "kept"] {
        plant.courier(&["in", &stick(again)], 0, "is in already; nothing was changed")?;
    }

    // The second bundle is lost on its way, the third's receipt on its way back; the fourth has it all.
    plant.issue("gw-4").await?;
    plant.courier(&["out", &stick("second")], 0, "bundle      2, in")?;
    fs::rename(dir.path().join("second"), dir.path().join("found-later"))?;
    plant.issue("gw-5").await?;
    plant.courier(&["out", &stick("third")], 0, "bundle 2 has not come back")?;
    office.run("third", &[], 0, "2 jobs, 2 settled")?;
    fs::rename(dir.path().join("third.receipt"), dir.path().join("found.receipt"))?;
    // Meanwhile a device is sold, one is reworked, one is scrapped; the sold one is reworked too.
    let enabled = office.sky.control().with(|cloud, now| {
        cloud.act_as_portal(now, "gw-1", |record| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
        })
    });
    ensure!(enabled, "the portal could not act");
    for path in ["/v1/units/gw-1/rework", "/v1/units/gw-2/rework", "/v1/units/gw-3/scrap"] {
        plant.ask(path).await?;
    }
    plant.courier(&["out", &stick("fourth")], 0, "bundles 2 to 3 have not come back")?;
    let activated = office.sky.enrollments()["gw-1"].clone();
    office.run("fourth", &[], 0, "5 jobs, 4 settled, 1 held")?;
    let after = office.sky.enrollments();
    ensure!(after["gw-1"] == activated && !disabled(activated.provisioning_status), "{activated:?}");
    plant.courier(
        &["in", &stick("fourth.receipt")],
        0,
        "bundles 2 to 3 have not come back; nothing is lost",
    )?;
    ensure!(plant.books().await? == [0, 7, 1], "{:?}", plant.books().await?);
    let (_, sold) = plant.floor.get(&plant.supervisor, "/v1/units/gw-1").await?;
    ensure!(sold["cloud"]["why"]["code"] == "activated", "{sold}");
    // What is found late does no harm.
    office.run("found-later", &[], 0, "1 jobs, 1 settled")?;
    office.run("first", &[], 0, "held")?;
    ensure!(office.sky.enrollments() == after, "an old bundle has changed something");
    for late in ["found.receipt", "found-later.receipt"] {
        plant.courier(&["in", &stick(late)], 5, "comes after that of bundle 4")?;
    }
    plant.courier(&["in", &stick("first.receipt")], 5, "comes after that of bundle 4")?;
    plant.courier(&["in", &stick("kept")], 5, "comes after that of bundle 4")?;
    ensure!(plant.books().await? == [0, 7, 1], "{:?}", plant.books().await?);

    let shown = plant.floor.edge(&["ledger", "show"])?;
    for words in ["bundle 4 made for courier", "receipt of bundle 4 taken in, done at", "trusted"] {
        ensure!(shown.contains(words), "{words}: {shown}");
    }
    ensure!(plant.floor.edge(&["ledger", "verify"])?.contains("whole"), "the journal is not whole");
    ensure!(daemon.stop()?.success(), "it did not stop in good order");
    office.sky.set().await
}
