//! The activation form and what becomes of a request, without a cloud: what is typed is checked, saved, and never lost.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use cloud_sync::claim::ClaimCode;
use cloud_sync::{CloudEvent, Why};
use ledger::Stamp;
use support::{CODE, HUB, PASSWORD, Running};
use time::{Duration, OffsetDateTime};

const METADATA: &str = r#"{"tags":{"site":"Ulm"},"properties":{"desired":{"telemetryInterval":5}}}"#;

/// Another well-formed claim code.
fn other_code() -> String {
    ClaimCode::from_bits(*b"\xa5\x5a\xc3\x3c\x96\x69\xf0\x0f\x81\x18").reveal()
}

fn accepted(id: &str, epoch: u32) -> CloudEvent {
    CloudEvent::Accepted { id: id.parse().unwrap(), epoch }
}

fn held(id: &str, epoch: u32, code: &str) -> CloudEvent {
    let why = Why { code: code.to_owned(), detail: "words of the service".to_owned() };
    CloudEvent::Held { id: id.parse().unwrap(), epoch, why }
}

#[tokio::test]
async fn a_request_is_saved_and_called_done_only_when_the_cloud_has_it() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let saved = browser.activate("GW-1", &CODE.to_lowercase(), METADATA, HUB).await;
    assert_eq!(saved.status, 303, "{}", saved.body);
    let page = browser.get(&saved.location).await;
    assert!(page.body.contains("gw-1</span></h1>") && page.body.contains("Saved;"), "{}", page.body);
    assert!(!page.body.contains("Activated"), "{}", page.body);
    let (status, told) = browser.json(&saved.location).await;
    assert_eq!((status, &told["phase"], &told["turn"]), (200, &"waiting".into(), &"portal".into()));

    portal.cloud_says(accepted("gw-1", 1)).await;
    let (_, told) = browser.json(&saved.location).await;
    assert_eq!((&told["phase"], &told["headline"]), (&"done".into(), &"Activated".into()));
    assert_eq!(told["ended_at"], "2026-11-23T10:00:00Z");
    assert!(browser.get(&saved.location).await.body.contains("Activated"));
    assert!(browser.get("/activations").await.body.contains(&saved.location), "and it is in the list");
    portal.stop().await;
}

#[tokio::test]
async fn a_saved_request_survives_a_restart_of_the_portal() {
    let portal = Running::start("").await;
    let saved = portal.signed_in("weber").await.activate("gw-1", CODE, METADATA, HUB).await;
    let dir = portal.stop().await;
    let portal = Running::start_in(dir, "").await;
    let (status, told) = portal.signed_in("weber").await.json(&saved.location).await;
    assert_eq!((status, &told["device"], &told["hub"]), (200, &"gw-1".into(), &HUB.into()));
    portal.stop().await;
}

#[tokio::test]
async fn every_mistake_is_shown_at_once_and_nothing_that_was_typed_is_lost() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let mut written = portal.ledger.subscribe();
    let broken = "{\n  \"tags\": {\n    \"a\": 1,\n  }\n}";
    let answer = browser.activate("gw/1", "2222-2222-2222-2222-3", broken, "hub-mars").await;
    assert_eq!(answer.status, 422);
    for text in [
        "href=\"#device\"",
        "href=\"#claim\"",
        "href=\"#metadata\"",
        "href=\"#hub\"",
        "there is a typing error in the claim code",
        "line 4, column 3: trailing comma",
        "value=\"gw/1\"",
        "value=\"2222-2222-2222-2222-3\"",
        "Error: Activate a device",
    ] {
        assert!(answer.body.contains(text), "{text} in {}", answer.body);
    }
    let shown = answer.body.replace("&#34;", "\"");
    assert!(shown.contains(&format!("\n{broken}</textarea>")), "{shown}");
    assert!(written.try_recv().is_err(), "nothing was written");
    portal.stop().await;
}

