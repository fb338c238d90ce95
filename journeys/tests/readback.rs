//! Somebody meddles with what the cloud was told: the box finds it out in its own time, or at once when it is asked to,
//! mends what is its own, and holds the rest for a person.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use azure_iot::{
    enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus},
    sas,
};
use emulator::{
    Control,
    cloud::http::{Request, Response},
};
use journeys::{floor::Floor, programs, sky::Sky};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often somebody looks who waits for something to show.
const LOOK: Duration = Duration::from_millis(50);

/// Runs `edge`, and expects an exit code and some words.
fn edge(floor: &Floor, words: &[&str], code: i32, says: &[&str]) -> Result<String> {
    let output = Command::new(programs::path("edge")?)
        .args(words)
        .arg("--state")
        .arg(floor.state())
        .stdin(Stdio::null())
        .output()?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    let missing: Vec<_> = says.iter().filter(|word| !said.contains(**word)).collect();
    let found = output.status.code().context("a signal")?;
    ensure!(found == code && missing.is_empty(), "{words:?}: {found}, without {missing:?}:\n{said}");
    Ok(said)
}

/// Somebody with rights of their own asks the cloud for something.
fn asks(cloud: &Control, method: &str, id: &str, body: Option<Value>) -> Response {
    cloud.with(|cloud, now| {
        let identity = cloud.identity();
        let until = now.unix_timestamp() + 3600;
        let token = sas::sign(&identity.host, &identity.policy, &identity.key, until);
        let request = Request {
            method: method.to_owned(),
            path: format!("/enrollments/{id}"),
            query: [("api-version".to_owned(), "2021-10-01".to_owned())].into(),
            headers: [("authorization".to_owned(), token)].into(),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
            ..Request::default()
        };
        cloud.handle(now, &request)
    })
}

fn changes(cloud: &Control, id: &str, change: impl FnOnce(&mut IndividualEnrollment)) -> Result<()> {
    ensure!(cloud.with(|cloud, now| cloud.act_as_portal(now, id, change)), "{id} could not be changed");
    Ok(())
}

fn record(cloud: &Control, id: &str) -> Result<IndividualEnrollment> {
    cloud.with(|cloud, _| cloud.enrollment(id)).with_context(|| format!("{id} is not there"))
}

/// The certificate of a unit as an enrollment carries it.
fn attestation(unit: &Value) -> Result<Attestation> {
    let pem = unit["certificate"].as_str().context("no certificate")?;
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let primary = json!({ "primary": { "certificate": base64 } });
    Ok(serde_json::from_value(json!({ "type": "x509", "x509": { "clientCertificates": primary } }))?)
}

async fn post(floor: &Floor, token: &str, path: &str, expected: u16) -> Result<Value> {
    let request = floor.client.post(floor.url(path)).bearer_auth(token);
    let response = request.json(&json!({ "reason": "a test" })).send().await?;
    let (status, answer) = (response.status().as_u16(), response.json().await?);
    ensure!(status == expected, "{path}: {status} {answer}");
    Ok(answer)
}

/// A box whose units are all in the cloud: `kept`, `sold` (and activated), `deleted`, `swapped`, `reworked` and `scrapped`.
struct Scene {
    dir: TempDir,
    sky: Sky,
    floor: Floor,
    daemon: programs::Running,
    token: String,
    /// The certificate that `reworked` had first.
    former: Attestation,
    /// The thumbprint that it has now.
    present: Option<String>,
}

