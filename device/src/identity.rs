//! The device's key and its request: the one door to `rcgen`.

use std::{fs, io, path::Path};

use azure_iot::RegistrationId;
use keys::{KeyError, create_private, read_private};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

/// Why there is no key or no request.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The folder.
    #[error("{path}: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The library.
    #[error("the key or its request cannot be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Makes a certificate signing request with the key in `path`; makes the key first if there is none.
///
/// The key is on disk before anybody hears of it, so that an interrupted birth goes on with the same one.
pub(crate) fn request(path: &Path, id: &RegistrationId) -> Result<String, IdentityError> {
    if !path.exists() {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)
                .map_err(|source| IdentityError::Folder { path: dir.display().to_string(), source })?;
        }
        create_private(path, KeyPair::generate()?.serialize_pem().as_bytes())?;
    }
    let pem = read_private(path)?;
    let key = KeyPair::from_pem(&String::from_utf8_lossy(&pem))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, id.as_ref());
    Ok(params.serialize_request(&key)?.pem()?)
}
