//! The disk fills up, under load and before a start, or turns read-only: refused, never lost, and over when it is over.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Args;
use fastrand::Rng;
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::fault::{
    Common,
    bench::Line,
    contract,
    daemon::{Daemon, End},
    load,
    mount::{Fs, Mount},
    report::{Report, Violation},
    scene::Scene,
};

/// The size of the disk, in MiB.
const DISK: u64 = 400;
/// Between two steps of a file that grows: close to a gigabyte a second.
const PACE: Duration = Duration::from_millis(5);
const STORAGE: &str = "[storage]\nfloor = \"64 MiB\"\nballast = \"16 MiB\"\nsegment = \"16 MiB\"\n";
const NO_GUARD: &str = "[storage]\nfloor = \"0 B\"\nballast = \"0 B\"\nsegment = \"16 MiB\"\n";

/// Fills the disk, and makes room again.
///
/// Mutated, an appliance without a floor: it goes on issuing on a full disk.
#[derive(Debug, Clone, Args)]
pub struct FullDisk {
    /// What every harness is told.
    #[command(flatten)]
    pub common: Common,
    /// Takes the whole disk in one step, instead of as fast as a fast disk can be written.
    #[arg(long)]
    pub at_once: bool,
}

impl FullDisk {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("full-disk", &self.common);
        let mut dice = Rng::with_seed(self.common.seed);
        let storage = if self.common.mutate { NO_GUARD } else { STORAGE };
        for round in 0..self.common.rounds.unwrap_or(3) {
            let dir = TempDir::new()?;
            let disk = Mount::make(dir.path(), Fs::Ext4, DISK)?;
            let mut scene = Scene::begin(Some(disk.point().join("box")), storage, &report).await?;
            disk.force_out()?;
            if let Some((daemon, line)) = scene.start(&mut report).await? {
                let (dice, report, at_once) = (&mut dice, &mut report, self.at_once);
                let mut story = Story { scene: &mut scene, disk: &disk, dice, report, round, at_once };
                story.tell(daemon, line).await?;
            }
            report.add("rounds", 1);
            report.progress(format!("round {}", round + 1));
            scene.end(&mut report).await?;
        }
        Ok(report)
    }
}

/// One appliance on one disk: full while it runs, full when it starts, read-only.
struct Story<'a> {
    scene: &'a mut Scene,
    disk: &'a Mount,
    dice: &'a mut Rng,
    report: &'a mut Report,
    round: u64,
    at_once: bool,
}

