//! The daemon under test as a child process, whatever becomes of it.

use std::{
    ffi::OsString,
    fs::OpenOptions,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::{Instant, timeout},
};

use crate::programs;

/// Longer than anything here should take, on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// An environment for it.
pub(crate) type Environment = Vec<(&'static str, OsString)>;

/// An `edge run`; killed when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    begun: Instant,
}

/// How a start went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// It is up, after so long.
    Up(Duration),
    /// It ended instead.
    Ended(End),
    /// Nothing was heard of it.
    Silent,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl Daemon {
    /// Starts it; its log goes to the end of `log`.
    pub(crate) fn spawn(config: &Path, log: &Path, environment: &Environment) -> Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(programs::path("edge")?)
            .args(["run", "--config"])
            .arg(config)
            .env("NO_COLOR", "1")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start edge")?;
        let stdout = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        Ok(Self { child, stdout, begun: Instant::now() })
    }

    /// Waits until it listens, or has ended.
    pub(crate) async fn come_up(&mut self) -> Result<Came> {
        let up = async {
            while let Some(line) = self.stdout.next_line().await? {
                if line.starts_with("edge: listening") {
                    return Ok::<_, anyhow::Error>(Came::Up(self.begun.elapsed()));
                }
            }
            Ok(Came::Ended(end(self.child.wait().await?)))
        };
        timeout(PATIENCE, up).await.unwrap_or(Ok(Came::Silent))
    }

    /// Its process, while it is there.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<End>> {
        Ok(self.child.try_wait()?.map(end))
    }

    /// Kills it: no signal handler runs.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill edge")
    }

    /// Asks it to stop.
    pub(crate) async fn ask_to_stop(&self) -> Result<()> {
        // One that has ended already needs no asking.
        if let Some(pid) = self.child.id() {
            let status = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
            ensure!(status.success(), "kill -TERM: {status}");
        }
        Ok(())
    }

    /// Waits for its end; `None` if it does not come.
    pub(crate) async fn wait(&mut self) -> Result<Option<End>> {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.ok().map(|status| Ok(end(status?))).transpose()
    }

    /// Asks it to stop, and waits for its end; `None` if it does not come.
    pub(crate) async fn stop(mut self) -> Result<Option<End>> {
        self.ask_to_stop().await?;
        self.wait().await
    }
}

fn end(status: ExitStatus) -> End {
    status.code().map_or_else(|| End::Signal(status.signal().unwrap_or_default()), End::Code)
}
