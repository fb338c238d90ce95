//! A portal activates while the factory still announces the same devices, and three in ten answers of the cloud are lost:
//! no activation is undone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{AllocationPolicy, IndividualEnrollment, ProvisioningStatus};
use emulator::{
    Weather,
    cloud::{Cloud, Seen},
};
use futures_util::{StreamExt, TryStreamExt, stream};
use journeys::{
    browser::{Activation, Browser},
    floor::Floor,
    sky::Sky,
    world::ACCOUNT,
};
use keys::Passphrase;
use portal::{AccountIs, Portal};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const DEVICES: usize = 500;
const HUBS: [&str; 2] = ["hub-1.azure-devices.net", "hub-2.azure-devices.net"];
const WEATHER: Weather = Weather::Lossy { percent: 30 };
/// What chance begins with; another one is another run.
const SEED: u64 = 30;
const PASSWORD: &str = "a password for one test";
/// How many people type in labels at once.
const AT_ONCE: usize = 8;
/// How many operations the edge does in a minute: so few that a device is activated before it is announced again.
const PACE: u32 = 5000;
const PATIENCE: Duration = Duration::from_secs(90);

/// A device, and what its manufacturer chose for it.
#[derive(Debug)]
struct Device {
    id: String,
    claim: String,
    thumbprint: String,
    hub: &'static str,
}

impl Device {
    fn twin(&self) -> Value {
        json!({ "tags": { "chassis": self.id }, "properties": { "desired": { "label": self.claim } } })
    }

    /// Whether its record is still as the portal has written it.
    fn is_active(&self, record: &IndividualEnrollment) -> Result<()> {
        let Self { id, thumbprint, hub, .. } = self;
        ensure!(record.thumbprint() == Some(thumbprint), "{id} has another certificate: {record:?}");
        ensure!(
            record.provisioning_status == Some(ProvisioningStatus::Enabled),
            "the factory has disabled {id}"
        );
        ensure!(json!(record.initial_twin) == self.twin(), "the twin of {id} is gone: {record:?}");
        ensure!(record.allocation_policy == Some(AllocationPolicy::Static), "{record:?}");
        ensure!(record.iot_hubs == Some(vec![(*hub).to_owned()]), "the hub of {id} is gone: {record:?}");
        Ok(())
    }
}

/// What the cloud was asked, as far as this story goes.
#[derive(Debug, Default)]
struct Watch {
    looked: u64,
    lost: usize,
    activated: BTreeSet<String>,
    /// The devices that were announced once more after they were activated, with how often.
    again: BTreeMap<String, usize>,
}

impl Watch {
    fn look(&mut self, cloud: &Cloud) {
        for Seen { number, what, about, status, lost, .. } in cloud.seen(self.looked) {
            self.looked = number;
            self.lost += usize::from(lost);
            // No announcement writes to what is there, so a write to an enrollment is the portal's; it begins with the
            // announcement in a bulk.
            if what.starts_with("PUT ") && status == 200 {
                self.activated.extend(about);
            } else if what == "POST /enrollments" {
                for id in about.into_iter().filter(|id| self.activated.contains(id)) {
                    *self.again.entry(id).or_default() += 1;
                }
            }
        }
    }
}

async fn issue(floor: &Floor, token: &str, n: usize) -> Result<Device> {
    let id = format!("mp-{n:04}");
    let (status, unit) = floor.issue(token, &json!({ "id": id, "line": "L1" })).await?;
    ensure!(status == 201, "{unit}");
    let text = |name: &str| unit[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    Ok(Device { claim: text("claim_code")?, thumbprint: text("sha256")?, hub: HUBS[n % HUBS.len()], id })
}

async fn portal(dir: &Path, sky: &Sky) -> Result<Portal> {
    let state = dir.join("portal");
    portal::init(&state, vec!["localhost".to_owned()]).await?;
    let password = Passphrase::new(PASSWORD.to_owned())?;
    portal::set_account(&state, ACCOUNT.parse()?, &password, AccountIs::New).await?;
    let text = format!(
        "state = {state:?}\nhubs = {HUBS:?}\n[listen]\naddress = \"127.0.0.1:0\"\n{}\
         [limits]\nrequests_per_hour = {DEVICES}\n",
        sky.section()
    );
    Ok(Portal::bind(portal::Config::parse(&text, Path::new("portal.toml"))?).await?)
}

/// Waits until the portal says that the device is activated.
async fn told(browser: &Browser, activation: &Activation) -> Result<()> {
    loop {
        let page = browser.look(activation).await?;
        if page["phase"] == "done" {
            return Ok(());
        }
        ensure!(page["phase"] == "waiting", "somebody has to look: {page}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_devices_stay_activated_while_they_are_announced_again_and_again() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let cloud = sky.control();
    let floor = Floor::init(dir.path(), &sky.section_at(PACE))?;
    let edge = floor.start()?;
    let token = floor.token("station", "bench")?;
    let portal = portal(dir.path(), &sky).await?;
    let origin = format!("https://localhost:{}", portal.local_addr().port());
    let cancel = CancellationToken::new();
    let mut running = JoinSet::new();
    running.spawn(portal.run(cancel.clone()));

    // A backlog, because then the edge announces by ten, and a lost answer is one about ten devices.
    sky.away();
    let devices: Vec<Device> =
        stream::iter(0..DEVICES).map(|n| issue(&floor, &token, n)).buffered(AT_ONCE).try_collect().await?;
    let browser = Browser::new(&origin, &std::fs::read(dir.path().join("portal/root.pem"))?)?;
    browser.sign_in(ACCOUNT, PASSWORD).await?;

    let mut watch = Watch::default();
    cloud.seed(SEED);
    cloud.set_weather(WEATHER);
    // Whoever holds a label types it in as soon as the cloud knows the device, though the edge may not know that it does.
    let labels = stream::iter(&devices).map(|device| async {
        cloud.until(|cloud| cloud.enrollment(&device.id)).await;
        browser.activate(&device.id, &device.claim, &device.twin().to_string(), device.hub).await
    });
    let labels = labels.buffered(AT_ONCE).try_collect::<Vec<Activation>>();
    let all = cloud.until(|cloud| {
        watch.look(cloud);
        (watch.activated.len() == DEVICES).then_some(())
    });
    let both = async { tokio::join!(labels, all) };
    let (activations, ()) = timeout(PATIENCE, both).await.context("not every device is activated")?;
    let activations = activations?;
    timeout(PATIENCE, floor.settled(&token)).await.context("the backlog does not drain")??;
    for activation in &activations {
        timeout(PATIENCE, told(&browser, activation)).await.context("the portal does not see it")??;
    }
    cloud.with(|cloud, _| watch.look(cloud));

    let records = sky.enrollments();
    ensure!(records.len() == DEVICES, "{} enrollments", records.len());
    for device in &devices {
        device.is_active(records.get(&device.id).with_context(|| format!("{} is lost", device.id))?)?;
    }
    report(&watch);
    ensure!(watch.lost > DEVICES / 10, "hardly an answer was lost: {}", watch.lost);
    ensure!(!watch.again.is_empty(), "no device was announced again after it was activated");
    cancel.cancel();
    running.join_next().await.context("no portal")???;
    edge.stop()?;
    sky.set().await
}

#[expect(clippy::print_stderr, reason = "the figures of this run are worth a line")]
fn report(watch: &Watch) {
    eprintln!(
        "devices {DEVICES}  answers lost {}  devices announced after they were activated {} ({} times), all still active",
        watch.lost,
        watch.again.len(),
        watch.again.values().sum::<usize>()
    );
}
