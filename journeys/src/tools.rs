//! The outside programs that a journey may drive. `cargo xtask test` puts them in place.

use std::path::PathBuf;

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
            Self::Pkilint => vec![tools.join("lint/bin/python")],
            Self::MkfsXfs => vec!["/usr/sbin/mkfs.xfs".into(), "/sbin/mkfs.xfs".into()],
        }
    }
}
