//! The first hour of an appliance: its PKI, its name, its first administrator.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::rand;
use keys::{Algorithm, EncryptedKey, FileKey, KeyError, Passphrase, SigningKey, create_encrypted_secret};
use ledger::{CommitError, Decision, Ledger, Stamp, View};
use rustls_pki_types::CertificateDer;
use thiserror::Error;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    CaToken, EdgeEvent,
    access::{NewToken, Role, mint},
    pem,
    pki::{self, FLOOR, ISSUING, PkiError, ROOT},
    state_dir::StateDir,
};

/// The name of the first administrator's token.
const FIRST: &str = "first-admin";

/// What an appliance is made with.
#[derive(Debug, Clone, Default)]
pub struct InitOptions {
    /// The names and addresses under which clients will call.
    pub names: Vec<String>,
    /// The token that is to hold the issuing CA's key; a file of the state folder without it.
    pub token: Option<CaToken>,
    /// How its journal is kept.
    pub ledger: ledger::Options,
}

/// What was made.
#[derive(Debug)]
pub struct InitReport {
    /// What clients must trust.
    pub root: PathBuf,
    /// The key to lock away.
    pub root_key: PathBuf,
    /// The box's name, for ever.
    pub box_id: String,
    /// The first administrator's token; shown once, kept nowhere.
    pub admin_token: String,
}

/// Why an appliance was not made. What was there before is untouched.
#[derive(Debug, Error)]
pub enum InitError {
    /// There is one already, or something else.
    #[error("{} is not empty; an appliance is made in a new folder, and never over another one", .0.display())]
    NotEmpty(PathBuf),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A key could not be made or written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate could not be made.
    #[error("{0}")]
    Certificate(String),
    /// The journal could not be begun.
    #[error(transparent)]
    Ledger(#[from] ledger::OpenError),
    /// The first entries could not be written.
    #[error("{0}")]
    Write(String),
}

impl From<PkiError> for InitError {
    fn from(error: PkiError) -> Self {
        Self::Certificate(error.to_string())
    }
}

/// Makes an appliance in `dir`, which must be new or empty.
pub async fn init(
    dir: &Path,
    options: InitOptions,
    passphrase: &Passphrase,
    now: OffsetDateTime,
) -> Result<InitReport, InitError> {
    let io = |source| InitError::Io { path: dir.to_owned(), source };
    if dir.exists() {
        if fs::read_dir(dir).map_err(io)?.next().is_some() {
            return Err(InitError::NotEmpty(dir.to_owned()));
        }
    } else {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    }
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(io)?;
    let state = StateDir::new(dir);
    let box_id = Uuid::new_v4().simple().to_string();
    authorities(&state, &options, &box_id, passphrase, now)?;
    let mut secret = [0; 32];
    fill(&mut secret)?;
    create_encrypted_secret(&state.claim_key(), &secret, passphrase)?;
    let admin_token = begin(&state, &box_id, options.ledger, now).await?;
    // The names of what was made.
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io)?;
    Ok(InitReport { root: state.certificate("root"), root_key: state.key("root"), box_id, admin_token })
}

fn authorities(
    state: &StateDir,
    options: &InitOptions,
    box_id: &str,
    passphrase: &Passphrase,
    now: OffsetDateTime,
) -> Result<(), InitError> {
    let key = |name: &str| EncryptedKey::create(&state.key(name), Algorithm::P256, passphrase);
    let root_key = key(ROOT.name)?;
    let root = pki::make_root(&root_key, box_id, now, serial()?)?;
    write(&state.certificate(ROOT.name), &root)?;
    let authority = |authority: pki::Authority, key: &dyn SigningKey| {
        let certificate = pki::make(authority, key, &root, &root_key, box_id, now, serial()?)?;
        write(&state.certificate(authority.name), &certificate)?;
        Ok::<_, InitError>(certificate)
    };
    match &options.token {
        Some(token) => authority(ISSUING, &token.create()?)?,
        None => authority(ISSUING, &key(ISSUING.name)?)?,
    };
    let floor_key = key(FLOOR.name)?;
    let floor = authority(FLOOR, &floor_key)?;
    let server_key = FileKey::create(&state.key("server"), Algorithm::P256)?;
    let spki = server_key.public_key_der();
    let server = pki::server_certificate(spki, &options.names, &floor, &floor_key, now, serial()?)?;
    write(&state.certificate("server"), &server)
}

/// Begins the journal: who the box is, and who may let others in.
async fn begin(
    state: &StateDir,
    box_id: &str,
    options: ledger::Options,
    now: OffsetDateTime,
) -> Result<String, InitError> {
    let mut random = [0; 32];
    fill(&mut random)?;
    let (token, sha256) = mint(random);
    let admin =
        NewToken { name: FIRST.to_owned(), role: Role::Admin, line: None, station: None, expires: None };
    let events = vec![
        EdgeEvent::BoxNamed { box_id: box_id.to_owned(), generation: 1 },
        EdgeEvent::TokenCreated(admin.created(sha256)),
    ];
    let ledger = Ledger::open(&state.ledger(), &options)?;
    let stamp = Stamp { at: now, actor: "init".to_owned() };
    let decide = move |_: &View<'_>| Ok::<_, std::convert::Infallible>(Decision { events, answer: () });
    match ledger.commit(stamp, decide).await {
        Ok(_) => {}
        Err(CommitError::Unavailable(why)) => return Err(InitError::Write(why.to_string())),
        Err(CommitError::Refused(never)) => match never {},
    }
    ledger.close().await;
    Ok(token)
}

fn write(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), InitError> {
    let io = |source| InitError::Io { path: path.to_owned(), source };
    let mut file = fs::File::create(path).map_err(io)?;
    file.write_all(pem::encode("CERTIFICATE", certificate).as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io)
}

/// The serial number of a certificate of our own, from the first generation.
pub(crate) fn serial() -> Result<[u8; 17], InitError> {
    let mut serial = [1; 17];
    fill(&mut serial[1..])?;
    Ok(serial)
}

fn fill(bytes: &mut [u8]) -> Result<(), InitError> {
    rand::fill(bytes).map_err(|_| InitError::Write("the operating system gives no randomness".to_owned()))
}
