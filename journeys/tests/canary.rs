//! What a daemon with keys leaves behind: no key, no token, no core.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::MetadataExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{StreamExt, TryStreamExt, stream};
use journeys::{canary::Canary, floor::Floor, programs};
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

/// Who owns what the kernel shows of a process's memory: root, once the process may not be dumped.
fn owner(pid: u32) -> Result<u32> {
    Ok(fs::metadata(format!("/proc/{pid}/environ"))?.uid())
}

#[test]
fn a_daemon_leaves_no_core() -> Result<()> {
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    // Root would own it anyhow: then somebody else runs it.
    let own = rustix::process::geteuid().as_raw();
    let runs_as = if own == 0 { 65_534 } else { own };
    let program = dir.path().join("edge");
    fs::copy(programs::path("edge")?, &program)?;
    if own == 0 {
        let owner = runs_as.to_string();
        ensure!(Command::new("chown").args(["-R", &owner]).arg(dir.path()).status()?.success());
    }
    let start = |command: &mut Command| command.uid(runs_as).current_dir(dir.path()).spawn();
    let mut other = start(Command::new("sleep").arg("600"))?;
    let mut daemon = start(
        Command::new(&program)
            .args(["run", "--config"])
            .arg(floor.config())
            .stdout(Stdio::piped())
            .stderr(Stdio::null()),
    )?;
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().context("no stdout")?).read_line(&mut line)?;
    ensure!(line.starts_with("edge: listening"), "{line}");
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id()))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).context("no limit")?;
    let (owners, expected) = ((owner(daemon.id())?, owner(other.id())?), (0, runs_as));
    let abort = |child: &mut Child| -> Result<ExitStatus> {
        ensure!(Command::new("kill").args(["-ABRT", &child.id().to_string()]).status()?.success());
        Ok(child.wait()?)
    };
    let (ended, _) = (abort(&mut daemon)?, abort(&mut other)?);
    ensure!(core.split_whitespace().take(2).eq(["0", "0"]), "Max core file size {core}");
    ensure!(owners == expected, "the daemon may be dumped: {owners:?}, not {expected:?}");
    ensure!(ended.signal() == Some(6) && !ended.core_dumped(), "{ended}");
    Ok(())
}
