//! How fast identities are issued, durably and over HTTPS, and what of that nobody could do without.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    cost, drip,
    hole::Hole,
    latency::{Figures, Turn},
    line::{Door, Requests},
    raw,
};
use crate::{
    fault::{
        bench::Bench,
        daemon::{Came, Daemon, Environment},
    },
    sky::Sky,
};

/// Lines that ask for identities over HTTPS.
///
/// Everybody has a turn in every round: connections that ask as fast as they are answered; the same while the cloud
/// swallows packets; the same beside clients that never finish a header; and units that come at a steady rate.
#[derive(Debug, Clone, Args)]
pub struct Issue {
    /// How many connections ask as fast as they are answered.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How long a turn is, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// How often everybody has a turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many units are offered a second where they come at a steady rate.
    #[arg(long, default_value_t = 200)]
    offered: u32,
    /// How many clients never finish a header.
    #[arg(long, default_value_t = 1000)]
    slow: usize,
    /// How many requests are made beforehand.
    #[arg(long, default_value_t = 500_000)]
    requests: usize,
    /// Who has a turn; everybody, if left out. For a profile.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
}

/// Who has a turn in a round, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Connections that ask as fast as they are answered.
    Closed,
    /// The same while the cloud swallows packets.
    CloudSwallows,
    /// The same beside clients that never finish a header.
    SlowClients,
    /// Units that come at a steady rate.
    Offered,
}

/// What was measured, and what it comes to.
#[derive(Debug, Serialize)]
struct Measured {
    /// CPU microseconds for verifying a request and signing a certificate, in one thread.
    raw_us: f64,
    turns: BTreeMap<Kind, Figures>,
    ratios: Ratios,
}

/// Each is there where those had a turn that it compares.
#[derive(Debug, Serialize)]
struct Ratios {
    /// CPU of the server for each, to the raw cost.
    server_to_raw: Option<f64>,
    /// The 99th percentile to the median.
    p99_to_p50: Option<f64>,
    /// The rate while the cloud swallows packets, to the rate online.
    cloud_swallows_to_online: Option<f64>,
    /// The 99th percentile beside slow clients, to that without.
    slow_clients_p99: Option<f64>,
}

impl Ratios {
    fn new(turns: &BTreeMap<Kind, Figures>, raw_us: f64) -> Self {
        let closed = turns.get(&Kind::Closed);
        let to_closed = |kind, figure: fn(&Figures) -> f64| {
            turns.get(&kind).zip(closed).map(|(one, other)| figure(one) / figure(other))
        };
        Self {
            server_to_raw: closed.map(|closed| closed.server_us / raw_us),
            p99_to_p50: closed.map(|closed| closed.p99_ms / closed.p50_ms),
            cloud_swallows_to_online: to_closed(Kind::CloudSwallows, |figures| figures.per_second),
            slow_clients_p99: to_closed(Kind::SlowClients, |figures| figures.p99_ms),
        }
    }
}

impl Issue {
    pub(crate) async fn run(&self) -> Result<Value> {
        ensure!(self.rounds > 0 && self.seconds > 0, "a measurement needs a round and some seconds");
        let dir = TempDir::new()?;
        let sky = Sky::rise(&dir.path().join("cloud")).await?;
        // As in a plant: what a box may send in a minute is little, so that the sync is not what is measured.
        let online = sky.section_at(200);
        let hole = Hole::dig().await?;
        let swallowed = redirected(&online, &hole.address().to_string())?;
        let online = Appliance::start(&dir.path().join("online"), &online).await?;
        let swallowed = Appliance::start(&dir.path().join("swallowed"), &swallowed).await?;
        let requests = Requests::make("load", self.requests)?;
        let length = Duration::from_secs(self.seconds);
        let mut raw = Vec::new();
        // The first turn after a start is nobody's.
        for appliance in [&online, &swallowed] {
            let lines = appliance.door.lines(self.connections).await?;
            lines.closed(Duration::from_secs(1), &requests).await?;
        }
        let mut turns = BTreeMap::<Kind, Turn>::new();
        for _ in 0..self.rounds {
            // Beside what it is compared with: a machine is not as fast at all times.
            raw.push(raw::verify_and_sign(length / 2)?.as_secs_f64() * 1e6);
            for kind in self.kinds() {
                let appliance = if kind == Kind::CloudSwallows { &swallowed } else { &online };
                let lines = appliance.door.lines(self.connections).await?;
                let slow = match kind {
                    Kind::SlowClients => Some(drip::begin(&appliance.door, self.slow).await?),
                    _ => None,
                };
                let turn = match kind {
                    Kind::Offered => {
                        appliance.measure(lines.offered(self.offered, length, &requests)).await?
                    }
                    _ => appliance.measure(lines.closed(length, &requests)).await?,
                };
                drop(slow);
                seen(kind, &turn.figures())?;
                turns.entry(kind).or_default().add(turn);
            }
        }
        online.stop().await?;
        swallowed.stop().await?;
        sky.set().await?;
        let turns = turns.into_iter().map(|(kind, turn)| (kind, turn.figures())).collect();
        let raw_us = raw.iter().sum::<f64>() / raw.len() as f64;
        let ratios = Ratios::new(&turns, raw_us);
        Ok(serde_json::to_value(Measured { raw_us, turns, ratios })?)
    }

    /// Who has a turn.
    fn kinds(&self) -> Vec<Kind> {
        let all = Kind::value_variants().iter().copied();
        all.filter(|kind| self.only.is_empty() || self.only.contains(kind)).collect()
    }
}

#[expect(clippy::print_stderr, reason = "progress goes to standard error, the result to standard output")]
fn seen(kind: Kind, figures: &Figures) -> Result<()> {
    eprintln!("{kind:?}: {}", serde_json::to_string(figures)?);
    Ok(())
}

/// A running appliance.
struct Appliance {
    daemon: Daemon,
    pid: u32,
    door: Door,
}

impl Appliance {
    async fn start(dir: &std::path::Path, more: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let bench = Bench::init(dir, &dir.join("box"), more).await?;
        let mut daemon = bench.spawn(&Environment::new())?;
        let came = daemon.come_up().await?;
        ensure!(
            matches!(came, Came::Up(_)),
            "an appliance does not start: {came:?}\n{}",
            bench.last_words(5)
        );
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(bench.state().join("root.pem"))?)?;
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let pid = daemon.pid().context("it is gone")?;
        let door = Door { address: bench.address(), tls: Arc::new(tls), token: bench.token().to_owned() };
        Ok(Self { pid, daemon, door })
    }

    /// A turn, with what it costs the server.
    async fn measure(&self, turn: impl Future<Output = Result<Turn>>) -> Result<Turn> {
        let before = cost::of_process(self.pid)?;
        let turn = turn.await?;
        Ok(Turn { server: cost::of_process(self.pid)? - before, ..turn })
    }

    async fn stop(self) -> Result<()> {
        self.daemon.stop().await?.context("an appliance does not stop")?;
        Ok(())
    }
}

/// The same cloud at another address.
fn redirected(section: &str, address: &str) -> Result<String> {
    let line = section.lines().find(|line| line.starts_with("connect_to")).context("no connect_to")?;
    Ok(section.replace(line, &format!("connect_to = \"{address}\"")))
}
