//! `kill -9` at random moments, under load and while starting, with the cloud flapping.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use fastrand::Rng;
use tokio::time::sleep;

use crate::fault::{
    Common, fill, load,
    report::Report,
    scene::Scene,
    shim::{Call, Fault, How, Shim},
};

/// Kills the daemon at random moments.
///
/// Mutated, a journal that answers before it has written: a write to a segment is done only when some more have come.
#[derive(Debug, Clone, Args)]
pub struct Kill {
    /// What every harness is told.
    #[command(flatten)]
    pub common: Common,
    /// When an appliance has issued so many units its books are closed, and a new one takes its place.
    #[arg(long, default_value_t = 10_000)]
    pub units: usize,
    /// Begins near the end of a segment, and makes small ones from there on.
    #[arg(long)]
    pub rotate: bool,
}

impl Kill {
    pub(crate) async fn run(&self) -> Result<Report> {
        let mut report = Report::new("kill", &self.common);
        let mut dice = Rng::with_seed(self.common.seed);
        while report.figure("rounds") < self.rounds() {
            let mut scene = Scene::begin(None, fill::SMALL_SEGMENTS, &report).await?;
            if self.rotate {
                fill::nearly(&scene.bench).await?;
            }
            if self.common.mutate {
                let late = Fault::on_segments(Call::Write, How::Late);
                scene.environment = Shim::build(scene.dir())?.environment(scene.bench.state(), &late);
            }
            self.life(&mut scene, &mut dice, &mut report).await?;
            scene.end(&mut report).await?;
        }
        Ok(report)
    }

    fn rounds(&self) -> u64 {
        self.common.rounds.unwrap_or(20)
    }

    /// One appliance, from start to start.
    async fn life(&self, scene: &mut Scene, dice: &mut Rng, report: &mut Report) -> Result<()> {
        let Some((mut daemon, mut line)) = scene.start(report).await? else { return Ok(()) };
        while report.figure("rounds") < self.rounds() && scene.told.len() < self.units {
            scene.sky.change(dice);
            let from = scene.told.len();
            let mut stations = load::begin(&line, report.figure("rounds"), &scene.told);
            sleep(Duration::from_millis(dice.u64(20..250))).await;
            daemon.kill().await?;
            while let Some(station) = stations.join_next().await {
                station?;
            }
            report.add("rounds", 1);
            while dice.u8(..4) == 0 {
                scene.start_halfway(dice).await?.kill().await?;
                report.add("kills_while_starting", 1);
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
