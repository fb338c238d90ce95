//! What this box shows of itself: the certificates that its floor CA has signed, made anew when two thirds of their life
//! are over.

use std::{fs, io, path::Path, sync::Arc};

use keys::{Algorithm, EncryptedKey, FileKey, Passphrase, SigningKey};
use ledger::CheckpointKey;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use tracing::info;
use web::{ClientCertificates, Tls};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{
    appliance::StartError,
    fingerprint::sha256,
    init::serial,
    pem,
    pki::{self, PkiError},
    state_dir::StateDir,
};

/// The floor CA, as far as it is needed: its key is opened only when something is to be signed.
pub(crate) struct FloorCa<'a> {
    pub(crate) state: &'a StateDir,
    pub(crate) passphrase: &'a Passphrase,
    pub(crate) now: OffsetDateTime,
}

impl FloorCa<'_> {
    /// The server's TLS. Its certificate is made anew also where the names have changed.
    pub(crate) fn tls(&self, names: &[String]) -> Result<Tls, StartError> {
        let (chain, key) = self.server(names)?;
        Tls::new(chain.as_bytes(), &key, ClientCertificates::Requested).map_err(|error| wrong(&error))
    }

    /// How long until the server's certificate is to be made anew; `None` if that is now.
    pub(crate) fn until_renewal(&self) -> Result<Option<std::time::Duration>, StartError> {
        let server = certificate(&self.state.certificate("server"), self.state.path())?;
        Ok(renewal_of(&server).and_then(|due| (due - self.now).try_into().ok()))
    }

    /// Makes the server's certificate anew if it is time, and has `tls` show it from now on.
    pub(crate) fn renew(&self, names: &[String], tls: &Tls) -> Result<(), StartError> {
        let (chain, key) = self.server(names)?;
        tls.replace(chain.as_bytes(), &key).map_err(|error| wrong(&error))
    }

    /// The server's chain and key, PEM.
    fn server(&self, names: &[String]) -> Result<(String, keys::Zeroizing<Vec<u8>>), StartError> {
        let path = self.state.certificate("server");
        let floor = certificate(&self.state.certificate("floor"), self.state.path())?;
        let mut server = certificate(&path, self.state.path())?;
        if !is_young(&server, self.now) || !is_for(&server, names) {
            let key = FileKey::open(&self.state.key("server"))?;
            debug_assert_eq!(key.algorithm(), Algorithm::P256);
            server = self.sign(|floor_key, serial| {
                pki::server_certificate(key.public_key_der(), names, &floor, floor_key, self.now, serial)
            })?;
            keys::write_private(&path, pem::encode("CERTIFICATE", &server).as_bytes())?;
            info!(?names, "the server certificate was renewed");
        }
        let chain = [pem::encode("CERTIFICATE", &server), pem::encode("CERTIFICATE", &floor)];
        let key = keys::read_private(&self.state.key("server"))?;
        Ok((chain.map(|pem| pem.to_string()).concat(), key))
    }

    /// What signs the journal's checkpoints: a key of its own, made when it is not there.
    pub(crate) fn checkpoint_key(&self) -> Result<CheckpointKey, StartError> {
        let (key_path, path) = (self.state.key("checkpoint"), self.state.certificate("checkpoint"));
        let floor = certificate(&self.state.certificate("floor"), self.state.path())?;
        let key = if key_path.exists() {
            FileKey::open(&key_path)?
        } else {
            FileKey::create(&key_path, Algorithm::P256)?
        };
        let spki = key.public_key_der();
        let found = path.exists().then(|| certificate(&path, self.state.path())).transpose()?;
        let own = match found.filter(|found| is_young(found, self.now) && has_key(found, spki)) {
            Some(own) => own,
            None => {
                let own = self.sign(|floor_key, serial| {
                    pki::checkpoint_certificate(spki, &floor, floor_key, self.now, serial)
                })?;
                keys::write_private(&path, pem::encode("CERTIFICATE", &own).as_bytes())?;
                info!("the certificate of the checkpoint key was made");
                own
            }
        };
        Ok(signer(key, &own, &floor))
    }

    fn sign(
        &self,
        make: impl FnOnce(&EncryptedKey, [u8; 17]) -> Result<CertificateDer<'static>, PkiError>,
    ) -> Result<CertificateDer<'static>, StartError> {
        let key = EncryptedKey::open(&self.state.key("floor"), self.passphrase)?;
        let serial = serial().map_err(|error| wrong(&error))?;
        make(&key, serial).map_err(|error| wrong(&error))
    }
}

/// The checkpoint key as it is on disk, for who signs beside the daemon.
pub(crate) fn open_checkpoint_key(state: &StateDir) -> Result<CheckpointKey, StartError> {
    let key = FileKey::open(&state.key("checkpoint"))?;
    let [own, floor] =
        ["checkpoint", "floor"].map(|name| certificate(&state.certificate(name), state.path()));
    Ok(signer(key, &own?, &floor?))
}

fn signer(key: FileKey, own: &CertificateDer<'_>, floor: &CertificateDer<'_>) -> CheckpointKey {
    CheckpointKey {
        key: sha256(key.public_key_der()),
        certificates: vec![own.to_vec(), floor.to_vec()],
        sign: Arc::new(move |message| key.sign(message).map_err(|error| error.to_string())),
    }
}

fn wrong(error: &dyn std::fmt::Display) -> StartError {
    StartError::Certificate(error.to_string())
}

/// Reads a file of the state folder `dir`.
pub(crate) fn read(path: &Path, dir: &Path) -> Result<Vec<u8>, StartError> {
    fs::read(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => StartError::NotInitialised {
            dir: dir.to_owned(),
            what: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        },
        _ => StartError::Io { path: path.display().to_string(), source },
    })
}

/// Reads a certificate of the state folder `dir`.
pub(crate) fn certificate(path: &Path, dir: &Path) -> Result<CertificateDer<'static>, StartError> {
    CertificateDer::from_pem_slice(&read(path, dir)?)
        .map_err(|_| StartError::Certificate(format!("{} is not a certificate in PEM", path.display())))
}

/// Whether a certificate is in the first two thirds of its life.
fn is_young(certificate: &CertificateDer<'_>, now: OffsetDateTime) -> bool {
    renewal_of(certificate).is_some_and(|due| now < due)
}

/// When two thirds of a certificate's life are over.
fn renewal_of(certificate: &CertificateDer<'_>) -> Option<OffsetDateTime> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let (begin, end) =
        (parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime());
    Some(begin + (end - begin) * 2 / 3)
}

fn has_key(certificate: &CertificateDer<'_>, spki: &[u8]) -> bool {
    X509Certificate::from_der(certificate).is_ok_and(|(_, parsed)| parsed.public_key().raw == spki)
}

/// Whether a server certificate is for exactly these names.
fn is_for(certificate: &CertificateDer<'_>, names: &[String]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return false };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else { return false };
    let found = alternatives.value.general_names.iter().map(|name| match name {
        GeneralName::DNSName(name) => (*name).to_owned(),
        GeneralName::IPAddress([a, b, c, d]) => format!("{a}.{b}.{c}.{d}"),
        GeneralName::IPAddress(bytes) => {
            let bytes: Result<[u8; 16], _> = (*bytes).try_into();
            bytes.map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()).unwrap_or_default()
        }
        other => other.to_string(),
    });
    found.eq(names.iter().cloned())
}
