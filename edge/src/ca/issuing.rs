//! The issuing CA at work, and the chain of every one that was.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use ledger::{Ledger, ReadError};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Chain, Keyring, known};
use crate::{
    EdgeEvent, StartError,
    credentials::{certificate, read},
    pki::{Issuer, PkiError},
    profile::ProfileConfig,
    state_dir::StateDir,
};

/// An issuing CA that can sign.
pub(crate) struct Active {
    pub(crate) issuer: Issuer,
    pub(crate) chain: Chain,
    /// What goes with a unit's certificate, PEM.
    served: String,
}

impl Active {
    fn new(issuer: Issuer, chain: Chain) -> Self {
        Self { served: chain.served(), issuer, chain }
    }
}

/// The issuing CA at work; another one may take over while units are issued.
pub(crate) struct Issuing {
    pub(super) state: StateDir,
    pub(super) keyring: Keyring,
    pub(super) root: CertificateDer<'static>,
    profiles: BTreeMap<String, ProfileConfig>,
    current: RwLock<Arc<Active>>,
}

impl Issuing {
    /// Opens the one whose certificate is in the state folder.
    pub(crate) fn open(
        state: &StateDir,
        keyring: Keyring,
        profiles: BTreeMap<String, ProfileConfig>,
        now: OffsetDateTime,
    ) -> Result<Self, StartError> {
        let text = read(&state.certificate("issuing"), state.path())?;
        let wrong = |why| StartError::Certificate(format!("issuing.pem: {why}"));
        let chain = Chain::from_pem(&text).map_err(wrong)?;
        let key = keyring.open(&state.key("issuing"), &public_key(chain.issuing()).map_err(wrong)?)?;
        let issuer = Issuer::new(chain.issuing().clone(), key, profiles.clone(), now);
        let issuer = issuer.map_err(|error| match error {
            PkiError::Profile { .. } => StartError::Profile(error.to_string()),
            other => StartError::Certificate(other.to_string()),
        })?;
        let root = certificate(&state.certificate("root"), state.path())?;
        let current = RwLock::new(Arc::new(Active::new(issuer, chain)));
        Ok(Self { state: state.clone(), keyring, root, profiles, current })
    }

    /// The one at work now. Whoever signs keeps to one, so that certificate and chain belong together.
    pub(crate) fn current(&self) -> Arc<Active> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The root of this box.
    pub(crate) fn root(&self) -> &CertificateDer<'static> {
        &self.root
    }

    /// What would be at work with `chain`, and the key that was made for it.
    pub(super) fn candidate(
        &self,
        chain: Chain,
        key: Box<dyn keys::SigningKey>,
        now: OffsetDateTime,
    ) -> Result<Active, String> {
        let issuer = Issuer::new(chain.issuing().clone(), key, self.profiles.clone(), now);
        Ok(Active::new(issuer.map_err(|error| error.to_string())?, chain))
    }

    /// Opens the key of an issuing CA that gave way: what it has signed is revoked with it, and with no other.
    pub(crate) fn former_key(&self, chain: &Chain) -> Result<Box<dyn keys::SigningKey>, String> {
        let path = self.state.key(&former(chain));
        let spki = public_key(chain.issuing())?;
        let key = self.keyring.open_former(&path, &spki).map_err(|error| error.to_string())?;
        if key.public_key_der() == spki {
            Ok(key)
        } else {
            Err(format!("{} holds the key of another CA; restore it from a backup", path.display()))
        }
    }

    pub(super) fn take_over(&self, next: Active) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }

    /// What goes with the certificate of a unit, PEM: the chain of the CA that issued it.
    pub(crate) fn chain_of(&self, ledger: &Ledger<EdgeEvent>, issuer: &str) -> Result<String, ReadError> {
        let current = self.current();
        if current.issuer.sha256() == issuer {
            return Ok(current.served.clone());
        }
        // One that never took over from another has no record: then it is the first, and still at work.
        Ok(known(ledger, issuer)?.map_or_else(|| current.served.clone(), |chain| chain.served()))
    }
}

/// So many digits of an issuing CA's SHA-256 name its files once it gave way, and the address of its list.
pub(crate) const SHORT: usize = 16;

/// The name of the files of an issuing CA that gave way.
pub(super) fn former(chain: &Chain) -> String {
    format!("issuing-{}", &chain.sha256()[..SHORT])
}

/// The public key in a certificate, DER `SubjectPublicKeyInfo`.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, String> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed.public_key().raw.to_vec())
        .map_err(|_| "the certificate does not parse".to_owned())
}
