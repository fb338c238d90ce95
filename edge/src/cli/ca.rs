//! `edge ca`: the ceremony. What a running daemon has to know goes through its socket; without one, straight to the ledger.

use std::{fs, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use keys::{EncryptedKey, Passphrase, SigningKey};
use ledger::Ledger;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use web::Problem;

use super::{Failure, Output, client::Daemon, init::Init, say};
use crate::{
    CaInstalled, Config, EdgeEvent, backup,
    ca::{self, Chain, Code, Issuing, Keyring, Listed},
    credentials::{certificate, open_checkpoint_key},
    http::now,
    init::serial,
    local::{Challenge, NewCa, Proof},
    pem, pki,
    state_dir::StateDir,
};

/// Who is written into the journal where no daemon runs.
const OFFLINE: &str = "edge ca";

/// The certificate authorities.
#[derive(Debug, Subcommand)]
pub(super) enum Ca {
    /// Makes an appliance: the same as edge init.
    Init(Init),
    /// Shows every certificate of the box, and when it ends.
    Status(Status),
    /// Makes the key of another issuing CA, and a request for the root of a plant or a company to sign.
    Request(Request),
    /// Has the issuing CA take over that another root has signed upon edge ca request.
    Install(Install),
    /// Makes another issuing CA under the box's own root, and has it take over.
    Rotate(Rotate),
    /// Makes the certificate that proves to a cloud that this box holds the key of its CA.
    Prove(Prove),
}

/// Where the box is, and what opens its keys.
#[derive(Debug, Args)]
struct Place {
    /// The configuration of the daemon: it says where the keys are, and what opens them.
    #[arg(long, default_value = "/etc/edge/edge.toml")]
    config: PathBuf,
    /// The state folder, instead of the one in the configuration.
    #[arg(long)]
    state: Option<PathBuf>,
    /// A file with the passphrase of the CA's keys, instead of what the configuration says.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
}

/// The key of the root, which is kept away from the box.
#[derive(Debug, Args)]
struct RootKey {
    /// The file with the root's key; where edge init has put it, without it.
    #[arg(long)]
    root_key: Option<PathBuf>,
    /// A file with its passphrase, where it is not the one of the other keys.
    #[arg(long)]
    root_passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// The state folder.
    #[arg(long, default_value = "/var/lib/edge")]
    state: PathBuf,
    /// For a person, or for a program.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Request {
    #[command(flatten)]
    place: Place,
    /// The common name to ask for.
    #[arg(long)]
    name: Option<String>,
    /// The file to write the request to.
    #[arg(long)]
    out: PathBuf,
    /// Gives up a request that still waits for its certificate.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(super) struct Install {
    #[command(flatten)]
    place: Place,
    /// The signed certificate and everything up to the root, PEM, in this order; in one file or several.
    #[arg(required = true)]
    chain: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    root: RootKey,
    /// Gives up a request that still waits for its certificate.
    #[arg(long)]
    replace: bool,
}

#[derive(Debug, Args)]
pub(super) struct Prove {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    root: RootKey,
    /// The code that the cloud shows.
    code: Code,
    /// Which CA was uploaded.
    #[arg(long, value_enum, default_value_t = Which::Issuing)]
    ca: Which,
    /// The file to write the certificate to; it is printed without it.
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    Issuing,
    Root,
}

impl Ca {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run().await,
            Self::Status(status) => status.run(),
            Self::Request(request) => request.run(),
            Self::Install(install) => install.run().await,
            Self::Rotate(rotate) => rotate.run().await,
            Self::Prove(prove) => prove.run().await,
        }
    }
}

/// A box, as the command line sees it.
struct Here {
    config: Config,
    state: StateDir,
    passphrase_file: Option<PathBuf>,
}

impl Place {
    fn look(self) -> Result<Here, Failure> {
        let config = Config::read(&self.config).map_err(Failure::usage)?;
        let state = StateDir::new(self.state.as_deref().unwrap_or(&config.state));
        Ok(Here { config, state, passphrase_file: self.passphrase_file })
    }
}

