//! How fast a worker tells a backlog: a real ledger on disk, real TLS, and the emulator in this process.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use azure_iot::RegistrationId;
use clap::Args;
use cloud_sync::{
    Announcement, Cloud, CloudConfig, CloudEvent, Provenance, Want, Work, Worker, books,
    claim::{ClaimCode, ClaimRecord},
};
use ledger::{Applied, Changes, CommitError, Decision, Entry, Event, Ledger, Options, Stamp, View};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::sky::Sky;

/// As many units are written at once while the backlog is made.
const AT_ONCE: usize = 256;

/// A backlog that drains.
#[derive(Debug, Clone, Args)]
pub struct Drain {
    /// How many units wait.
    #[arg(long, default_value_t = 100_000)]
    units: usize,
    /// How many requests may be under way at once.
    #[arg(long, default_value_t = 4)]
    requests_at_once: usize,
    /// Every so manieth unit is one that DPS does not take; 0 for none.
    #[arg(long, default_value_t = 0)]
    bad: usize,
}

/// A program with nothing but units to announce.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Issued {
    Unit { id: RegistrationId, certificate: Vec<u8>, sha256: String },
    Cloud(CloudEvent),
}

impl From<CloudEvent> for Issued {
    fn from(event: CloudEvent) -> Self {
        Self::Cloud(event)
    }
}

impl Event for Issued {
    fn apply(&self, at: &Applied<'_>, changes: &mut Changes<'_>) {
        match self {
            Self::Unit { id, .. } => books::want(changes, at, id, Want::Announce, 1),
            Self::Cloud(event) => books::record(changes, at, event),
        }
    }
}

fn describe(entry: &Entry<Issued>, id: &RegistrationId) -> Option<Work> {
    entry.events.iter().find_map(|event| match event {
        Issued::Unit { id: unit, certificate, sha256 } if unit == id => {
            let (box_id, head) = ("load".to_owned(), "00".repeat(32));
            let (generation, epoch, seq, scrapped) = (1, 1, entry.seq, false);
            Some(Work::Announce(Announcement {
                id: id.clone(),
                certificate: certificate.clone(),
                thumbprint: sha256.clone(),
                provenance: Provenance { box_id, generation, epoch, seq, head, scrapped },
                claim: ClaimRecord::new(1, &[1; 16], &ClaimCode::from_bits([7; 10])),
            }))
        }
        _ => None,
    })
}

impl Drain {
    pub(super) async fn run(&self) -> Result<Value> {
        let dir = TempDir::new()?;
        let sky = Sky::rise(&dir.path().join("cloud")).await?;
        let ledger = Ledger::<Issued>::open(&dir.path().join("ledger"), &Options::default())?;
        self.fill(&ledger).await?;
        let section: toml::Table = sky.section().parse()?;
        let mut config: CloudConfig = section["cloud"].clone().try_into()?;
        config.operations_per_minute = u32::MAX;
        config.requests_at_once = self.requests_at_once;
        let worker = Worker::new(ledger.clone(), Cloud::new(&config)?, Arc::new(describe), config.pace(), 1);
        let (cancel, mut work) = (CancellationToken::new(), JoinSet::new());
        let mut changed = ledger.changed();
        let (begin, cpu) = (now(), cpu());
        work.spawn(worker.run(cancel.clone()));
        while books::balance(&ledger)?.waiting > 0 {
            changed.changed().await?;
        }
        let (took, cpu) = (begin.elapsed(), cpu.zip(self::cpu()).map(|(before, after)| after - before));
        cancel.cancel();
        while let Some(ended) = work.join_next().await {
            ended?;
        }
        let books = books::balance(&ledger)?;
        let enrolled = sky.enrollments().len();
        ensure!(books.balance() && enrolled as i64 == books.settled, "{books:?}, {enrolled} enrollments");
        ledger.close().await;
        sky.set().await?;
        let units = self.units;
        Ok(json!({
            "load": "drain", "units": units, "requests_at_once": self.requests_at_once, "settled": books.settled,
            "held": books.held, "seconds": took.as_secs_f64(), "enrollments_per_second": units as f64 / took.as_secs_f64(),
            "cpu_seconds_of_worker_and_emulator": cpu.map(|cpu| cpu.as_secs_f64()),
        }))
    }

    /// Makes the backlog.
    async fn fill(&self, ledger: &Ledger<Issued>) -> Result<()> {
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::default().self_signed(&key)?.der().to_vec();
        let mut writing = JoinSet::new();
        for number in 0..self.units {
            let bad = self.bad > 0 && number % self.bad == self.bad - 1;
            let certificate = if bad { b"no certificate".to_vec() } else { certificate.clone() };
            let sha256: String =
                digest(&SHA256, &certificate).as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
            let id = format!("gw-{number:07}").parse().map_err(|error| anyhow!("{error}"))?;
            let unit = Issued::Unit { id, certificate, sha256 };
            let ledger = ledger.clone();
            writing.spawn(async move { commit(&ledger, unit).await });
            if writing.len() == AT_ONCE
                && let Some(written) = writing.join_next().await
            {
                written??;
            }
        }
        while let Some(written) = writing.join_next().await {
            written??;
        }
        Ok(())
    }
}

async fn commit(ledger: &Ledger<Issued>, event: Issued) -> Result<()> {
    let stamp = Stamp { at: OffsetDateTime::UNIX_EPOCH, actor: "load".to_owned() };
    let decide =
        move |_: &View<'_>| Ok::<_, std::convert::Infallible>(Decision { events: vec![event], answer: () });
    ledger.commit(stamp, decide).await.map(drop).map_err(|error| match error {
        CommitError::Unavailable(why) => anyhow!(why),
        CommitError::Refused(never) => match never {},
    })
}

/// The CPU time of this process so far; the worker, its ledger and the emulator all run in it.
fn cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may hold blanks; utime and stime are the 14th and 15th.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux tells them in hundredths of a second on every machine that we know.
    Some(Duration::from_millis(ticks * 10))
}

#[expect(clippy::disallowed_methods, reason = "a load is a shell: what it measures is time")]
fn now() -> Instant {
    Instant::now()
}
