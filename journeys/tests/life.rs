//! A unit is reworked, another renews by itself, and another is scrapped: what the cloud carries, and what openssl makes of
//! the list of revoked certificates. Drives: openssl.

use std::{fs, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use emulator::{Control, Weather};
use journeys::{floor::Floor, sky::Sky};
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs openssl in `dir`; whether it is content, and what it says.
fn openssl(dir: &Path, words: &[&str]) -> Result<(bool, String)> {
    let output = Command::new("openssl").current_dir(dir).args(words).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// Waits until the cloud's record of `id` satisfies `wanted`.
async fn record(
    cloud: &Control,
    id: &str,
    wanted: impl Fn(&IndividualEnrollment) -> bool,
) -> Result<IndividualEnrollment> {
    let look = cloud.until(|cloud| {
        cloud.enrollments().into_iter().find(|record| record.registration_id == id && wanted(record))
    });
    timeout(PATIENCE, look).await.with_context(|| format!("the cloud has no such record of {id}"))
}

fn carries(unit: &Value) -> impl Fn(&IndividualEnrollment) -> bool {
    move |record| record.thumbprint() == unit["sha256"].as_str()
}

fn scrapped(record: &IndividualEnrollment) -> bool {
    let edge = record.optional_device_information.as_ref().and_then(|information| information.get("edge"));
    edge.and_then(|edge| edge.get("scrapped")) == Some(&json!(true))
}

/// Asks for something, and expects this status.
async fn ask(floor: &Floor, token: &str, path: &str, body: Value, expected: u16) -> Result<Value> {
    let response = floor.client.post(floor.url(path)).bearer_auth(token).json(&body).send().await?;
    let (status, answer) = (response.status().as_u16(), response.json().await?);
    ensure!(status == expected, "{path}: {status} {answer}");
    Ok(answer)
}

/// Has a unit renew its certificate by EST, as it would itself, and returns the unit as it is then.
async fn renew(floor: &Floor, dir: &Path, token: &str, unit: &Value) -> Result<Value> {
    let (id, text) = (unit["id"].as_str().context("no id")?, |name: &str| unit[name].as_str());
    let identity = [text("certificate"), text("private_key")].map(Option::unwrap_or_default).concat();
    let root = Certificate::from_pem(&fs::read(dir.join("box/root.pem"))?)?;
    let identity = Identity::from_pem(identity.as_bytes())?;
    let client = Client::builder().tls_certs_only([root]).identity(identity).build()?;
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "next.key"];
    let subject = format!("/CN={id}");
    let request = ["req", "-new", "-subj", &subject, "-outform", "DER", "-out", "next.der"];
    for words in [&[&request[..], &key].concat()[..], &["base64", "-in", "next.der", "-out", "next.b64"]] {
        let (made, said) = openssl(dir, words)?;
        ensure!(made, "{said}");
    }
    let post = client.post(floor.url("/.well-known/est/simplereenroll"));
    let post = post.header("content-type", "application/pkcs10").body(fs::read(dir.join("next.b64"))?);
    let status = post.send().await?.status();
    ensure!(status == 200, "{id} could not renew: {status}");
    let (_, renewed) = floor.get(token, &format!("/v1/units/{id}")).await?;
    ensure!(renewed["epoch"] == 2, "{renewed}");
    Ok(renewed)
}

/// The list, once openssl finds as many certificates on it.
async fn list(floor: &Floor, dir: &Path, entries: usize) -> Result<String> {
    let look = async {
        loop {
            let response = floor.client.get(floor.url("/crl")).send().await?;
            if response.status() == 200 {
                fs::write(dir.join("crl.der"), response.bytes().await?)?;
                let (read, text) =
                    openssl(dir, &["crl", "-in", "crl.der", "-inform", "DER", "-text", "-out", "crl.pem"])?;
                ensure!(read, "{text}");
                let text = fs::read_to_string(dir.join("crl.pem"))?;
                if text.matches("Serial Number:").count() == entries {
                    return Ok(text);
                }
            }
        }
    };
    timeout(PATIENCE, look).await.with_context(|| format!("no list with {entries} certificates"))?
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cloud_and_openssl_make_of_rework_and_scrap() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let cloud = sky.control();
    let floor = Floor::init(dir.path(), &format!("[crl]\napart = \"1ms\"\n{}", sky.section()))?;
    let daemon = floor.start()?;
    let supervisor = floor.token("supervisor", "lead")?;
    let mut units = Vec::new();
    for id in ["alive", "reworked", "burnt", "sold", "renewed"] {
        let (status, unit) = floor.issue(&supervisor, &json!({ "id": id, "line": "L1" })).await?;
        ensure!(status == 201, "{unit}");
        record(cloud, id, carries(&unit)).await?;
        units.push(unit);
    }
    // The portal was faster with one of them: its activation is never undone.
    let enabled = cloud.with(|cloud, now| {
        cloud.act_as_portal(now, "sold", |record| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
        })
    });
    ensure!(enabled, "the portal could not act");

    cloud.set_weather(Weather::ReplyLost);
    let reason = json!({ "reason": "board swapped" });
    let second = ask(&floor, &supervisor, "/v1/units/reworked/rework", reason.clone(), 201).await?;
    let sold = ask(&floor, &supervisor, "/v1/units/sold/rework", reason, 201).await?;
    ask(&floor, &supervisor, "/v1/units/burnt/scrap", json!({ "reason": "burnt" }), 200).await?;
    let renewed = renew(&floor, dir.path(), &supervisor, &units[4]).await?;
    cloud.set_weather(Weather::Clear);
    record(cloud, "renewed", carries(&renewed)).await?;
    let now = record(cloud, "reworked", carries(&second)).await?;
    ensure!(now.provisioning_status == Some(ProvisioningStatus::Disabled), "{now:?}");
    let tombstone = record(cloud, "burnt", scrapped).await?;
    ensure!(carries(&units[2])(&tombstone), "the tombstone keeps its certificate: {tombstone:?}");
    ensure!(tombstone.provisioning_status == Some(ProvisioningStatus::Disabled), "{tombstone:?}");

    let text = list(&floor, dir.path(), 3).await?;
    for words in ["Superseded", "Cessation Of Operation", "Authority Key Identifier", "CRL Number"] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    let (root, issuing) = ("box/root.pem", "box/issuing.pem");
    let (good, said) =
        openssl(dir.path(), &["crl", "-in", "crl.pem", "-CAfile", issuing, "-verify", "-noout"])?;
    ensure!(good && said.contains("verify OK"), "{said}");
    let verify = |unit: &Value| -> Result<(bool, String)> {
        fs::write(dir.path().join("unit.pem"), unit["certificate"].as_str().context("no certificate")?)?;
        let check = ["verify", "-x509_strict", "-crl_check", "-CRLfile", "crl.pem"];
        openssl(dir.path(), &[&check[..], &["-CAfile", root, "-untrusted", issuing, "unit.pem"]].concat())
    };
    // What was sold before its rework keeps its first certificate until a person decides.
    for living in [&units[0], &second, &units[3], &sold, &renewed] {
        let (good, said) = verify(living)?;
        ensure!(good, "{}: {said}", living["id"]);
    }
    for dead in [&units[1], &units[2], &units[4]] {
        let (good, said) = verify(dead)?;
        ensure!(!good && said.contains("certificate revoked"), "{}: {said}", dead["id"]);
    }

    let sold = record(cloud, "sold", carries(&units[3])).await?;
    ensure!(
        sold.provisioning_status == Some(ProvisioningStatus::Enabled),
        "an activation was undone: {sold:?}"
    );
    let held = async {
        loop {
            let (_, unit) = floor.get(&supervisor, "/v1/units/sold").await?;
            if unit["cloud"]["state"] != "waiting" {
                return Ok::<_, anyhow::Error>(unit);
            }
        }
    };
    let held = timeout(PATIENCE, held).await.context("the rework of a sold unit is still waiting")??;
    ensure!(held["cloud"]["why"]["code"] == "activated", "{held}");
    let (_, status) = floor.get(&supervisor, "/v1/status").await?;
    ensure!(status["books_balance"] == true && status["cloud"]["books"]["held"] == 1, "{status}");
    ensure!(daemon.stop()?.success(), "it did not stop in good order");
    sky.set().await
}
