//! Taking a device out of service, without a cloud: who may, what is asked, and what is said about it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use cloud_sync::{CloudEvent, Why};
use ledger::{CommitError, Stamp};
use portal::deactivation::{Refusal, decide};
use portal::event::{Deactivation, PortalEvent};
use support::{Browser, CODE, HUB, PASSWORD, Running};
use time::OffsetDateTime;

const METADATA: &str = r#"{"tags":{"site":"Ulm"}}"#;

fn accepted(epoch: u32) -> CloudEvent {
    CloudEvent::Accepted { id: "gw-1".parse().unwrap(), epoch }
}

fn held(epoch: u32, code: &str) -> CloudEvent {
    let why = Why { code: code.to_owned(), detail: "words of the service".to_owned() };
    CloudEvent::Held { id: "gw-1".parse().unwrap(), epoch, why }
}

async fn phase(browser: &Browser, path: &str) -> String {
    browser.json(path).await.1["phase"].as_str().unwrap().to_owned()
}

/// A portal where `weber` has activated a device; what leads to its page.
async fn active(more: &str) -> (Running, Browser, String) {
    let portal = Running::start(more).await;
    let browser = portal.signed_in("weber").await;
    let path = browser.activate("gw-1", CODE, METADATA, HUB).await.location;
    portal.cloud_says(accepted(1)).await;
    assert_eq!(phase(&browser, &path).await, "done");
    (portal, browser, path)
}

