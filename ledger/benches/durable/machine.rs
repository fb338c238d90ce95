//! Where it was measured, in the machine's words.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

/// Describes the machine and the disk that `dir` is on.
pub(crate) fn describe(dir: &Path) -> Value {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).map(str::trim);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mount = Command::new("df").arg("--output=source,fstype").arg(dir).output();
    let mount = mount.map(|found| String::from_utf8_lossy(&found.stdout).into_owned()).unwrap_or_default();
    let disk = mount.lines().nth(1).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    json!({ "cpu": model, "cores": cores, "memory": memory, "kernel": kernel.trim(), "disk": disk })
}
