//! `cargo xtask test`

use anyhow::Result;

use crate::{cargo, tools};

/// Runs everything, in the order in which a mistake is cheapest to find.
pub(crate) fn run() -> Result<()> {
    cargo(&["fmt", "--all", "--check"], &[])?;
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])?;
    let (tools, mut missing) = tools::prepare();
    let dir = tools.to_string_lossy();
    // With the tools there, a test that cannot use them fails; without, it says loudly that it did not run.
    let require = if missing.is_empty() { "1" } else { "0" };
    let environment = [("EDGE_TOOLS", dir.as_ref()), ("EDGE_REQUIRE_TOOLS", require)];
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"], &environment)?;
    // All worlds and all orders of events, which an unoptimised build only samples.
    cargo(&["test", "--release", "--package", "cloud-sync", "--test", "simulation", "--locked"], &[])?;
    cargo(
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--locked"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )?;
    if tools::has_cargo_deny() {
        cargo(&["deny", "--offline", "check", "bans", "licenses", "sources"], &[])?;
    } else {
        missing.push("cargo deny: not installed (cargo install cargo-deny); the bans were checked by journeys/tests/laws.rs".to_owned());
    }
    println!("\n── all that ran has passed");
    for what in missing {
        println!("NOT RUN  {what}");
    }
    Ok(())
}
