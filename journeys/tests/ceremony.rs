//! The CA ceremony as people do it: docs/ca-ceremony.md as it stands, and what may go wrong. Drives: openssl.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use journeys::{
    floor::Floor,
    page::{blocks, shell},
    programs,
};
use serde_json::{Value, json};
use tempfile::TempDir;

const PAGE: &str = include_str!("../../docs/ca-ceremony.md");
const CODE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn the_page_works_as_it_stands() -> Result<()> {
    let dir = TempDir::new()?;
    let programs = programs::path("edge")?;
    let programs = programs.parent().context("no folder")?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let blocks = blocks(PAGE);
    ensure!(blocks.len() == 9, "the page has {} blocks", blocks.len());
    let mut said = String::new();
    for (_, block) in blocks {
        let output = shell(&block, dir.path(), &path).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{block}\n{}\n{error}", output.status);
        said += &String::from_utf8_lossy(&output.stdout);
    }
    for expected in [
        "signed by our own root, takes over from",
        "signed by another root, takes over from",
        &format!("has proven itself for code {CODE}"),
        "root-proof.pem: OK",
        "proof.pem: OK",
        "whole",
    ] {
        ensure!(said.contains(expected), "expected {expected}: {said}");
    }
    let subject = openssl(dir.path(), &["x509", "-in", "proof.pem", "-noout", "-subject", "-text"])?;
    ensure!(subject.contains(&format!("CN = {CODE}")) && subject.contains("CA:FALSE"), "{subject}");
    Ok(())
}

