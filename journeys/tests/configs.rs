//! Law 14: every file in `configs/` is read by what will read it, and every key of a configuration stands in its file.

use std::{collections::BTreeSet, fs, path::PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Where every number is told that alerts and dashboards may name.
const METRICS: &str = include_str!("../../docs/metrics.md");
const DASHBOARD: &str = "grafana/edge-overview.json";
const ALERTS: &str = "alerts/edge.rules.yml";

fn configs() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs"))
}

/// Every file below `configs/`.
fn files() -> Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![configs()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() { dirs.push(path) } else { files.push(path) }
        }
    }
    Ok(files)
}

#[test]
fn every_file_is_parsed() -> Result<()> {
    let mut parsed = BTreeSet::new();
    for path in files()? {
        let name = path.strip_prefix(configs())?.to_string_lossy().into_owned();
        match name.as_str() {
            DASHBOARD => dashboard(&fs::read_to_string(&path)?)?,
            ALERTS => alerts(&fs::read_to_string(&path)?)?,
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
        DASHBOARD,
        ALERTS,
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

/// Checks that what an expression asks for is told: every name of ours stands in `docs/metrics.md`.
fn known(expression: &str) -> Result<()> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ours = expression.split(|c| !word(c)).filter(|name| name.starts_with("edge_"));
    for name in ours {
        let row = |name: &str| METRICS.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let histogram = part.and_then(row).is_some_and(|row| row.contains("| histogram |"));
        ensure!(row(name).is_some() || histogram, "{name} is not in docs/metrics.md");
    }
    Ok(())
}

/// Checks that alerts are few words and one thing to do each, and that all of them are told.
fn alerts(text: &str) -> Result<()> {
    let told = |alert: &str| METRICS.lines().any(|line| line == format!("### {alert}"));
    let mut found = BTreeSet::new();
    let documents = YamlLoader::load_from_str(text)?;
    let [document] = &documents[..] else { anyhow::bail!("{} documents", documents.len()) };
    for group in document["groups"].as_vec().context("no groups")? {
        group["name"].as_str().context("a group without a name")?;
        for rule in group["rules"].as_vec().context("no rules")? {
            let alert = rule["alert"].as_str().context("a rule without a name")?;
            for key in rule.as_hash().context("no rule")?.keys().filter_map(Yaml::as_str) {
                ensure!(["alert", "expr", "for", "labels", "annotations"].contains(&key), "{alert}: {key}");
            }
            known(rule["expr"].as_str().with_context(|| format!("{alert} asks for nothing"))?)?;
            let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
            ensure!(["info", "warning", "critical"].contains(&severity), "{alert}: severity '{severity}'");
            ensure!(rule["annotations"]["summary"].as_str().is_some(), "{alert} says nothing");
            let runbook = format!("docs/metrics.md#{}", alert.to_lowercase());
            let named = rule["annotations"]["runbook_url"].as_str();
            ensure!(told(alert) && named == Some(&runbook), "{alert}: what to do is not at {named:?}");
            found.insert(alert.to_owned());
        }
    }
    for alert in METRICS.lines().filter_map(|line| line.strip_prefix("### ")) {
        ensure!(found.contains(alert), "{alert} is told and never raised");
    }
    Ok(())
}

/// Checks that a dashboard works wherever it is imported: its data source is a variable, and nothing else has an id that
/// another Grafana may know by another name.
fn dashboard(text: &str) -> Result<()> {
    let board: Value = serde_json::from_str(text)?;
    let variables = board["templating"]["list"].as_array().context("no variables")?;
    let sources = variables.iter().filter(|variable| variable["type"] == "datasource");
    ensure!(sources.map(|variable| &variable["name"]).eq(["datasource"]), "no data source to choose");
    ensure!(
        text.matches("\"uid\"").count() == text.matches("\"uid\": \"${datasource}\"").count(),
        "a fixed uid"
    );
    let (mut ids, panels) = (BTreeSet::new(), board["panels"].as_array().context("no panels")?);
    for panel in panels {
        let title = panel["title"].as_str().context("a panel without a title")?;
        ensure!(ids.insert(panel["id"].as_u64()), "{title}: its id is there twice");
        let targets = panel["targets"].as_array().with_context(|| format!("{title} shows nothing"))?;
        for asks in [panel].into_iter().chain(targets) {
            ensure!(asks["datasource"]["uid"] == "${datasource}", "{title} has a data source of its own");
        }
        for target in targets {
            known(target["expr"].as_str().with_context(|| format!("{title} asks for nothing"))?)?;
        }
    }
    Ok(())
}

#[test]
fn alerts_and_a_dashboard_that_do_not_work_are_noticed() -> Result<()> {
    let good = fs::read_to_string(configs().join(ALERTS))?;
    for (from, to) in [
        ("edge_ready", "edge_reddy"),
        ("expr: edge_ready", "exprs: edge_ready"),
        ("severity: critical", "severity: loud"),
        ("#edgedown", "#nowhere"),
        ("alert: EdgeDown", "alert: EdgeGone"),
        ("groups:", "groups: ["),
    ] {
        ensure!(good.contains(from) && alerts(&good.replace(from, to)).is_err(), "{from} -> {to}");
    }
    let good = fs::read_to_string(configs().join(DASHBOARD))?;
    for (from, to) in [
        ("edge_ready", "edge_reddy"),
        ("\"${datasource}\"", "\"PBFA97CFB590B2093\""),
        ("\"title\": \"Edge appliances\"", "\"uid\": \"abc\""),
        ("\"type\": \"datasource\"", "\"type\": \"query\""),
        ("\"id\": 2,", "\"id\": 1,"),
    ] {
        ensure!(good.contains(from) && dashboard(&good.replace(from, to)).is_err(), "{from} -> {to}");
    }
    known("rate(edge_certificate_issue_duration_seconds_bucket[5m])")?;
    ensure!(known("edge_ready_bucket").is_err());
    Ok(())
}

#[test]
fn the_scrape_configuration_of_the_page_is_one() -> Result<()> {
    let (_, rest) = METRICS.split_once("```yaml\n").context("no configuration")?;
    let (text, _) = rest.split_once("```").context("no end")?;
    let documents = YamlLoader::load_from_str(text)?;
    let job = &documents[0]["scrape_configs"][0];
    ensure!(job["job_name"].as_str() == Some("edge"), "the alerts ask for this job");
    ensure!(job["scheme"].as_str() == Some("https") && job["tls_config"]["ca_file"].as_str().is_some());
    ensure!(job["authorization"]["credentials_file"].as_str().is_some());
    Ok(())
}
