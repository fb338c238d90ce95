//! The n-th storage call fails, for every n and in every way, from the first call of a start to the last one of a stop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;
use tempfile::TempDir;

use crate::fault::{
    Common,
    bench::{Bench, Line},
    check::{self, Standing},
    daemon::{Came, Daemon, End, Environment},
    fill,
    load::{Station, ask},
    report::{Report, Violation},
    scene::Scene,
    shim::{Call, Fault, How, Shim},
    told::Told,
};

/// How many units are issued in a cycle.
const UNITS: usize = 4;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// Makes the n-th storage call fail, for every n.
///
/// Mutated, a program that does not look at results: what fails is not done, and success is reported.
#[derive(Debug, Clone, Args)]
pub struct IoSweep {
    /// What every harness is told; the number of rounds ends the sweep early.
    #[command(flatten)]
    pub common: Common,
    /// Not every n, but every so many.
    #[arg(long, default_value_t = 1)]
    pub stride: usize,
    /// Begins near the end of a segment, so that the next one is made in every cycle.
    #[arg(long)]
    pub rotate: bool,
    /// Only kinds of faults whose name contains this.
    #[arg(long)]
    pub only: Option<String>,
}

/// A way in which calls fail.
type Kind = (&'static str, Call, How);

const KINDS: &[Kind] = &[
    ("write-eio", Call::Write, How::Fail(EIO)),
    ("write-enospc", Call::Write, How::Fail(ENOSPC)),
    ("write-short", Call::Write, How::Short),
    ("sync-eio", Call::Sync, How::Fail(EIO)),
    ("allocate-eio", Call::Allocate, How::Fail(EIO)),
    ("allocate-enospc", Call::Allocate, How::Fail(ENOSPC)),
    ("name-eio", Call::Name, How::Fail(EIO)),
];

const MUTATED: &[Kind] = &[("write-ignored", Call::Write, How::Lie), ("sync-ignored", Call::Sync, How::Lose)];

/// What all cycles begin with.
struct Sweep {
    scene: Scene,
    shim: Shim,
    /// What is added to a request, so that a few fill what is left of a segment.
    padding: usize,
}

impl IoSweep {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("io-sweep", &self.common);
        let scene = Scene::begin(None, fill::SMALL_SEGMENTS, &report).await?;
        let padding = if self.rotate { fill::nearly(&scene.bench).await? } else { 0 };
        let shim = Shim::build(scene.dir())?;
        let sweep = Sweep { scene, shim, padding };
        let kinds = if self.common.mutate { MUTATED } else { KINDS };
        for (name, call, how) in kinds {
            for on in [false, true] {
                let name = format!("{name}-{}", if on { "on" } else { "once" });
                if self.only.as_ref().is_some_and(|only| !name.contains(only)) {
                    continue;
                }
                for nth in (1..).step_by(self.stride) {
                    if self.common.rounds.is_some_and(|rounds| report.figure("rounds") >= rounds) {
                        report.progress("ended early, as was asked for");
                        return sweep.end(report).await;
                    }
                    let only = (*how == How::Lose).then_some(".segment");
                    let fault = Fault { call: *call, how: *how, only, nth, on, mark: None };
                    report.add("rounds", 1);
                    if !sweep.cycle(&format!("{name}-{nth}"), fault, &mut report).await? {
                        report.most(&name, nth as u64 - 1);
                        report.progress(format!("{name}: up to {}", nth - 1));
                        break;
                    }
                }
            }
        }
        sweep.end(report).await
    }
}

impl Sweep {
    /// A start, some units, their way to the cloud, and a stop, with one fault; then a look at what is left.
    ///
    /// Returns whether the fault came to pass.
    async fn cycle(&self, name: &str, fault: Fault, report: &mut Report) -> Result<bool> {
        let dir = TempDir::new_in(self.scene.dir())?;
        let state = dir.path().join("box");
        copy(self.scene.bench.state(), &state)?;
        let bench = self.scene.bench.moved(dir.path(), &state)?;
        let mark = dir.path().join("mark");
        let environment = self.shim.environment(&state, &Fault { mark: Some(mark.clone()), ..fault.clone() });
        let mut cycle = Cycle { name, bench, fault, mark, told: Told::default(), padding: self.padding };
        let before = report.violations();
        let mut daemon = cycle.bench.spawn(&environment)?;
        match daemon.come_up().await? {
            Came::Up(_) => cycle.live(daemon, report).await?,
            Came::Ended(End::Code(code)) if code > 0 => report.add("refused_to_start", 1),
            came => report.found(Violation::Crash, format!("{name}: at the start: {came:?}")),
        }
        let fired = cycle.mark.exists();
        cycle.verify(report).await?;
        if report.violations() > before {
            let log = cycle.bench.last_words(20);
            report.progress(format!(
                "{name} hit {}\n{log}",
                fs::read_to_string(&cycle.mark).unwrap_or_default()
            ));
        }
        Ok(fired)
    }

