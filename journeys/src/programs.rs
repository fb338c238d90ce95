//! The real programs, built and run as children: what a journey sees is what a factory gets.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, Result, bail, ensure};

/// Returns the path of one of our programs, built in the profile of the caller.
///
/// The first call of a process runs cargo, which does nothing when they are up to date.
pub fn path(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let dir = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let dir = dir.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    Ok(dir.join(name))
}

fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--bins",
        "-p",
        "edge",
        "-p",
        "portal",
        "-p",
        "device",
        "-p",
        "emulator",
        "-p",
        "cloud-sync",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let status = command.current_dir(env!("CARGO_MANIFEST_DIR")).status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo build of our programs: {status}");
    let test = std::env::current_exe().context("who am I")?;
    // target/PROFILE/deps/test or target/PROFILE/program
    let profile = test.ancestors().find(|dir| dir.join("edge").is_file());
    profile.map(Path::to_path_buf).context("the built programs are not beside this one")
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    /// Kept open: a program that prints one more line must not be stopped by it.
    _stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// Starts `name` and reads its standard output until `enough` says that it has told what we need to know.
    ///
    /// The rest of its output, and its log, go to `log`.
    pub fn start(name: &str, args: &[&str], log: &Path, enough: impl FnMut(&str) -> bool) -> Result<Self> {
        Self::start_with(name, args, &[], log, enough)
    }

    /// The same, with more in its environment.
    pub fn start_with(
        name: &str,
        args: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
        mut enough: impl FnMut(&str) -> bool,
    ) -> Result<Self> {
        let log_file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(path(name)?)
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take().context("no standard output")?;
        let mut running = Self { child, name: name.to_owned(), _stdout: None };
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        while stdout.read_line(&mut line)? > 0 {
            if enough(line.trim_end()) {
                running._stdout = Some(stdout);
                return Ok(running);
            }
            line.clear();
        }
        let log = std::fs::read_to_string(log).unwrap_or_default();
        bail!("{name} ended before it was ready:\n{log}")
    }

    /// Kills it as a power cut would: no signal handler runs.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits until it has.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        Ok(self.child.wait()?)
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal by name, as `kill -NAME` does.
    pub fn signal(&self, name: &str) -> Result<()> {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        ensure!(status.success(), "kill -{name} of {}: {status}", self.name);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one of our programs to its end and returns what it printed.
pub fn run(name: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(path(name)?).args(args).stdin(Stdio::null()).output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{name} {args:?}: {}\n{error}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}
