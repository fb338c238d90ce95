//! Law 14: every file in `configs/` is read by what will read it, and every key of a configuration stands in its file.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};

fn configs() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"))
}

#[test]
fn every_file_is_parsed() -> Result<()> {
    let mut parsed = BTreeSet::new();
    for entry in fs::read_dir(configs())? {
        let path = entry?.path();
        let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
        match name.as_str() {
            "edge.toml" => drop(edge::Config::read(&path)?),
            "portal.toml" => drop(portal::Config::parse(&fs::read_to_string(&path)?, &path)?),
            "device-agent.toml" => drop(device::Config::read(&path)?),
            _ if name.ends_with(".service") => hardened(&name, &fs::read_to_string(&path)?)?,
            _ => anyhow::bail!("no test reads configs/{name}"),
        }
        parsed.insert(name);
    }
    for wanted in [
        "edge.toml",
        "portal.toml",
        "device-agent.toml",
        "edge.service",
        "portal.service",
        "device-agent.service",
    ] {
        ensure!(parsed.contains(wanted), "configs/{wanted} is missing");
    }
    Ok(())
}

/// Checks that a unit file is one, and gives away nothing that the service does not need.
fn hardened(name: &str, text: &str) -> Result<()> {
    let settings: BTreeSet<(&str, &str)> =
        text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('=')).collect();
    let has = |key: &str, value: &str| settings.contains(&(key, value));
    for (key, value) in [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("SystemCallFilter", "@system-service"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("LimitCORE", "0"),
        ("Restart", "always"),
        ("WantedBy", "multi-user.target"),
    ] {
        ensure!(has(key, value), "{name}: {key}={value} is missing");
    }
    for section in ["[Unit]", "[Service]", "[Install]"] {
        ensure!(text.lines().filter(|line| *line == section).count() == 1, "{name}: {section}");
    }
    ensure!(
        settings.iter().all(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric())),
        "{name}: a key that is none"
    );
    ensure!(
        settings.iter().any(|(key, _)| *key == "CapabilityBoundingSet"),
        "{name}: capabilities are not bounded"
    );
    Ok(())
}

#[test]
fn a_unit_file_that_gives_more_away_is_noticed() -> Result<()> {
    let good = fs::read_to_string(configs().join("edge.service"))?;
    hardened("good", &good)?;
    for (from, to) in
        [("NoNewPrivileges=yes", "NoNewPrivileges=no"), ("LimitCORE=0", ""), ("[Install]", "[Instal]")]
    {
        ensure!(hardened("bad", &good.replace(from, to)).is_err(), "{from} -> {to}");
    }
    Ok(())
}
