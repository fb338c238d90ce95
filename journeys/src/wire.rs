//! A wire with weather between two network interfaces, both of them in one namespace.
//!
//! The kernel can do the same by itself (netem), but many kernels are built without it; so a script passes the frames.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::clients::CLIENTS;

/// What a wire does to every frame, in each direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Bend {
    /// How late it arrives, in milliseconds.
    pub delay: u32,
    /// How much earlier or later than that, at most, in milliseconds. Frames do not overtake each other.
    pub jitter: u32,
    /// Bits a second; 0 for as many as there are.
    pub rate: u32,
    /// How many in a hundred do not arrive.
    pub loss: u32,
}

/// What became of the frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Frames {
    /// So many have arrived, or will.
    pub carried: u64,
    /// So many never will.
    pub lost: u64,
}

/// A running wire; cut when dropped.
#[derive(Debug)]
pub struct Wire {
    script: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Wire {
    /// Joins two interfaces of a namespace; `seed` is what chance begins with.
    pub fn join(python: &Path, namespace: &str, ends: [&str; 2], seed: u64) -> Result<Self> {
        let mut script = Command::new("ip")
            .args(["netns", "exec", namespace])
            .arg(python)
            .arg(Path::new(CLIENTS).join("wire.py"))
            .args(ends)
            .arg(seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the wire")?;
        let words = script.stdin.take().context("no standard input")?;
        let answers = BufReader::new(script.stdout.take().context("no standard output")?);
        let mut wire = Self { script, words, answers };
        let ready = wire.answer()?;
        ensure!(ready == "ready", "the wire says {ready:?}");
        Ok(wire)
    }

    /// Bends it like this from now on; returns what became of the frames since the last time.
    pub fn bend(&mut self, bend: Bend) -> Result<Frames> {
        writeln!(self.words, "{}", serde_json::to_string(&bend)?)?;
        Ok(serde_json::from_str(&self.answer()?)?)
    }

    fn answer(&mut self) -> Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Gone already is fine.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
