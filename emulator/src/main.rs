//! The cloud in a box, as a program.
#![expect(clippy::print_stdout, reason = "it tells where it listens, one line a listener")]

use std::{net::SocketAddr, path::PathBuf};

use clap::Parser;
use emulator::{Emulator, Options};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Azure DPS and IoT Hub on one machine, for a laptop, a fair and CI.
#[derive(Debug, Parser)]
#[command(name = "cloud-emulator", version, about)]
struct Arguments {
    /// Where the HTTPS face listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4443")]
    https: SocketAddr,
    /// Where the MQTT face listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8883")]
    mqtt: SocketAddr,
    /// Where the page for looking and acting listens, loopback only; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:4480")]
    admin: SocketAddr,
    /// Where root.pem, connection-string.txt and id-scope.txt are kept.
    #[arg(long, default_value = "cloud-emulator")]
    state: PathBuf,
    /// A linked hub; may be given several times.
    #[arg(long = "hub", default_values = ["hub-1", "hub-2"])]
    hubs: Vec<String>,
    /// What a device is told to wait between polls, in seconds.
    #[arg(long, default_value_t = 3)]
    retry_after: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Arguments { https, mqtt, admin, state, hubs, retry_after } = Arguments::parse();
    let emulator = Emulator::bind(Options { https, mqtt, admin, state, hubs, retry_after }).await?;
    println!("https {}", emulator.https_addr());
    println!("mqtt {}", emulator.mqtt_addr());
    println!("admin http://{}", emulator.admin_addr());
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    tokio::select! {
        served = emulator.run(cancel) => served?,
        interrupted = tokio::signal::ctrl_c() => { interrupted?; stop.cancel(); }
    }
    Ok(())
}
