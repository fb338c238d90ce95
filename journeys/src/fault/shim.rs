//! Our own C: a library that makes storage calls fail or lie, and the program that cuts the power. Compiled when used.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::fault::daemon::Environment;

const SHIM: &str = include_str!("../../fault/shim.c");
const CUT: &str = include_str!("../../fault/cut.c");

/// The compiled library.
#[derive(Debug, Clone)]
pub(crate) struct Shim(PathBuf);

/// The calls that a fault is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `write` and `pwrite`.
    Write,
    /// `fsync`, `fdatasync` and `sync_file_range`.
    Sync,
    /// `fallocate` and `ftruncate`.
    Allocate,
    /// `rename`, `mkdir`, and `open` of what is not there.
    Name,
}

/// What happens instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The call fails with this error number.
    Fail(i32),
    /// Half of it is written, and that is said.
    Short,
    /// Nothing, and success is reported.
    Lie,
    /// A sync drops what it should have made durable, and success is reported.
    Lose,
    /// A write is done when some more have come, and success is reported at once.
    Late,
}

/// Which calls of a program are hit, and how.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    /// Which.
    pub(crate) call: Call,
    /// How.
    pub(crate) how: How,
    /// Only files whose names end like this.
    pub(crate) only: Option<&'static str>,
    /// The first that is hit, from 1.
    pub(crate) nth: usize,
    /// Whether all from then on are.
    pub(crate) on: bool,
    /// A file that gets the paths of what was hit.
    pub(crate) mark: Option<PathBuf>,
}

impl Fault {
    /// Every such call on the segments of the journal.
    pub(crate) fn on_segments(call: Call, how: How) -> Self {
        Self { call, how, only: Some(".segment"), nth: 1, on: true, mark: None }
    }
}

impl Shim {
    /// Compiles it into `dir`.
    pub(crate) fn build(dir: &Path) -> Result<Self> {
        let library = dir.join("shim.so");
        compile(SHIM, &dir.join("shim.c"), &library, &["-shared", "-fPIC", "-ldl", "-lpthread"])?;
        Ok(Self(library))
    }

    /// The environment in which a program suffers from `fault` below `dir`.
    pub(crate) fn environment(&self, dir: &Path, fault: &Fault) -> Environment {
        let (how, code) = match fault.how {
            How::Fail(code) => ("fail", code),
            How::Short => ("short", 0),
            How::Lie => ("lie", 0),
            How::Lose => ("lose", 0),
            How::Late => ("late", 0),
        };
        let call = match fault.call {
            Call::Write => "write",
            Call::Sync => "sync",
            Call::Allocate => "fallocate",
            Call::Name => "name",
        };
        let mut environment: Environment = vec![
            ("LD_PRELOAD", self.0.clone().into()),
            ("FAULT_DIR", dir.into()),
            ("FAULT_CALL", call.into()),
            ("FAULT_HOW", how.into()),
            ("FAULT_CODE", code.to_string().into()),
            ("FAULT_NTH", fault.nth.to_string().into()),
        ];
        environment.extend(fault.only.map(|only| ("FAULT_ONLY", OsString::from(only))));
        environment.extend(fault.on.then(|| ("FAULT_ON", OsString::from("1"))));
        environment.extend(fault.mark.as_ref().map(|mark| ("FAULT_MARK", mark.into())));
        environment
    }
}

/// Compiles the program that cuts the power below a mount point.
pub(crate) fn cutter(dir: &Path) -> Result<PathBuf> {
    let program = dir.join("cut");
    compile(CUT, &dir.join("cut.c"), &program, &[])?;
    Ok(program)
}

/// Whether there is a C compiler, without which storage calls do not fail.
#[must_use]
pub fn compiler() -> bool {
    Command::new("cc").arg("--version").output().is_ok_and(|output| output.status.success())
}

fn compile(text: &str, source: &Path, target: &Path, flags: &[&str]) -> Result<()> {
    fs::write(source, text)?;
    let mut command = Command::new("cc");
    let output = command.args(["-O1", "-o"]).args([target, source]).args(flags).output().context("cc")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
