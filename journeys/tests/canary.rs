//! What a daemon with keys leaves behind: no key, no token, no core.

use std::{
    fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, TryStreamExt, stream};
use journeys::{canary::Canary, floor::Floor};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tempfile::TempDir;

/// The secret number inside a PKCS#8 key of P-256 (RFC 5915): an OCTET STRING of 32 bytes behind the version.
fn scalar(pem: &str) -> Result<Vec<u8>> {
    let text: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(text)?;
    const BEFORE: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = der.windows(5).position(|at| at == BEFORE).context("no ECPrivateKey")? + BEFORE.len();
    Ok(der.get(at..at + 32).context("too short")?.to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_keys_and_every_token_are_nowhere_but_in_the_answers() -> Result<()> {
    const KEYS: usize = 1000;
    let dir = TempDir::new()?;
    let storage = "[storage]\nsegment = \"2 MiB\"\nballast = \"0 B\"\nfloor = \"1 MiB\"\ncache = \"1 MiB\"\n";
    let floor = Floor::init(dir.path(), storage)?;
    // As talkative as it can be.
    let daemon = floor.start_with(&[("RUST_LOG", "debug,edge=trace,ledger=trace,web=trace")])?;
    let station = floor.token("station", "bench")?;
    let admin = floor.token("admin", "second-admin")?;
    let issued = stream::iter(0..KEYS).map(|n| {
        let (floor, station) = (&floor, &station);
        async move {
            let id = format!("gw-{n:04}");
            let (status, unit) = floor.issue(station, &json!({ "id": id, "line": "L1" })).await?;
            ensure!(status == 201, "{unit}");
            let key = unit["private_key"].as_str().context("no key")?.to_owned();
            // A repeat is answered, and without the key.
            let (status, again) = floor.issue(station, &json!({ "id": id, "line": "L1" })).await?;
            ensure!(again.get("private_key").is_none(), "{status}: the key is told twice");
            Ok((id, key))
        }
    });
    let keys: Vec<(String, String)> = issued.buffer_unordered(16).try_collect().await?;
    ensure!(keys.len() == KEYS);
    let backup = dir.path().join("backup");
    floor.edge(&["backup", backup.to_str().context("a path that is no text")?])?;
    ensure!(daemon.stop()?.success());
    floor.edge(&["ledger", "verify"])?;

    let mut canary = Canary::default();
    for (id, key) in &keys {
        canary.add(id, &scalar(key)?);
    }
    canary.add("the station's token", station.as_bytes());
    canary.add("the administrator's token", admin.as_bytes());
    // The number of a key is what openssl says it is: we look for the right thing.
    let mut openssl = Command::new("openssl")
        .args(["pkey", "-noout", "-text"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    openssl.stdin.take().context("no stdin")?.write_all(keys[0].1.as_bytes())?;
    let text: String = String::from_utf8(openssl.wait_with_output()?.stdout)?.split_whitespace().collect();
    let text = text.replace(':', "");
    let own: String = scalar(&keys[0].1)?.iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(text.contains(&own), "openssl tells another key: {text}");

    let log = dir.path().join("edge.log");
    ensure!(fs::metadata(&log)?.len() > 10_000, "the log is quiet");
    let mut files = 0;
    for place in [floor.state(), backup, log] {
        let found = canary.look(&place)?;
        ensure!(found.is_empty(), "{} times: {:?}", found.len(), found.first());
        files += count(&place)?;
    }
    ensure!(files > 20, "only {files} files were looked at");
    // The same look finds one that is there.
    let planted = floor.state().join("planted");
    fs::write(&planted, &keys[KEYS - 1].1)?;
    ensure!(canary.look(&floor.state())?.iter().any(|found| found.file == planted));
    Ok(())
}

fn count(place: &Path) -> Result<usize> {
    if place.is_file() {
        return Ok(1);
    }
    fs::read_dir(place)?.try_fold(0, |sum, entry| Ok(sum + count(&entry?.path())?))
}

/// Whether a process that is aborted leaves a core, with the limit out of the way.
fn leaves_a_core(pid: u32, abort: impl FnOnce() -> Result<std::process::ExitStatus>) -> Result<bool> {
    let pid = Pid::from_raw(i32::try_from(pid)?).context("no process id")?;
    prlimit(Some(pid), Resource::Core, Rlimit { current: None, maximum: None })?;
    let ended = abort()?;
    ensure!(ended.signal() == Some(6), "{ended}");
    Ok(ended.core_dumped())
}

#[test]
fn a_daemon_leaves_no_core_even_where_the_limit_is_lifted() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let daemon = floor.start()?;
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id()))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).context("no limit")?;
    ensure!(core.split_whitespace().take(2).eq(["0", "0"]), "Max core file size {core}");
    daemon.signal("ABRT")?;
    let ended = daemon.wait()?;
    ensure!(ended.signal() == Some(6) && !ended.core_dumped(), "{ended}");

    // Root may lift the limit; the process itself still refuses. Another program shows that a core would be written.
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let mut other = Command::new("sleep").arg("600").current_dir(dir.path()).spawn()?;
    let dumped = leaves_a_core(other.id(), || {
        ensure!(Command::new("kill").args(["-ABRT", &other.id().to_string()]).status()?.success());
        Ok(other.wait()?)
    })?;
    ensure!(dumped, "this machine writes no cores, so nothing can be shown here");
    let daemon = floor.start()?;
    let dumped = leaves_a_core(daemon.id(), || {
        daemon.signal("ABRT")?;
        daemon.wait()
    })?;
    ensure!(!dumped, "a core was written");
    Ok(())
}
