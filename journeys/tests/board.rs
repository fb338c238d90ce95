//! The floor board in a real browser. Drives: chromium.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use journeys::{
    chromium::Page,
    floor::Floor,
    tools::{Tool, find},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::time::{Instant, sleep_until};

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/pictures");
const EVERY_TILE: &str =
    "document.querySelectorAll('.line').length === 3 && [...document.querySelectorAll('.line')]";

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_shows_within_a_second_and_a_frozen_daemon_never_looks_alive() -> Result<()> {
    let Some(chromium) = find(Tool::Chromium) else { return Ok(()) };
    let dir = TempDir::new()?;
    // A cloud that nobody answers for: the board shall say so, calmly.
    let credential = dir.path().join("connection-string.txt");
    std::fs::write(
        &credential,
        "HostName=plant.azure-devices-provisioning.net;SharedAccessKeyName=owner;SharedAccessKey=AAAA",
    )?;
    let cloud = format!("[cloud]\nconnection_string_file = {credential:?}\nconnect_to = \"127.0.0.1:9\"\n");
    let floor = Floor::init(dir.path(), &cloud)?;
    let daemon = floor.start()?;
    let display = floor.token("display", "DSP-07")?;
    let station = floor.token("station", "bench")?;
    let picture = |name: &str| Path::new(PICTURES).join(name);

    let mut page = Page::open(&chromium).await?;
    page.go(&floor.url(&format!("/pair#{display}"))).await?;
    page.until(
        "location.pathname === '/board' && document.body && !document.body.classList.contains('silent')",
    )
    .await?;
    page.until(&format!("{EVERY_TILE}.every((tile) => tile.dataset.live === 'true')")).await?;
    let cookies = page.evaluate("document.cookie").await?;
    ensure!(cookies == "", "a script can read the token: {cookies}");
    for n in 0..17 {
        let line = ["L1", "L2", "L1"][n % 3];
        ensure!(floor.issue(&station, &json!({ "id": format!("gw-{n:04}"), "line": line })).await?.0 == 201);
    }
    page.until("document.querySelector('#line-L1 .today').textContent === '11'").await?;

    // From the moment that the station has its answer.
    let began = Instant::now();
    ensure!(floor.issue(&station, &json!({ "id": "gw-9999", "line": "L3" })).await?.0 == 201);
    let answered = began.elapsed();
    page.until("document.querySelector('#line-L3 .today').textContent === '1'").await?;
    let shown = began.elapsed().saturating_sub(answered);
    ensure!(shown < Duration::from_secs(1), "it took {shown:?}");
    page.until("document.querySelector('#cloud-waiting').textContent === '18 jobs safe on disk'").await?;
    page.until("document.querySelector('#cloud-state').textContent.startsWith('offline since')").await?;
    page.picture(&picture("board-live.png")).await?;

    floor.edge(&["queue", "pause", "--reason", "the hub is moved"])?;
    page.until("document.querySelector('#cloud-state').textContent.startsWith('paused since')").await?;
    page.picture(&picture("board-paused.png")).await?;
    floor.edge(&["queue", "resume"])?;
    page.until("document.querySelector('#cloud-state').textContent.startsWith('offline since')").await?;

    daemon.signal("STOP")?;
    let stopped = Instant::now();
    page.until(&format!("document.body.classList.contains('silent') && {EVERY_TILE}.every((tile) => tile.dataset.live === 'false')")).await?;
    let noticed = stopped.elapsed();
    ensure!(noticed < Duration::from_secs(10), "it took {noticed:?}");
    let hatched = page.evaluate("[...document.querySelectorAll('.line, footer')].every((tile) => getComputedStyle(tile).backgroundImage.includes('repeating-linear-gradient'))").await?;
    ensure!(hatched == true, "a tile is not hatched");
    let kept = page.evaluate("document.querySelector('#line-L1 .today').textContent").await?;
    ensure!(kept == "11", "the last value is kept: {kept}");
    // As somebody sees it a while later: still not live, and older.
    sleep_until(stopped + Duration::from_secs(12)).await;
    ensure!(page.evaluate("document.body.classList.contains('silent')").await? == true);
    page.picture(&picture("board-not-live.png")).await?;

    daemon.signal("CONT")?;
    page.until(&format!("!document.body.classList.contains('silent') && {EVERY_TILE}.every((tile) => tile.dataset.live === 'true')")).await?;
    ensure!(page.evaluate("document.getElementById('help').hidden").await? == true, "no popup remains");
    daemon.stop()?;
    Ok(())
}
