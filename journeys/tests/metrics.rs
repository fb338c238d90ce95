//! The numbers of a real box below a real cloud: all that are documented are told, and the books balance at every scrape,
//! whatever was killed and whatever the weather.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use emulator::Weather;
use journeys::{floor::Floor, sky::Sky};
use serde_json::json;
use tempfile::TempDir;
use tokio::{task::JoinSet, time::timeout};

const PAGE: &str = include_str!("../../docs/metrics.md");
/// How often the daemon is killed.
const KILLS: usize = 5;
const LINES: usize = 3;

/// What a box says at one moment; an `Err` is no answer at all.
async fn scrape(floor: &Floor, token: &str) -> Result<Scrape> {
    let response = floor.client.get(floor.url("/metrics")).bearer_auth(token).send().await?;
    Ok(Scrape(response.error_for_status()?.text().await?))
}

struct Scrape(String);

impl Scrape {
    /// The value of a sample, named with all its labels.
    fn find(&self, sample: &str) -> Option<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    }

    fn value(&self, sample: &str) -> Result<f64> {
        self.find(sample).with_context(|| format!("no {sample}:\n{}", self.0))
    }

    /// Enqueued, completed, dropped, waiting, held: they balance.
    fn books(&self) -> Result<[f64; 5]> {
        let books @ [enqueued, completed, dropped, waiting, held] = [
            self.value("edge_queue_enqueued_total")?,
            self.value("edge_queue_completed_total")?,
            self.value("edge_queue_dropped_total")?,
            self.value("edge_queue_jobs{state=\"waiting\"}")?,
            self.value("edge_queue_jobs{state=\"held\"}")?,
        ];
        ensure!(enqueued == completed + dropped + waiting + held, "the books differ: {books:?}");
        Ok(books)
    }

    fn tells(&self, name: &str) -> bool {
        self.0.lines().any(|line| line.starts_with(&format!("# TYPE {name} ")))
    }
}

/// A line that makes units and reworks every third of them, until nobody answers any more.
async fn line(floor: Arc<Floor>, station: String, supervisor: String, name: String, made: Arc<AtomicU64>) {
    for n in 0.. {
        let id = format!("{name}-{n}");
        let Ok((status, unit)) = floor.issue(&station, &json!({ "id": id, "line": "L1" })).await else {
            return;
        };
        assert_eq!(status, 201, "{unit}");
        made.fetch_add(1, Ordering::Relaxed);
        if n % 3 == 0 {
            let request = floor.client.post(floor.url(&format!("/v1/units/{id}/rework")));
            let request = request.bearer_auth(&supervisor).json(&json!({ "reason": "board swapped" }));
            let Ok(response) = request.send().await else { return };
            assert_eq!(response.status(), 201);
            made.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_at_every_scrape_and_every_number_is_told() -> Result<()> {
    let dir = TempDir::new()?;
    let sky = Sky::rise(&dir.path().join("cloud")).await?;
    let floor = Arc::new(Floor::init(dir.path(), sky.section())?);
    let mut daemon = floor.start()?;
    let (station, supervisor) = (floor.token("station", "press-1")?, floor.token("supervisor", "lead")?);
    let display = floor.token("display", "prometheus")?;
    floor.edge(&["queue", "pause", "--reason", "the hub is moved"])?;

    let made = Arc::new(AtomicU64::new(0));
    let (mut scrapes, mut enqueued) = (0, 0.0);
    for kill in 0..KILLS {
        if kill == 1 {
            floor.edge(&["queue", "resume"])?;
        }
        let weather = [Weather::Clear, Weather::ReplyLost, Weather::Flaky, Weather::Offline];
        sky.control().set_weather(weather[kill % weather.len()]);
        let mut lines = JoinSet::new();
        for n in 0..LINES {
            let (station, supervisor) = (station.clone(), supervisor.clone());
            lines.spawn(line(floor.clone(), station, supervisor, format!("k{kill}-{n}"), made.clone()));
        }
        let enough = made.load(Ordering::Relaxed) + 30;
        while made.load(Ordering::Relaxed) < enough {
            let [now, ..] = scrape(&floor, &display).await?.books()?;
            ensure!(now >= enqueued, "{now} jobs after {enqueued}");
            (scrapes, enqueued) = (scrapes + 1, now);
        }
        daemon.kill()?;
        while let Some(ended) = lines.join_next().await {
            ended?;
        }
        daemon = floor.start().with_context(|| format!("it does not start after kill {kill}"))?;
        let first = scrape(&floor, &display).await?;
        let [now, completed, ..] = first.books()?;
        let answered = made.load(Ordering::Relaxed) as f64;
        ensure!(now >= answered.max(enqueued), "{now} jobs, and {answered} were answered");
        if kill == 0 {
            ensure!(
                completed == 0.0 && first.value("edge_sync_paused")? == 1.0,
                "something got past the pause"
            );
            ensure!(first.find("edge_link_up").is_none(), "it was never tried");
        }
    }

    sky.control().set_weather(Weather::Throttled { retry_after: 0 });
    let unit = json!({ "id": "last", "line": "L1" });
    ensure!(floor.issue(&station, &unit).await?.0 == 201);
    let failed = "edge_sync_attempts_total{code=\"link-throttled\",outcome=\"failed\"}";
    let busy = async {
        loop {
            let page = scrape(&floor, &display).await?;
            page.books()?;
            // The answer is counted, then the attempt, then the link is down: a scrape may come in between.
            let failed = page.find(failed).is_some_and(|attempts| attempts >= 1.0);
            if page.value("edge_dps_throttled_total")? > 0.0
                && failed
                && page.find("edge_link_up") == Some(0.0)
            {
                return Ok::<_, anyhow::Error>(());
            }
        }
    };
    timeout(Duration::from_secs(60), busy).await.context("nobody is throttled")??;

    sky.clear();
    let drained = async {
        loop {
            let page = scrape(&floor, &display).await?;
            let [.., waiting, _] = page.books()?;
            scrapes += 1;
            if waiting == 0.0 {
                return Ok::<_, anyhow::Error>(page);
            }
        }
    };
    let page = timeout(Duration::from_secs(120), drained).await.context("the backlog does not drain")??;
    let [enqueued, completed, dropped, _, held] = page.books()?;
    ensure!(page.value("edge_link_up")? == 1.0 && page.value("edge_queue_oldest_job_age_seconds")? == 0.0);
    for row in PAGE.lines().filter_map(|line| line.strip_prefix("| `edge_")) {
        let name = row.split('`').next().context("no name")?;
        ensure!(page.tells(&format!("edge_{name}")), "edge_{name} is documented and not told:\n{}", page.0);
    }
    report(scrapes, &format!("{enqueued} wanted = {completed} told + {dropped} dropped + {held} held"));
    ensure!(daemon.stop()?.success(), "the daemon does not stop well");
    sky.set().await
}

#[expect(clippy::print_stderr, reason = "the figures of this run are worth a line")]
fn report(scrapes: usize, books: &str) {
    eprintln!("kills {KILLS}  scrapes {scrapes}, all of them balanced  {books}");
}