    async fn end(self, mut report: Report) -> Result<Report> {
        self.scene.end(&mut report).await?;
        Ok(report)
    }
}

/// One start with a fault, and one without.
struct Cycle<'a> {
    name: &'a str,
    bench: Bench,
    fault: Fault,
    mark: PathBuf,
    told: Told,
    padding: usize,
}

impl Cycle<'_> {
    /// What happens between a start and a stop. It may end before, for a reason.
    async fn live(&mut self, mut daemon: Daemon, report: &mut Report) -> Result<()> {
        let station =
            Station { line: self.bench.line()?, name: self.name.to_owned(), told: self.told.clone() };
        for n in 0..UNITS {
            let id = format!("{}-{n}", self.name);
            let mut request = ask(&id, n % 2 == 0)?;
            if self.padding > 0 {
                request["attributes"]["padding"] = Value::String("x".repeat(self.padding));
            }
            if self.journal_is_gone() {
                self.told.power_is_gone();
            }
            let heard = station.issue(&id, &request).await;
            report.add(if heard.is_some() { "acks" } else { "refusals" }, 1);
        }
        match check::settled(&station.line).await {
            Standing::Settled => report.add("settled", 1),
            Standing::Gone => report.add("gone_before_it_settled", 1),
            Standing::Stuck(_) if self.mark.exists() => report.add("stuck_until_it_was_stopped", 1),
            Standing::Stuck(books) => {
                report.found(Violation::Hang, format!("{}: without a fault, {books}", self.name));
            }
        }
        daemon.ask_to_stop().await?;
        match daemon.wait().await? {
            Some(End::Code(0)) => report.add("exit_0", 1),
            Some(End::Code(6)) => report.add("exit_6", 1),
            // 101 is a panic of the main thread.
            Some(end @ (End::Signal(_) | End::Code(101))) => {
                report.found(Violation::Crash, format!("{}: {end:?}", self.name));
            }
            Some(end) => report.found(Violation::Unexpected, format!("{}: {end:?}", self.name)),
            None => report.found(Violation::Hang, format!("{}: it does not stop", self.name)),
        }
        Ok(())
    }

    /// Whether a sync of the journal has failed: from then on nothing may be promised.
    fn journal_is_gone(&self) -> bool {
        let failed = matches!((self.fault.call, self.fault.how), (Call::Sync, How::Fail(_)));
        // A spare that fails holds nothing yet, and is thrown away.
        let of_frames = |hit: &str| hit.contains("/journal") && !hit.contains("/journal/spare");
        failed && fs::read_to_string(&self.mark).is_ok_and(|hits| hits.lines().any(of_frames))
    }

    /// Starts it without the fault: everything that was told must be there.
    async fn verify(&mut self, report: &mut Report) -> Result<()> {
        for (what, detail) in self.told.take_wrong() {
            report.found(what, format!("{}: {detail}", self.name));
        }
        report.add("internal_errors", self.told.internal());
        let mut daemon = self.bench.spawn(&Environment::new())?;
        let came = daemon.come_up().await?;
        if !matches!(came, Came::Up(_)) {
            report.found(Violation::Unopenable, format!("{}: {came:?}", self.name));
            return Ok(());
        }
        let line: Line = self.bench.line()?;
        check::books(&line, report).await?;
        check::units(&line, &self.told, self.told.all().into_iter().collect(), report).await;
        match daemon.stop().await? {
            Some(End::Code(0)) => {}
            end => report.found(Violation::Unexpected, format!("{}: after all was well, {end:?}", self.name)),
        }
        Ok(())
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status =
        Command::new("cp").args(["-a", "--sparse=always"]).args([from, to]).status().context("cp")?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}