impl Here {
    fn passphrase(&self) -> Result<Passphrase, Failure> {
        let given = self.passphrase_file.as_deref().map(Passphrase::from_file);
        given.unwrap_or_else(|| self.config.ca.passphrase.fetch()).map_err(Failure::usage)
    }

    fn keyring(&self) -> Result<Keyring, Failure> {
        Keyring::new(&self.config.ca, &self.passphrase()?).map_err(Failure::usage)
    }

    fn box_id(&self) -> Result<String, Failure> {
        let found = backup::name(&self.state.journal()).map_err(Failure::failed)?;
        found.ok_or_else(|| {
            Failure::usage(format!("{} is no state folder: it has no journal", self.state.path().display()))
        })
    }

    /// The root's certificate and key, opened with its passphrase.
    fn root(&self, given: &RootKey) -> Result<(CertificateDer<'static>, EncryptedKey), Failure> {
        let root = certificate(&self.state.certificate("root"), self.state.path()).map_err(Failure::usage)?;
        let passphrase = match &given.root_passphrase_file {
            Some(file) => Passphrase::from_file(file).map_err(Failure::usage)?,
            None => self.passphrase()?,
        };
        let file = given.root_key.clone().unwrap_or_else(|| self.state.key("root"));
        let key = EncryptedKey::open(&file, &passphrase).map_err(|error| {
            Failure::usage(format!("{error}; bring the root's key back for this, and say --root-key FILE"))
        })?;
        let own = ca::public_key(&root).map_err(Failure::usage)?;
        if own != key.public_key_der() {
            let detail =
                format!("{} is not the root's key; give the one that edge init made", file.display());
            return Err(Failure::usage(detail));
        }
        Ok((root, key))
    }

    /// Opens the box itself, where no daemon has it open.
    fn open(&self) -> Result<(Issuing, Ledger<EdgeEvent>), Failure> {
        let options = self.config.storage.options().map_err(Failure::usage)?;
        // A box that never ran has no checkpoint key yet; the first start signs what was written.
        let checkpoint_key = open_checkpoint_key(&self.state).ok();
        let options = ledger::Options { checkpoint_key, ..options };
        let ledger = Ledger::open(&self.state.ledger(), &options).map_err(Failure::failed)?;
        ca::settle(&self.state, &ledger).map_err(Failure::failed)?;
        let issuing = Issuing::open(&self.state, self.keyring()?, self.config.profiles.clone(), now());
        Ok((issuing.map_err(Failure::failed)?, ledger))
    }

    /// Has the CA of `chain` take over, wherever the box is open.
    async fn install(&self, chain: Chain) -> Result<CaInstalled, Failure> {
        let asked = NewCa { chain: chain.pem() };
        match Daemon::of(self.state.path())?.post("/ca/install", &asked).await {
            Err(failure) if failure.is_unreachable() => {}
            answered => return answered,
        }
        let (issuing, ledger) = self.open()?;
        let done = ca::install(&issuing, &ledger, chain, OFFLINE.to_owned(), now()).await;
        ledger.close().await;
        done.map_err(said)
    }
}

/// What a daemon would have answered.
fn said(problem: Problem) -> Failure {
    Failure::refused(problem.status().as_u16(), problem.detail())
}

fn written(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::failed(format!("{}: {error}", path.display())))
}

impl Status {
    fn run(self) -> Result<(), Failure> {
        let found = ca::list(&StateDir::new(&self.state), now()).map_err(Failure::usage)?;
        match self.output {
            Output::Json => say::line(&json!({ "certificates": found }).to_string()),
            Output::Text => found.iter().for_each(|listed| say::line(&line(listed))),
        }
        Ok(())
    }
}