impl Scene {
    async fn new(read_back: &str) -> Result<Self> {
        let dir = TempDir::new()?;
        let sky = Sky::rise(&dir.path().join("cloud")).await?;
        let floor = Floor::init(dir.path(), &format!("[read_back]\n{read_back}\n{}", sky.section()))?;
        let daemon = floor.start()?;
        let token = floor.token("supervisor", "lead")?;
        let mut units = Vec::new();
        for id in ["kept", "sold", "deleted", "swapped", "reworked", "scrapped"] {
            let (status, unit) = floor.issue(&token, &json!({ "id": id, "line": "L1" })).await?;
            ensure!(status == 201, "{unit}");
            units.push(unit);
        }
        timeout(PATIENCE, floor.settled(&token)).await.context("not everything is told")??;
        let reworked = post(&floor, &token, "/v1/units/reworked/rework", 201).await?;
        post(&floor, &token, "/v1/units/scrapped/scrap", 200).await?;
        timeout(PATIENCE, floor.settled(&token)).await.context("not everything is told")??;
        changes(sky.control(), "sold", |record| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
        })?;
        let (former, present) = (attestation(&units[4])?, reworked["sha256"].as_str().map(str::to_owned));
        Ok(Self { dir, sky, floor, daemon, token, former, present })
    }

    /// Somebody deletes one record, gives another a strange certificate and a third its former one, and takes the mark of a
    /// tombstone away.
    fn meddle(&self) -> Result<()> {
        let cloud = self.sky.control();
        ensure!(asks(cloud, "DELETE", "deleted", None).status == 204, "it could not be deleted");
        let former = self.former.clone();
        changes(cloud, "swapped", |record| record.attestation = former.clone())?;
        changes(cloud, "reworked", |record| record.attestation = former)?;
        changes(cloud, "scrapped", |record| {
            let edge =
                record.optional_device_information.as_mut().and_then(|found| found.pointer_mut("/edge"));
            edge.and_then(Value::as_object_mut).map(|edge| edge.remove("scrapped"));
        })
    }

    async fn status(&self) -> Result<Value> {
        let (_, status) = self.floor.get(&self.token, "/v1/status").await?;
        ensure!(status["books_balance"] == true, "{status}");
        Ok(status)
    }

    /// Waits until so many units are held and none waits.
    async fn held(&self, held: u64) -> Result<Value> {
        let look = async {
            loop {
                let status = self.status().await?;
                let books = &status["cloud"]["books"];
                if books["held"] == held && books["waiting"] == 0 {
                    return Ok::<_, anyhow::Error>(status);
                }
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, look).await.with_context(|| format!("never were {held} held"))?
    }

    /// What is the box's own is as it was; what is not, and what was activated, was not touched.
    fn mended(&self) -> Result<()> {
        let cloud = self.sky.control();
        let reworked = record(cloud, "reworked")?;
        ensure!(reworked.thumbprint() == self.present.as_deref(), "{reworked:?}");
        let scrapped = record(cloud, "scrapped")?;
        let information = scrapped.optional_device_information.unwrap_or_default();
        ensure!(information["edge"]["scrapped"] == true, "{information}");
        ensure!(record(cloud, "deleted").is_err(), "what somebody has deleted was made again");
        let swapped = record(cloud, "swapped")?;
        ensure!(swapped.thumbprint() != record(cloud, "kept")?.thumbprint(), "{swapped:?}");
        let sold = record(cloud, "sold")?;
        ensure!(sold.provisioning_status == Some(ProvisioningStatus::Enabled), "{sold:?}");
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_does_to_a_record_is_found_out_in_time() -> Result<()> {
    let scene = Scene::new("share = 0.5\nevery = \"1s\"").await?;
    let before = scene.held(0).await?;
    ensure!(before["read_back"]["compared"].is_u64(), "{before}");
    scene.meddle()?;
    scene.held(2).await?;
    // Waiting comes to an end once; the mended ones are told again within the same pass or the next.
    let cloud = scene.sky.control();
    let present = scene.present.clone();
    let whole = cloud.until(|cloud| {
        let reworked = cloud.enrollment("reworked")?.thumbprint().map(str::to_owned) == present;
        let information = cloud.enrollment("scrapped")?.optional_device_information?;
        (reworked && information["edge"]["scrapped"] == true).then_some(())
    });
    timeout(PATIENCE, whole).await.context("what is ours was not mended")?;
    scene.held(2).await?;
    scene.mended()?;
    let floor = &scene.floor;
    edge(floor, &["queue", "ls"], 0, &["held     deleted", "missing", "held     swapped", "conflict"])?;
    edge(floor, &["queue", "ls"], 0, &["read back", "compared", "the books balance"])?;
    edge(floor, &["status"], 0, &["read back", "2 held"])?;
    edge(floor, &["queue", "show", "deleted"], 0, &["edge queue retry deleted"])?;
    let told = edge(floor, &["ledger", "show"], 0, &["reworked differs in the cloud (former-certificate)"])?;
    ensure!(told.matches("differs in the cloud").count() == 4, "a drift is written down once:\n{told}");
    let (_, events) = floor.get(&scene.token, "/v1/units/deleted/events").await?;
    ensure!(events.to_string().contains("\"kind\":\"drifted\""), "{events}");

    edge(floor, &["queue", "retry", "deleted", "--wait"], 0, &["1 asked again", "1 held"])?;
    let again = record(cloud, "deleted")?;
    ensure!(again.provisioning_status == Some(ProvisioningStatus::Disabled), "{again:?}");
    edge(floor, &["ledger", "verify"], 0, &["whole"])?;
    ensure!(scene.daemon.stop()?.success(), "it did not stop in good order");
    scene.sky.set().await?;
    drop(scene.dir);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn reconcile_compares_everything_at_once() -> Result<()> {
    let scene = Scene::new("share = 0").await?;
    let (floor, cloud) = (&scene.floor, scene.sky.control());
    ensure!(scene.status().await?.get("read_back").is_none(), "nothing is read back");
    edge(floor, &["reconcile"], 0, &["has 6 enrollments of this box", "compared    6 units"])?;

    scene.meddle()?;
    let mut phantom = record(cloud, "kept")?.writable();
    phantom.registration_id = "phantom".to_owned();
    phantom.attestation = scene.former.clone();
    ensure!(asks(cloud, "PUT", "phantom", Some(json!(phantom))).status == 200, "no phantom");
    let before = scene.status().await?;
    let seen = [
        "differs     deleted  missing: would be held (missing)",
        "differs     swapped  other-certificate: would be held (conflict)",
        "differs     reworked  former-certificate: would be told again",
        "differs     scrapped  revived: would be told again",
        "phantom     phantom  says frame",
        "differ in 5",
    ];
    let said = edge(floor, &["reconcile", "--dry-run"], 5, &seen)?;
    ensure!(!said.contains("kept") && !said.contains("sold"), "{said}");
    ensure!(scene.status().await?["seq"] == before["seq"], "a dry run has written something");

    edge(floor, &["queue", "pause", "--reason", "a move"], 0, &[])?;
    edge(floor, &["reconcile"], 5, &["paused (a move)"])?;
    edge(floor, &["queue", "resume"], 0, &[])?;
    let said = edge(floor, &["reconcile", "-o", "json"], 5, &["former-certificate"])?;
    let found: Value = serde_json::from_str(said.lines().next().context("nothing said")?)?;
    ensure!(
        found["compared"] == 6 && found["differ"].as_array().is_some_and(|all| all.len() == 4),
        "{found}"
    );
    ensure!(found["phantoms"][0]["id"] == "phantom" && found["not_looked_at"] == 0, "{found}");
    scene.held(2).await?;
    scene.mended()?;
    edge(floor, &["queue", "ls", "--by-cause"], 0, &["1  conflict", "1  missing"])?;

    // What is held is known; only the phantom is news.
    edge(floor, &["reconcile"], 5, &["compared    4 units", "phantom     phantom", "differ in 1"])?;
    ensure!(asks(cloud, "DELETE", "phantom", None).status == 204, "the phantom stays");
    edge(floor, &["reconcile"], 0, &["compared    4 units"])?;
    ensure!(scene.daemon.stop()?.success(), "it did not stop in good order");
    scene.sky.set().await?;
    edge(floor, &["reconcile"], 3, &["no daemon answers"])?;
    drop(scene.dir);
    Ok(())
}