#[tokio::test]
async fn what_a_session_had_typed_when_it_ended_goes_through_the_login() {
    let portal = Running::start("").await;
    let browser = portal.browser();
    let form = [("token", "old"), ("device", "gw-1"), ("claim", CODE), ("metadata", METADATA), ("hub", HUB)];
    let answer = browser.post("/activate", &form).await;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("what you typed is kept"), "{}", answer.body);
    let token = answer.token();
    let form = [
        ("token", token.as_str()),
        ("name", "weber"),
        ("password", PASSWORD),
        ("device", "gw-1"),
        ("claim", CODE),
        ("metadata", METADATA),
        ("hub", HUB),
    ];
    let page = browser.post("/login", &form).await;
    assert_eq!(page.status, 200);
    let shown = page.body.replace("&#34;", "\"");
    assert!(shown.contains(METADATA) && shown.contains(&format!("value=\"{CODE}\"")), "{shown}");
    assert!(shown.contains(&format!("<option selected>{HUB}")), "{shown}");
    let token = page.token();
    let form = [
        ("token", token.as_str()),
        ("device", "gw-1"),
        ("claim", CODE),
        ("metadata", METADATA),
        ("hub", HUB),
    ];
    assert_eq!(browser.post("/activate", &form).await.status, 303, "and the form works at once");
    portal.stop().await;
}

#[tokio::test]
async fn what_people_type_is_text_and_never_markup() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let evil = "\"><script>alert(1)</script></textarea><img src=x onerror=alert(1)>";
    let answer = browser.activate(evil, evil, evil, evil).await;
    assert_eq!(answer.status, 422);
    assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img"), "{}", answer.body);
    let token = browser.get("/login").await;
    assert_eq!(token.status, 303, "signed in already");
    let answer = portal.browser().sign_in(evil, "x").await;
    assert!(!answer.body.contains("<script>alert") && !answer.body.contains("<img"), "{}", answer.body);
    let metadata = r#"{"tags":{"a":"</textarea><script>alert(1)</script>"}}"#;
    let saved = browser.activate("gw-1", CODE, metadata, HUB).await;
    portal.cloud_says(held("gw-1", 1, "claim-mismatch")).await;
    let again = saved.location.replace("/activations/", "/activate?again=");
    for path in [saved.location.as_str(), again.as_str()] {
        let page = browser.get(path).await;
        assert!(!page.body.contains("<script>alert"), "{}", page.body);
    }
    portal.stop().await;
}

#[tokio::test]
async fn asking_for_the_same_twice_leads_to_the_same_request() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let first = browser.activate("gw-1", CODE, METADATA, HUB).await;
    let mut written = portal.ledger.subscribe();
    let second = browser.activate("gw-1", CODE, METADATA, HUB).await;
    assert_eq!(first.location, second.location);
    assert!(written.try_recv().is_err(), "nothing more was written");
    portal.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_may_be_corrected_and_the_later_one_counts() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let first = browser.activate("gw-1", CODE, METADATA, HUB).await;
    let second = browser.activate("gw-1", CODE, "{}", HUB).await;
    assert_eq!(browser.json(&first.location).await.1["phase"], "replaced");
    assert_eq!(browser.json(&second.location).await.1["phase"], "waiting");
    portal.cloud_says(accepted("gw-1", 2)).await;
    assert_eq!(browser.json(&first.location).await.1["phase"], "replaced");
    assert_eq!(browser.json(&second.location).await.1["phase"], "done");
    portal.stop().await;
}

#[tokio::test]
async fn what_is_active_already_says_since_when_and_nothing_is_sent() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let first = browser.activate("gw-1", CODE, METADATA, HUB).await;
    portal.cloud_says(accepted("gw-1", 1)).await;
    let same = browser.activate("gw-1", CODE, METADATA, HUB).await;
    assert_eq!(same.location, first.location, "the same again is no error");
    let other = browser.activate("gw-1", CODE, "{}", HUB).await;
    assert_eq!(other.status, 409);
    assert!(other.body.contains("active since 2026-11-23 10:00:00 UTC"), "{}", other.body);
    assert!(other.body.contains(&first.location), "with a link to it");
    portal.stop().await;
}

#[tokio::test]
async fn another_account_learns_nothing_about_a_device_that_is_taken() {
    let portal = Running::start("").await;
    let (weber, klein) = (portal.signed_in("weber").await, portal.signed_in("klein").await);
    let saved = weber.activate("gw-1", CODE, METADATA, HUB).await;
    for _ in ["waiting", "active"] {
        let answer = klein.activate("gw-1", &other_code(), "{}", HUB).await;
        assert_eq!(answer.status, 409);
        assert!(answer.body.contains("cannot be activated from this account"), "{}", answer.body);
        assert!(!answer.body.contains("weber") && !answer.body.contains(&saved.location), "{}", answer.body);
        portal.cloud_says(accepted("gw-1", 1)).await;
    }
    assert_eq!(klein.get(&saved.location).await.status, 404);
    assert_eq!(klein.json(&saved.location).await.0, 404);
    let again = saved.location.replace("/activations/", "/activate?again=");
    assert!(!klein.get(&again).await.body.contains("Ulm"), "nor what was typed about it");
    assert!(!klein.get("/activations").await.body.contains("gw-1"));
    portal.stop().await;
}

