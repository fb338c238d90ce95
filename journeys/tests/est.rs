//! EST as its clients see it. Drives: curl, openssl, and Java with BouncyCastle's EST client.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};
use journeys::{
    floor::Floor,
    programs,
    tools::{Tool, find},
};
use serde_json::Value;
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/est.md");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/EstClient.java");

/// The blocks of the page that are to be run.
fn blocks(page: &str) -> Vec<&str> {
    let behind = page.split("```sh\n").skip(1);
    behind.filter_map(|text| text.split_once("\n```").map(|(block, _)| block)).collect()
}

/// Runs a program in `dir`, and expects it to end well.
fn run(dir: &Path, program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).current_dir(dir).stdin(Stdio::null()).output()?;
    said(&format!("{program} {arguments:?}"), &output)
}

fn said(what: &str, output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{what}: {}\n{text}\n{error}", output.status);
    Ok(text)
}

/// Verifies a certificate up to the root, and that it is for the key beside it.
fn check(dir: &Path, certificate: &str, key: &str, id: &str) -> Result<()> {
    run(
        dir,
        "openssl",
        &["verify", "-x509_strict", "-CAfile", "root.pem", "-untrusted", "cacerts.pem", certificate],
    )?;
    let subject =
        run(dir, "openssl", &["x509", "-in", certificate, "-noout", "-subject", "-nameopt", "RFC2253"])?;
    ensure!(subject.trim() == format!("subject=CN={id}"), "{certificate}: {subject}");
    let certified = run(dir, "openssl", &["x509", "-in", certificate, "-noout", "-pubkey"])?;
    let own = run(dir, "openssl", &["pkey", "-in", key, "-pubout"])?;
    ensure!(certified == own, "{certificate} is not for {key}");
    Ok(())
}

/// An appliance, a folder with its root, and a token of a station on line L1.
fn appliance(dir: &Path, name: &str) -> Result<(Floor, programs::Running, String)> {
    let floor = Floor::init(dir, "")?;
    let daemon = floor.start()?;
    let token = floor.edge(&["token", "new", "--role", "station", "--line", "L1", "--name", name])?;
    fs::copy(floor.state().join("root.pem"), dir.join("root.pem"))?;
    Ok((floor, daemon, token.trim().to_owned()))
}

async fn unit(floor: &Floor, token: &str, id: &str) -> Result<Value> {
    let (status, unit) = floor.get(token, &format!("/v1/units/{id}")).await?;
    ensure!(status == 200 && unit["line"] == "L1", "{status} {unit}");
    Ok(unit)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_est_works_as_it_stands() -> Result<()> {
    let dir = TempDir::new()?;
    let (floor, daemon, token) = appliance(dir.path(), "bench")?;
    let programs = programs::path("edge")?;
    let programs = programs.parent().context("no folder")?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let blocks = blocks(PAGE);
    ensure!(blocks.len() == 6, "the page has {} blocks", blocks.len());
    let mut told = Vec::new();
    for block in blocks {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", block]).current_dir(dir.path()).stdin(Stdio::null()).env("PATH", &path);
        shell.env("EST", floor.url("/.well-known/est")).env("TOKEN", &token).env("STATE", floor.state());
        told.push(said(block, &shell.output()?)?);
    }
    ensure!(told[0].contains("prime256v1") && told[0].contains("ecdsa-with-SHA256"), "csrattrs: {}", told[0]);
    ensure!(told[5].contains("press-1"), "edge station ls: {}", told[5]);
    let authorities = fs::read_to_string(dir.path().join("cacerts.pem"))?;
    ensure!(authorities.matches("BEGIN CERTIFICATE").count() == 2, "{authorities}");

    check(dir.path(), "gw-0001.pem", "gw-0001.key", "gw-0001")?;
    check(dir.path(), "gw-0001-2.pem", "gw-0001-2.key", "gw-0001")?;
    check(dir.path(), "gw-0002.pem", "gw-0002.key", "gw-0002")?;
    check(dir.path(), "gw-0003.pem", "gw-0003.key", "gw-0003")?;
    ensure!(unit(&floor, &token, "gw-0001").await?["epoch"] == 2, "a renewal is the next pass");
    ensure!(unit(&floor, &token, "gw-0002").await?["epoch"] == 1);
    ensure!(unit(&floor, &token, "gw-0003").await?["station"] == "press-1", "the station asked");

    let url = floor.url("/.well-known/est/simpleenroll");
    let revoked =
        ["--cert", "press-1.pem", "--key", "press-1.key", "--data-binary", "@gw-0003.b64", "-o", "refused"];
    let common =
        ["-sS", "--cacert", "root.pem", "-H", "Content-Type: application/pkcs10", "-w", "%{http_code}"];
    let status = run(dir.path(), "curl", &[&common[..], &revoked, &[&url]].concat())?;
    ensure!(status == "401", "a revoked station: {status}");
    ensure!(daemon.stop()?.success(), "it did not stop in good order");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bouncy_castles_client_enrolls_and_renews() -> Result<()> {
    let (Some(library), Some(java)) = (find(Tool::BouncyCastle), find(Tool::Java)) else { return Ok(()) };
    let dir = TempDir::new()?;
    let (floor, daemon, token) = appliance(dir.path(), "bench")?;
    let jars = library.parent().context("no folder")?;
    let jars = ["bcpkix.jar", "bcprov.jar", "bcutil.jar"].map(|jar| jars.join(jar).display().to_string());
    let url = floor.url("");
    let port = url.rsplit(':').next().context("no port")?;
    let java = java.display().to_string();
    run(dir.path(), &java, &["-cp", &jars.join(":"), CLIENT, port, "root.pem", &token, "bc-0001", "."])?;
    check(dir.path(), "first.pem", "first.key", "bc-0001")?;
    check(dir.path(), "second.pem", "second.key", "bc-0001")?;
    let found = unit(&floor, &token, "bc-0001").await?;
    ensure!(found["epoch"] == 2, "{found}");
    let second = fs::read_to_string(dir.path().join("second.pem"))?.replace("\r\n", "\n");
    ensure!(found["certificate"] == second.as_str(), "the renewed one is the unit's: {found}\n{second}");
    ensure!(daemon.stop()?.success(), "it did not stop in good order");
    Ok(())
}
