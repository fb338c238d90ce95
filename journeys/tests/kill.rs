//! `kill -9` at random moments, under load, with the cloud flapping: nothing that was answered is lost, and nothing is
//! told twice.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use emulator::{Control, Weather};
use journeys::{
    floor::Floor,
    sky::{Sky, WEATHERS},
};
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

const ROUNDS: usize = 50;
const CLIENTS: usize = 4;

/// What clients were told: id to thumbprint, and the times that a client was told something else for the same id.
#[derive(Debug, Default)]
struct Told {
    issued: BTreeMap<String, String>,
    changed: Vec<String>,
}

type Book = Arc<Mutex<Told>>;

/// Issues units until nobody answers any more; asks again for one whose answer was lost, as a station does.
async fn load(floor: Arc<Floor>, token: String, client: usize, round: usize, book: Book) {
    for n in 0.. {
        let id = format!("k-{round:03}-{client}-{n:05}");
        let request = json!({ "id": id, "csr": csr(&id), "line": "L1" });
        let Ok((status, unit)) = floor.issue(&token, &request).await else { return };
        assert_eq!(status, 201, "{unit}");
        note(&book, &id, &unit);
        // Some ask twice at once.
        if n % 5 == 0 {
            let Ok((status, again)) = floor.issue(&token, &request).await else { return };
            assert_eq!(status, 200, "{again}");
            note(&book, &id, &again);
        }
    }
}

fn note(book: &Book, id: &str, unit: &Value) {
    let thumbprint = unit["sha256"].as_str().unwrap_or_default().to_owned();
    let mut told = book.lock().unwrap_or_else(PoisonError::into_inner);
    let before = told.issued.insert(id.to_owned(), thumbprint.clone());
    if before.is_some_and(|before| before != thumbprint) {
        told.changed.push(id.to_owned());
    }
}

fn csr(id: &str) -> String {
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, id);
    let key = rcgen::KeyPair::generate().expect("a key");
    params.serialize_request(&key).and_then(|csr| csr.pem()).expect("a request")
}

/// Somebody enables an enrollment now and then, as the portal does: read, change, write if nobody else wrote.
fn enable_one(cloud: &Control, enabled: &mut Vec<String>) {
    let mut records = cloud.with(|cloud, _| cloud.enrollments());
    records.retain(|record| record.provisioning_status == Some(ProvisioningStatus::Disabled));
    let Some(record) = (!records.is_empty()).then(|| records.swap_remove(fastrand::usize(..records.len())))
    else {
        return;
    };
    let id = record.registration_id.clone();
    if cloud.with(|cloud, now| {
        cloud.act_as_portal(now, &id, |record| record.provisioning_status = Some(ProvisioningStatus::Enabled))
    }) {
        enabled.push(id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_answered_is_lost_and_an_activation_is_never_undone() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let cloud = sky.control().clone();
    let floor = Arc::new(Floor::init(dir.path(), sky.section())?);
    let daemon = floor.start()?;
    let (token, display) = (floor.token("station", "bench")?, floor.token("display", "board")?);
    daemon.kill()?;

    let book = Book::default();
    let mut enabled = Vec::new();
    for round in 0..ROUNDS {
        cloud.set_weather(WEATHERS[round % WEATHERS.len()]);
        let daemon = floor.start().with_context(|| format!("it does not start after kill {round}"))?;
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            clients.spawn(load(floor.clone(), token.clone(), client, round, book.clone()));
        }
        sleep(Duration::from_millis(fastrand::u64(20..250))).await;
        enable_one(&cloud, &mut enabled);
        daemon.kill()?;
        while let Some(client) = clients.join_next().await {
            client?;
        }
    }

    cloud.set_weather(Weather::Clear);
    let daemon = floor.start()?;
    let told = std::mem::take(&mut *book.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(told.changed.is_empty(), "ids with two certificates: {:?}", told.changed);
    ensure!(told.issued.len() > ROUNDS, "hardly anything was issued: {}", told.issued.len());
    // Every answer that a client saw is in the ledger.
    let reader = Reader { client: &floor.client, floor: &floor, token: &token };
    for (id, thumbprint) in &told.issued {
        let unit = reader.unit(id).await?;
        ensure!(unit["sha256"] == **thumbprint, "{id}: told {thumbprint}, kept {unit}");
    }
    // And everything in the ledger, answered or not, ends as exactly one enrollment with its thumbprint.
    let kept = reader.all().await?;
    let settled = timeout(Duration::from_secs(120), floor.settled(&display));
    settled.await.context("the backlog does not drain")??;
    let enrolled: BTreeMap<String, IndividualEnrollment> = cloud
        .with(|cloud, _| cloud.enrollments())
        .into_iter()
        .map(|record| (record.registration_id.clone(), record))
        .collect();
    ensure!(enrolled.len() == kept.len(), "{} units, {} enrollments", kept.len(), enrolled.len());
    for (id, thumbprint) in &kept {
        let record = enrolled.get(id).with_context(|| format!("{id} was never announced"))?;
        ensure!(
            record.thumbprint() == Some(thumbprint),
            "{id}: {thumbprint} is announced as {:?}",
            record.thumbprint()
        );
    }
    ensure!(!enabled.is_empty(), "nothing was enabled meanwhile");
    for id in &enabled {
        ensure!(
            enrolled[id].provisioning_status == Some(ProvisioningStatus::Enabled),
            "the factory has disabled {id}"
        );
    }
    report(ROUNDS, told.issued.len(), kept.len(), enabled.len());
    daemon.stop()?;
    sky.set().await
}

struct Reader<'a> {
    client: &'a Client,
    floor: &'a Floor,
    token: &'a str,
}

impl Reader<'_> {
    async fn unit(&self, id: &str) -> Result<Value> {
        let (status, unit) = self.floor.get(self.token, &format!("/v1/units/{id}")).await?;
        ensure!(status == 200, "{id} was answered and is lost: {unit}");
        Ok(unit)
    }

    /// Every unit of the ledger: id to thumbprint.
    async fn all(&self) -> Result<BTreeMap<String, String>> {
        let (mut all, mut after) = (BTreeMap::new(), String::new());
        loop {
            let url = self.floor.url(&format!("/v1/units?limit=1000{after}"));
            let page: Value = self.client.get(url).bearer_auth(self.token).send().await?.json().await?;
            for unit in page["units"].as_array().context("no units")? {
                let text = |name: &str| unit[name].as_str().unwrap_or_default().to_owned();
                ensure!(all.insert(text("id"), text("sha256")).is_none(), "{} is there twice", unit["id"]);
            }
            let Some(next) = page["next"].as_str() else { return Ok(all) };
            after = format!("&after={next}");
        }
    }
}

#[expect(clippy::print_stderr, reason = "the figures of this run are worth a line")]
fn report(kills: usize, answered: usize, kept: usize, enabled: usize) {
    eprintln!(
        "kills {kills}  answered {answered}  kept {kept}  lost 0  enabled meanwhile {enabled}, all still enabled"
    );
}