#[tokio::test]
async fn a_deactivation_says_who_and_why_and_is_called_done_only_when_the_cloud_has_it() {
    let (portal, browser, path) = active("").await;
    let way = format!("href=\"{path}/deactivate\"");
    let page = browser.get(&path).await.body;
    assert!(page.contains(&format!("<p id=\"deactivate\"><a class=\"button quiet\" {way}")), "{page}");
    let form = browser.get(&format!("{path}/deactivate")).await;
    for text in ["gw-1", HUB, "can no longer register", "it stays connected", "can activate it again"] {
        assert!(form.body.contains(text), "{text} in {}", form.body);
    }
    assert!(!form.body.contains("disabled"), "the button is never out of order: {}", form.body);

    let saved = browser.deactivate(&path, "  sold to Ulm  ").await;
    assert_eq!((saved.status, &saved.location), (303, &path));
    let (_, told) = browser.json(&path).await;
    assert_eq!((&told["phase"], &told["turn"]), (&"deactivating".into(), &"portal".into()));
    assert_eq!(told["deactivation"]["reason"], "sold to Ulm");
    assert_eq!(told["deactivation"]["account"], "weber");
    assert!(told["deactivation"]["saved_at"].is_string() && told["deactivation"]["deactivation"].is_string());
    let page = browser.get(&path).await.body;
    for text in ["Deactivation saved;", "sold to Ulm", "by weber", "may still register", "follow.js"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(page.contains("<p id=\"deactivate\" hidden>"), "{page}");
    assert!(browser.get("/activations").await.body.contains("Deactivation saved;"));

    portal.cloud_says(accepted(2)).await;
    let (_, told) = browser.json(&path).await;
    assert_eq!((&told["phase"], &told["headline"]), (&"deactivated".into(), &"Deactivated".into()));
    assert_eq!(told["ended_at"], "2026-11-23T10:00:00Z");
    let page = browser.get(&path).await.body;
    for text in ["2026-11-23 10:00:00 UTC", "sold to Ulm", "by weber", &format!("delete it in {HUB}")] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(!page.contains("follow.js"), "there is nothing to wait for");
    assert!(browser.get("/activations").await.body.contains(">Deactivated<"));
    portal.stop().await;
}

#[tokio::test]
async fn a_deactivation_survives_a_restart_of_the_portal() {
    let (portal, browser, path) = active("").await;
    browser.deactivate(&path, "sold").await;
    let before = browser.json(&path).await.1["deactivation"].clone();
    let dir = portal.stop().await;
    std::fs::remove_dir_all(dir.path().join("portal/ledger/index")).unwrap();
    let portal = Running::start_in(dir, "").await;
    let (_, told) = portal.signed_in("weber").await.json(&path).await;
    assert_eq!((&told["phase"], &told["deactivation"]), (&"deactivating".into(), &before));
    portal.stop().await;
}

#[tokio::test]
async fn without_a_reason_nothing_is_sent_and_what_was_typed_stands_there_again() {
    let (portal, browser, path) = active("").await;
    let mut written = portal.ledger.subscribe();
    let long = "x".repeat(201);
    for (reason, text) in
        [("", "Say why"), ("   ", "Say why"), ("sold\tlast week", "without tabs"), (&long, "201 characters")]
    {
        let answer = browser.deactivate(&path, reason).await;
        assert_eq!(answer.status, 422, "{reason:?}");
        for text in [
            text,
            "href=\"#reason\"",
            "aria-invalid",
            "Error: Deactivate gw-1",
            &format!("value=\"{reason}\""),
        ] {
            assert!(answer.body.contains(text), "{text} in {}", answer.body);
        }
    }
    let evil = "\"><script>alert(1)</script>";
    assert!(!browser.deactivate(&path, &format!("{evil}\t!")).await.body.contains("<script>alert"));
    assert!(written.try_recv().is_err(), "nothing was written");
    assert_eq!(browser.deactivate(&path, evil).await.status, 303);
    assert!(!browser.get(&path).await.body.contains("<script>alert"), "and a reason is text");
    portal.stop().await;
}

#[tokio::test]
async fn pressing_twice_makes_one_request_also_when_the_first_is_done_by_then() {
    let (portal, browser, path) = active("").await;
    browser.deactivate(&path, "sold").await;
    let mut written = portal.ledger.subscribe();
    for _ in ["waiting", "done"] {
        let again = browser.deactivate(&path, "sold").await;
        assert_eq!((again.status, &again.location), (303, &path));
        assert!(written.try_recv().is_err(), "nothing more was written");
        let other = browser.deactivate(&path, "stolen").await;
        assert_eq!(other.status, 409);
        assert!(other.body.contains("deactivated already"), "{}", other.body);
        assert!(browser.get(&format!("{path}/deactivate")).await.body.contains("deactivated already"));
        portal.cloud_says(accepted(2)).await;
        written = portal.ledger.subscribe();
    }
    portal.stop().await;
}

#[tokio::test]
async fn a_request_that_waits_gives_way_and_its_late_outcome_counts_for_nothing() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let path = browser.activate("gw-1", CODE, METADATA, HUB).await.location;
    assert_eq!(browser.deactivate(&path, "ordered too many").await.status, 303);
    portal.cloud_says(accepted(1)).await;
    assert_eq!(phase(&browser, &path).await, "deactivating");
    let again = browser.activate("gw-1", CODE, METADATA, HUB).await.location;
    assert_ne!(again, path, "the later wish counts");
    portal.cloud_says(accepted(2)).await;
    assert_eq!(
        (phase(&browser, &path).await, phase(&browser, &again).await),
        ("replaced".into(), "waiting".into())
    );
    let late = browser.deactivate(&path, "ordered too many").await;
    assert_eq!(late.status, 409);
    assert!(late.body.contains("A later request for this device counts"), "{}", late.body);
    portal.cloud_says(accepted(3)).await;
    assert_eq!(phase(&browser, &again).await, "done");
    portal.stop().await;
}

#[tokio::test]
async fn what_was_refused_is_not_deactivated() {
    let portal = Running::start("").await;
    let browser = portal.signed_in("weber").await;
    let path = browser.activate("gw-1", CODE, METADATA, HUB).await.location;
    portal.cloud_says(held(1, "scrapped")).await;
    assert!(browser.get(&path).await.body.contains("<p id=\"deactivate\" hidden>"));
    let answer = browser.deactivate(&path, "sold").await;
    assert_eq!(answer.status, 409);
    assert!(answer.body.contains("there is nothing to deactivate"), "{}", answer.body);
    assert_eq!(phase(&browser, &path).await, "refused");
    portal.stop().await;
}