impl Story<'_> {
    async fn fill(&self) -> Result<Filler> {
        Filler::fill(self.disk.point(), self.at_once).await
    }

    /// Whether it still runs; on a full disk it has no reason not to.
    fn runs(&mut self, daemon: &mut Daemon) -> Result<bool> {
        let ended = daemon.ended()?;
        if let Some(end) = ended {
            let words = self.scene.bench.last_words(1);
            self.report.found(Violation::Unexpected, format!("it ended on a full disk: {end:?}: {words}"));
        }
        Ok(ended.is_none())
    }

    /// Every chapter begins and ends with a daemon that is up; one that is not is the end of the story.
    async fn tell(&mut self, daemon: Daemon, line: Line) -> Result<()> {
        let Some(daemon) = self.full_while_running(daemon, &line).await? else { return Ok(()) };
        let Some((daemon, line)) = self.full_at_the_start(daemon, &line).await? else { return Ok(()) };
        let Some((daemon, line)) = self.read_only(daemon, &line).await? else { return Ok(()) };
        self.scene.close(daemon, &line, self.report).await
    }

    /// The disk fills up under load, while the cloud is away: the units that wait must get through all the same.
    async fn full_while_running(&mut self, mut daemon: Daemon, line: &Line) -> Result<Option<Daemon>> {
        self.scene.sky.away();
        let mut stations = load::begin(line, 10 * self.round, &self.scene.told);
        sleep(Duration::from_millis(self.dice.u64(50..400))).await;
        let filler = self.fill().await?;
        // Whatever is asked from now on must be refused; that is also what ends the stations.
        self.scene.told.power_is_gone();
        let ended =
            timeout(Duration::from_secs(5), async { while stations.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            self.report.found(Violation::FalseAck, "a full disk is no reason for it to stop issuing");
        }
        drop(stations);
        if !self.runs(&mut daemon)? {
            return Ok(None);
        }
        contract::refuses_when_full(line, "full-1", self.report).await?;
        contract::reads(line, &self.scene.told, self.dice, self.report).await;
        self.scene.sky.clear();
        contract::announces(line, self.report).await;
        // The ballast may be gone now. Without, nothing at all can be written, and still it serves and refuses.
        let more = self.fill().await?;
        contract::refuses_when_full(line, "full-2", self.report).await?;
        contract::reads(line, &self.scene.told, self.dice, self.report).await;
        if !self.runs(&mut daemon)? {
            return Ok(None);
        }
        drop((filler, more));
        self.disk.force_out()?;
        self.scene.told.power_is_back();
        contract::issues_again(line, &format!("again-{}", self.round), &self.scene.told, self.report).await?;
        if !self.runs(&mut daemon)? {
            return Ok(None);
        }
        self.scene.check(line, 0, self.dice, self.report).await?;
        Ok(Some(daemon))
    }

    /// The disk is full already when it starts: it comes up, serves and refuses.
    async fn full_at_the_start(&mut self, daemon: Daemon, line: &Line) -> Result<Option<(Daemon, Line)>> {
        load_for_a_while(line, 10 * self.round + 1, self.scene, self.dice).await;
        if self.dice.bool() {
            daemon.kill().await?;
        } else {
            daemon.stop().await?;
        }
        let filler = self.fill().await?;
        self.scene.told.power_is_gone();
        let Some((daemon, line)) = self.scene.start(self.report).await? else {
            drop(filler);
            self.disk.force_out()?;
            // At least nothing is lost by it.
            let Some((daemon, line)) = self.scene.start(self.report).await? else { return Ok(None) };
            self.scene.told.power_is_back();
            self.scene.check(&line, 0, self.dice, self.report).await?;
            return Ok(Some((daemon, line)));
        };
        contract::refuses_when_full(&line, "full-3", self.report).await?;
        contract::reads(&line, &self.scene.told, self.dice, self.report).await;
        drop(filler);
        self.disk.force_out()?;
        self.scene.told.power_is_back();
        let id = format!("after-{}", self.round);
        contract::issues_again(&line, &id, &self.scene.told, self.report).await?;
        self.scene.check(&line, 0, self.dice, self.report).await?;
        Ok(Some((daemon, line)))
    }

    /// The kernel makes the file system read-only, as it does after an error: nothing is promised any more, and it ends.
    async fn read_only(&mut self, mut daemon: Daemon, line: &Line) -> Result<Option<(Daemon, Line)>> {
        let mut stations = load::begin(line, 10 * self.round + 2, &self.scene.told);
        sleep(Duration::from_millis(self.dice.u64(50..400))).await;
        self.scene.told.seal();
        self.disk.abort()?;
        self.scene.told.power_is_gone();
        match daemon.wait().await? {
            Some(End::Code(6)) => self.report.add("read_only_found_out", 1),
            Some(end) => {
                self.report.found(Violation::Unexpected, format!("read-only, it ended with {end:?}"));
            }
            None => self.report.found(Violation::Hang, "its disk is read-only, and it runs on"),
        }
        drop(daemon);
        while stations.join_next().await.is_some() {}
        self.disk.remount()?;
        self.scene.told.power_is_back();
        let Some((daemon, line)) = self.scene.start(self.report).await? else { return Ok(None) };
        self.scene.check(&line, 0, self.dice, self.report).await?;
        Ok(Some((daemon, line)))
    }
}

/// Stations that work for a moment and are then told to stop: what was asked may have been issued.
async fn load_for_a_while(line: &Line, round: u64, scene: &Scene, dice: &mut Rng) {
    let mut stations = load::begin(line, round, &scene.told);
    sleep(Duration::from_millis(dice.u64(50..200))).await;
    stations.shutdown().await;
}

/// A file that takes what is left of a disk; gone when dropped.
struct Filler(PathBuf);

impl Filler {
    async fn fill(disk: &Path, at_once: bool) -> Result<Self> {
        let path = disk.join(format!("filler-{}", fastrand::u64(..)));
        let file = fs::File::create(&path)?;
        let filler = Self(path);
        let (mut at, mut step) = (0, if at_once { 32 << 20 } else { 4 << 20 });
        while step >= 4096 {
            match fallocate(&file, FallocateFlags::empty(), at, step) {
                Ok(()) => at += step,
                Err(Errno::NOSPC) => step /= 2,
                Err(error) => bail!("cannot fill the disk: {error}"),
            }
            if !at_once {
                sleep(PACE).await;
            }
        }
        Ok(filler)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = fs::remove_file(&self.0);
    }
}
