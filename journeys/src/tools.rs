//! The outside programs that a journey may drive. `cargo xtask test` puts them in place.

use std::{fs, path::PathBuf};

/// Where a tool is; `None` if it is not there and need not be, which is said loudly.
///
/// # Panics
/// If it has to be there (`EDGE_REQUIRE_TOOLS=1`) and is not.
#[expect(clippy::print_stderr, reason = "a test that does not run must say so")]
pub fn find(tool: Tool) -> Option<PathBuf> {
    let found = tool.places().into_iter().find(|place| place.exists());
    if found.is_none() {
        let required = std::env::var("EDGE_REQUIRE_TOOLS").is_ok_and(|required| required == "1");
        assert!(!required, "{tool:?} is not there; run: cargo xtask test");
        eprintln!("NOT RUN: {tool:?} is not there; `cargo xtask test` installs it");
    }
    found
}

/// An outside program.
#[derive(Debug, Clone, Copy)]
pub enum Tool {
    /// A Python with `azure-iot-device`.
    Python,
    /// The folder with `azure-iot-provisioning-service` for node.
    NodeModules,
    /// A browser.
    Chromium,
    /// What makes an XFS file system.
    MkfsXfs,
    /// A PKCS#11 module whose tokens are files; `softhsm2-util` comes with it.
    SoftHsm,
    /// BouncyCastle's library with an EST client; what it needs lies beside it.
    BouncyCastle,
    /// A Java that runs a source file.
    Java,
    /// What tries an API by its description.
    Schemathesis,
    /// The library that turns the clock of a process.
    Faketime,
    /// A Python with `pkilint`.
    Pkilint,
}

impl Tool {
    fn places(self) -> Vec<PathBuf> {
        let tools = std::env::var_os("EDGE_TOOLS")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.tools")));
        match self {
            Self::Python => vec![tools.join("py/bin/python")],
            Self::NodeModules => vec![tools.join("npm/node_modules/azure-iot-provisioning-service")],
            Self::Chromium => vec!["/usr/bin/chromium".into(), "/usr/bin/chromium-browser".into()],
            Self::Schemathesis => vec![tools.join("py/bin/schemathesis")],
            Self::Faketime => ["x86_64", "aarch64"]
                .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1").into())
                .to_vec(),
            Self::Pkilint => vec![tools.join("lint/bin/python")],
            Self::MkfsXfs => vec!["/usr/sbin/mkfs.xfs".into(), "/sbin/mkfs.xfs".into()],
            Self::SoftHsm => {
                vec!["/usr/lib/softhsm/libsofthsm2.so".into(), "/usr/lib64/pkcs11/libsofthsm2.so".into()]
            }
            Self::BouncyCastle => vec!["/usr/share/java/bcpkix.jar".into()],
            // Beside its compiler: a run-time alone has no way to run a source file.
            Self::Java => fs::canonicalize("/usr/bin/javac")
                .map(|compiler| vec![compiler.with_file_name("java")])
                .unwrap_or_default(),
        }
    }
}
