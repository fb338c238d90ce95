//! Clients of others as child processes, led to the emulator of a world.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::world::World;

/// Where their scripts are.
pub const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients");

/// A run of the script `name` on Azure's Node SDK in the folder `package`; its first argument is the connection string.
pub fn node(world: &World, package: &Path, name: &str) -> Result<Command> {
    let file = |name: &str| Path::new(CLIENTS).join(name);
    let mut command = Command::new("node");
    command.arg("-r").arg(file("redirect.js")).arg(file(name));
    command.arg(std::fs::read_to_string(world.connection_string())?.trim());
    command.env("NODE_PATH", package.parent().context("node_modules")?);
    command.env("NODE_EXTRA_CA_CERTS", &world.cloud_root);
    command.env("EMULATOR_HTTPS_PORT", world.https.port().to_string());
    Ok(command)
}

/// Runs a client to its end and reads the last line that it prints.
pub async fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}\n{error}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.lines().last().unwrap_or_default()).with_context(|| format!("{text}\n{error}"))
}