fn line(listed: &Listed) -> String {
    let Listed { role, subject, serial, days, not_after, warning, .. } = listed;
    let warning = match warning {
        None => "",
        Some(0) => "   ENDED",
        Some(7) => "   ENDS WITHIN 7 DAYS",
        Some(30) => "   ends within 30 days",
        Some(_) => "   ends within 90 days",
    };
    format!("{role:<14} ends in {days} days, {}   {subject}   serial {serial}{warning}", not_after.date())
}

impl Request {
    fn run(self) -> Result<(), Failure> {
        let here = self.place.look()?;
        let keyring = here.keyring()?;
        let (_, csr) =
            ca::request(&here.state, &keyring, &here.box_id()?, self.name.as_deref(), self.replace)
                .map_err(Failure::usage)?;
        written(&self.out, &csr)?;
        say::line(&format!("request     {}", self.out.display()));
        say::error("Have it signed as a CA with pathlen 0, then run: edge ca install CERTIFICATE CHAIN…");
        Ok(())
    }
}

impl Install {
    async fn run(self) -> Result<(), Failure> {
        let here = self.place.look()?;
        let mut text = Vec::new();
        for path in &self.chain {
            let read = fs::read(path);
            text.extend(read.map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?);
            text.push(b'\n');
        }
        let chain = Chain::from_pem(&text).map_err(Failure::usage)?;
        tell(&here.install(chain).await?);
        Ok(())
    }
}

impl Rotate {
    async fn run(self) -> Result<(), Failure> {
        let here = self.place.look()?;
        // First of all: without the root's key nothing is begun.
        let (root, root_key) = here.root(&self.root)?;
        let (box_id, keyring) = (here.box_id()?, here.keyring()?);
        let (key, _) =
            ca::request(&here.state, &keyring, &box_id, None, self.replace).map_err(Failure::usage)?;
        let serial = serial().map_err(Failure::failed)?;
        let next = pki::successor(key.as_ref(), &root, &root_key, &box_id, now(), serial);
        drop(key);
        let next = next.map_err(Failure::failed)?;
        let chain = Chain::from_pem(pem::encode("CERTIFICATE", &next).as_bytes()).map_err(Failure::failed)?;
        tell(&here.install(chain).await?);
        Ok(())
    }
}

fn tell(done: &CaInstalled) {
    say::line(&format!("issues now  {}", done.current.sha256));
    say::line(&format!("gave way    {}", done.previous.sha256));
    say::error(
        "Units that were issued before stay as they are. Whoever checks units against an issuing CA, such as an \
         enrollment group, needs the new one as well.",
    );
}

impl Prove {
    async fn run(self) -> Result<(), Failure> {
        let here = self.place.look()?;
        let by_root = match self.ca {
            Which::Issuing => None,
            Which::Root => {
                let (root, key) = here.root(&self.root)?;
                let serial = serial().map_err(Failure::failed)?;
                Some(pki::proof(self.code.as_str(), &root, &key, now(), serial).map_err(Failure::failed)?)
            }
        };
        let asked = Challenge {
            code: self.code.as_str().to_owned(),
            by_root: by_root.as_ref().map(|proof| pem::encode("CERTIFICATE", proof).to_string()),
        };
        let proof = match Daemon::of(here.state.path())?.post::<Proof>("/ca/prove", &asked).await {
            Err(failure) if failure.is_unreachable() => {
                let (issuing, ledger) = here.open()?;
                let actor = OFFLINE.to_owned();
                let done = match &by_root {
                    None => ca::prove(&issuing, &ledger, &self.code, actor, now()).await,
                    Some(proof) => ca::record(&ledger, &self.code, issuing.root(), proof, actor, now()).await,
                };
                ledger.close().await;
                done.map_err(said)?
            }
            answered => answered?.certificate,
        };
        match &self.out {
            None => say::line(proof.trim_end()),
            Some(path) => {
                written(path, &proof)?;
                say::line(&format!("proof       {}", path.display()));
            }
        }
        Ok(())
    }
}
