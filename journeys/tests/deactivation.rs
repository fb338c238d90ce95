//! A device is activated, joins, is taken out of service in the portal, and comes back. Drives: chromium.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use device::Status;
use journeys::{
    chromium::Page,
    tools::{Tool, find},
    world::{ACCOUNT, HUB, LINES, Settings, World},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{sync::watch, time::timeout};

const PICTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/pictures");
const DEVICE: &str = "gw-1";
const METADATA: &str = r#"{"tags":{"site":"Ulm"},"properties":{"desired":{"label":"Packing 2"}}}"#;
const PATIENCE: Duration = Duration::from_secs(60);
/// What a phone and a desk show of a page.
const SIZES: [(&str, u32, u32); 2] = [("phone", 390, 844), ("desk", 1280, 900)];

async fn until(status: &mut watch::Receiver<Status>, ready: impl FnMut(&Status) -> bool) -> Result<()> {
    timeout(PATIENCE, status.wait_for(ready)).await.context("the device does not get there")??;
    Ok(())
}

fn joined(status: &Status) -> bool {
    matches!(status, Status::Connected { hub, .. } if hub == HUB)
}

fn record(world: &World) -> Result<IndividualEnrollment> {
    world.cloud.with(|cloud, _| cloud.enrollment(DEVICE)).context("no enrollment")
}

/// Types into the fields of the page, and presses its button.
async fn fill(page: &mut Page, fields: &[(&str, &str)], button: &str) -> Result<()> {
    for (field, text) in fields {
        page.until(&format!("document.getElementById('{field}')")).await?;
        page.evaluate(&format!("document.getElementById('{field}').value = {}", json!(text))).await?;
    }
    page.evaluate(&format!("document.querySelector('{button}').click()")).await?;
    Ok(())
}

async fn says(page: &mut Page, headline: &str) -> Result<()> {
    page.until(&format!("document.getElementById('headline')?.textContent === {}", json!(headline)))
        .await
        .map(drop)
}

async fn pictures(page: &mut Page, name: &str) -> Result<()> {
    for (size, width, height) in SIZES {
        page.resize(width, height).await?;
        let wide = page.evaluate("document.documentElement.scrollWidth").await?;
        ensure!(wide == width, "{name} is {wide} pixels wide on a {size}");
        page.picture(&Path::new(PICTURES).join(format!("{name}-{size}.png"))).await?;
    }
    Ok(())
}

/// Types what stands on the label, and waits until the portal says that it is done.
async fn activate(page: &mut Page, code: &str) -> Result<()> {
    let fields = [("device", DEVICE), ("claim", code), ("metadata", METADATA), ("hub", HUB)];
    fill(page, &fields, "main form button").await?;
    says(page, "Activated").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_taken_out_of_service_and_comes_back() -> Result<()> {
    let Some(chromium) = find(Tool::Chromium) else { return Ok(()) };
    let dir = TempDir::new()?;
    let mut world = World::start(Settings::in_dir(dir.path())).await?;
    let token = world.token("station", "bench").await?;
    let code = world.birth(&token, DEVICE, LINES[0]).await?.claim_code.context("no claim code")?;
    timeout(PATIENCE, world.cloud.until(|cloud| cloud.enrollment(DEVICE))).await?;

    let mut page = Page::open(&chromium).await?;
    page.go(&format!("{}/activate", world.portal_url())).await?;
    let password = world.password.clone();
    fill(&mut page, &[("name", ACCOUNT), ("password", &password)], "main form button").await?;
    page.until("location.pathname === '/activate' && document.querySelector('main form button')").await?;
    activate(&mut page, &code).await?;
    let mut device = world.boot(DEVICE)?;
    until(&mut device, joined).await?;
    let active = record(&world)?;

    page.until("!document.getElementById('deactivate').hidden").await?;
    pictures(&mut page, "portal-activated").await?;
    page.evaluate("document.querySelector('#deactivate a').click()").await?;
    page.until("document.getElementById('reason')").await?;
    pictures(&mut page, "portal-deactivate").await?;
    fill(&mut page, &[("reason", "")], "button.stop").await?;
    page.until("document.getElementById('reason-mistake')").await?;
    pictures(&mut page, "portal-deactivate-why").await?;
    fill(&mut page, &[("reason", "sold to Maier in Ulm")], "button.stop").await?;
    says(&mut page, "Deactivated").await?;
    pictures(&mut page, "portal-deactivated").await?;

    let ended = record(&world)?;
    ensure!(ended.provisioning_status == Some(ProvisioningStatus::Disabled), "{ended:?}");
    ensure!(ended.initial_twin == active.initial_twin && ended.initial_twin.is_some(), "{ended:?}");
    ensure!(ended.iot_hubs == Some(vec![HUB.to_owned()]), "{ended:?}");
    ensure!(ended.thumbprint() == active.thumbprint(), "{ended:?}");
    ensure!(joined(&device.borrow()), "it stays where it is, as the page says: {:?}", device.borrow());

    // Somebody resets it, so it asks DPS where it belongs.
    fs::remove_file(world.device_dir(DEVICE).join("assignment.json"))?;
    let mut reset = world.boot(DEVICE)?;
    until(&mut reset, |status| matches!(status, Status::Waiting { why, .. } if why.contains("activated")))
        .await?;

    page.until("!document.getElementById('again').hidden").await?;
    page.evaluate("document.querySelector('#again a').click()").await?;
    page.until("location.pathname === '/activate' && document.querySelector('main form button')").await?;
    activate(&mut page, &code).await?;
    until(&mut reset, joined).await?;
    ensure!(record(&world)?.provisioning_status == Some(ProvisioningStatus::Enabled));
    world.stop().await
}
