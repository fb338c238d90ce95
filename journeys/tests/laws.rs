//! The laws of ARCHITECTURE.md that a machine can keep. Every checker is itself shown a bad sample: a check that cannot
//! fail is none.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Our rooms, and what each may depend on: all the arrows there are.
const ARROWS: &[(&str, &[&str])] = &[
    ("azure-iot", &[]),
    ("journal", &[]),
    ("ledger", &["journal"]),
    ("keys", &[]),
    ("web", &[]),
    ("cloud-sync", &["ledger", "azure-iot", "keys"]),
    ("edge", &["cloud-sync", "ledger", "azure-iot", "keys", "web"]),
    ("portal", &["cloud-sync", "ledger", "azure-iot", "keys", "web"]),
    ("device", &["azure-iot", "journal", "keys"]),
    ("emulator", &["azure-iot", "web"]),
];

/// Packages that have one door in every crate, and the folder that is a door in itself.
const DOORS: &[&str] = &[
    "sled",
    "reqwest",
    "backoff",
    "rumqttc",
    "rcgen",
    "tokio_tungstenite",
    "axum_server",
    "cryptoki",
    "prometheus",
];
const FOLDER: (&str, &str, &str) = ("edge", "rcgen", "src/pki/");

/// Every Rust file below `dir`, with its path relative to it.
fn sources(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((
                    path.strip_prefix(dir)?.to_string_lossy().into_owned(),
                    fs::read_to_string(&path)?,
                ));
            }
        }
    }
    Ok(found)
}

/// The code of a file, without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn names(text: &str, package: &str) -> bool {
    let code = code(text);
    let named = |before: char| !before.is_alphanumeric() && before != '_' && before != '"' && before != '-';
    code.match_indices(package).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_none_or(named);
        before && code[at + package.len()..].starts_with("::")
    })
}

/// The files of a crate that name `package`.
fn doors(files: &[(String, String)], package: &str) -> Vec<String> {
    let named = files.iter().filter(|(path, text)| !path.ends_with("testing.rs") && names(text, package));
    named.map(|(path, _)| path.clone()).collect()
}

/// What a manifest depends on, apart from tests.
fn dependencies(manifest: &str) -> Result<BTreeSet<String>> {
    let manifest: toml::Table = manifest.parse()?;
    let found = manifest.get("dependencies").and_then(toml::Value::as_table);
    Ok(found.map(|table| table.keys().cloned().collect()).unwrap_or_default())
}

#[test]
fn law_1_azure_iot_opens_no_socket_and_reads_no_clock() -> Result<()> {
    let pure = |text: &str| {
        let code = code(text);
        let forbidden = [
            "tokio",
            "std::net",
            "reqwest",
            "SystemTime",
            "Instant",
            "now_utc",
            "std::fs",
            "async fn",
            "std::thread",
        ];
        forbidden.into_iter().find(|word| code.contains(word))
    };
    for (path, text) in sources(&root().join("azure-iot/src"))? {
        ensure!(pure(&text).is_none(), "azure-iot/src/{path} names {:?}", pure(&text));
    }
    let depends = dependencies(&fs::read_to_string(root().join("azure-iot/Cargo.toml"))?)?;
    for package in ["tokio", "reqwest", "axum", "rustls", "rumqttc", "time"] {
        ensure!(!depends.contains(package), "azure-iot depends on {package}");
    }
    ensure!(pure("fn f() { std::net::TcpStream::connect(\"x\"); }") == Some("std::net"));
    ensure!(pure("// std::net\nfn f() {}").is_none());
    Ok(())
}

#[test]
fn law_2_one_door_per_package() -> Result<()> {
    let mut found = BTreeMap::new();
    for (room, _) in ARROWS {
        let files = sources(&root().join(room))?
            .into_iter()
            .filter(|(path, _)| path.starts_with("src/"))
            .collect::<Vec<_>>();
        for package in DOORS {
            let mut doors = doors(&files, package);
            if (*room, *package) == (FOLDER.0, FOLDER.1) {
                doors.retain(|door| !door.starts_with(FOLDER.2));
                ensure!(doors.is_empty(), "{room}: {package} is named outside {}: {doors:?}", FOLDER.2);
                continue;
            }
            // The TLS listener and the peer it saw are one thing in three files.
            if (*room, *package) == ("web", "axum_server") {
                continue;
            }
            ensure!(doors.len() <= 1, "{room}: {package} has more than one door: {doors:?}");
            found.insert((*room, *package), doors.len());
        }
    }
    for (room, package) in [
        ("ledger", "sled"),
        ("cloud-sync", "reqwest"),
        ("cloud-sync", "backoff"),
        ("device", "rumqttc"),
        ("emulator", "rumqttc"),
        ("edge", "reqwest"),
        ("edge", "tokio_tungstenite"),
        ("keys", "cryptoki"),
        ("edge", "prometheus"),
    ] {
        ensure!(found[&(room, package)] == 1, "{room} does not use {package} any more");
    }
    let bad = [
        ("src/a.rs".to_owned(), "use sled::Db;".to_owned()),
        ("src/b.rs".to_owned(), "fn f(x: sled::Tree) {}".to_owned()),
    ];
    ensure!(doors(&bad, "sled").len() == 2);
    ensure!(
        doors(&[("src/a.rs".to_owned(), "// sled::Db is not here\nuse unsled::Db;".to_owned())], "sled")
            .is_empty()
    );
    Ok(())
}