#[tokio::test]
async fn a_wrong_code_frees_the_device_and_the_form_comes_back_without_the_code() {
    let portal = Running::start("").await;
    let (weber, klein) = (portal.signed_in("weber").await, portal.signed_in("klein").await);
    let saved = klein.activate("gw-1", &other_code(), METADATA, HUB).await;
    portal.cloud_says(held("gw-1", 1, "claim-mismatch")).await;
    let page = klein.get(&saved.location).await;
    assert!(page.body.contains("does not match this device"), "{}", page.body);
    assert!(!page.body.contains("words of the service"), "{}", page.body);
    let form = klein.get(&saved.location.replace("/activations/", "/activate?again=")).await;
    assert!(form.body.contains("gw-1") && form.body.contains("Ulm"), "{}", form.body);
    assert!(!form.body.contains(&other_code()), "a claim code is never shown again");
    assert_eq!(weber.activate("gw-1", CODE, METADATA, HUB).await.status, 303, "who holds the label may try");
    portal.stop().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the portal under test lives in the real time")]
async fn wrong_codes_are_counted_per_device_account_and_address_and_grow_old() {
    let portal = Running::start("[limits]\nclaim_misses_per_hour = 2\n").await;
    let browser = portal.signed_in("weber").await;
    let now = OffsetDateTime::now_utc();
    for (device, at) in [("gw-1", now - Duration::minutes(61)), ("gw-2", now - Duration::minutes(30))] {
        assert_eq!(browser.activate(device, CODE, "{}", HUB).await.status, 303);
        let stamp = Stamp { at, actor: "test".to_owned() };
        portal.happens(stamp, held(device, 1, "claim-mismatch")).await;
    }
    assert_eq!(browser.activate("gw-3", CODE, "{}", HUB).await.status, 303, "the first is too old to count");
    portal.happens(Stamp { at: now, actor: "test".to_owned() }, held("gw-3", 1, "claim-mismatch")).await;
    let answer = browser.activate("gw-4", CODE, "{}", HUB).await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("Wait 3") && answer.body.contains("minutes"), "{}", answer.body);
    let other = portal.signed_in("klein").await.activate("gw-4", CODE, "{}", HUB).await;
    assert_eq!(other.status, 429, "another account from the same address waits too");
    portal.stop().await;
}

#[tokio::test]
async fn many_requests_have_to_wait() {
    let portal = Running::start("[limits]\nrequests_per_hour = 1\n").await;
    let browser = portal.signed_in("weber").await;
    assert_eq!(browser.activate("gw-1", CODE, METADATA, HUB).await.status, 303);
    let answer = browser.activate("gw-2", CODE, METADATA, HUB).await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("gw-2") && answer.body.contains("Ulm"), "what was typed is kept");
    portal.stop().await;
}

#[tokio::test]
async fn a_form_that_is_too_large_is_refused_in_words() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let answer = browser.activate("gw-1", CODE, &"x".repeat(300 << 10), HUB).await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("Go back"), "{}", answer.body);
    portal.stop().await;
}

#[tokio::test]
async fn neither_password_nor_claim_code_is_anywhere_in_the_state_folder() {
    let portal = Running::start("").await;
    portal.signed_in("weber").await.activate("gw-1", &other_code(), METADATA, HUB).await;
    let dir = portal.stop().await;
    let bits = other_code().parse::<ClaimCode>().unwrap();
    let secrets: [&[u8]; 4] = [
        PASSWORD.as_bytes(),
        other_code().leak().as_bytes(),
        bits.bits(),
        hex::encode(bits.bits()).leak().as_bytes(),
    ];
    let mut folders = vec![dir.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = std::fs::read(&path).unwrap();
            for secret in secrets {
                let found = bytes.windows(secret.len()).any(|at| at == secret);
                assert!(!found, "{}", path.display());
            }
        }
    }
    assert!(files > 5, "the folder was looked at");
}
