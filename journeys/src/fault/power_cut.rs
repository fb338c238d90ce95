//! The power of the disk goes, under load and while starting: everything that was not forced out is gone.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use fastrand::Rng;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::fault::{
    Common,
    daemon::{Daemon, End},
    fill, load,
    mount::{Fs, Mount},
    report::{Report, Violation},
    scene::Scene,
    shim::{Call, Fault, How, Shim},
    truth,
};

/// The size of the disk, in MiB.
const DISK: u64 = 512;
/// Below so many free bytes an appliance is replaced by a new one: a full disk is another harness.
const ENOUGH: u64 = 150 << 20;

/// Cuts the power of its disk.
///
/// Mutated, a journal that never syncs: a sync of a segment does nothing and reports success.
#[derive(Debug, Clone, Args)]
pub struct PowerCut {
    /// What every harness is told.
    #[command(flatten)]
    pub common: Common,
    /// The file system on the disk.
    #[arg(long, value_enum, default_value_t = Fs::Ext4)]
    pub fs: Fs,
    /// When an appliance has issued so many units its books are closed, and a new one takes its place.
    #[arg(long, default_value_t = 10_000)]
    pub units: usize,
    /// Begins near the end of a segment, and makes small ones from there on.
    #[arg(long)]
    pub rotate: bool,
}

/// After every so many cuts the whole index is compared with what the journal says.
const COMPARED: u64 = 5;

impl PowerCut {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("power-cut", &self.common);
        let mut dice = Rng::with_seed(self.common.seed);
        while report.figure("rounds") < self.rounds() {
            let dir = TempDir::new()?;
            let disk = Mount::make(dir.path(), self.fs, DISK)?;
            let mut scene =
                Scene::begin(Some(disk.point().join("box")), fill::SMALL_SEGMENTS, &report).await?;
            if self.rotate {
                fill::nearly(&scene.bench).await?;
            }
            if self.common.mutate {
                let lie = Fault::on_segments(Call::Sync, How::Lie);
                scene.environment = Shim::build(scene.dir())?.environment(scene.bench.state(), &lie);
            }
            // What was made is on the disk for good; the cuts begin with the first unit.
            disk.force_out()?;
            self.life(&mut scene, &disk, &mut dice, &mut report).await?;
            scene.end(&mut report).await?;
        }
        Ok(report)
    }

    fn rounds(&self) -> u64 {
        self.common.rounds.unwrap_or(20)
    }

    /// One appliance, from cut to cut.
    async fn life(&self, scene: &mut Scene, disk: &Mount, dice: &mut Rng, report: &mut Report) -> Result<()> {
        let Some((mut daemon, mut line)) = scene.start(report).await? else { return Ok(()) };
        while report.figure("rounds") < self.rounds()
            && scene.told.len() < self.units
            && disk.free()? > ENOUGH
        {
            scene.sky.change(dice);
            let from = scene.told.len();
            let mut stations = load::begin(&line, report.figure("rounds"), &scene.told);
            sleep(Duration::from_millis(dice.u64(20..350))).await;
            // In this order: only what was told before the cut counts.
            scene.told.seal();
            disk.cut()?;
            scene.told.power_is_gone();
            aftermath(daemon, dice, report).await?;
            while let Some(station) = stations.join_next().await {
                station?;
            }
            disk.remount()?;
            scene.told.power_is_back();
            report.add("rounds", 1);
            while dice.u8(..4) == 0 {
                let daemon = scene.start_halfway(dice).await?;
                disk.cut()?;
                daemon.kill().await?;
                disk.remount()?;
                report.add("cuts_while_starting", 1);
            }
            if report.figure("rounds").is_multiple_of(COMPARED) {
                truth::check(scene.bench.state(), report).await?;
            }
            // What does not start any more is the end of this appliance, and in the report.
            let Some(up) = scene.start(report).await? else { return Ok(()) };
            (daemon, line) = up;
            scene.check(&line, from, dice, report).await?;
            report.progress(format!("round {}, {} units", report.figure("rounds"), scene.told.len()));
        }
        scene.close(daemon, &line, report).await
    }
}

/// The daemon after the cut: for a moment it still can say yes. Now and then it may find out by itself and end.
async fn aftermath(mut daemon: Daemon, dice: &mut Rng, report: &mut Report) -> Result<()> {
    if dice.u8(..8) > 0 {
        sleep(Duration::from_millis(dice.u64(..30))).await;
        return daemon.kill().await;
    }
    match daemon.wait().await? {
        Some(End::Code(6)) => report.add("found_out_by_itself", 1),
        Some(end) => {
            report.found(Violation::Unexpected, format!("its disk was gone, and it ended with {end:?}"));
        }
        None => report.found(Violation::Hang, "its disk is gone, and it runs on"),
    }
    Ok(())
}
