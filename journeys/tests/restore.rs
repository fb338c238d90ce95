//! A machine is lost. Its backup lives on elsewhere, knows what it does not know, and the old machine gives way.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use emulator::{Control, Weather};
use journeys::{floor::Floor, sky::Sky};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "somebody looks at the clock on the wall")]
fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

async fn issue(floor: &Floor, token: &str, id: &str) -> Result<(u16, Value)> {
    floor.issue(token, &json!({ "id": id, "line": "L1" })).await
}

/// Waits until the cloud has every one of `ids`.
async fn announced(cloud: &Control, ids: &[String]) -> Result<()> {
    let all = cloud.until(|cloud| {
        let known = cloud.enrollments();
        ids.iter().all(|id| known.iter().any(|record| record.registration_id == **id)).then_some(())
    });
    timeout(PATIENCE, all).await.context("not everything is announced")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_box_knows_what_it_lacks_and_the_old_one_gives_way() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let (cloud, section) = (sky.control().clone(), sky.section().to_owned());
    let first = dir.path().join("first");
    std::fs::create_dir(&first)?;
    let old = Arc::new(Floor::init(&first, &section)?);
    let daemon = old.start()?;
    let station = old.token("station", "bench")?;

    // A backup under load, and a second one into the same folder.
    let backup = dir.path().join("backup");
    let backup_dir = backup.to_str().context("a path that is no text")?.to_owned();
    let loading = CancellationToken::new();
    let mut load = JoinSet::new();
    let (floor, token, until) = (old.clone(), station.clone(), loading.clone());
    load.spawn(async move {
        let mut ids = Vec::new();
        while !until.is_cancelled() {
            let id = format!("gw-{:04}", ids.len());
            let (status, unit) = issue(&floor, &token, &id).await?;
            ensure!(status == 201, "{unit}");
            ids.push(id);
        }
        Ok(ids)
    });
    for _ in 0..3 {
        let said = old.edge(&["backup", &backup_dir])?;
        ensure!(said.contains("every one checked"), "{said}");
    }
    loading.cancel();
    let mut ids: Vec<String> = load.join_next().await.context("no load")???;
    let last_backup = old.edge(&["backup", &backup_dir])?;
    // After the backup: three units that are announced, and two that never are.
    let announced_late: Vec<String> = (0..3).map(|n| format!("late-{n}")).collect();
    for id in &announced_late {
        ensure!(issue(&old, &station, id).await?.0 == 201);
    }
    ids.extend(announced_late.clone());
    announced(&cloud, &ids).await?;
    cloud.set_weather(Weather::Offline);
    for id in ["silent-0", "silent-1"] {
        ensure!(issue(&old, &station, id).await?.0 == 201);
    }
    // The machine is lost.
    daemon.kill()?;
    cloud.set_weather(Weather::Clear);

    let new = Floor::restore(&dir.path().join("second"), &backup, &section)?;
    let said = new.edge(&["ledger", "verify"])?;
    ensure!(said.contains("whole"), "{said}");
    let daemon = new.start()?;
    let before = cloud.with(|cloud, _| cloud.seen(0).last().map(|seen| seen.number));
    let (status, refused) = issue(&new, &station, "early").await?;
    ensure!(status == 503 && refused["code"] == "reconcile-required", "{status} {refused}");
    let (ready, why) = new.get(&station, "/readyz").await?;
    ensure!(ready == 503 && why["code"] == "reconcile-required", "{why}");
    let (known, unit) = new.get(&station, "/v1/units/gw-0000").await?;
    ensure!(known == 200, "reading goes on: {unit}");
    // Long enough for ten of the worker's delays; that nothing comes cannot be awaited.
    sleep(Duration::from_secs(1)).await;
    ensure!(
        cloud.with(|cloud, _| cloud.seen(0).last().map(|seen| seen.number)) == before,
        "something was sent"
    );

    // It tells, and changes nothing; then somebody confirms the window.
    let said = new.edge(&["reconcile"])?;
    let holds = last_backup.lines().find_map(|line| line.strip_prefix("holds       frames 1 to "));
    let last: u64 = holds.and_then(|rest| rest.split(',').next()?.parse().ok()).context("no last frame")?;
    ensure!(said.contains(&format!("missing     frames {} to ", last + 1)), "{last} {said}");
    ensure!(said.contains("3 units") && announced_late.iter().all(|id| said.contains(id)), "{said}");
    ensure!(issue(&new, &station, "early").await?.0 == 503, "nothing was confirmed yet");
    let until = now();
    let window = |from: OffsetDateTime| {
        Ok::<_, anyhow::Error>(format!("{}/{}", from.format(&Rfc3339)?, until.format(&Rfc3339)?))
    };
    let short = window(until)?;
    ensure!(new.edge(&["reconcile", "--window", &short]).is_err(), "a window that begins after the backup");
    let said = new.edge(&["reconcile", "--window", &window(until - Duration::from_secs(3600))?])?;
    ensure!(said.contains("generation 2"), "{said}");
    let (status, unit) = issue(&new, &station, "after").await?;
    ensure!(
        status == 201 && unit["serial"].as_str().is_some_and(|serial| serial.starts_with("02")),
        "{unit}"
    );
    let (status, refused) = issue(&new, &station, &announced_late[0]).await?;
    ensure!(status == 409 && refused["code"] == "unit-lost", "{refused}");
    announced(&cloud, &["after".to_owned()]).await?;
    let shown = new.edge(&["ledger", "show"])?;
    ensure!(shown.contains("3 units are lost") && shown.contains("not in the backup: late-0"), "{shown}");

    // The old machine was only unplugged. It is plugged in again, finds out, and stops for good.
    let enrolled = cloud.with(|cloud, _| cloud.enrollments().len());
    let awake = old.start()?;
    let ended = tokio::task::spawn_blocking(move || awake.wait());
    let ended = timeout(PATIENCE, ended).await.context("the old box goes on")???;
    ensure!(ended.code() == Some(7), "{ended}");
    let log = std::fs::read_to_string(first.join("edge.log"))?;
    ensure!(log.contains("lives on there as generation 2"), "{log}");
    ensure!(old.start().is_err(), "it starts again");
    let after = cloud.with(|cloud, _| cloud.enrollments().len());
    ensure!(after == enrolled, "the old box has announced something: {enrolled}, then {after}");
    daemon.stop()?;
    sky.set().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cloud_somebody_accepts_the_gap_and_says_why() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let daemon = floor.start()?;
    let station = floor.token("station", "bench")?;
    ensure!(issue(&floor, &station, "gw-1").await?.0 == 201);
    daemon.stop()?;
    let backup = dir.path().join("backup");
    let backup_dir = backup.to_str().context("a path that is no text")?;
    floor.edge(&["backup", backup_dir])?;
    ensure!(floor.edge(&["reconcile"]).is_err(), "no daemon");

    let new = Floor::restore(&dir.path().join("second"), &backup, "")?;
    let daemon = new.start()?;
    ensure!(
        new.edge(&["reconcile"]).is_err_and(|error| error.to_string().contains("no cloud is configured"))
    );
    let from = (now() - Duration::from_secs(3600)).format(&Rfc3339)?;
    let window = format!("{from}/{}", now().format(&Rfc3339)?);
    let blank = ["reconcile", "--window", &window, "--accept-gap", " "];
    ensure!(new.edge(&blank).is_err_and(|error| error.to_string().contains("say why")));
    ensure!(issue(&new, &station, "gw-2").await?.0 == 503);
    new.edge(&["reconcile", "--window", &window, "--accept-gap", "plant IT has the line's own list"])?;
    ensure!(issue(&new, &station, "gw-2").await?.0 == 201);
    ensure!(new.edge(&["ledger", "show"])?.contains("gap accepted: plant IT has the line's own list"));
    ensure!(
        new.edge(&["reconcile"]).is_err_and(|error| error.to_string().contains("no cloud is configured"))
    );
    ensure!(
        new.edge(&["reconcile", "--window", &window])
            .is_err_and(|error| error.to_string().contains("nothing to do"))
    );
    daemon.stop()?;
    // A backup goes on with the box that lives on, and is not touched by the one that does not know what is in it.
    ensure!(new.edge(&["backup", backup_dir])?.contains("every one checked"));
    let label = std::fs::read(backup.join("backup.json"))?;
    ensure!(
        floor.edge(&["backup", backup_dir]).is_err_and(|error| error.to_string().contains("another life"))
    );
    ensure!(std::fs::read(backup.join("backup.json"))? == label);
    new.edge(&["ledger", "verify"])?;
    // Neither a folder that is in use nor one that is no backup is taken.
    ensure!(new.edge(&["restore", backup_dir]).is_err_and(|error| error.to_string().contains("not empty")));
    let other = dir.path().join("second/box");
    let other = other.to_str().context("a path that is no text")?;
    ensure!(
        floor
            .edge(&["backup", other])
            .is_err_and(|error| error.to_string().contains("not empty and no backup"))
    );
    Ok(())
}
