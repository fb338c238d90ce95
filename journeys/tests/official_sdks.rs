//! Azure's official SDKs as clients of the emulator, with what our edge and portal have made.
//! Drives: Python with `azure-iot-device`, node with `azure-iot-provisioning-service`.

use std::path::Path;

use anyhow::{Result, ensure};
use journeys::{
    browser::Browser,
    clients::{CLIENTS, json_of, node},
    proxy::Proxy,
    story::METADATA,
    tools::{Tool, find},
    world::{ACCOUNT, HUB, Settings, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

/// Issues a unit whose key the edge makes, and waits until DPS has it.
async fn enrolled(world: &World, id: &str) -> Result<Value> {
    let token = world.token("station", "bench").await?;
    let (status, unit) = world.issue(&token, &json!({ "id": id, "line": "L1" })).await?;
    ensure!(status == 201, "{unit}");
    world
        .cloud
        .until(|cloud| cloud.enrollments().into_iter().find(|record| record.registration_id == id))
        .await;
    Ok(unit)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_device_sdk_is_refused_while_disabled_and_lives_at_its_hub_once_activated() -> Result<()> {
    let Some(python) = find(Tool::Python) else { return Ok(()) };
    let dir = TempDir::new()?;
    let world = World::start(Settings::in_dir(dir.path())).await?;
    let unit = enrolled(&world, "py-0001").await?;
    let file = |name: &str| dir.path().join(name);
    let text = |name: &str| unit[name].as_str().unwrap_or_default().to_owned();
    std::fs::write(file("device.pem"), text("certificate") + &text("chain"))?;
    std::fs::write(file("device.key"), text("private_key"))?;
    let proxy = Proxy::bind(world.mqtt).await?;
    let port = proxy.port()?.to_string();
    let device = || {
        let mut command = Command::new(&python);
        command.arg(Path::new(CLIENTS).join("device.py")).args([&world.id_scope, "py-0001"]);
        command.args([file("device.pem"), file("device.key"), world.cloud_root.clone()]).arg(&port);
        command
    };
    let told = async {
        let refused = json_of(&mut device()).await?;
        ensure!(refused["status"] == "refused", "a disabled device was let in: {refused}");

        let browser = Browser::new(&world.portal_url(), &std::fs::read(world.portal_root())?)?;
        browser.sign_in(ACCOUNT, &world.password).await?;
        browser.activate("py-0001", &text("claim_code"), METADATA, HUB).await?;
        let enabled = |record: &azure_iot::enrollment::IndividualEnrollment| {
            record.provisioning_status == Some(azure_iot::enrollment::ProvisioningStatus::Enabled)
        };
        world.cloud.until(|cloud| cloud.enrollments().iter().any(enabled).then_some(())).await;

        let lived = json_of(&mut device()).await?;
        ensure!(lived["status"] == "assigned" && lived["hub"] == HUB, "{lived}");
        ensure!(
            lived["twin"]["desired"]["label"] == "Packing 2",
            "the twin lacks the portal's metadata: {lived}"
        );
        let messages = world
            .cloud
            .until(|cloud| Some(cloud.hub().messages("py-0001", 0)).filter(|found| !found.is_empty()));
        let messages = messages.await;
        ensure!(messages[0].body == json!({ "temperature": 21.5 }), "{messages:?}");
        ensure!(
            messages[0]
                .properties
                .iter()
                .any(|(key, value)| key == "from" && value.as_deref() == Some("python sdk"))
        );
        let reported = world.cloud.with(|cloud, _| cloud.hub().devices());
        ensure!(reported[0].twin.reported.properties["seen"] == "Packing 2", "{reported:?}");
        Ok(())
    };
    tokio::select! {
        told = told => told?,
        served = proxy.run() => served?,
    }
    world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_service_sdk_reads_what_our_worker_enrolled_and_enables_it_by_read_modify_write()
-> Result<()> {
    let Some(modules) = find(Tool::NodeModules) else { return Ok(()) };
    let dir = TempDir::new()?;
    let world = World::start(Settings::in_dir(dir.path())).await?;
    let unit = enrolled(&world, "node-0001").await?;
    let told = json_of(node(&world, &modules, "enrollment.js")?.arg("node-0001")).await?;
    let (before, after) = (&told["before"], &told["after"]);
    let primary = |record: &Value| record["attestation"]["x509"]["clientCertificates"]["primary"].clone();
    ensure!(before["provisioningStatus"] == "disabled", "{before}");
    ensure!(primary(before)["info"]["sha256Thumbprint"] == unit["sha256"], "{before}");
    ensure!(primary(before).get("certificate").is_none(), "DPS never shows a certificate: {before}");
    ensure!(after["provisioningStatus"] == "enabled", "{after}");
    ensure!(primary(after) == primary(before), "the certificate did not survive: {after}");
    ensure!(after["optionalDeviceInformation"] == before["optionalDeviceInformation"], "{after}");
    world.stop().await
}