#[tokio::test]
async fn another_account_learns_nothing_and_changes_nothing() {
    let (portal, weber, path) = active("").await;
    let klein = portal.signed_in("klein").await;
    let never = path.replace(|c: char| c.is_ascii_digit(), "0");
    let (theirs, none) = (klein.deactivate(&path, "mine").await, klein.deactivate(&never, "mine").await);
    assert_eq!((theirs.status, none.status), (404, 404));
    assert_eq!(theirs.body, none.body);
    assert_eq!(klein.get(&format!("{path}/deactivate")).await.status, 404);
    assert_eq!(klein.get("/activations/none/deactivate").await.status, 404);
    assert_eq!(phase(&weber, &path).await, "done");
    weber.deactivate(&path, "sold").await;
    assert_eq!(klein.activate("gw-1", CODE, "{}", HUB).await.status, 409, "it is not out of service yet");
    portal.stop().await;
}

#[tokio::test]
async fn a_device_out_of_service_is_activated_by_whoever_holds_the_label() {
    let (portal, weber, path) = active("").await;
    let klein = portal.signed_in("klein").await;
    weber.deactivate(&path, "sold to klein").await;
    portal.cloud_says(accepted(2)).await;
    let theirs = klein.activate("gw-1", CODE, METADATA, HUB).await;
    assert_eq!(theirs.status, 303, "{}", theirs.body);
    assert_eq!(phase(&weber, &path).await, "replaced");
    assert!(
        !klein.get(&theirs.location).await.body.contains("sold to klein"),
        "what went before is not theirs to read"
    );
    assert_eq!(weber.deactivate(&path, "stolen").await.status, 409, "it is not theirs any more");
    portal.cloud_says(accepted(3)).await;
    assert_eq!(phase(&klein, &theirs.location).await, "done");
    portal.stop().await;
}

#[tokio::test]
async fn a_deactivation_that_was_not_taken_says_why_and_may_be_tried_again() {
    let (portal, browser, path) = active("").await;
    browser.deactivate(&path, "sold").await;
    portal.cloud_says(held(2, "rejected")).await;
    let page = browser.get(&path).await.body;
    for text in ["Not deactivated", "may still register", "support code", "<p id=\"deactivate\"><a"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    assert!(!page.contains("words of the service"), "{page}");
    assert!(browser.get("/activations").await.body.contains("Not deactivated"));
    assert_eq!(browser.deactivate(&path, "sold").await.status, 303);
    portal.cloud_says(accepted(3)).await;
    assert_eq!(phase(&browser, &path).await, "deactivated");
    portal.stop().await;
}

#[tokio::test]
async fn the_form_needs_its_token_its_origin_and_a_session_and_loses_nothing() {
    let (portal, browser, path) = active("").await;
    let form = format!("{path}/deactivate");
    let mut written = portal.ledger.subscribe();
    let old = browser.post(&form, &[("token", "old"), ("reason", "sold")]).await;
    assert_eq!(old.status, 403);
    assert!(old.body.contains("too old") && old.body.contains("value=\"sold\""), "{}", old.body);
    let token = browser.get(&form).await.token();
    let typed = [("token", token.as_str()), ("reason", "sold")];
    assert_eq!(browser.post_from(&form, &typed, Some("https://evil.example")).await.status, 403);
    assert_eq!(portal.browser().get(&form).await.status, 303, "to the login");

    let nobody = portal.browser();
    let ended = nobody.post(&form, &[("token", &token), ("reason", "sold to Köln")]).await;
    assert_eq!(ended.status, 401);
    assert!(ended.body.contains("what you typed is kept"), "{}", ended.body);
    assert!(written.try_recv().is_err(), "nothing was written");
    let (_, next) = ended.body.split_once("name=\"next\" value=\"").unwrap();
    let next = next.split('"').next().unwrap();
    let login = [("token", ended.token()), ("name", "weber".to_owned()), ("password", PASSWORD.to_owned())];
    let mut login: Vec<_> = login.iter().map(|(name, value)| (*name, value.as_str())).collect();
    login.push(("next", next));
    let back = nobody.post("/login", &login).await;
    assert_eq!(back.status, 303, "{}", back.body);
    let page = nobody.get(&back.location).await;
    assert!(page.body.contains("value=\"sold to Köln\""), "{}", page.body);
    assert_eq!(nobody.post(&form, &[("token", &page.token()), ("reason", "sold to Köln")]).await.status, 303);
    portal.stop().await;
}

#[tokio::test]
async fn many_deactivations_have_to_wait_and_are_counted_apart_from_activations() {
    let (portal, browser, path) = active("[limits]\nrequests_per_hour = 1\n").await;
    assert_eq!(browser.deactivate(&path, "sold").await.status, 303);
    let answer = browser.deactivate(&path, "sold yesterday").await;
    assert_eq!(answer.status, 429);
    assert!(answer.body.contains("value=\"sold yesterday\""), "what was typed is kept: {}", answer.body);
    portal.stop().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "the portal under test lives in the real time")]
