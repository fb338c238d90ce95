//! `edge queue` as plant IT uses it, on a real box below a real cloud: a pause that nothing gets past, a job that a person
//! holds, everything told in the end; and what a person decides where the cloud has something else.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{AllocationPolicy, IndividualEnrollment, InitialTwin, ProvisioningStatus};
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

/// How long a list of revoked certificates may take to come.
const PATIENCE: Duration = Duration::from_secs(60);
/// A list of revoked certificates is not kept waiting for the next change.
const LISTS: &str = "[crl]\napart = \"1ms\"\n";

/// Asks for something as a supervisor, and returns the unit.
async fn ask(floor: &Floor, token: &str, path: &str, body: Value) -> Result<Value> {
    let response = floor.client.post(floor.url(path)).bearer_auth(token).json(&body).send().await?;
    let (status, unit) = (response.status(), response.json().await?);
    ensure!(status.is_success(), "{path}: {status} {unit}");
    Ok(unit)
}

/// Somebody activates a device, with what only they know.
fn activate(sky: &Sky, id: &str, site: &str) -> Result<()> {
    let twin: InitialTwin = serde_json::from_value(json!({ "tags": { "site": site } }))?;
    let act = |record: &mut IndividualEnrollment| {
        record.provisioning_status = Some(ProvisioningStatus::Enabled);
        record.initial_twin = Some(twin);
        record.allocation_policy = Some(AllocationPolicy::Static);
        record.iot_hubs = Some(vec!["hub-2.azure-devices.net".to_owned()]);
    };
    ensure!(sky.control().with(|cloud, now| cloud.act_as_portal(now, id, act)), "{id} is not there");
    Ok(())
}

/// The record of a unit.
fn record(sky: &Sky, id: &str) -> Result<IndividualEnrollment> {
    sky.enrollments().remove(id).with_context(|| format!("the cloud has no {id}"))
}

/// Whether a record is active as [`activate`] has made it.
fn is_active(record: &IndividualEnrollment, site: &str) -> bool {
    let tags = record.initial_twin.as_ref().and_then(|twin| twin.tags.as_ref());
    record.provisioning_status == Some(ProvisioningStatus::Enabled)
        && tags.is_some_and(|tags| tags["site"] == site)
        && record.allocation_policy == Some(AllocationPolicy::Static)
        && record.iot_hubs.as_deref() == Some(&["hub-2.azure-devices.net".to_owned()])
}

/// The job of a unit as a program sees it.
fn shown(floor: &Floor, id: &str) -> Result<Value> {
    Ok(serde_json::from_str(&check(floor, &["show", id, "-o", "json"], 0, id)?)?)
}

/// The version of the cloud's record, as a person who compares sees it.
fn etag(floor: &Floor, id: &str) -> Result<String> {
    let job = shown(floor, id)?;
    let etag = job["comparison"]["cloud"]["etag"].as_str();
    etag.map(str::to_owned).with_context(|| format!("no version: {job}"))
}

