//! A PKCS#11 token of one's own, made by SoftHSM2, for a test that is run again as a process of its own.
//!
//! The module reads where its tokens are from `SOFTHSM2_CONF`, once in a process, and a threaded process must not change
//! its environment: so the test starts itself with the variable in place, and what it starts inherits it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The PIN of the token.
pub const PIN: &str = "271828";
/// Its label.
pub const TOKEN: &str = "plant";
/// Says that we are the process of its own, and where its folder is.
const FOLDER: &str = "EDGE_TEST_TOKEN_FOLDER";

/// The folder of the process of its own: there a token waits. `None` after the test `name` was run there, and passed.
pub fn alone(name: &str) -> Result<Option<PathBuf>> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Ok(Some(folder.into()));
    }
    let dir = tempfile::tempdir()?;
    let (tokens, conf) = (dir.path().join("tokens"), dir.path().join("softhsm2.conf"));
    fs::create_dir(&tokens)?;
    fs::write(&conf, format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()))?;
    token(&conf, TOKEN)?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", name, "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(FOLDER, dir.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && said.contains("1 passed"),
        "{name}: {}\n{said}\n{error}",
        output.status
    );
    Ok(None)
}

/// Makes a token of that label.
fn token(conf: &Path, label: &str) -> Result<()> {
    let output = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label, "--so-pin", "314159", "--pin", PIN])
        .env("SOFTHSM2_CONF", conf)
        .output()
        .context("softhsm2-util")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