fn openssl(dir: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("openssl").args(args).current_dir(dir).output().context("openssl")?;
    ensure!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

struct Ceremony {
    floor: Floor,
    dir: PathBuf,
    config: String,
}

impl Ceremony {
    fn make(dir: &Path) -> Result<Self> {
        let floor = Floor::init(dir, "")?;
        let config = floor.config().to_str().context("a path that is no text")?.to_owned();
        Ok(Self { floor, dir: dir.to_owned(), config })
    }

    fn ca(&self, words: &[&str]) -> Result<String> {
        self.floor.edge(&[&["ca"], words, &["--config", &self.config]].concat())
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    /// A unit whose certificate openssl verifies against `root`.
    async fn issue(&self, station: &str, id: &str, root: &Path) -> Result<Value> {
        let (status, unit) = self.floor.issue(station, &json!({ "id": id, "line": "L1" })).await?;
        ensure!(status == 201, "{unit}");
        self.verify(&unit, root)?;
        Ok(unit)
    }

    /// A unit that was issued before.
    async fn again(&self, station: &str, before: &Value, root: &Path) -> Result<()> {
        let id = before["id"].as_str().context("no id")?;
        let (status, unit) = self.floor.get(station, &format!("/v1/units/{id}")).await?;
        ensure!(status == 200 && unit["certificate"] == before["certificate"], "{unit}");
        ensure!(unit["chain"] == before["chain"], "{id} has another chain now");
        self.verify(&unit, root)
    }

    fn verify(&self, unit: &Value, root: &Path) -> Result<()> {
        for name in ["certificate", "chain"] {
            fs::write(self.file(name), unit[name].as_str().context("no PEM")?)?;
        }
        let root = root.to_str().context("a path that is no text")?;
        let args = ["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", root];
        openssl(&self.dir, &[&args[..], &["-untrusted", "chain", "certificate"]].concat())?;
        Ok(())
    }

    /// The roles in `edge ca status`, in order.
    fn roles(&self) -> Result<Vec<String>> {
        let told: Value = serde_json::from_str(&self.floor.edge(&["ca", "status", "-o", "json"])?)?;
        let listed = told["certificates"].as_array().context("no list")?;
        Ok(listed.iter().filter_map(|one| Some(one["role"].as_str()?.to_owned())).collect())
    }

    /// Signs the waiting request with the plant's root, with these extensions.
    fn sign(&self, csr: &str, days: &str, extensions: &str) -> Result<()> {
        fs::write(self.file("ext"), extensions)?;
        let args = ["x509", "-req", "-in", csr, "-CA", "plant.pem", "-CAkey", "plant.key", "-CAcreateserial"];
        openssl(&self.dir, &[&args[..], &["-days", days, "-extfile", "ext", "-out", "signed.pem"]].concat())?;
        Ok(())
    }
}

fn refused(done: Result<String>, expected: &str) -> Result<()> {
    let why = done.err().context(format!("done, and not refused with {expected}"))?.to_string();
    ensure!(why.contains(expected), "expected {expected}: {why}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_changes_what_comes_and_nothing_that_was() -> Result<()> {
    let dir = TempDir::new()?;
    let it = Ceremony::make(dir.path())?;
    let root = it.floor.state().join("root.pem");
    let daemon = it.floor.start()?;
    let station = it.floor.token("station", "bench")?;
    let first = it.issue(&station, "gw-1", &root).await?;

    // The root's key is in a safe.
    fs::rename(it.floor.state().join("root.key"), it.file("root.key"))?;
    refused(it.ca(&["rotate"]), "--root-key")?;
    let floor_key = it.floor.state().join("floor.key").display().to_string();
    refused(it.ca(&["rotate", "--root-key", &floor_key]), "not the root's key")?;
    let key = it.file("root.key");
    ensure!(it.floor.edge(&["ledger", "show"])?.matches("takes over").count() == 0);
    it.again(&station, &first, &root).await?;

    let said = it.ca(&["rotate", "--root-key", &key])?;
    ensure!(said.contains("issues now") && said.contains("gave way"), "{said}");
    let second = it.issue(&station, "gw-2", &root).await?;
    ensure!(second["chain"] != first["chain"], "the old CA still issues");
    it.again(&station, &first, &root).await?;
    ensure!(daemon.stop()?.success());
    // Once more, without a daemon.
    it.ca(&["rotate", "--root-key", &key])?;
    let daemon = it.floor.start()?;
    let third = it.issue(&station, "gw-3", &root).await?;
    for unit in [&first, &second, &third] {
        it.again(&station, unit, &root).await?;
    }
    let (_, ca) = it.floor.get(&station, "/v1/ca").await?;
    ensure!(ca["chain"] == third["chain"] && ca["root"] == ca["units_root"], "{ca}");
    let previous = ca["previous"].as_array().context("no previous CAs")?;
    ensure!(previous.len() == 2 && [&first, &second].iter().all(|unit| previous.contains(&unit["chain"])));
    let expected = ["root", "issuing", "previous", "previous", "floor", "server", "checkpoint"];
    ensure!(it.roles()? == expected, "{:?}", it.roles()?);
    let said = it.floor.edge(&["ca", "status"])?;
    ensure!(said.contains("ends in") && !said.contains("WITHIN"), "{said}");

    // Evidence of units of all three holds.
    let evidence = it.file("evidence");
    it.floor.edge(&["ledger", "export", "--units", "gw-1,gw-2,gw-3", "--out", &evidence])?;
    ensure!(it.floor.edge(&["ledger", "verify", &evidence])?.contains("3 certificates"));
    ensure!(it.floor.edge(&["ledger", "show"])?.matches("takes over").count() == 2);
    ensure!(daemon.stop()?.success());

    // A crash between the journal and the files: the files are those of before, and the next start finishes.
    let state = it.floor.state();
    let old = fs::read_dir(&state)?.filter_map(|entry| {
        let path = entry.ok()?.path();
        let name = path.file_name()?.to_str()?;
        (name.starts_with("issuing-") && name.ends_with(".pem")).then_some(path)
    });
    let old = old.min_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok());
    let old = old.context("no previous CA")?;
    fs::rename(state.join("issuing.key"), state.join("issuing-next.key"))?;
    fs::copy(&old, state.join("issuing.pem"))?;
    fs::copy(old.with_extension("key"), state.join("issuing.key"))?;
    let daemon = it.floor.start()?;
    let fourth = it.issue(&station, "gw-4", &root).await?;
    ensure!(fourth["chain"] == third["chain"], "the start went back to an old CA");
    ensure!(daemon.stop()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plants_root_signs_the_issuing_ca_and_what_does_not_fit_is_refused() -> Result<()> {
    let dir = TempDir::new()?;
    let it = Ceremony::make(dir.path())?;
    let (own_root, plant) = (it.floor.state().join("root.pem"), dir.path().join("plant.pem"));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-keyout", "plant.key"];
    let root = ["-x509", "-days", "9000", "-subj", "/CN=Plant root", "-out", "plant.pem"];
    let usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"];
    openssl(&it.dir, &[&["req"], &key[..], &root, &usage].concat())?;
    let daemon = it.floor.start()?;
    let station = it.floor.token("station", "bench")?;
    let first = it.issue(&station, "gw-1", &own_root).await?;
    let (signed, plant_text) = (it.file("signed.pem"), it.file("plant.pem"));
    let install = |chain: &[&str]| it.ca(&[&["install"], chain].concat());
    refused(install(&[&plant_text]), "no request waits")?;

    let csr = it.file("issuing.csr");
    it.ca(&["request", "--out", &csr, "--name", "Hall 2 issuing CA"])?;
    refused(it.ca(&["request", "--out", &csr]), "--replace")?;
    let asked = openssl(&it.dir, &["req", "-in", &csr, "-verify", "-noout", "-text"])?;
    ensure!(asked.contains("CN = Hall 2 issuing CA") && asked.contains("pathlen:0"), "{asked}");
    let good = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
                subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    for (days, extensions, expected) in [
        ("8000", good.replace("CA:TRUE,pathlen:0", "CA:FALSE"), "is no CA"),
        ("8000", good.replace("keyCertSign,", ""), "keyCertSign"),
        ("8000", good.replace(",cRLSign", ""), "cRLSign"),
        ("100", good.to_owned(), "validity-outlives-issuer"),
    ] {
        it.sign(&csr, days, &extensions)?;
        refused(install(&[&signed, &plant_text]), expected)?;
    }
    // A good certificate, for a key of somebody else.
    let other = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.key"];
    openssl(&it.dir, &[&["req", "-new"], &other[..], &["-subj", "/CN=a", "-out", "other.csr"]].concat())?;
    it.sign("other.csr", "8000", good)?;
    refused(install(&[&signed, &plant_text]), "not for the key of the last request")?;
    it.sign(&csr, "8000", good)?;
    refused(install(&[&signed]), "is not signed by")?;
    ensure!(it.issue(&station, "gw-2", &own_root).await?["chain"] == first["chain"]);

    install(&[&signed, &plant_text])?;
    let third = it.issue(&station, "gw-3", &plant).await?;
    it.again(&station, &first, &own_root).await?;
    let (_, ca) = it.floor.get(&station, "/v1/ca").await?;
    ensure!(ca["units_root"].as_str().map(str::trim) == Some(fs::read_to_string(&plant)?.trim()), "{ca}");
    ensure!(ca["root"] != ca["units_root"] && ca["chain"] == third["chain"], "{ca}");
    ensure!(it.roles()?[..4] == ["root", "issuing", "above issuing", "previous"], "{:?}", it.roles()?);
    refused(install(&[&signed, &plant_text]), "no request waits")?;

    let evidence = it.file("evidence");
    it.floor.edge(&["ledger", "export", "--units", "gw-1,gw-3", "--out", &evidence])?;
    refused(it.floor.edge(&["ledger", "verify", &evidence]), "does not lead to this root")?;
    let said = it.floor.edge(&["ledger", "verify", &evidence, "--units-root", &plant_text])?;
    ensure!(said.contains("2 certificates"), "{said}");

    // Proofs, through the daemon and without it; of the issuing CA and of the root.
    let proof = it.file("proof.pem");
    refused(it.ca(&["prove", "not-a-code"]), "hexadecimal")?;
    let prove = || -> Result<()> {
        it.ca(&["prove", CODE, "--out", &proof])?;
        openssl(&it.dir, &["verify", "-CAfile", "plant.pem", "-untrusted", "signed.pem", &proof])?;
        it.ca(&["prove", CODE, "--ca", "root", "--out", &proof])?;
        let root = own_root.to_str().context("a path that is no text")?;
        openssl(&it.dir, &["verify", "-CAfile", root, &proof])?;
        Ok(())
    };
    prove()?;
    ensure!(daemon.stop()?.success());
    prove()?;
    ensure!(it.floor.edge(&["ledger", "show"])?.matches("has proven itself").count() == 4);
    let daemon = it.floor.start()?;
    it.issue(&station, "gw-4", &plant).await?;
    ensure!(daemon.stop()?.success());
    Ok(())
}
