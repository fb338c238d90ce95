//! `edge init`

use std::path::PathBuf;

use clap::Args;
use keys::{Passphrase, TokenUri};

use super::{Failure, say};
use crate::{CaToken, InitOptions, clock, http::now, init::init};

/// Makes an appliance in a new folder.
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The folder to make.
    #[arg(long)]
    state: PathBuf,
    /// A file with the passphrase that guards the CA's keys; asked for at the terminal without it.
    #[arg(long)]
    passphrase_file: Option<PathBuf>,
    /// A systemd credential with the passphrase.
    #[arg(long, conflicts_with = "passphrase_file")]
    passphrase_credential: Option<String>,
    /// A name or address under which clients will call; may be given several times.
    #[arg(long = "name", default_values = ["localhost", "127.0.0.1"])]
    names: Vec<String>,
    /// The token that is to hold the issuing CA's key: pkcs11:token=…;object=…?module-path=…&pin-source=… (RFC 7512).
    #[arg(long)]
    key: Option<TokenUri>,
    /// The library that speaks to the token, unless the URI says.
    #[arg(long, requires = "key")]
    module: Option<PathBuf>,
    /// A file with the token's PIN, unless the URI says; asked for at the terminal without it.
    #[arg(long, requires = "key")]
    pin_file: Option<PathBuf>,
}

impl Init {
    pub(super) async fn run(self) -> Result<(), Failure> {
        // Everything that is made now bears this time.
        if now() < clock::built() {
            return Err(Failure::usage(
                "the clock shows a time before this program was built; set it, then try again",
            ));
        }
        let passphrase = match (&self.passphrase_file, &self.passphrase_credential) {
            (Some(path), _) => Passphrase::from_file(path),
            (None, Some(name)) => Passphrase::from_credential(name),
            (None, None) => Passphrase::prompt_new("Passphrase for the CA's keys"),
        };
        let passphrase = passphrase.map_err(Failure::usage)?;
        let token = self.key.map(|uri| {
            let pin = match &self.pin_file {
                Some(file) => Some(Passphrase::from_file(file)),
                None if uri.pin_source().is_none() => Some(Passphrase::prompt("PIN of the CA's token")),
                None => None,
            };
            CaToken::new(uri, self.module.as_deref(), pin.transpose()?)
        });
        let token = token.transpose().map_err(Failure::usage)?;
        let options = InitOptions { names: self.names, token, ..InitOptions::default() };
        let made = init(&self.state, options, &passphrase, now()).await.map_err(Failure::failed)?;
        say::line(&format!("box            {}", made.box_id));
        say::line(&format!("clients trust  {}", made.root.display()));
        say::line(&format!(
            "lock away      {} (needed only to make a new issuing CA)",
            made.root_key.display()
        ));
        say::line(&format!("administrator  {}", made.admin_token));
        say::error("The administrator's token is shown this once, and kept nowhere.");
        Ok(())
    }
}
