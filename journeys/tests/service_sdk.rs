//! Azure's official service client against the emulator: every operation on individual enrollments, once right and once
//! wrong, is answered as the real service would.
//! Drives: node with `azure-iot-provisioning-service`.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use journeys::{
    clients::{json_of, node},
    tools::{Tool, find},
    world::{Settings, World},
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A certificate as back ends paste it.
fn certificate() -> Result<String> {
    let key = rcgen::KeyPair::generate()?;
    Ok(rcgen::CertificateParams::default().self_signed(&key)?.pem())
}

/// A refusal has a status, a code that begins with it, and an id to quote that is the answer's own.
fn refused(told: &Value, error: &str, status: u16, code: i64) -> Result<()> {
    ensure!(told["error"] == error && told["status"] == status, "not {error}: {told}");
    ensure!(told["body"]["errorCode"] == code, "not {code}: {told}");
    let named = told["headers"]["x-ms-error-code"].as_str().and_then(|code| code.parse().ok());
    ensure!(named == Some(code), "the header says {named:?}: {told}");
    let quoted = &told["body"]["trackingId"];
    ensure!(quoted.is_string() && told["headers"]["x-ms-request-id"] == *quoted, "{told}");
    Ok(())
}

fn done(told: &Value) -> Result<&Value> {
    ensure!(told["error"].is_null() && told["status"] == 200, "{told}");
    Ok(&told["body"])
}

/// A bulk is answered 200 whatever became of its items; `items` are the ids and codes of those that failed.
fn bulk(told: &Value, items: &[(&str, i64)]) -> Result<()> {
    let body = done(told)?;
    ensure!(body["isSuccessful"] == items.is_empty(), "{told}");
    let failed = body["errors"].as_array().context("no errors")?;
    ensure!(failed.iter().all(|item| item["errorStatus"].is_string()), "{told}");
    let failed: Vec<_> =
        failed.iter().map(|item| (item["registrationId"].as_str(), item["errorCode"].as_i64())).collect();
    let expected: Vec<_> = items.iter().map(|(id, code)| (Some(*id), Some(*code))).collect();
    ensure!(failed == expected, "{failed:?} instead of {expected:?}");
    Ok(())
}

/// The tag of a record: base64 of a quoted version.
fn etag(record: &Value) -> Result<&str> {
    let etag = record["etag"].as_str().context("no etag")?;
    let version = String::from_utf8(STANDARD.decode(etag)?)?;
    ensure!(version.len() > 2 && version.starts_with('"') && version.ends_with('"'), "{version}");
    Ok(etag)
}

fn one_by_one(told: &Value) -> Result<()> {
    let created = done(&told["created"])?;
    refused(&told["createdAgain"], "DeviceAlreadyExistsError", 409, 409_201)?;
    let read = done(&told["read"])?;
    ensure!(etag(read)? == etag(created)?, "reading changes nothing: {read}");
    ensure!(created.get("registrationState").is_none(), "only a GET shows it: {created}");
    ensure!(read["registrationState"]["status"] == "unassigned", "{read}");
    ensure!(read["deviceId"] == "a-1" && read["provisioningStatus"] == "enabled", "{read}");
    let primary = &read["attestation"]["x509"]["clientCertificates"]["primary"];
    ensure!(primary["info"]["sha256Thumbprint"].is_string() && primary.get("certificate").is_none());
    refused(&told["unknown"], "Error", 404, 404_201)?;

    let updated = done(&told["updated"])?;
    ensure!(etag(updated)? != etag(read)?, "every write changes the tag: {updated}");
    ensure!(updated["provisioningStatus"] == "disabled" && updated["attestation"] == read["attestation"]);
    ensure!(updated["createdDateTimeUtc"] == read["createdDateTimeUtc"], "{updated}");
    refused(&told["stale"], "InvalidEtagError", 412, 412_001)?;
    let after = done(&told["after"])?;
    ensure!(etag(after)? == etag(updated)? && after["deviceId"] == "a-1", "a stale tag wrote: {after}");
    Ok(())
}

fn in_bulk(told: &Value) -> Result<()> {
    bulk(&told["created"], &[("a", 409_201)])?;
    bulk(&told["updatedWithoutEtag"], &[("b", 409_201), ("c", 409_201)])?;
    bulk(&told["updated"], &[])?;
    bulk(&told["ifMatch"], &[("b", 412_001)])?;
    ensure!(told["statuses"] == json!(["disabled", "disabled"]), "{told}");
    refused(&told["tooMany"], "ArgumentError", 400, 400_004)?;
    bulk(&told["deleted"], &[("b", 412_001), ("nobody", 404_201)])?;
    ensure!(told["left"] == json!([200, 404]), "{told}");
    Ok(())
}

fn page_by_page(told: &Value) -> Result<()> {
    let ids = |page: &Value| -> Result<Vec<String>> {
        ensure!(page["headers"]["x-ms-item-type"] == "Enrollment", "{page}");
        let rows = done(page)?.as_array().context("no rows")?;
        ensure!(rows.iter().all(|row| row.get("registrationState").is_none()), "{page}");
        Ok(rows.iter().filter_map(|row| row["registrationId"].as_str()).map(str::to_owned).collect())
    };
    let pages = told["pages"].as_array().context("no pages")?;
    let found: Vec<_> = pages.iter().map(ids).collect::<Result<_>>()?;
    ensure!(found == [vec!["a", "b", "d"], vec!["e", "f", "g"], vec!["h"]], "{found:?}");
    let goes_on: Vec<bool> =
        pages.iter().map(|page| page["headers"].get("x-ms-continuation").is_some()).collect();
    ensure!(goes_on == [true, true, false], "{goes_on:?}");
    ensure!(ids(&told["resumed"])? == found[1], "a token is good for another query object: {told}");
    refused(&told["nonsense"], "ArgumentError", 400, 400_004)
}

fn in_the_end(told: &Value) -> Result<()> {
    refused(&told["stale"], "InvalidEtagError", 412, 412_001)?;
    ensure!(told["deleted"]["error"].is_null(), "{told}");
    refused(&told["read"], "Error", 404, 404_201)?;
    refused(&told["deletedAgain"], "Error", 404, 404_201)?;
    ensure!(told["unconditional"]["error"].is_null(), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_service_sdk_gets_the_answers_of_the_real_service() -> Result<()> {
    let Some(package) = find(Tool::NodeModules) else { return Ok(()) };
    let dir = TempDir::new()?;
    let world = World::start(Settings::in_dir(dir.path())).await?;
    let told = json_of(node(&world, &package, "service.js")?.arg(certificate()?)).await?;
    one_by_one(&told["single"])?;
    in_bulk(&told["bulk"])?;
    page_by_page(&told["query"])?;
    in_the_end(&told["end"])?;
    // The client keeps the status of a deletion to itself.
    let seen = world.cloud.with(|cloud, _| cloud.seen(0));
    let deleted: Vec<_> =
        seen.iter().filter(|seen| seen.what.starts_with("DELETE ")).map(|seen| seen.status).collect();
    ensure!(deleted == [412, 204, 404, 204], "{deleted:?}");
    world.stop().await
}
