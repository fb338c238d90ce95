//! Our own agent at its hub: the twin, methods, and a network that goes away.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::ProvisioningStatus;
use device::Status;
use emulator::Weather;
use journeys::world::{Settings, World};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

const PATIENCE: Duration = Duration::from_secs(60);

async fn until(status: &mut watch::Receiver<Status>, ready: impl FnMut(&Status) -> bool) -> Result<Status> {
    Ok(timeout(PATIENCE, status.wait_for(ready)).await.context("the agent does not get there")??.clone())
}

fn connected(status: &Status) -> bool {
    matches!(status, Status::Connected { .. })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_follows_its_twin_answers_methods_and_comes_back_by_itself() -> Result<()> {
    let dir = TempDir::new()?;
    let mut world = World::start(Settings::in_dir(dir.path())).await?;
    let token = world.token("station", "bench").await?;
    world.birth(&token, "gw-1", "L1").await?;
    // A second birth is the same birth: same key, same certificate.
    let certificate = std::fs::read(world.device_dir("gw-1").join("device.pem"))?;
    world.birth(&token, "gw-1", "L1").await?;
    ensure!(std::fs::read(world.device_dir("gw-1").join("device.pem"))? == certificate, "it was born twice");
    timeout(PATIENCE, world.cloud.until(|cloud| (!cloud.enrollments().is_empty()).then_some(()))).await?;
    let enabled = world.cloud.with(|cloud, now| {
        cloud.act_as_portal(now, "gw-1", |record| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
        })
    });
    ensure!(enabled, "it could not be enabled");
    let mut status = world.boot("gw-1")?;
    until(&mut status, connected).await?;

    let admin = Client::builder().no_proxy().build()?;
    let url = |path: &str| format!("http://{}{path}", world.cloud_admin);
    let patch = json!({ "label": "Packing 7", "telemetryInterval": 0.2, "nonsense": { "deep": [1] } });
    let patched = admin.patch(url("/devices/gw-1/desired")).json(&patch).send().await?.error_for_status()?;
    let version = patched.json::<Value>().await?["version"].clone();
    let reported = world.cloud.until(|cloud| {
        let twin = cloud.hub().devices().pop()?.twin.reported.properties;
        (twin.get("desiredVersion") == Some(&version)).then_some(twin)
    });
    let reported = timeout(PATIENCE, reported).await.context("the twin is not reported")?;
    ensure!(reported["label"] == "Packing 7" && reported["telemetryInterval"] == 0.2, "{reported:?}");

    let call = async |name: &str| -> Result<Value> {
        let answer =
            admin.post(url(&format!("/devices/gw-1/methods/{name}"))).json(&json!({})).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    };
    let pong = call("ping").await?;
    ensure!(pong["status"] == 200 && pong["payload"]["pong"].is_number(), "{pong}");
    ensure!(call("selfdestruct").await?["status"] == 404);

    world.cloud.set_weather(Weather::Offline);
    until(&mut status, |status| !connected(status)).await?;
    let before = world.cloud.with(|cloud, _| cloud.hub().messages("gw-1", 0).len());
    world.cloud.set_weather(Weather::Clear);
    until(&mut status, connected).await?;
    let again = world.cloud.until(|cloud| (cloud.hub().messages("gw-1", 0).len() > before).then_some(()));
    timeout(PATIENCE, again).await.context("no telemetry after the outage")?;
    let requests: Value = admin.get(url("/requests")).send().await?.json().await?;
    let registered = requests.as_array().context("no list")?.iter();
    let registered = registered
        .filter(|seen| seen["what"].as_str().is_some_and(|what| what.contains("iotdps-register")))
        .count();
    ensure!(registered == 1, "it knew where it lives, and asked DPS {registered} times");
    world.stop().await
}
