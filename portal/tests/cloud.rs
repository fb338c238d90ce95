//! The portal and its worker against a DPS that knows one enrollment.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use cloud_sync::claim::{ClaimCode, ClaimRecord};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use support::{CODE, HUB, Running};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use web::{ClientCertificates, Limits, Server, Tls};

/// One enrollment, or none.
#[derive(Clone)]
struct Dps {
    enrollment: Arc<Mutex<Option<Value>>>,
}

async fn read(State(dps): State<Dps>) -> (StatusCode, axum::Json<Value>) {
    match dps.enrollment.lock().unwrap().clone() {
        Some(enrollment) => (StatusCode::OK, axum::Json(enrollment)),
        None => (StatusCode::NOT_FOUND, axum::Json(json!({ "errorCode": 404201, "message": "not found" }))),
    }
}

async fn write(
    State(dps): State<Dps>,
    headers: HeaderMap,
    axum::Json(mut enrollment): axum::Json<Value>,
) -> (StatusCode, axum::Json<Value>) {
    let mut stored = dps.enrollment.lock().unwrap();
    let current = stored.as_ref().map(|stored| stored["etag"].as_str().unwrap().to_owned());
    let asked = headers.get("if-match").map(|etag| etag.to_str().unwrap().to_owned());
    if asked != current {
        return (StatusCode::PRECONDITION_FAILED, axum::Json(json!({ "errorCode": 412001 })));
    }
    enrollment["etag"] = json!("\"2\"");
    *stored = Some(enrollment.clone());
    (StatusCode::OK, axum::Json(enrollment))
}

fn announced(code: &ClaimCode) -> Value {
    json!({
        "registrationId": "gw-1",
        "deviceId": "gw-1",
        "etag": "\"1\"",
        "provisioningStatus": "disabled",
        "attestation": { "type": "x509", "x509": {} },
        "optionalDeviceInformation": { "claim": ClaimRecord::new(1, &[7; 16], code), "edge": { "box": "b" } },
        "somethingNew": 5,
    })
}

