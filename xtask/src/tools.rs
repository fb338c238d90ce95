//! The outside programs that tests drive: a browser, SDKs and clients of others, and what makes disks, networks, clocks and
//! tokens.
//!
//! What is missing is installed where it may be; what cannot be is named, with the command that would.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::root;

/// The packages of the official service client, and of the official device client.
const NPM: &str = "azure-iot-provisioning-service@1.10.1";
const PYPI: &str = "azure-iot-device==2.14.0";
/// What tries an API by its description.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// The linter for certificates, in an environment of its own: neither package decides what the other is built on.
const LINTER: &str = "pkilint==0.13.3";

/// Prepares the tools; returns their folder and what could not be had.
pub(crate) fn prepare() -> (PathBuf, Vec<String>) {
    let dir = root().join(".tools");
    let mut missing = Vec::new();
    let wanted: [(&str, bool, &dyn Fn() -> bool, &str); 12] = [
        ("chromium", on_path("chromium"), &|| apt("chromium"), "apt-get install -y chromium"),
        ("mkfs.xfs", installed("mkfs.xfs"), &|| apt("xfsprogs"), "apt-get install -y xfsprogs"),
        ("softhsm2", on_path("softhsm2-util"), &|| apt("softhsm2"), "apt-get install -y softhsm2"),
        (
            "libbcpkix-java",
            Path::new("/usr/share/java/bcpkix.jar").is_file(),
            &|| apt("libbcpkix-java"),
            "apt-get install -y libbcpkix-java",
        ),
        (
            "javac",
            on_path("javac"),
            &|| apt("default-jdk-headless"),
            "apt-get install -y default-jdk-headless",
        ),
        (
            NPM,
            dir.join("npm/node_modules/azure-iot-provisioning-service").is_dir(),
            &|| npm(&dir),
            "needs node and npm",
        ),
        (
            PYPI,
            has_module(&dir.join("py"), "azure.iot.device"),
            &|| pip(&dir.join("py"), PYPI),
            "needs python3 with venv and pip",
        ),
        (
            LINTER,
            has_module(&dir.join("lint"), "pkilint"),
            &|| pip(&dir.join("lint"), LINTER),
            "needs python3 with venv and pip",
        ),
        (
            SCHEMATHESIS,
            dir.join("py/bin/schemathesis").is_file(),
            &|| pip(&dir.join("py"), SCHEMATHESIS),
            "needs python3 with venv and pip",
        ),
        ("faketime", on_path("faketime"), &|| apt("faketime"), "apt-get install -y faketime"),
        ("ip", installed("ip"), &|| apt("iproute2"), "apt-get install -y iproute2"),
        ("nft", installed("nft"), &|| apt("nftables"), "apt-get install -y nftables"),
    ];
    for (what, there, install, otherwise) in wanted {
        if !there {
            println!("── installing {what}");
            if !install() {
                missing.push(format!("tests that drive {what}: it could not be installed ({otherwise})"));
            }
        }
    }
    (dir, missing)
}

/// Whether `cargo deny` can be run.
pub(crate) fn has_cargo_deny() -> bool {
    on_path("cargo-deny")
}

/// Whether it is on the path, or among the programs for root, which are not on everybody's.
fn installed(program: &str) -> bool {
    on_path(program) || Path::new("/usr/sbin").join(program).is_file()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn apt(package: &str) -> bool {
    ran(Command::new("apt-get").args(["update", "-qq"]))
        && ran(Command::new("apt-get")
            .args(["install", "-y", "-qq", package])
            .env("DEBIAN_FRONTEND", "noninteractive"))
}

fn npm(dir: &Path) -> bool {
    let prefix = dir.join("npm");
    fs::create_dir_all(&prefix).is_ok()
        && ran(Command::new("npm")
            .args(["install", "--silent", "--no-save", "--no-audit", "--no-fund", "--prefix"])
            .arg(&prefix)
            .arg(NPM))
}

fn pip(venv: &Path, package: &str) -> bool {
    ran(Command::new("python3").args(["-m", "venv"]).arg(venv))
        && ran(Command::new(venv.join("bin/pip")).args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            package,
        ]))
}

fn has_module(venv: &Path, module: &str) -> bool {
    Command::new(venv.join("bin/python"))
        .args(["-c", &format!("import {module}")])
        .output()
        .is_ok_and(|output| output.status.success())
}

fn ran(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}