async fn a_wrong_code_counts_also_when_a_deactivation_has_tried_it() {
    let portal = Running::start("[limits]\nclaim_misses_per_hour = 1\n").await;
    let browser = portal.signed_in("weber").await;
    let path = browser.activate("gw-1", CODE, METADATA, HUB).await.location;
    browser.deactivate(&path, "a guess").await;
    let stamp = Stamp { at: OffsetDateTime::now_utc(), actor: "test".to_owned() };
    portal.happens(stamp, held(2, "claim-mismatch")).await;
    assert_eq!(browser.activate("gw-1", CODE, "{}", HUB).await.status, 429);
    portal.stop().await;
}

#[tokio::test]
async fn the_decision_itself_knows_whose_activation_it_is() {
    let (portal, _, path) = active("").await;
    let activation: uuid::Uuid = path.rsplit('/').next().unwrap().parse().unwrap();
    let asked = |account: &str| Deactivation {
        deactivation: uuid::Uuid::nil(),
        activation,
        id: "gw-9".parse().unwrap(),
        epoch: 0,
        account: account.parse().unwrap(),
        address: "192.0.2.1".to_owned(),
        claim: String::new(),
        reason: "mine".parse().unwrap(),
    };
    let stamp = || Stamp { at: time::macros::datetime!(2026-11-23 10:00 UTC), actor: "test".to_owned() };
    let (theirs, own) = (asked("klein"), asked("weber"));
    let refused = portal.ledger.commit(stamp(), move |view| decide(view, theirs)).await.unwrap_err();
    assert!(matches!(refused, CommitError::Refused(Refusal::Unknown)), "{refused:?}");
    let committed = portal.ledger.commit(stamp(), move |view| decide(view, own)).await.unwrap();
    assert!(committed.answer);
    portal.stop().await;
}

#[test]
fn what_is_stored_reads_for_ever() {
    let before = r#"{"activation_requested":{"activation":"00000000-0000-0000-0000-000000000001","id":"gw-1","epoch":1,"account":"weber","address":"192.0.2.1","claim":"c2VhbGVk","mark":"ab","hub":"hub","twin":{}}}"#;
    let now = r#"{"deactivation_requested":{"deactivation":"00000000-0000-0000-0000-000000000002","activation":"00000000-0000-0000-0000-000000000001","id":"gw-1","epoch":2,"account":"weber","address":"192.0.2.1","claim":"c2VhbGVk","reason":"sold"}}"#;
    for stored in [before, now] {
        let event: PortalEvent = serde_json::from_str(stored).unwrap();
        assert_eq!(serde_json::to_string(&event).unwrap(), stored);
    }
}
