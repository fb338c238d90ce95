//! The whole story, step by step. Every step waits for what it claims, and fails if it does not come.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use device::Status;
use emulator::Weather;
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};

use crate::{
    browser::Browser,
    world::{ACCOUNT, HUB, LINES, World},
};

/// How many units are issued while the cloud is away.
pub const OFFLINE: usize = 20;
/// The devices that are born for real, and boot.
pub const DEVICES: [&str; 2] = ["gw-0001", "gw-0002"];
/// What the machine manufacturer says about a machine.
pub const METADATA: &str = r#"{"tags":{"site":"Augsburg","chassis":"MP-4711"},"properties":{"desired":{"telemetryInterval":0.5,"label":"Packing 2"}}}"#;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells somebody how the story goes.
pub trait Teller {
    /// A step begins.
    fn begins(&mut self, step: &str);
    /// It is done.
    fn done(&mut self, outcome: &str);
}

/// Tells the whole story in `world`.
pub async fn tell(world: &mut World, teller: &mut dyn Teller) -> Result<()> {
    teller.begins("The cloud is cut off");
    world.cloud.set_weather(Weather::Offline);
    let station = world.token("station", "demo-station").await?;
    let display = world.token("display", "demo-board").await?;
    teller.done("the edge knows nothing of it, and does not have to");

    teller.begins(&format!("{OFFLINE} units are issued, and two devices born, without a cloud"));
    let issued = issue_offline(world, &station).await?;
    let mut codes = Vec::new();
    for device in DEVICES {
        let born = world.birth(&station, device, LINES[0]).await?;
        codes.push(born.claim_code.context("no claim code")?);
    }
    let all = OFFLINE + DEVICES.len();
    let waiting = world.status(&display).await?["cloud"]["books"]["waiting"].clone();
    ensure!(waiting == all, "{waiting} wait instead of {all}");
    teller.done(&format!("{issued}; {all} jobs safe on disk"));

    teller.begins("The cloud comes back, and the backlog drains");
    let began = now();
    world.cloud.set_weather(Weather::Clear);
    let enrolled =
        in_time(world.cloud.until(|cloud| Some(cloud.enrollments()).filter(|found| found.len() >= all)))
            .await?;
    settled(world, &display, all).await?;
    ensure!(enrolled.len() == all, "{} enrollments instead of {all}", enrolled.len());
    let disabled =
        |record: &IndividualEnrollment| record.provisioning_status == Some(ProvisioningStatus::Disabled);
    ensure!(enrolled.iter().all(disabled), "an enrollment is not disabled");
    teller.done(&format!("{all} enrolled in {:.1} s, every one disabled", began.elapsed().as_secs_f64()));

    teller.begins("A device boots at the customer's site, too early");
    let mut first = world.boot(DEVICES[0])?;
    let why = waits(&mut first).await?;
    ensure!(why.contains("activated"), "it waits for something else: {why}");
    teller.done(&format!("it is told to wait: {why}"));

    teller.begins("The machine manufacturer activates both devices in the portal");
    let browser = Browser::new(&world.portal_url(), &std::fs::read(world.portal_root())?)?;
    browser.sign_in(ACCOUNT, &world.password).await?;
    for (device, code) in DEVICES.iter().zip(&codes) {
        let activation = browser.activate(device, code, METADATA, HUB).await?;
        in_time(enabled(world, device)).await?;
        let page = browser.look(&activation).await?;
        ensure!(page["device"] == *device, "the page is about something else: {page}");
    }
    teller.done("twin, hub and enablement are in DPS");

    teller.begins("The device goes on by itself");
    let mut second = world.boot(DEVICES[1])?;
    for (device, status) in DEVICES.iter().zip([&mut first, &mut second]) {
        let (hub, desired) = lives(status).await.with_context(|| format!("{device} does not connect"))?;
        ensure!(hub == HUB, "{device} is at {hub}");
        ensure!(desired["label"] == "Packing 2", "{device} has another twin: {desired}");
    }
    let heard = world.cloud.until(|cloud| {
        let enough = DEVICES.iter().all(|device| cloud.hub().messages(device, 0).len() >= 3);
        let reported =
            cloud.hub().devices().iter().all(|device| device.twin.reported.properties.contains_key("label"));
        (enough && reported).then(|| cloud.hub().devices())
    });
    let heard = in_time(heard).await?;
    ensure!(
        heard.iter().all(|device| device.tags["chassis"] == "MP-4711"),
        "the twin lacks the portal's tags"
    );
    teller.done(&format!("both live at {HUB}: telemetry arrives, twin applied and reported"));
    Ok(())
}

async fn issue_offline(world: &World, station: &str) -> Result<String> {
    let mut times = Vec::new();
    for n in 0..OFFLINE {
        let request = json!({ "id": format!("unit-{n:04}"), "line": LINES[n % LINES.len()] });
        let began = now();
        let (status, unit) = world.issue(station, &request).await?;
        times.push(began.elapsed());
        ensure!(status == 201, "unit {n} was refused: {unit}");
    }
    times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    Ok(format!("median {:.1} ms, slowest {:.1} ms", ms(times[OFFLINE / 2]), ms(times[OFFLINE - 1])))
}

/// Waits until the edge has written down that everything is told.
async fn settled(world: &World, token: &str, all: usize) -> Result<()> {
    let books = async {
        loop {
            let books: Value = world.status(token).await?["cloud"]["books"].clone();
            if books["settled"] == all && books["waiting"] == 0 {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(books).await?
}

async fn enabled(world: &World, device: &str) {
    world
        .cloud
        .until(|cloud| {
            let found = cloud.enrollments().into_iter().find(|record| record.registration_id == device)?;
            (found.provisioning_status == Some(ProvisioningStatus::Enabled)).then_some(())
        })
        .await;
}

async fn waits(status: &mut watch::Receiver<Status>) -> Result<String> {
    let status = in_time(status.wait_for(|status| matches!(status, Status::Waiting { .. }))).await??;
    let Status::Waiting { why, .. } = &*status else { unreachable!("it was waited for") };
    Ok(why.clone())
}

async fn lives(status: &mut watch::Receiver<Status>) -> Result<(String, Value)> {
    let there = |status: &Status| matches!(status, Status::Connected { desired, .. } if !desired.is_empty());
    let status = in_time(status.wait_for(there)).await??;
    let Status::Connected { hub, desired, .. } = &*status else { unreachable!("it was waited for") };
    Ok((hub.clone(), Value::Object(desired.clone())))
}

async fn in_time<T>(what: impl Future<Output = T>) -> Result<T> {
    timeout(PATIENCE, what).await.context("it did not happen within a minute")
}

#[expect(clippy::disallowed_methods, reason = "the story tells how long things took")]
fn now() -> Instant {
    Instant::now()
}