/// Waits until a certificate is on the list of those that are revoked.
async fn is_revoked(floor: &Floor, unit: &Value) -> Result<()> {
    let serial = hex(unit["serial"].as_str().context("no serial")?)?;
    let look = async {
        loop {
            let response = floor.client.get(floor.url("/crl")).send().await?;
            let list = response.error_for_status()?.bytes().await?;
            if list.windows(serial.len()).any(|window| window == serial) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.context("it is not revoked")?
}

fn hex(text: &str) -> Result<Vec<u8>> {
    let digits = (0..text.len()).step_by(2);
    digits.map(|at| Ok(u8::from_str_radix(text.get(at..at + 2).context("half a byte")?, 16)?)).collect()
}

/// A unit that was announced, activated, and reworked here: its job is held.
async fn reworked(floor: &Floor, sky: &Sky, token: &str, id: &str) -> Result<[Value; 2]> {
    let (_, first) = floor.issue(token, &json!({ "id": id, "line": "L1" })).await?;
    check(floor, &["wait"], 0, "")?;
    activate(sky, id, "first")?;
    let path = format!("/v1/units/{id}/rework");
    let second = ask(floor, token, &path, json!({ "reason": "board swapped" })).await?;
    check(floor, &["wait"], 0, "")?;
    let says = check(floor, &["ls", "--only", "held"], 0, id)?;
    ensure!(says.contains("activated"), "{says}");
    Ok([first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_compares_and_what_the_cloud_has_gives_way_or_stays() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let floor = Floor::init(dir.path(), &format!("{LISTS}{}", sky.section()))?;
    let daemon = floor.start()?;
    let token = floor.token("supervisor", "chief")?;

    let [first, second] = reworked(&floor, &sky, &token, "unit-1").await?;
    let says = check(&floor, &["show", "unit-1"], 0, "the device was activated with a certificate of ours")?;
    for part in [&first["sha256"], &second["sha256"]].map(Value::as_str).into_iter().flatten() {
        ensure!(says.contains(part), "{says}");
    }
    ensure!(says.contains("enabled, unassigned") && says.contains("pass 2, issued"), "{says}");
    let seen = etag(&floor, "unit-1")?;
    let command = format!("edge queue resolve unit-1 --replace-cloud --etag '{seen}' --reason TEXT");
    ensure!(says.contains(&command), "{says}");

    check(&floor, &["resolve", "unit-1", "--reason", "x"], 2, "--keep-cloud")?;
    check(&floor, &["resolve", "unit-1", "--keep-cloud", "--replace-cloud", "--reason", "x"], 2, "")?;
    check(&floor, &["resolve", "unit-1", "--keep-cloud"], 2, "--reason")?;
    let decide = ["resolve", "unit-1", "--replace-cloud", "--reason", "the new board is in"];
    check(&floor, &decide, 2, "name it with --etag")?;
    activate(&sky, "unit-1", "moved")?;
    check(&floor, &[&decide[..], &["--etag", &seen]].concat(), 5, "has changed since you looked")?;

    // Decided in a pause, and somebody is faster than the worker.
    check(&floor, &["pause", "--reason", "the hub is moved"], 0, "")?;
    let seen = etag(&floor, "unit-1")?;
    check(&floor, &[&decide[..], &["--etag", &seen]].concat(), 0, "waiting")?;
    check(&floor, &["resolve", "unit-1", "--keep-cloud", "--reason", "x"], 5, "is waiting, not held")?;
    activate(&sky, "unit-1", "again")?;
    let before = record(&sky, "unit-1")?;
    check(&floor, &["resume"], 0, "")?;
    check(&floor, &["wait"], 0, "1 held")?;
    check(&floor, &["show", "unit-1"], 0, "not what it was when somebody decided")?;
    ensure!(record(&sky, "unit-1")? == before, "something was written on an old decision");

    let seen = etag(&floor, "unit-1")?;
    check(&floor, &[&decide[..], &["--etag", &seen]].concat(), 0, "our certificate goes into")?;
    check(&floor, &["wait"], 0, "0 held")?;
    let replaced = record(&sky, "unit-1")?;
    ensure!(replaced.thumbprint() == second["sha256"].as_str(), "the new certificate is not there");
    ensure!(is_active(&replaced, "again"), "the activation was undone: {replaced:?}");
    is_revoked(&floor, &first).await?;

    let [_, second] = reworked(&floor, &sky, &token, "unit-2").await?;
    let before = record(&sky, "unit-2")?;
    let keep = ["resolve", "unit-2", "--keep-cloud", "--reason", "the old board stays"];
    check(&floor, &keep, 0, "ours is revoked; the unit needs rework")?;
    check(&floor, &["show", "unit-2"], 0, "settled")?;
    is_revoked(&floor, &second).await?;
    ensure!(record(&sky, "unit-2")? == before, "what is kept was written");

    // Scrapped here, active there: a person ends that, too.
    ask(&floor, &token, "/v1/units/unit-2/scrap", json!({ "reason": "burnt" })).await?;
    check(&floor, &["wait"], 0, "1 held")?;
    let seen = etag(&floor, "unit-2")?;
    let withdraw = ["resolve", "unit-2", "--replace-cloud", "--reason", "it is burnt", "--etag", &seen];
    check(&floor, &withdraw, 0, "becomes a tombstone")?;
    check(&floor, &["wait"], 0, "0 held")?;
    let tombstone = record(&sky, "unit-2")?;
    ensure!(tombstone.provisioning_status == Some(ProvisioningStatus::Disabled), "{tombstone:?}");
    ensure!(tombstone.thumbprint() == before.thumbprint(), "its certificate is gone");

    let told = floor.edge(&["ledger", "show"])?;
    ensure!(told.contains("gives way to unit-1, pass 2: the new board is in"), "{told}");
    check(&floor, &["ls"], 0, "the books balance")?;
    ensure!(daemon.stop()?.success(), "the daemon does not stop well");
    sky.set().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_two_boxes_have_issued_is_the_one_that_a_person_says() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let hall = |name: &str| -> Result<Floor> {
        let dir = dir.path().join(name);
        std::fs::create_dir(&dir)?;
        Floor::init(&dir, &format!("{LISTS}{}", sky.section()))
    };
    let (first, second) = (hall("hall-1")?, hall("hall-2")?);
    let daemons = [first.start()?, second.start()?];
    let (other, token) = (first.token("supervisor", "chief")?, second.token("supervisor", "chief")?);
    for id in ["unit-1", "unit-2"] {
        ensure!(first.issue(&other, &json!({ "id": id, "line": "L1" })).await?.0 == 201);
    }
    check(&first, &["wait"], 0, "0 held")?;
    let (_, ours) = second.issue(&token, &json!({ "id": "unit-1", "line": "L1" })).await?;
    let (_, useless) = second.issue(&token, &json!({ "id": "unit-2", "line": "L1" })).await?;
    check(&second, &["wait"], 0, "2 held")?;
    check(&second, &["show", "unit-1"], 0, "has issued a unit of the same id")?;

    // Without a cloud that answers, everything else is shown, and nothing is decided blindly.
    let seen = etag(&second, "unit-1")?;
    sky.away();
    let says = check(&second, &["show", "unit-1"], 0, "cloud has  not known")?;
    ensure!(says.contains(ours["sha256"].as_str().context("no certificate")?), "{says}");
    let replace = ["resolve", "unit-1", "--replace-cloud", "--reason", "ours is the real one"];
    check(&second, &replace, 1, "the cloud cannot be asked")?;
    check(&second, &["resolve", "unit-2", "--keep-cloud", "--reason", "x"], 1, "the cloud cannot be asked")?;
    // Who has seen it may decide: the worker compares before it writes.
    check(&second, &[&replace[..], &["--etag", &seen]].concat(), 0, "replace")?;
    sky.clear();
    check(&second, &["wait"], 0, "1 held")?;
    ensure!(record(&sky, "unit-1")?.thumbprint() == ours["sha256"].as_str(), "ours is not there");

    check(&second, &["resolve", "unit-2", "--keep-cloud", "--reason", "theirs is"], 0, "settled")?;
    is_revoked(&second, &useless).await?;
    for daemon in daemons {
        ensure!(daemon.stop()?.success(), "a daemon does not stop well");
    }
    sky.set().await?;
    Ok(())
}
