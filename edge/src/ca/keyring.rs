//! How the issuing CA's key is opened: a file and the passphrase, or a token and its PIN.

use std::path::{Path, PathBuf};

use keys::{Algorithm, EncryptedKey, KeyError, Passphrase, SigningKey, TokenError, TokenKey, TokenUri};

use crate::{StartError, config::CaConfig};

/// A token that holds the issuing CA's key.
#[derive(Debug, Clone)]
pub struct CaToken {
    uri: TokenUri,
    module: PathBuf,
    pin: Passphrase,
}

impl CaToken {
    /// Takes what the configuration says. Module and PIN may stand in the URI, or beside it.
    pub fn new(uri: TokenUri, module: Option<&Path>, pin: Option<Passphrase>) -> Result<Self, StartError> {
        let module = uri.module().or(module).ok_or(KeyError::from(TokenError::NoModule))?.to_owned();
        let pin = match (uri.pin_source(), pin) {
            (Some(file), _) => Passphrase::from_file(file)?,
            (None, Some(pin)) => pin,
            (None, None) => {
                let token = uri.to_string();
                return Err(KeyError::from(TokenError::NoPin { token }).into());
            }
        };
        Ok(Self { uri, module, pin })
    }

    pub(crate) fn create(&self) -> Result<TokenKey, KeyError> {
        Ok(TokenKey::create(self.uri.clone(), &self.module, self.pin.clone())?)
    }
}

/// What opens the keys of the CAs.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    passphrase: Passphrase,
    token: Option<CaToken>,
}

impl Keyring {
    pub(crate) fn new(config: &CaConfig, passphrase: &Passphrase) -> Result<Self, StartError> {
        let token = match &config.key {
            None => None,
            Some(uri) => {
                // What the URI says is enough; nobody is asked twice.
                let pin = config.pin.as_ref().filter(|_| uri.pin_source().is_none());
                let pin = pin.map(|pin| pin.fetch_as("PIN of the CA's token")).transpose()?;
                Some(CaToken::new(uri.clone(), config.module.as_deref(), pin)?)
            }
        };
        Ok(Self { passphrase: passphrase.clone(), token })
    }

    /// Whether the issuing CA's key is in the file of that name, and not in a token.
    pub(super) fn uses_files(&self) -> bool {
        self.token.is_none()
    }

    /// Makes a key for an issuing CA: in the token, or in the new file `path`.
    pub(super) fn create(&self, path: &Path) -> Result<Box<dyn SigningKey>, KeyError> {
        match &self.token {
            Some(token) => Ok(Box::new(token.create()?)),
            None => Ok(Box::new(EncryptedKey::create(path, Algorithm::P256, &self.passphrase)?)),
        }
    }

    /// Opens the key of an issuing CA that gave way: from the file `path` if it was kept there, else from the token.
    pub(super) fn open_former(&self, path: &Path, spki: &[u8]) -> Result<Box<dyn SigningKey>, KeyError> {
        if path.exists() {
            Ok(Box::new(EncryptedKey::open(path, &self.passphrase)?))
        } else {
            self.open(path, spki)
        }
    }

    /// Opens the key of an issuing CA: the one in the token whose public half is `spki`, or what is in the file `path`.
    pub(super) fn open(&self, path: &Path, spki: &[u8]) -> Result<Box<dyn SigningKey>, KeyError> {
        match &self.token {
            Some(CaToken { uri, module, pin }) => {
                Ok(Box::new(TokenKey::open(uri.clone(), module, pin.clone(), spki)?))
            }
            None => Ok(Box::new(EncryptedKey::open(path, &self.passphrase)?)),
        }
    }
}
