//! The courier: does the jobs of a bundle where there is a way to DPS, and writes the receipt.
//!
//! Exit codes: 0 done, 1 failed or not everything was told, 2 usage, configuration or a bundle that is not taken, 7 the
//! box lives on elsewhere.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to people")]

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use cloud_sync::{
    Cloud, CloudConfig, CloudError, CloudEvent, LinkState, ProxyConfig,
    courier::{Broken, Bundle, Errands, Walk, fingerprint, is_fingerprint, walk},
};
use keys::{Algorithm, FileKey, SigningKey};
use tracing_subscriber::EnvFilter;

/// As many held units are named; the receipt has them all.
const NAMED: usize = 20;
/// The longest delay between two tries: somebody sits there and waits.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Carries what a plant that is never online has to say to DPS.
#[derive(Debug, Parser)]
#[command(name = "courier", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes this courier's key, unless it is there, and prints its fingerprint for: edge courier trust.
    Key {
        /// The file of the key.
        file: PathBuf,
    },
    /// Does the jobs of a bundle and writes the receipt. Doing them again changes nothing.
    Run(Box<Run>),
}

#[derive(Debug, Args)]
struct Run {
    /// The bundle, as edge courier out has written it.
    bundle: PathBuf,
    /// The fingerprint of the box's key, as edge courier out has shown it.
    #[arg(long = "box", value_name = "FINGERPRINT", value_parser = fingerprint_of)]
    trusted: String,
    /// The key of this courier, as courier key has made it.
    #[arg(long)]
    key: PathBuf,
    /// The file with the connection string of DPS; its policy needs EnrollmentRead and EnrollmentWrite.
    #[arg(long)]
    connection_string_file: PathBuf,
    /// The receipt to write; the bundle's name with .receipt behind it without this.
    #[arg(long)]
    receipt: Option<PathBuf>,
    /// How long to go on while nothing is settled.
    #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
    patience: Duration,
    /// How many operations a minute this DPS allows.
    #[arg(long)]
    operations_per_minute: Option<u32>,
    /// An HTTP proxy on the way: http://HOST:PORT.
    #[arg(long)]
    proxy: Option<String>,
    /// As whom to log in at the proxy.
    #[arg(long, requires_all = ["proxy", "proxy_password_file"])]
    proxy_user: Option<String>,
    /// The file with the password for it.
    #[arg(long, requires = "proxy_user")]
    proxy_password_file: Option<PathBuf>,
    /// Roots to trust besides those of the operating system, PEM. For the emulator, or a TLS-inspecting proxy.
    #[arg(long)]
    extra_root: Option<PathBuf>,
    /// Connects to this address; the host's name is still verified. For the emulator.
    #[arg(long)]
    connect_to: Option<SocketAddr>,
}

fn fingerprint_of(text: &str) -> Result<String, String> {
    if is_fingerprint(text) {
        return Ok(text.to_owned());
    }
    Err("a fingerprint has 64 hexadecimal digits; edge courier out shows it".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // Fails only if somebody was faster with the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let done = match Arguments::parse().command {
        Command::Key { file } => key(&file).map(|()| 0),
        Command::Run(run) => run.run().await,
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let refused = error.downcast_ref::<Broken>();
            let code = refused.map(|broken| format!("{}: ", broken.code())).unwrap_or_default();
            eprintln!("courier: {code}{error:#}");
            ExitCode::from(if refused.is_some() || error.is::<CloudError>() { 2 } else { 1 })
        }
    }
}

/// Makes the key, or shows it.
fn key(file: &Path) -> Result<()> {
    let key = if file.exists() { open(file)? } else { FileKey::create(file, Algorithm::P256)? };
    println!("{}", fingerprint(key.public_key_der()));
    Ok(())
}

fn open(file: &Path) -> Result<FileKey> {
    let key = FileKey::open(file)?;
    anyhow::ensure!(
        key.algorithm() == Algorithm::P256,
        "{} holds a key on another curve than P-256; make one with: courier key FILE",
        file.display()
    );
    Ok(key)
}

impl Run {
    async fn run(self) -> Result<u8> {
        let key = open(&self.key)?;
        let text = fs::read_to_string(&self.bundle).with_context(|| self.bundle.display().to_string())?;
        let bundle = Bundle::open(&text, &self.trusted, &fingerprint(key.public_key_der()))?;
        let config = self.config();
        let cloud = Cloud::new(&config)?;
        let mut errands = Errands::new(bundle, config.pace(), fastrand::u64(..))?;
        let stop = async {
            // Where signals do not come, nobody stops it.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let ended = walk(&mut errands, &cloud, self.patience, stop).await?;
        let path = self.receipt.unwrap_or_else(|| {
            let mut name = self.bundle.into_os_string();
            name.push(".receipt");
            name.into()
        });
        let receipt = errands.receipt(cloud.host())?;
        let held: Vec<_> = receipt.outcomes.iter().filter_map(held).collect();
        keys::write_private(&path, receipt.clone().seal(&key)?.as_bytes())?;
        let (letter, books) = (errands.letter(), errands.books()?);
        println!(
            "bundle {} of box {}: {} jobs, {} settled, {} held, {} not told",
            letter.number, letter.box_id, letter.jobs, books.settled, books.held, books.waiting
        );
        held.iter().take(NAMED).for_each(|line| println!("{line}"));
        if held.len() > NAMED {
            println!("and {} more", held.len() - NAMED);
        }
        println!("receipt in {}; bring it back: edge courier in {0}", path.display());
        if errands.is_superseded() {
            eprintln!(
                "courier: the box was restored elsewhere and lives on there; nothing is said in its name any more"
            );
            return Ok(7);
        }
        if ended == Walk::Done {
            return Ok(0);
        }
        if let LinkState::Down { cause, detail } = errands.link() {
            eprintln!("courier: {} ({detail}); {}", cause.words(), cause.advice());
        }
        eprintln!(
            "courier: not everything was told; run it again, with the same bundle: what was told is not told twice"
        );
        Ok(1)
    }

    fn config(&self) -> CloudConfig {
        let config = CloudConfig::new(self.connection_string_file.clone());
        let proxy = self.proxy.clone().map(|address| ProxyConfig {
            address,
            user: self.proxy_user.clone(),
            password_file: self.proxy_password_file.clone(),
        });
        CloudConfig {
            connect_to: self.connect_to,
            extra_root: self.extra_root.clone(),
            operations_per_minute: self.operations_per_minute.unwrap_or(config.operations_per_minute),
            longest_delay: LONGEST_DELAY,
            proxy,
            ..config
        }
    }
}

/// A held unit in a line.
fn held(outcome: &CloudEvent) -> Option<String> {
    match outcome {
        CloudEvent::Held { id, why, .. } => Some(format!("held   {id}: {} ({})", why.detail, why.code)),
        _ => None,
    }
}
