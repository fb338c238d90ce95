//! A stranger reads `/openapi.json` and tries everything that it allows, and what it forbids: nothing may be answered that
//! it does not declare, and nothing may break the appliance. Drives: schemathesis.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use journeys::{
    floor::Floor,
    tools::{Tool, find},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

/// What is compared with the description in every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method";

/// Tries everything with a token, the same way every time; returns how many cases there were. No operation may be answered
/// with nothing but `shut`.
async fn tried(program: &Path, floor: &Floor, token: &str, shut: &str, dir: &Path) -> Result<usize> {
    let mut command = Command::new(program);
    command.args(["run", &floor.url("/openapi.json"), "--checks", CHECKS, "--seed", "1", "--no-color"]);
    command.args(["--phases", "examples,coverage,fuzzing,stateful", "--max-examples", "20"]);
    command.args(["--generation-database", "none", "--header", &format!("Authorization: Bearer {token}")]);
    command.arg("--tls-verify").arg(floor.state().join("root.pem")).current_dir(dir).kill_on_drop(true);
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}\n{said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    ensure!(!said.contains(shut), "it never got past the door:\n{said}");
    let cases = said.lines().find_map(|line| line.trim().split_once(" generated, ")).context("no cases")?.0;
    cases.parse().with_context(|| said.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_description_allows_or_forbids_is_answered_otherwise_than_declared() -> Result<()> {
    let Some(program) = find(Tool::Schemathesis) else { return Ok(()) };
    let dir = TempDir::new()?;
    let floor = Floor::init(dir.path(), "")?;
    let daemon = floor.start()?;
    let supervisor = floor.token("supervisor", "supervisor")?;
    // A token for one line may leave the line out, so what is guessed for it is issued.
    let station = floor.edge(&["token", "new", "--role", "station", "--name", "rig", "--line", "L1"])?;
    // A supervisor may do everything; a station is known, and some things are not for it.
    for (token, shut) in
        [(supervisor.as_str(), "Authentication failed"), (station.trim(), "401 Unauthorized (")]
    {
        let cases = tried(&program, &floor, token, shut, dir.path()).await?;
        ensure!(cases >= 150, "only {cases} cases");
    }
    let (status, units) = floor.get(&supervisor, "/v1/units").await?;
    ensure!(status == 200 && units["units"] != json!([]), "nothing was ever issued: {units}");
    ensure!(daemon.stop()?.success(), "it did not survive");
    Ok(())
}