#[test]
fn law_4_no_handler_knows_a_way_to_the_cloud() -> Result<()> {
    let reaches = |text: &str| {
        let code = code(text);
        let words = ["Worker", "CloudConfig", "Cloud::", "Cloud,", "Cloud}", "reqwest"];
        words.into_iter().find(|word| {
            code.match_indices(word).any(|(at, _)| {
                // `CloudEvent`, `CloudState` and the like are values; what is looked for is the way there.
                code[..at].chars().next_back().is_none_or(|before| !before.is_alphanumeric())
            })
        })
    };
    let mut looked_at = 0;
    for (path, text) in sources(&root().join("edge/src"))? {
        if path.starts_with("http/")
            || ["enroll.rs", "feed.rs", "board.rs", "local.rs"].contains(&path.as_str())
        {
            ensure!(reaches(&text).is_none(), "edge/src/{path} names {:?}", reaches(&text));
            looked_at += 1;
        }
    }
    ensure!(looked_at >= 12, "only {looked_at} files were looked at");
    ensure!(reaches("use cloud_sync::{Cloud, books};") == Some("Cloud,"));
    Ok(())
}

#[test]
fn law_9_the_arrows_are_all_there_are() -> Result<()> {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).chain(["journeys", "xtask"]).collect();
    let wrong = |manifest: &str, may: &[&str]| -> Result<Vec<String>> {
        let depends = dependencies(manifest)?;
        Ok(depends
            .into_iter()
            .filter(|name| ours.contains(name.as_str()) && !may.contains(&name.as_str()))
            .collect())
    };
    for (room, may) in ARROWS {
        let wrong = wrong(&fs::read_to_string(root().join(room).join("Cargo.toml"))?, may)?;
        ensure!(wrong.is_empty(), "{room} may not depend on {wrong:?}");
    }
    let bad = "[dependencies]\nemulator.workspace = true\nledger.workspace = true\n";
    ensure!(wrong(bad, &["ledger"])? == ["emulator"]);
    Ok(())
}

#[test]
fn laws_10_and_12_are_kept_by_a_lint_that_knows_the_words() -> Result<()> {
    let clippy: toml::Table = fs::read_to_string(root().join("clippy.toml"))?.parse()?;
    let banned: Vec<&str> = clippy["disallowed-methods"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|ban| ban["path"].as_str())
        .collect();
    for method in [
        "tokio::spawn",
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "time::OffsetDateTime::now_utc",
    ] {
        ensure!(banned.contains(&method), "clippy.toml does not ban {method}");
    }
    // A shell may read the clock, in one place a crate, and says why.
    for (room, _) in ARROWS {
        for (path, text) in sources(&root().join(room).join("src"))? {
            let shells = text.matches("clippy::disallowed_methods").count();
            ensure!(shells <= 1, "{room}/src/{path} has {shells} exceptions");
        }
    }
    Ok(())
}

#[test]
fn one_tls_stack_and_nothing_that_is_banned() -> Result<()> {
    let deny: toml::Table = fs::read_to_string(root().join("deny.toml"))?.parse()?;
    let mut banned: BTreeSet<String> = BTreeSet::new();
    for ban in deny["bans"]["deny"].as_array().context("no bans")? {
        ensure!(ban.get("reason").is_some(), "a ban without a reason: {ban}");
        banned.insert(ban["crate"].as_str().context("no crate")?.to_owned());
    }
    for advisory in deny["advisories"]["ignore"].as_array().context("no advisories")? {
        ensure!(
            advisory["reason"].as_str().is_some_and(|reason| reason.len() > 10),
            "without a reason: {advisory}"
        );
    }
    ensure!(banned.contains("openssl") && banned.contains("native-tls"));
    let broken = |lock: &str| -> Result<Vec<String>> {
        let lock: toml::Table = lock.parse()?;
        let packages = lock["package"].as_array().context("no packages")?.iter();
        let names = packages.filter_map(|package| package["name"].as_str());
        Ok(names.filter(|name| banned.contains(*name)).map(str::to_owned).collect())
    };
    let found = broken(&fs::read_to_string(root().join("Cargo.lock"))?)?;
    ensure!(found.is_empty(), "Cargo.lock has {found:?}");
    ensure!(broken("[[package]]\nname = \"openssl-sys\"\nversion = \"1.0.0\"\n")? == ["openssl-sys"]);
    Ok(())
}

#[test]
fn nothing_is_left_undone() -> Result<()> {
    // Written in two halves, so that this file does not find itself.
    let words = [
        ("to", "do!("),
        ("unimple", "mented!("),
        ("#[ig", "nore"),
        ("#[should_", "panic"),
        ("TO", "DO:"),
        ("FIX", "ME"),
    ];
    let undone =
        |text: &str| words.iter().map(|(a, b)| format!("{a}{b}")).find(|word| text.contains(word.as_str()));
    for (room, _) in ARROWS.iter().chain(&[("journeys", &[][..]), ("xtask", &[])]) {
        for (path, text) in sources(&root().join(room))? {
            ensure!(undone(&text).is_none(), "{room}/{path}: {:?}", undone(&text));
        }
    }
    let (begin, end) = words[0];
    ensure!(undone(&format!("fn f() {{ {begin}{end}) }}")).is_some());
    Ok(())
}