struct Cloud {
    dps: Dps,
    section: String,
    _dir: tempfile::TempDir,
    cancel: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cloud {
    fn start(enrollment: Option<Value>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let host = "test.azure-devices-provisioning.net";
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        std::fs::write(dir.path().join("root.pem"), cert.pem()).unwrap();
        let connection = format!(
            "HostName={host};SharedAccessKeyName=portal;SharedAccessKey=c2VjcmV0LXNlY3JldC1zZWNyZXQ="
        );
        std::fs::write(dir.path().join("connection-string.txt"), connection).unwrap();
        let dps = Dps { enrollment: Arc::new(Mutex::new(enrollment)) };
        let router = Router::new().route("/enrollments/gw-1", get(read).put(write)).with_state(dps.clone());
        let key = signing_key.serialize_pem();
        let tls = Tls::new(cert.pem().as_bytes(), key.as_bytes(), ClientCertificates::Ignored).unwrap();
        let server =
            Server::bind("127.0.0.1:0".parse().unwrap(), Some(tls), router, Limits::default()).unwrap();
        let section = format!(
            "[cloud]\nconnection_string_file = {:?}\nextra_root = {:?}\nconnect_to = \"{}\"\nfirst_delay = \"50ms\"\nlongest_delay = \"200ms\"\n",
            dir.path().join("connection-string.txt"),
            dir.path().join("root.pem"),
            server.local_addr(),
        );
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let stop = cancel.clone();
        tasks.spawn(async move { server.run(stop).await.unwrap() });
        Self { dps, section, _dir: dir, cancel, tasks }
    }

    async fn stop(mut self) {
        self.cancel.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

/// Waits for the request at `path` to be neither waiting nor deactivating any more.
async fn decided(portal: &Running, browser: &support::Browser, path: &str) -> Value {
    let mut changed = portal.ledger.changed();
    loop {
        changed.borrow_and_update();
        let (_, told) = browser.json(path).await;
        if told["phase"] != "waiting" && told["phase"] != "deactivating" {
            return told;
        }
        changed.changed().await.unwrap();
    }
}

#[tokio::test]
async fn an_activation_enables_the_enrollment_with_twin_and_hub_and_keeps_the_rest() {
    let cloud = Cloud::start(Some(announced(&CODE.parse().unwrap())));
    let portal = Running::start(&cloud.section).await;
    let browser = portal.signed_in("weber").await;
    let metadata = r#"{"tags":{"site":"Ulm"},"properties":{"desired":{"telemetryInterval":5}}}"#;
    let saved = browser.activate("gw-1", CODE, metadata, HUB).await;
    assert_eq!(decided(&portal, &browser, &saved.location).await["phase"], "done");
    let written = cloud.dps.enrollment.lock().unwrap().clone().unwrap();
    assert_eq!(written["provisioningStatus"], "enabled");
    assert_eq!(written["initialTwin"], serde_json::from_str::<Value>(metadata).unwrap());
    assert_eq!((&written["allocationPolicy"], &written["iotHubs"]), (&json!("static"), &json!([HUB])));
    assert_eq!(
        (&written["somethingNew"], &written["optionalDeviceInformation"]["edge"]["box"]),
        (&json!(5), &json!("b"))
    );
    portal.stop().await;
    cloud.stop().await;
}

#[tokio::test]
async fn a_wrong_claim_code_changes_nothing_and_says_so() {
    let before = announced(&ClaimCode::from_bits([9; 10]));
    let cloud = Cloud::start(Some(before.clone()));
    let portal = Running::start(&cloud.section).await;
    let browser = portal.signed_in("weber").await;
    let saved = browser.activate("gw-1", CODE, "{}", HUB).await;
    let told = decided(&portal, &browser, &saved.location).await;
    assert_eq!((&told["phase"], &told["code"]), (&json!("refused"), &json!("claim-mismatch")));
    assert_eq!(cloud.dps.enrollment.lock().unwrap().clone(), Some(before));
    portal.stop().await;
    cloud.stop().await;
}

#[tokio::test]
async fn a_device_that_the_factory_announces_later_is_activated_then() {
    let cloud = Cloud::start(None);
    let portal = Running::start(&cloud.section).await;
    let browser = portal.signed_in("weber").await;
    let saved = browser.activate("gw-1", CODE, "{}", HUB).await;
    assert_eq!(browser.json(&saved.location).await.1["phase"], "waiting");
    *cloud.dps.enrollment.lock().unwrap() = Some(announced(&CODE.parse().unwrap()));
    assert_eq!(decided(&portal, &browser, &saved.location).await["phase"], "done");
    portal.stop().await;
    cloud.stop().await;
}

#[tokio::test]
async fn a_deactivation_disables_the_enrollment_and_keeps_the_rest_and_the_same_form_activates_it_again() {
    let cloud = Cloud::start(Some(announced(&CODE.parse().unwrap())));
    let portal = Running::start(&cloud.section).await;
    let browser = portal.signed_in("weber").await;
    let metadata = r#"{"tags":{"site":"Ulm"},"properties":{"desired":{"telemetryInterval":5}}}"#;
    let first = browser.activate("gw-1", CODE, metadata, HUB).await.location;
    assert_eq!(decided(&portal, &browser, &first).await["phase"], "done");
    let active = cloud.dps.enrollment.lock().unwrap().clone().unwrap();

    let saved = browser.deactivate(&first, "sold").await;
    assert_eq!((saved.status, &saved.location), (303, &first), "{}", saved.body);
    assert_eq!(decided(&portal, &browser, &first).await["phase"], "deactivated");
    let mut expected = active.clone();
    expected["provisioningStatus"] = json!("disabled");
    let written = cloud.dps.enrollment.lock().unwrap().clone().unwrap();
    expected["etag"] = written["etag"].clone();
    assert_eq!(written, expected);

    let second = browser.activate("gw-1", CODE, metadata, HUB).await.location;
    assert_ne!(second, first, "the same form is a new request");
    assert_eq!(decided(&portal, &browser, &second).await["phase"], "done");
    assert_eq!(cloud.dps.enrollment.lock().unwrap().as_ref().unwrap()["provisioningStatus"], "enabled");
    assert_eq!(browser.json(&first).await.1["phase"], "replaced");
    portal.stop().await;
    cloud.stop().await;
}

#[tokio::test]
async fn a_device_with_another_label_or_without_a_record_is_not_deactivated_and_the_page_says_what_that_means()
 {
    let cloud = Cloud::start(Some(announced(&CODE.parse().unwrap())));
    let portal = Running::start(&cloud.section).await;
    let browser = portal.signed_in("weber").await;
    let path = browser.activate("gw-1", CODE, "{}", HUB).await.location;
    assert_eq!(decided(&portal, &browser, &path).await["phase"], "done");
    let relabelled = json!(ClaimRecord::new(2, &[8; 16], &ClaimCode::from_bits([9; 10])));
    let before = {
        let mut stored = cloud.dps.enrollment.lock().unwrap();
        let record = stored.as_mut().unwrap();
        record["optionalDeviceInformation"]["claim"] = relabelled;
        record.clone()
    };
    browser.deactivate(&path, "sold").await;
    let told = decided(&portal, &browser, &path).await;
    assert_eq!((&told["phase"], &told["code"]), (&json!("not_deactivated"), &json!("claim-mismatch")));
    assert_eq!(cloud.dps.enrollment.lock().unwrap().clone(), Some(before));

    *cloud.dps.enrollment.lock().unwrap() = None;
    assert_eq!(browser.deactivate(&path, "sold").await.location, path, "it may be tried again");
    let told = decided(&portal, &browser, &path).await;
    assert_eq!((&told["phase"], &told["code"]), (&json!("not_deactivated"), &json!("missing")));
    assert!(told["detail"].as_str().unwrap().contains("enrollment group"), "{told}");
    portal.stop().await;
    cloud.stop().await;
}
