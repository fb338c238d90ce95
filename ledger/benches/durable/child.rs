//! The phases of [`crate::scale`], each the whole life of a process.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Subcommand;
use edge::EdgeEvent;
use ledger::{Ledger, Options};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{runtime::Runtime, task::JoinSet};

use crate::unit::{self, Units};

/// How many tasks fill: as many as can share a sync.
const TASKS: usize = 256;
/// How many units are looked up by their id.
const GETS: u64 = 1000;
/// How many pages of the list of units are read, and how long they are.
const SCANS: u64 = 100;
const PAGE: usize = 100;
/// How long a burst lasts: just less than the index takes between two checkpoints, so that a kill finds the most to do.
const BURST: Duration = Duration::from_millis(4500);

/// What a process does.
#[derive(Debug, Subcommand)]
pub(crate) enum Phase {
    /// Commits units 0 to N, and stops in good order.
    #[command(hide = true)]
    Fill(Ground),
    /// Opens, reads here and there, and stops in good order.
    #[command(hide = true)]
    Open(Ground),
    /// Commits units from N on until it is killed.
    #[command(hide = true)]
    Burst(Ground),
}

/// Where, and how many.
#[derive(Debug, clap::Args)]
pub(crate) struct Ground {
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    units: u64,
}

/// How filling went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Filled {
    pub(crate) seconds: f64,
    pub(crate) peak_rss_mib: f64,
}

/// How opening went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) seconds: f64,
    /// How many frames the journal has by then.
    pub(crate) frames: u64,
    /// The peak of memory before.
    pub(crate) rss_before_mib: f64,
    /// The peak of memory once open.
    pub(crate) rss_open_mib: f64,
    /// The peak of memory after the reads.
    pub(crate) rss_reads_mib: f64,
    /// What a look-up took, on average.
    pub(crate) get_micros: f64,
    /// What a page took, on average.
    pub(crate) page_micros: f64,
    /// What the ledger said meanwhile.
    pub(crate) log: Vec<String>,
}

/// Lives through a phase and says as JSON how it went.
pub(crate) fn run(phase: &Phase) -> Result<Value> {
    Ok(match phase {
        Phase::Fill(ground) => serde_json::to_value(fill(&ground.dir, ground.units)?)?,
        Phase::Open(ground) => serde_json::to_value(open(&ground.dir, ground.units)?)?,
        Phase::Burst(ground) => burst(&ground.dir, ground.units)?,
    })
}

fn fill(dir: &Path, units: u64) -> Result<Filled> {
    let ledger = Ledger::open(dir, &Options::default())?;
    let runtime = Runtime::new()?;
    let start = Instant::now();
    runtime.block_on(issue(&ledger, Arc::default(), units))?;
    runtime.block_on(ledger.close());
    Ok(Filled { seconds: start.elapsed().as_secs_f64(), peak_rss_mib: peak_rss_mib()? })
}

/// Issues the units from `*next` to `end` as fast as many tasks can.
async fn issue(ledger: &Ledger<EdgeEvent>, next: Arc<AtomicU64>, end: u64) -> Result<()> {
    let units = Units::new()?;
    let mut running = JoinSet::new();
    for _ in 0..TASKS {
        let (ledger, units, next) = (ledger.clone(), units.clone(), next.clone());
        running.spawn(async move {
            loop {
                match next.fetch_add(1, Ordering::Relaxed) {
                    n if n < end => units.issue(&ledger, n).await?,
                    _ => return Ok::<_, anyhow::Error>(()),
                }
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}

fn burst(dir: &Path, from: u64) -> Result<Value> {
    let ledger = Ledger::open(dir, &Options::default())?;
    let runtime = Runtime::new()?;
    let next = Arc::new(AtomicU64::new(from));
    let counted = next.clone();
    let say = async {
        tokio::time::sleep(BURST).await;
        // The parent kills us as soon as it hears this.
        Ok(io::Write::write_all(
            &mut io::stdout(),
            format!("{}\n", counted.load(Ordering::Relaxed) - from).as_bytes(),
        )?)
    };
    runtime.block_on(async { tokio::try_join!(say, issue(&ledger, next, u64::MAX)) })?;
    anyhow::bail!("nobody killed this process")
}

fn open(dir: &Path, units: u64) -> Result<Opened> {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone()).init();
    let rss_before_mib = peak_rss_mib()?;
    let start = Instant::now();
    let ledger = Ledger::<EdgeEvent>::open(dir, &Options::default())?;
    let seconds = start.elapsed().as_secs_f64();
    let rss_open_mib = peak_rss_mib()?;
    let frames = ledger.seq();

    let mut random = fastrand::Rng::with_seed(3);
    let start = Instant::now();
    for _ in 0..GETS {
        unit::record(&ledger, random.u64(..units))?;
    }
    let get_micros = start.elapsed().as_secs_f64() * 1e6 / GETS as f64;
    let start = Instant::now();
    for _ in 0..SCANS {
        let after = format!("unit/mx200-{:012}", random.u64(..units - 1));
        let page: Vec<(_, Value)> = ledger.scan(b"unit/", Some(after.as_bytes()), PAGE)?;
        anyhow::ensure!(!page.is_empty(), "no unit behind {after}");
    }
    let page_micros = start.elapsed().as_secs_f64() * 1e6 / SCANS as f64;
    let rss_reads_mib = peak_rss_mib()?;
    Runtime::new()?.block_on(ledger.close());
    let log = log.lines();
    Ok(Opened { seconds, frames, rss_before_mib, rss_open_mib, rss_reads_mib, get_micros, page_micros, log })
}

/// The most memory that this process ever had.
fn peak_rss_mib() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    let kib: f64 = peak.context("the kernel does not tell the peak of memory")?.trim().parse()?;
    Ok(kib / 1024.0)
}

/// Keeps what is logged.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).lines().map(|line| line.trim().to_owned()).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
