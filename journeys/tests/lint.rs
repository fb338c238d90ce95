//! What an auditor's tools say of certificates of every profile, as a running daemon issues them.
//! Drives: openssl, Python with `pkilint`.
//!
//! `EDGE_LINT_CERTIFICATES=10000` issues as many; 500 without.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use journeys::{
    floor::Floor,
    tools::{Tool, find},
};
use rcgen::{
    CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PKCS_RSA_SHA256, RsaKeySize,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const LINTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clients/lint_certificates.py");
/// Kinds of key, and how many of twenty certificates have one: RSA keys take their time.
const KINDS: [(&str, usize); 4] = [("p256", 9), ("p384", 8), ("rsa2048", 2), ("rsa3072", 1)];
/// Requests under way at a time.
const AT_ONCE: usize = 16;

/// Every combination of what a profile may say, once for each kind of key; one line for each.
fn profiles() -> Vec<(&'static str, String)> {
    let options = [
        ["validity = \"20y\"", "validity = \"none\""],
        ["", "hardware_module = \"1.3.6.1.4.1.32473.7\""],
        ["", "serial_number = true"],
        [
            "",
            "organization = \"Plant & Söhne GmbH\"\norganizational_unit = \"Hall 3\"\ncountry = \"DE\"\n\
             state = \"Baden-Württemberg\"\nlocality = \"Ulm\"",
        ],
        ["", "policy = \"1.3.6.1.4.1.32473.8\""],
    ];
    let mut profiles = vec![];
    for (kind, _) in KINDS {
        for choice in 0..1_usize << options.len() {
            let chosen = options.iter().enumerate().map(|(bit, words)| words[choice >> bit & 1]);
            let words: Vec<_> = chosen.filter(|words| !words.is_empty()).collect();
            profiles.push((kind, format!("keys = [\"{kind}\"]\n{}\n", words.join("\n"))));
        }
    }
    profiles
}

fn configuration(profiles: &[(&str, String)]) -> String {
    let of = |(i, (_, words)): (usize, &(&str, String))| {
        format!("[profile.P{i}]\n{words}[[line]]\nid = \"P{i}\"\nprofile = \"P{i}\"\n")
    };
    profiles.iter().enumerate().map(of).collect()
}

/// A request with a fresh key.
fn csr(kind: &str) -> Result<String> {
    let key = match kind {
        "p256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        "p384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?,
        "rsa2048" => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
        _ => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072)?,
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    Ok(params.serialize_request(&key)?.pem()?)
}

/// Which profile the certificate with this number gets: every one in its turn, within its kind of key.
fn profile_of(i: usize, profiles: &[(&str, String)]) -> usize {
    let mut at = i % 20;
    let kind = KINDS.iter().find(|(_, share)| {
        let here = at < *share;
        at = at.saturating_sub(*share);
        here
    });
    let kind = kind.map_or("p256", |(kind, _)| kind);
    let (turn, share) = (i / 20, KINDS.iter().find(|(name, _)| *name == kind).map_or(1, |(_, share)| *share));
    let of_kind: Vec<_> = (0..profiles.len()).filter(|n| profiles[*n].0 == kind).collect();
    of_kind[(turn * share + at) % of_kind.len()]
}

/// Issues one, and writes its certificate into `dir`.
async fn issue(
    floor: &Floor,
    token: &str,
    i: usize,
    (line, kind): (usize, &'static str),
    dir: &Path,
) -> Result<()> {
    let csr = tokio::task::spawn_blocking(move || csr(kind)).await??;
    let id = format!("unit-{i:05}{}", ["", ".a", ":7"][i % 3]);
    let request = json!({ "id": id, "csr": csr, "line": format!("P{line}") });
    let (status, unit) = floor.issue(token, &request).await?;
    ensure!(status == 201, "{id} on P{line}: {unit}");
    fs::write(
        dir.join(format!("{i:05}-P{line}.pem")),
        unit["certificate"].as_str().context("no certificate")?,
    )?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stderr, reason = "the figures of this run are worth a line")]
async fn an_auditor_finds_nothing() -> Result<()> {
    let Some(python) = find(Tool::Pkilint) else { return Ok(()) };
    let count = std::env::var("EDGE_LINT_CERTIFICATES").map_or(Ok(500), |text| text.parse())?;
    let profiles = profiles();
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), &configuration(&profiles))?;
    let daemon = floor.start()?;
    let token = floor.token("station", "bench")?;
    let (leaves, authorities) = (dir.path().join("leaves"), dir.path().join("authorities"));
    fs::create_dir(&leaves)?;
    fs::create_dir(&authorities)?;
    stream::iter(0..count)
        .map(|i| {
            let profile = profile_of(i, &profiles);
            issue(&floor, &token, i, (profile, profiles[profile].0), &leaves)
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    daemon.stop()?;
    let files: Vec<_> = fs::read_dir(&leaves)?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
    ensure!(files.len() == count);

    let (root, issuing) = (floor.state().join("root.pem"), floor.state().join("issuing.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"]).arg(&root);
    let output = openssl.arg("-untrusted").arg(&issuing).args(&files).stdin(Stdio::null()).output()?;
    let (said, complaints) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let good = said.lines().filter(|line| line.ends_with(": OK")).count();
    ensure!(output.status.success() && good == count, "{good} of {count}: {complaints}");

    for name in ["root.pem", "issuing.pem"] {
        fs::copy(floor.state().join(name), authorities.join(name))?;
    }
    let output = Command::new(&python).arg(LINTER).arg(&leaves).arg(&authorities).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(found["certificates"] == count + 2 && found["findings"] == json!([]), "{found}");
    eprintln!(
        "{count} certificates of {} profiles: openssl -x509_strict {good} OK, pkilint nothing at warning or above",
        profiles.len()
    );

    // The linter does find something where there is something: a serial number of 25 octets.
    let bad = dir.path().join("bad");
    fs::create_dir(&bad)?;
    let mut params = CertificateParams::new(vec![])?;
    params.serial_number = Some(vec![0x01; 25].into());
    fs::write(bad.join("bad.pem"), params.self_signed(&KeyPair::generate()?)?.pem())?;
    let output = Command::new(&python).arg(LINTER).arg(&bad).output()?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(found["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{found}");
    Ok(())
}
