//! The command line: what is typed, what is printed, and with which code it ends.
//!
//! Exit codes: 0 done, 1 failed, 2 usage or configuration, 4 not found, 5 in conflict with what is there.
#![expect(clippy::print_stdout, reason = "this is where the command speaks")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use keys::Passphrase;
use portal::folder::FolderError;
use portal::init::{AccountError, InitError};
use portal::{AccountIs, AccountName, Config, Portal, StartError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The machine manufacturer's window: claim a device, configure it, activate it, take it out of service.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a state folder with keys and a certificate; touches nothing that exists.
    Init {
        /// The folder to make.
        #[arg(long)]
        state: PathBuf,
        /// A name or address that browsers will use; may be given several times.
        #[arg(long = "name", default_values = ["localhost", "127.0.0.1"])]
        names: Vec<String>,
    },
    /// Adds accounts and changes their passwords, while the portal is stopped.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Opens the portal, until it is told to stop.
    Run {
        /// The configuration file.
        #[arg(long)]
        config: PathBuf,
        /// The state folder, instead of the one in the configuration.
        #[arg(long)]
        state: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    /// Adds an account.
    Add(AccountArguments),
    /// Gives an account another password.
    Password(AccountArguments),
}

#[derive(Debug, Args)]
struct AccountArguments {
    /// The name to sign in with.
    name: AccountName,
    /// The state folder.
    #[arg(long)]
    state: PathBuf,
    /// A file with the password, readable by its owner only; without it, the terminal asks.
    #[arg(long)]
    password_file: Option<PathBuf>,
}

/// How a command failed: the words, and the exit code.
struct Failure(anyhow::Error, u8);

impl Failure {
    fn code(code: u8) -> impl Fn(anyhow::Error) -> Self {
        move |why| Self(why, code)
    }
}

/// Does what was typed.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Init { state, names } => init(&state, names).await,
        Command::Account(AccountCommand::Add(account)) => set_account(account, AccountIs::New).await,
        Command::Account(AccountCommand::Password(account)) => set_account(account, AccountIs::Known).await,
        Command::Run { config, state } => open(config, state).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(why, code)) => {
            eprintln!("portal: {why:#}");
            ExitCode::from(code)
        }
    }
}

async fn init(state: &std::path::Path, names: Vec<String>) -> Result<(), Failure> {
    let report = portal::init(state, names).await.map_err(|why| match why {
        InitError::NotEmpty(_) => Failure(why.into(), 5),
        InitError::Name(_) => Failure(why.into(), 2),
        _ => Failure(why.into(), 1),
    })?;
    println!("The portal's state folder is ready: {}", state.display());
    println!("Certificate for {}; browsers must trust {}", report.names.join(", "), report.root.display());
    println!("Next: portal account add NAME --state {}", state.display());
    Ok(())
}

async fn set_account(account: AccountArguments, is: AccountIs) -> Result<(), Failure> {
    let password = match &account.password_file {
        Some(path) => Passphrase::from_file(path),
        None => Passphrase::prompt_new(&format!("password for {}", account.name)),
    };
    let password = password.map_err(anyhow::Error::from).map_err(Failure::code(2))?;
    portal::set_account(&account.state, account.name.clone(), &password, is).await.map_err(
        |why| match why {
            AccountError::Exists(_) | AccountError::Folder(FolderError::InUse(_)) => Failure(why.into(), 5),
            AccountError::Unknown(_) | AccountError::Folder(FolderError::NotInitialised(_)) => {
                Failure(why.into(), 4)
            }
            AccountError::Password(_) => Failure(why.into(), 2),
            _ => Failure(why.into(), 1),
        },
    )?;
    match is {
        AccountIs::New => println!("Account {} may sign in.", account.name),
        AccountIs::Known => println!("Account {} has a new password.", account.name),
    }
    Ok(())
}

async fn open(config: PathBuf, state: Option<PathBuf>) -> Result<(), Failure> {
    let mut config = Config::load(&config).map_err(anyhow::Error::from).map_err(Failure::code(2))?;
    if let Some(state) = state {
        config.state = state;
    }
    let portal = Portal::bind(config).await.map_err(|why| match why {
        StartError::Folder(FolderError::InUse(_)) => Failure(why.into(), 5),
        StartError::Folder(FolderError::NotInitialised(_)) => Failure(why.into(), 4),
        StartError::Read { .. } | StartError::Tls(_) | StartError::Cloud(_) | StartError::Bind(_) => {
            Failure(why.into(), 2)
        }
        _ => Failure(why.into(), 1),
    })?;
    let cancel = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).map_err(|why| Failure(why.into(), 1))?;
    println!("portal: listening on https://{}", portal.local_addr());
    let running = portal.run(cancel.clone());
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => ended,
        _ = terminate.recv() => { cancel.cancel(); running.await }
        _ = tokio::signal::ctrl_c() => { cancel.cancel(); running.await }
    };
    ended.map_err(anyhow::Error::from).map_err(Failure::code(1))
}
