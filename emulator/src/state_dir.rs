//! What the emulator keeps: who it is. Restarted in the same folder, it is the same cloud to everybody, and empty.

use std::{fs, io, os::unix::fs::OpenOptionsExt, path::Path};

use aws_lc_rs::rand;
use base64::{Engine, engine::general_purpose::STANDARD};
use time::OffsetDateTime;

use crate::pki;

/// Who the emulator is.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) connection_string: String,
    pub(crate) id_scope: String,
    pub(crate) server_chain: String,
    pub(crate) server_key: String,
}

/// The host of the one DPS instance.
const HOST: &str = "emulator.azure-devices-provisioning.net";

/// Reads the folder, making what is missing.
pub(crate) fn open(dir: &Path, now: OffsetDateTime) -> io::Result<Kept> {
    fs::create_dir_all(dir)?;
    let file = |name: &str| dir.join(name);
    let (server_chain, server_key) = if file("root.pem").exists() {
        let (root, key) = (fs::read_to_string(file("root.pem"))?, fs::read_to_string(file("root.key"))?);
        pki::renew(&root, &key, now).map_err(io::Error::other)?
    } else {
        let made = pki::make(now).map_err(io::Error::other)?;
        secret(&file("root.key"), &made.root_key)?;
        fs::write(file("root.pem"), &made.root)?;
        (made.server_chain, made.server_key)
    };
    let connection_string = kept(&file("connection-string.txt"), || {
        let key = STANDARD.encode(random::<32>()?);
        Ok(format!("HostName={HOST};SharedAccessKeyName=provisioningserviceowner;SharedAccessKey={key}"))
    })?;
    let id_scope = kept(&file("id-scope.txt"), || Ok(format!("0ne{}", hex::encode_upper(random::<4>()?))))?;
    Ok(Kept { connection_string, id_scope, server_chain, server_key })
}

fn kept(path: &Path, make: impl FnOnce() -> io::Result<String>) -> io::Result<String> {
    if !path.exists() {
        secret(path, &make()?)?;
    }
    Ok(fs::read_to_string(path)?.trim().to_owned())
}

fn secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut &file, text.as_bytes())
}

pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no randomness"))?;
    Ok(bytes)
}
