//! Pages whose commands are run as they stand (law 14).

use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The blocks that begin with `sh`, and whether they stay in the background.
#[must_use]
pub fn blocks(text: &str) -> Vec<(bool, String)> {
    let mut blocks: Vec<(bool, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.strip_prefix("```") {
            Some("sh") if !inside => (inside, _) = (true, blocks.push((false, String::new()))),
            Some("sh background") if !inside => (inside, _) = (true, blocks.push((true, String::new()))),
            Some(_) => inside = false,
            None if inside => {
                blocks.last_mut().into_iter().for_each(|(_, block)| *block += &format!("{line}\n"));
            }
            None => {}
        }
    }
    blocks
}

/// Runs a block in `dir`, with our programs on `path`; the first command that fails ends it.
#[must_use]
pub fn shell(block: &str, dir: &Path, path: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-eu", "-c", block]).current_dir(dir).env("PATH", path).stdin(Stdio::null());
    command
}
