//! Tells the program when it was built: no clock that is right shows an earlier time.
//!
//! `SOURCE_DATE_EPOCH` says it, or else the newest commit; a source tree without either builds a program that believes any
//! time that is not before 2026. Nothing is asked over a network, and the same source gives the same program.

use std::process::Command;

/// 2026-01-01: what is known without being told.
const EARLIEST: u64 = 1_767_225_600;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    let told = std::env::var("SOURCE_DATE_EPOCH").ok().or_else(newest_commit);
    let built = told.and_then(|text| text.trim().parse().ok()).unwrap_or(EARLIEST);
    println!("cargo::rustc-env=EDGE_BUILT={}", built.max(EARLIEST));
}

/// The time of the newest commit, in seconds since 1970.
fn newest_commit() -> Option<String> {
    let output = Command::new("git").args(["log", "-1", "--format=%ct"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
