//! A network of its own for the cloud, and everything that can stand between a factory and it.
//!
//! ```text
//! this machine ── near ══ namespace with a wire ══ far ── namespace of the cloud
//! ```

use std::{
    fs::{self, File},
    net::Ipv4Addr,
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

use crate::wire::{Bend, Frames, Wire};

/// How the network is. Offline, SatelliteGood and Cellular3G are called as in the connectivity tests of Azure/iotedge
/// (`test/connectivity`, pull request 2256), which set delay, jitter, rate and loss by netem; the figures are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Nothing is in the way.
    Clear,
    /// The cable is pulled at our end.
    Offline,
    /// A geostationary satellite at the edge of view: 279 ms a hop (RFC 2488, section 2).
    SatelliteGood,
    /// "3G Fast" of WebPageTest: 1.6 Mbit/s, and 150 ms there and back.
    Cellular3G,
    /// Everything is swallowed on the way, and nobody says so.
    BlackHole,
    /// A firewall answers every packet with a reset.
    Reset,
}

impl Profile {
    fn bend(self) -> Bend {
        match self {
            Self::Clear | Self::Offline | Self::Reset => Bend::default(),
            Self::SatelliteGood => Bend { delay: 279, jitter: 10, rate: 1_000_000, loss: 1 },
            Self::Cellular3G => Bend { delay: 75, jitter: 20, rate: 1_600_000, loss: 2 },
            Self::BlackHole => Bend { loss: 100, ..Bend::default() },
        }
    }
}

/// Says what is missing here to lay a network, if anything is.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !root {
        return Some("it needs root, to make network namespaces");
    }
    let runs = |program, word| Command::new(program).arg(word).output().is_ok();
    if !runs("ip", "-V") || !runs("nft", "-v") {
        return Some("it needs ip and nft; `cargo xtask test` installs them");
    }
    let made = Namespace::make(format!("probe-{}", std::process::id()));
    made.is_err().then_some("this machine lets nobody make network namespaces")
}

/// A laid network. It is taken away when dropped.
#[derive(Debug)]
pub struct Network {
    wire: Wire,
    profile: Profile,
    near: String,
    route: Route,
    far: Namespace,
    _middle: Namespace,
}

impl Network {
    /// Lays one; `seed` is what its chance begins with.
    pub fn lay(python: &Path, seed: u64) -> Result<Self> {
        let process = std::process::id();
        let near = format!("near{process}");
        let middle = Namespace::make(format!("wire-{process}"))?;
        let far = Namespace::make(format!("far-{process}"))?;
        // Four of the addresses for tests of networks (RFC 2544), so that several tests can run at once.
        let block = Ipv4Addr::new(198, 18, 0, 0).to_bits() + 4 * (process & 0x7fff);
        let route = Route::reserve(Ipv4Addr::from_bits(block))?;
        // Packets go over the wire, not what a fast card would make of many.
        let veth = ["gso_max_segs", "1", "type", "veth", "peer", "name"];
        ip(&[&["link", "add", &near], &veth[..], &["near", "netns", &middle.0]].concat())?;
        ip(&[&["-n", &far.0, "link", "add", "far"], &veth[..], &["far", "netns", &middle.0]].concat())?;
        ip(&["address", "add", &route.host(1), "dev", &near])?;
        ip(&["-n", &far.0, "address", "add", &route.host(2), "dev", "far"])?;
        ip(&["link", "set", &near, "up"])?;
        for (namespace, name) in [(&far, "lo"), (&far, "far"), (&middle, "near"), (&middle, "far")] {
            ip(&["-n", &namespace.0, "link", "set", name, "up"])?;
        }
        let wire = Wire::join(python, &middle.0, ["near", "far"], seed)?;
        Ok(Self { wire, profile: Profile::Clear, near, route, far, _middle: middle })
    }

    /// The address of the other side.
    #[must_use]
    pub fn there(&self) -> Ipv4Addr {
        self.route.address(2)
    }

    /// A runtime whose threads live on the other side: what listens there can be reached over the wire alone.
    pub fn runtime(&self) -> Result<Runtime> {
        let namespace = File::open(self.far.path())?;
        let enter = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("who has made a namespace may enter it");
        };
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).on_thread_start(enter).enable_all().build().context("no runtime")
    }

    /// Makes the network like this from now on; returns what became of the frames under the profile before.
    pub fn becomes(&mut self, profile: Profile) -> Result<Frames> {
        match self.profile {
            Profile::Offline => ip(&["link", "set", &self.near, "up"])?,
            Profile::Reset => self.far.nft("delete table ip weather")?,
            _ => {}
        }
        let frames = self.wire.bend(profile.bend())?;
        match profile {
            Profile::Offline => ip(&["link", "set", &self.near, "down"])?,
            Profile::Reset => self.far.nft(
                "table ip weather { chain in { type filter hook input priority 0; iif far reject with tcp reset; }; }",
            )?,
            _ => {}
        }
        self.profile = profile;
        Ok(frames)
    }
}

/// A namespace that we have made; everything in it goes with it.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn make(name: String) -> Result<Self> {
        ip(&["netns", "add", &name])?;
        Ok(Self(name))
    }

    fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.0)
    }

    fn nft(&self, words: &str) -> Result<()> {
        run(Command::new("ip").args(["netns", "exec", &self.0, "nft", words]))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = ip(&["netns", "delete", &self.0]);
    }
}

/// Four addresses of this machine that lead nowhere else: with the cable pulled, nothing takes the way to the internet.
#[derive(Debug)]
struct Route(Ipv4Addr);

impl Route {
    fn reserve(first: Ipv4Addr) -> Result<Self> {
        ip(&["route", "add", "unreachable", &format!("{first}/30"), "metric", "4000"])?;
        Ok(Self(first))
    }

    fn address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.0.to_bits() + number)
    }

    fn host(&self, number: u32) -> String {
        format!("{}/30", self.address(number))
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        let _ = ip(&["route", "delete", "unreachable", &format!("{}/30", self.0), "metric", "4000"]);
    }
}

fn ip(words: &[&str]) -> Result<()> {
    run(Command::new("ip").args(words))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(())
}
