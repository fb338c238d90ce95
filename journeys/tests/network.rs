//! The edge and its cloud over every network that stands between them: a pulled cable, a satellite, 3G, a black hole, a
//! firewall that resets. The line goes on, nothing is lost, and nothing is told twice.
//! Drives: `ip`, `nft` and Python, as root.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use emulator::Control;
use journeys::{
    floor::Floor,
    network::{Network, Profile, missing},
    sky::Sky,
    tools::{Tool, find},
    wire::Frames,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    runtime::Runtime,
    sync::watch,
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

const SEED: u64 = 7;
/// A line makes a unit that often.
const TAKT: Duration = Duration::from_millis(50);
/// Longer than a satellite takes for a connection, a handshake and an answer.
const PATIENCE: &str = "4s";
/// How many units have to be told, or made, before the network changes.
const ENOUGH: usize = 20;
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How the network is, one after the other, and what the edge calls it when nothing gets through.
const DAY: [(Profile, Option<&str>); 9] = [
    (Profile::Clear, None),
    (Profile::SatelliteGood, None),
    (Profile::Offline, Some("link-unreachable")),
    (Profile::Cellular3G, None),
    (Profile::BlackHole, Some("link-timeout")),
    (Profile::SatelliteGood, None),
    (Profile::Reset, Some("link-refused")),
    (Profile::Cellular3G, None),
    (Profile::Clear, None),
];

/// The line: a unit every takt, whatever the network does; returns the thumbprints that it was told.
async fn line(
    floor: &Floor,
    token: &str,
    made: &watch::Sender<usize>,
    evening: &CancellationToken,
) -> Result<BTreeMap<String, String>> {
    let (mut takt, mut told) = (interval(TAKT), BTreeMap::new());
    while !evening.is_cancelled() {
        takt.tick().await;
        let id = format!("net-{:05}", told.len());
        let (status, unit) = floor.issue(token, &json!({ "id": id, "line": "L1" })).await?;
        ensure!(status == 201, "the floor was refused: {unit}");
        told.insert(id, unit["sha256"].as_str().context("no thumbprint")?.to_owned());
        made.send_replace(told.len());
    }
    Ok(told)
}

/// The networks of the day; returns what became of the frames of each.
async fn day(
    network: &mut Network,
    cloud: &Control,
    link: &Link<'_>,
    made: &watch::Sender<usize>,
) -> Result<Vec<(Profile, Frames)>> {
    let mut frames = Vec::new();
    for (n, (profile, stopped)) in DAY.into_iter().enumerate() {
        let before = network.becomes(profile)?;
        frames.extend(n.checked_sub(1).map(|n| (DAY[n].0, before)));
        let told = cloud.with(|cloud, _| cloud.enrollments().len());
        let passed = async {
            match stopped {
                Some(code) => {
                    link.is_down(code).await?;
                    let enough = *made.borrow() + ENOUGH;
                    made.subscribe().wait_for(|made| *made >= enough).await?;
                }
                None => {
                    let more = |found: usize| (found >= told + ENOUGH).then_some(());
                    cloud.until(|cloud| more(cloud.enrollments().len())).await;
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        timeout(LIMIT, passed).await.with_context(|| format!("{profile:?} does not show"))??;
    }
    frames.push((Profile::Clear, network.becomes(Profile::Clear)?));
    Ok(frames)
}

/// The link as the edge sees it.
struct Link<'a> {
    floor: &'a Floor,
    token: &'a str,
}

impl Link<'_> {
    async fn is_down(&self, code: &str) -> Result<()> {
        while self.floor.cloud(self.token).await?["code"] != code {
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }
}

async fn story(network: &mut Network, there: &Runtime) -> Result<()> {
    let dir = TempDir::new()?;
    let (state, address) = (dir.path().join("cloud"), network.there());
    let sky = there.spawn(async move { Sky::rise_at(&state, address, PATIENCE).await }).await??;
    let floor = Floor::init(dir.path(), sky.section())?;
    let edge = floor.start()?;
    let (station, display) = (floor.token("station", "bench")?, floor.token("display", "board")?);

    let (made, evening) = (watch::Sender::new(0), CancellationToken::new());
    let link = Link { floor: &floor, token: &display };
    let networks = async {
        let frames = day(network, sky.control(), &link, &made).await;
        evening.cancel();
        frames
    };
    let (told, frames) = tokio::try_join!(line(&floor, &station, &made, &evening), networks)?;
    let cloud = timeout(LIMIT, floor.settled(&display)).await.context("the backlog does not drain")??;
    let books = &cloud["books"];

    // What the line was told is what the cloud has: nothing less, nothing more, and no certificate twice.
    let enrolled = sky.enrollments();
    for (id, thumbprint) in &told {
        let record = enrolled.get(id).with_context(|| format!("{id} is lost"))?;
        ensure!(record.thumbprint() == Some(thumbprint), "{id} was told {thumbprint}: {record:?}");
    }
    ensure!(enrolled.len() == told.len(), "{} units, {} enrollments", told.len(), enrolled.len());
    ensure!(told.values().collect::<BTreeSet<_>>().len() == told.len(), "a certificate was issued twice");
    ensure!(books["settled"] == told.len(), "{books}");
    report(told.len(), &frames);
    let over = |wanted: Profile| frames.iter().filter(move |(profile, _)| *profile == wanted);
    for lossy in [Profile::SatelliteGood, Profile::Cellular3G] {
        ensure!(over(lossy).all(|(_, frames)| frames.carried > 0), "nothing went over {lossy:?}");
    }
    let lossy = over(Profile::SatelliteGood).chain(over(Profile::Cellular3G));
    ensure!(lossy.map(|(_, frames)| frames.lost).sum::<u64>() > 0, "the bad networks lost nothing");
    ensure!(over(Profile::BlackHole).all(|(_, frames)| frames.carried == 0 && frames.lost > 0));
    edge.stop()?;
    sky.set().await
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does not run must say so")]
fn over_every_network_nothing_is_lost_and_nothing_is_told_twice() -> Result<()> {
    let Some(python) = find(Tool::Python) else { return Ok(()) };
    if let Some(why) = missing() {
        eprintln!("NOT RUN: the edge over bad networks: {why}");
        return Ok(());
    }
    let mut network = Network::lay(&python, SEED)?;
    let (here, there) = (Runtime::new()?, network.runtime()?);
    here.block_on(story(&mut network, &there))
}

#[expect(clippy::print_stderr, reason = "the figures of this run are worth a line")]
fn report(units: usize, frames: &[(Profile, Frames)]) {
    eprintln!("units {units}  lost 0  told twice 0  refused 0");
    for (profile, Frames { carried, lost }) in frames {
        eprintln!("{profile:?}: frames carried {carried}, lost {lost}");
    }
}
