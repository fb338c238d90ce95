//! The demo's story, told in a test: every step checks itself.

use anyhow::Result;
use journeys::{
    story::{self, Teller},
    world::{Settings, World},
};
use tempfile::TempDir;

struct Silent;

impl Teller for Silent {
    fn begins(&mut self, _: &str) {}
    fn done(&mut self, _: &str) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_is_true() -> Result<()> {
    let dir = TempDir::new()?;
    let mut world = World::start(Settings::in_dir(dir.path())).await?;
    story::tell(&mut world, &mut Silent).await?;
    world.stop().await
}
