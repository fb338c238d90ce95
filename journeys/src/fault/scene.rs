//! One appliance below one cloud, from its first unit to the day on which its books are closed.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, ensure};
use fastrand::Rng;
use tempfile::TempDir;

use crate::fault::{
    bench::{Bench, Line},
    check,
    daemon::{Came, Daemon, End, Environment},
    report::{Report, Violation},
    told::Told,
};
use crate::sky::Sky;

/// How many older units are looked at after every fault, besides those of the last round.
const OLDER: usize = 50;

/// An appliance, its cloud, and what clients know.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    pub(crate) sky: Sky,
    pub(crate) told: Told,
    /// What the daemon is started with.
    pub(crate) environment: Environment,
    /// How long its last start took.
    pub(crate) start: Duration,
    /// How many findings there were before it was made.
    before: u64,
    dir: TempDir,
}

impl Scene {
    /// Makes an appliance whose state is in `state`, or beside the rest; `more` is added to its configuration.
    pub(crate) async fn begin(state: Option<PathBuf>, more: &str, report: &Report) -> Result<Self> {
        let dir = TempDir::new()?;
        let sky = Sky::rise(&dir.path().join("cloud")).await?;
        let state = state.unwrap_or_else(|| dir.path().join("box"));
        let bench = Bench::init(dir.path(), &state, &format!("{}{more}", sky.section())).await?;
        let (environment, start) = (Environment::new(), Duration::from_millis(600));
        let before = report.violations();
        Ok(Self { bench, sky, told: Told::default(), environment, start, before, dir })
    }

    /// A folder for whatever a harness needs, away from the appliance's state.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the daemon and waits until it is up; `None` if it does not come, which is then in the report.
    pub(crate) async fn start(&mut self, report: &mut Report) -> Result<Option<(Daemon, Line)>> {
        let mut daemon = self.bench.spawn(&self.environment)?;
        let came = daemon.come_up().await?;
        let words = || self.bench.last_words(2);
        match came {
            Came::Up(took) => {
                self.start = took;
                report.most("slowest_start_ms", u64::try_from(took.as_millis())?);
                return Ok(Some((daemon, self.bench.line()?)));
            }
            Came::Ended(End::Signal(signal)) => {
                report.found(Violation::Crash, format!("signal {signal} while starting:\n{}", words()));
            }
            Came::Ended(End::Code(code)) => {
                report.found(Violation::Unopenable, format!("exit code {code}:\n{}", words()));
            }
            Came::Silent => report.found(Violation::Hang, format!("it does not come up:\n{}", words())),
        }
        Ok(None)
    }

    /// Starts the daemon and lets it come as far as chance wants, perhaps not even up.
    pub(crate) async fn start_halfway(&self, dice: &mut Rng) -> Result<Daemon> {
        let daemon = self.bench.spawn(&self.environment)?;
        let whole = self.start.as_micros() as u64;
        tokio::time::sleep(Duration::from_micros(dice.u64(..=whole))).await;
        Ok(daemon)
    }

    /// After a fault: the books, everything since the `from`th answer, and some older ones.
    pub(crate) async fn check(
        &self,
        line: &Line,
        from: usize,
        dice: &mut Rng,
        report: &mut Report,
    ) -> Result<()> {
        check::books(line, report).await?;
        check::units(line, &self.told, self.told.since(from, OLDER, dice), report).await;
        self.hear(report);
        Ok(())
    }

    /// Takes over what clients have seen and should not have.
    fn hear(&self, report: &mut Report) {
        for (what, detail) in self.told.take_wrong() {
            report.found(what, detail);
        }
    }

    /// The last day: everything that was ever told, every unit enrolled once, and a stop in good order.
    pub(crate) async fn close(&self, daemon: Daemon, line: &Line, report: &mut Report) -> Result<()> {
        self.sky.clear();
        let kept = check::everything(line, &self.told, report).await?;
        if check::drained(line, report).await
            && let Some(kept) = kept
        {
            check::enrolled(&kept, &self.sky, report);
        }
        match daemon.stop().await? {
            Some(End::Code(0)) => {}
            Some(end) => report.found(Violation::Unexpected, format!("it stopped with {end:?}")),
            None => report.found(Violation::Hang, "it does not stop"),
        }
        Ok(())
    }

    /// Clears away. What somebody should look at is kept, and where is said.
    pub(crate) async fn end(self, report: &mut Report) -> Result<()> {
        self.hear(report);
        report.add("acks", self.told.len());
        report.add("repeats", self.told.repeats());
        report.add("refused", self.told.refused());
        report.add("internal_errors", self.told.internal());
        report.add("appliances", 1);
        self.sky.set().await?;
        if report.violations() > self.before && !report.is_mutated() {
            let dir = self.dir.keep();
            if !self.bench.state().starts_with(&dir) {
                let copied = Command::new("cp").arg("-a").arg(self.bench.state()).arg(&dir).status()?;
                ensure!(copied.success(), "cp: {copied}");
            }
            report.progress(format!("kept for whoever wants to know why: {}", dir.display()));
        }
        Ok(())
    }
}
