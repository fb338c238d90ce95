//! `portal init` and `portal account`: what is done to the state folder while no portal runs in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keys::{KeyError, Passphrase, Zeroizing, create_private};
use ledger::{CommitError, Decision, Options, Stamp};

use crate::account::AccountName;
use crate::event::{Account, PortalEvent, account_key};
use crate::folder::{Folder, FolderError};
use crate::now;
use crate::password::{self, PasswordError};
use crate::pki;
use crate::seal::Seal;

/// Why a state folder was not made; what exists is never touched.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something in the folder already.
    #[error("{0} is not empty; nothing was changed. Give an empty or new folder")]
    NotEmpty(PathBuf),
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A name that cannot stand in a certificate.
    #[error("{0} cannot be a name in a certificate; give DNS names or IP addresses")]
    Name(String),
    /// A key file cannot be written.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The folder is not usable.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// What `init` made.
#[derive(Debug)]
pub struct InitReport {
    /// What browsers must trust, unless `[tls]` names another certificate.
    pub root: PathBuf,
    /// The names in the server certificate.
    pub names: Vec<String>,
}

/// Makes the state folder `dir`: the key that seals claim codes, an empty ledger, and a root and server certificate
/// for `names`, so that a portal can run before somebody gives it a certificate.
///
/// # Errors
/// When the folder is not empty or cannot be written.
pub async fn init(dir: &Path, names: Vec<String>) -> Result<InitReport, InitError> {
    let io = |source| InitError::Io { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io)?;
    if fs::read_dir(dir).map_err(io)?.next().is_some() {
        return Err(InitError::NotEmpty(dir.to_owned()));
    }
    let folder = Folder::lock(dir)?;
    let serials = [random()?, random()?];
    let made = pki::make(names.clone(), serials, now()).map_err(|_| InitError::Name(names.join(", ")))?;
    create_private(&folder.root(), made.root.as_bytes())?;
    create_private(&folder.server_certificate(), made.server.as_bytes())?;
    create_private(&folder.server_key(), Zeroizing::new(made.server_key).as_bytes())?;
    // Whoever comes next finds it closed.
    folder.ledger(&Options::default())?.close().await;
    // Last: with this file the folder counts as made.
    let seal: [u8; 32] = random()?;
    Seal::create(&folder.seal_key(), &seal)?;
    Ok(InitReport { root: folder.root(), names })
}

/// Why an account was not set.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("there is an account {0} already; give it a new password with: portal account password {0}")]
    Exists(AccountName),
    /// No such account.
    #[error("there is no account {0}; add it with: portal account add {0}")]
    Unknown(AccountName),
    /// The password cannot be used.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The folder is not usable, for example because the portal runs.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The ledger did not take it.
    #[error("nothing was written: {0}")]
    Ledger(#[from] ledger::Unavailable),
    /// The system has no randomness.
    #[error("the system gives no randomness")]
    Random,
}

/// Whether an account is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountIs {
    /// It must not exist yet.
    New,
    /// It must exist, and gets another password.
    Known,
}

/// Sets the password of an account, in the ledger, while no portal runs on it.
///
/// # Errors
/// When the portal runs, the account is not as `is` says, or the password cannot be used.
pub async fn set_account(
    dir: &Path,
    name: AccountName,
    password: &Passphrase,
    is: AccountIs,
) -> Result<(), AccountError> {
    let folder = Folder::enter(dir)?;
    let salt = random().map_err(|_| AccountError::Random)?;
    let password = password::hash(password.as_bytes(), &salt)?;
    let ledger = folder.ledger(&Options::default())?;
    let stamp = Stamp { at: now(), actor: "portal account".to_owned() };
    let decide = move |view: &ledger::View<'_>| {
        let known = view.get::<Account>(&account_key(&name)).is_some();
        match is {
            AccountIs::New if known => Err(AccountError::Exists(name)),
            AccountIs::Known if !known => Err(AccountError::Unknown(name)),
            AccountIs::New | AccountIs::Known => {
                Ok(Decision { events: vec![PortalEvent::AccountSet { name, password }], answer: () })
            }
        }
    };
    let result = ledger.commit(stamp, decide).await;
    ledger.close().await;
    match result {
        Ok(_) => Ok(()),
        Err(CommitError::Refused(why)) => Err(why),
        Err(CommitError::Unavailable(why)) => Err(why.into()),
    }
}

fn random<const N: usize>() -> Result<[u8; N], InitError> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| InitError::Random)?;
    Ok(bytes)
}
