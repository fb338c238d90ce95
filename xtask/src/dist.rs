//! `cargo xtask dist`

use anyhow::Result;

use crate::{cargo, root};

/// Builds the programs that ship, optimised and stripped.
pub(crate) fn run() -> Result<()> {
    let packages = ["-p", "edge", "-p", "portal", "-p", "device", "-p", "emulator", "-p", "cloud-sync"];
    cargo(&[&["build", "--profile", "dist", "--locked", "--bins"], &packages[..]].concat(), &[])?;
    println!(
        "\nThe programs are in {}; unit files and configurations are in configs/.",
        root().join("target/dist").display()
    );
    Ok(())
}
