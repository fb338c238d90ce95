//! What is said to DPS, and what is made of its answers. The answers are the recorded shapes of the protocol notes.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use azure_iot::{RegistrationId, enrollment::InitialTwin};
use cloud_sync::{
    Activation, Amendment, Announcement, Deactivation, Outcome, Provenance,
    activate::Activating,
    amend::Amending,
    announce::Announcing,
    answer::{Answer, Call, Method},
    claim::{ClaimCode, ClaimRecord},
    conversation::Conversation,
    deactivate::Deactivating,
};
use serde_json::{Value, json};

fn code() -> ClaimCode {
    ClaimCode::from_bits([7; 10])
}

fn unit(id: &str) -> Announcement {
    Announcement {
        id: id.parse().unwrap(),
        certificate: b"a certificate".to_vec(),
        thumbprint: "AB".repeat(32),
        provenance: Provenance {
            box_id: "box-1".into(),
            generation: 1,
            epoch: 1,
            seq: 9,
            head: "00".into(),
            scrapped: false,
        },
        claim: ClaimRecord::new(1, &[1; 16], &code()),
    }
}

fn answer(status: u16, body: Value) -> Answer {
    Answer { status, json: true, body: body.to_string().into_bytes(), ..Answer::default() }
}

/// Leads a conversation through `answers`; returns what was asked and how it ended.
fn talk(
    mut conversation: Box<dyn Conversation>,
    answers: Vec<Answer>,
) -> (Vec<Call>, Vec<(String, Outcome)>) {
    let mut calls = Vec::new();
    for answer in answers {
        calls.push(conversation.next().expect("another question"));
        conversation.hear(&answer).unwrap();
    }
    assert_eq!(conversation.next(), None, "nothing more to ask");
    let outcomes =
        conversation.outcomes().into_iter().map(|(id, outcome)| (id.to_string(), outcome)).collect();
    (calls, outcomes)
}

fn announcing(ids: &[&str]) -> Box<dyn Conversation> {
    Box::new(Announcing::new(ids.iter().map(|id| unit(id)).collect()))
}

fn exists(id: &str) -> Value {
    json!({ "registrationId": id, "errorCode": 409_201, "errorStatus": "Enrollment already exists." })
}

fn record(thumbprint: &str, status: &str) -> Value {
    json!({
        "registrationId": "a", "etag": "abc", "provisioningStatus": status,
        "attestation": { "type": "x509", "x509": { "clientCertificates": { "primary": { "info": {
            "subjectName": "CN=a", "sha1Thumbprint": "00", "sha256Thumbprint": thumbprint, "issuerName": "CN=ca",
            "notBeforeUtc": "2026-01-01T00:00:00Z", "notAfterUtc": "2046-01-01T00:00:00Z", "serialNumber": "01", "version": 3,
        } } } } },
        "optionalDeviceInformation": { "edge": { "box": "box-2" }, "claim": ClaimRecord::new(1, &[1; 16], &code()) },
        "createdDateTimeUtc": "2026-01-01T00:00:00.0000000Z", "lastUpdatedDateTimeUtc": "2026-01-01T00:00:00.0000000Z",
        "registrationState": { "registrationId": "a", "status": "unassigned" },
        "somethingNewer": { "kept": true },
    })
}

#[test]
fn new_units_are_created_in_one_request_disabled_and_without_anything_of_the_portals() {
    let (calls, outcomes) =
        talk(announcing(&["a", "b"]), vec![answer(200, json!({ "isSuccessful": true, "errors": [] }))]);
    assert_eq!(outcomes, [("a".into(), Outcome::Accepted), ("b".into(), Outcome::Accepted)]);
    let [call] = &calls[..] else { panic!("one request") };
    assert_eq!((call.method, call.path.as_str(), call.cost), (Method::Post, "/enrollments", 2));
    let body = call.body.as_ref().unwrap();
    assert_eq!(body["mode"], "create");
    let first = &body["enrollments"][0];
    assert_eq!((&first["provisioningStatus"], &first["deviceId"]), (&json!("disabled"), &json!("a")));
    assert!(first.get("initialTwin").is_none() && first.get("allocationPolicy").is_none());
    assert_eq!(first["optionalDeviceInformation"]["edge"]["seq"], 9);
    assert!(!body.to_string().contains(&code().reveal()), "the claim code stays at home");
}

#[test]
fn a_unit_that_exists_is_compared_and_never_written_whatever_its_status() {
    for status in ["enabled", "disabled"] {
        let errors = json!({ "isSuccessful": false, "errors": [exists("a")] });
        let answers = vec![answer(200, errors), answer(200, record(&"ab".repeat(32), status))];
        let (calls, outcomes) = talk(announcing(&["a", "b"]), answers);
        assert_eq!(outcomes, [("b".into(), Outcome::Accepted), ("a".into(), Outcome::Accepted)]);
        assert_eq!((calls[1].method, calls[1].path.as_str()), (Method::Get, "/enrollments/a"));
    }
}

#[test]
fn another_certificate_under_the_id_is_held_and_says_whose() {
    let errors = json!({ "isSuccessful": false, "errors": [exists("A")] });
    let answers = vec![answer(200, errors), answer(200, record(&"cd".repeat(32), "enabled"))];
    let (_, outcomes) = talk(announcing(&["a"]), answers);
    let [(_, Outcome::Stopped(why))] = &outcomes[..] else { panic!("held") };
    assert_eq!(why.code, "conflict");
    assert!(why.detail.contains("box-2") && why.detail.contains("cdcd"), "{}", why.detail);
}

#[test]
fn one_bad_item_harms_only_itself() {
    let errors = json!({ "isSuccessful": false, "errors": [
        { "registrationId": "b", "errorCode": 400_004, "errorStatus": "Bad certificate." }] });
    let (_, outcomes) = talk(announcing(&["a", "b", "c"]), vec![answer(200, errors)]);
    assert_eq!(outcomes[0].1, Outcome::Accepted);
    assert!(
        matches!(&outcomes[1].1, Outcome::Stopped(why) if why.code == "rejected" && why.detail.contains("Bad certificate"))
    );
    assert_eq!(outcomes[2].1, Outcome::Accepted);
}

#[test]
fn a_bulk_that_is_answered_in_another_shape_falls_back_to_single_creates_without_if_match() {
    let odd = [
        answer(400, json!({ "errorCode": 400_004, "message": "no bulk today" })),
        answer(200, json!({ "isSuccessful": false, "errors": [] })),
    ];
    for odd in odd {
        let answers = vec![
            odd,
            answer(200, record(&"ab".repeat(32), "disabled")),
            answer(409, exists("b")),
            answer(200, record(&"ab".repeat(32), "enabled")),
        ];
        let (calls, outcomes) = talk(announcing(&["a", "b"]), answers);
        assert_eq!(
            calls.iter().map(|call| call.method).collect::<Vec<_>>(),
            [Method::Post, Method::Put, Method::Put, Method::Get]
        );
        assert!(calls.iter().all(|call| call.if_match.is_none()), "law 5");
        assert!(outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Accepted));
    }
}

fn activating() -> Box<dyn Conversation> {
    activating_with(code())
}

fn activating_with(code: ClaimCode) -> Box<dyn Conversation> {
    let twin: InitialTwin =
        serde_json::from_value(json!({ "tags": { "site": "x" }, "properties": { "desired": {} } })).unwrap();
    let id: RegistrationId = "a".parse().unwrap();
    Box::new(Activating::new(Activation { id, code, twin, hub: "hub.azure-devices.net".into() }))
}

#[test]
fn activating_changes_what_is_the_portals_keeps_the_rest_and_names_the_version_it_read() {
    let answers = vec![answer(200, record("AB", "disabled")), answer(200, record("AB", "enabled"))];
    let (calls, outcomes) = talk(activating(), answers);
    assert_eq!(outcomes, [("a".into(), Outcome::Accepted)]);
    assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abc")));
    let body = calls[1].body.as_ref().unwrap();
    assert_eq!(body["provisioningStatus"], "enabled");
    assert_eq!(body["allocationPolicy"], "static");
    assert_eq!(body["iotHubs"], json!(["hub.azure-devices.net"]));
    assert_eq!(body["initialTwin"]["tags"]["site"], "x");
    assert_eq!(body["somethingNewer"], json!({ "kept": true }));
    assert_eq!(body["optionalDeviceInformation"]["edge"]["box"], "box-2");
    for read_only in ["createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"] {
        assert!(body.get(read_only).is_none(), "{read_only}");
    }
}

#[test]
fn a_device_that_is_as_wanted_is_not_written_again() {
    let mut done = record("AB", "enabled");
    done["allocationPolicy"] = json!("static");
    done["iotHubs"] = json!(["hub.azure-devices.net"]);
    done["initialTwin"] = json!({ "tags": { "site": "x" }, "properties": { "desired": {} } });
    let (calls, outcomes) = talk(activating(), vec![answer(200, done)]);
    assert_eq!((calls.len(), &outcomes[0].1), (1, &Outcome::Accepted));
}

#[test]
fn a_later_activation_is_written_even_if_it_is_as_wanted_so_that_what_is_still_under_way_is_outdated() {
    let (calls, _) = talk(activating(), vec![answer(200, record("AB", "disabled")), answer(200, json!({}))]);
    let mut done = calls[1].body.clone().unwrap();
    done["etag"] = json!("abd");
    let code = code();
    let twin = serde_json::from_value(done["initialTwin"].clone()).unwrap();
    let activation = Activation { id: "a".parse().unwrap(), code, twin, hub: "hub.azure-devices.net".into() };
    let again =
        |later| -> Box<dyn Conversation> { Box::new(Activating::new(activation.clone()).later(later)) };
    let (calls, _) = talk(again(false), vec![answer(200, done.clone())]);
    assert_eq!(calls.len(), 1);
    let (calls, outcomes) = talk(again(true), vec![answer(200, done.clone()), answer(200, done.clone())]);
    assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abd")));
    assert_eq!(outcomes[0].1, Outcome::Accepted);
}

#[test]
fn a_wrong_claim_code_a_scrapped_unit_and_a_missing_claim_are_told_apart_and_nothing_is_written() {
    let check = |conversation: Box<dyn Conversation>, found: Value, expected: &str| {
        let (calls, outcomes) = talk(conversation, vec![answer(200, found)]);
        assert_eq!(calls.len(), 1);
        assert!(
            matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == expected),
            "{expected}: {outcomes:?}"
        );
    };
    check(activating_with(ClaimCode::from_bits([8; 10])), record("AB", "disabled"), "claim-mismatch");
    let mut scrapped = record("AB", "disabled");
    scrapped["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    check(activating(), scrapped, "scrapped");
    let mut unclaimed = record("AB", "disabled");
    unclaimed["optionalDeviceInformation"] = json!({});
    check(activating(), unclaimed, "no-claim");
}

#[test]
fn a_device_that_was_not_announced_yet_is_asked_for_later() {
    let (_, outcomes) =
        talk(activating(), vec![answer(404, json!({ "errorCode": 404_201, "message": "no" }))]);
    assert_eq!(outcomes[0].1, Outcome::Later("the factory has not announced it yet"));
}

#[test]
fn a_write_of_somebody_else_in_between_is_read_before_trying_again_and_not_for_ever() {
    let read = || answer(200, record("AB", "disabled"));
    let lost = || answer(412, json!({ "errorCode": 412_001, "message": "Precondition failed." }));
    let answers = vec![read(), lost(), read(), answer(200, record("AB", "enabled"))];
    assert_eq!(talk(activating(), answers).1[0].1, Outcome::Accepted);
    let hopeless = std::iter::repeat_with(|| [read(), lost()]).take(6).flatten().collect();
    assert!(matches!(talk(activating(), hopeless).1[0].1, Outcome::Later(_)));
}

fn deactivating() -> Box<dyn Conversation> {
    deactivating_with(code())
}

fn deactivating_with(code: ClaimCode) -> Box<dyn Conversation> {
    Box::new(Deactivating::new(Deactivation { id: "a".parse().unwrap(), code }))
}

/// A record as an activation, a device that has registered, and others have left it.
fn active() -> Value {
    let mut found = record("AB", "enabled");
    found["initialTwin"] = json!({ "tags": { "site": "x" }, "properties": { "desired": { "rate": 5 } } });
    found["allocationPolicy"] = json!("static");
    found["iotHubs"] = json!(["hub.azure-devices.net"]);
    found["optionalDeviceInformation"]["portal"] = json!({ "note": "of somebody else" });
    found["registrationState"]["status"] = json!("assigned");
    let certificates = &mut found["attestation"]["x509"]["clientCertificates"];
    certificates["secondary"] = certificates["primary"].clone();
    found
}

#[test]
fn deactivating_changes_the_status_keeps_the_rest_and_names_the_version_it_read() {
    for status in [json!("enabled"), json!("disabled"), Value::Null] {
        let mut found = active();
        found["provisioningStatus"] = status;
        let answers = vec![answer(200, found.clone()), answer(200, record("AB", "disabled"))];
        let (calls, outcomes) = talk(deactivating(), answers);
        assert_eq!(outcomes, [("a".into(), Outcome::Accepted)]);
        assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abc")));
        let mut expected = found;
        expected["provisioningStatus"] = json!("disabled");
        let read_only = ["createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"];
        expected.as_object_mut().unwrap().retain(|field, _| !read_only.contains(&field.as_str()));
        assert_eq!(calls[1].body.as_ref().unwrap(), &expected);
    }
}

#[test]
fn a_tombstone_is_disabled_already_and_one_that_was_enabled_stays_a_tombstone() {
    let mut tombstone = record("AB", "disabled");
    tombstone["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    let (calls, outcomes) = talk(deactivating(), vec![answer(200, tombstone.clone())]);
    assert_eq!((calls.len(), &outcomes[0].1), (1, &Outcome::Accepted));
    tombstone["provisioningStatus"] = json!("enabled");
    let answers = vec![answer(200, tombstone), answer(200, record("AB", "disabled"))];
    let (calls, outcomes) = talk(deactivating(), answers);
    let body = calls[1].body.as_ref().unwrap();
    assert_eq!((&body["provisioningStatus"], &outcomes[0].1), (&json!("disabled"), &Outcome::Accepted));
    assert_eq!(body["optionalDeviceInformation"]["edge"]["scrapped"], true);
}

#[test]
fn what_is_not_theirs_to_disable_is_told_apart_and_nothing_is_written() {
    let spoilt = |field: &str, value: Value| {
        let mut found = active();
        found[field] = value;
        answer(200, found)
    };
    let another = ClaimCode::from_bits([8; 10]);
    let mut relabelled = active();
    relabelled["optionalDeviceInformation"]["claim"] = json!(ClaimRecord::new(2, &[2; 16], &another));
    let rows = [
        ("claim-mismatch", deactivating_with(another), answer(200, active())),
        ("claim-mismatch", deactivating(), answer(200, relabelled)),
        ("no-claim", deactivating(), spoilt("optionalDeviceInformation", json!({}))),
        ("no-claim", deactivating(), spoilt("optionalDeviceInformation", Value::Null)),
        ("rejected", deactivating(), spoilt("etag", Value::Null)),
        ("rejected", deactivating(), answer(400, json!({ "errorCode": 400_004, "message": "no" }))),
        ("missing", deactivating(), absent()),
    ];
    for (expected, conversation, answered) in rows {
        let (calls, outcomes) = talk(conversation, vec![answered]);
        assert_eq!(calls.len(), 1, "{expected}: nothing is written");
        let stopped = matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == expected);
        assert!(stopped, "{expected}: {outcomes:?}");
    }
}

#[test]
fn a_deactivation_that_somebody_overtakes_reads_again_and_not_for_ever() {
    let read = || answer(200, active());
    let answers = vec![read(), lost_race(), read(), answer(200, record("AB", "disabled"))];
    assert_eq!(talk(deactivating(), answers).1[0].1, Outcome::Accepted);
    let (calls, outcomes) = talk(deactivating(), vec![read(), absent(), absent()]);
    assert_eq!(calls[2].method, Method::Get, "it was removed meanwhile");
    assert!(matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "missing"), "{outcomes:?}");
    let refused = answer(400, json!({ "errorCode": 400_004, "message": "a hub is not linked" }));
    let (_, outcomes) = talk(deactivating(), vec![read(), refused]);
    assert!(
        matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "rejected" && why.detail.contains("not linked")),
        "{outcomes:?}"
    );
    let hopeless = std::iter::repeat_with(|| [read(), lost_race()]).take(6).flatten().collect();
    assert!(matches!(talk(deactivating(), hopeless).1[0].1, Outcome::Later(_)));
}

fn new() -> String {
    "AB".repeat(32)
}

fn old() -> String {
    "CD".repeat(32)
}

fn amendment() -> Amendment {
    Amendment { unit: unit("a"), earlier: vec!["EF".repeat(32), old()] }
}

/// Both amendments, to be led through the same answers.
fn amending() -> [(&'static str, Box<dyn Conversation>); 2] {
    [
        ("replace", Box::new(Amending::replace(amendment()))),
        ("withdraw", Box::new(Amending::withdraw(amendment()))),
    ]
}

fn absent() -> Answer {
    answer(404, json!({ "errorCode": 404_201, "message": "Enrollment not found." }))
}

fn lost_race() -> Answer {
    answer(412, json!({ "errorCode": 412_001, "message": "Precondition failed." }))
}

#[test]
fn a_new_certificate_takes_the_place_of_an_earlier_one_and_every_other_field_stays() {
    let mut found = record(&old(), "disabled");
    found["initialTwin"] = json!({ "tags": { "site": "x" } });
    found["iotHubs"] = json!(["hub"]);
    found["optionalDeviceInformation"]["portal"] = json!({ "note": "of somebody else" });
    let answers = vec![answer(200, found), answer(200, record(&new(), "disabled"))];
    let (calls, outcomes) = talk(Box::new(Amending::replace(amendment())), answers);
    assert_eq!(outcomes, [("a".into(), Outcome::Accepted)]);
    assert_eq!((calls[0].method, calls[0].path.as_str()), (Method::Get, "/enrollments/a"));
    assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abc")));
    let body = calls[1].body.as_ref().unwrap();
    let primary = &body["attestation"]["x509"]["clientCertificates"]["primary"];
    assert_eq!(primary, &json!({ "certificate": "YSBjZXJ0aWZpY2F0ZQ==" }));
    assert_eq!(body["provisioningStatus"], "disabled");
    assert_eq!((&body["initialTwin"]["tags"]["site"], &body["iotHubs"]), (&json!("x"), &json!(["hub"])));
    assert_eq!(body["somethingNewer"], json!({ "kept": true }));
    let information = &body["optionalDeviceInformation"];
    assert_eq!(information["edge"]["seq"], 9);
    assert_eq!(information["portal"]["note"], "of somebody else");
    assert_eq!(information["claim"]["generation"], 1);
    for read_only in ["createdDateTimeUtc", "lastUpdatedDateTimeUtc", "registrationState"] {
        assert!(body.get(read_only).is_none(), "{read_only}");
    }
}

#[test]
fn a_scrapped_unit_leaves_a_tombstone_that_keeps_the_record() {
    let answers = vec![answer(200, record(&new(), "disabled")), answer(200, record(&new(), "disabled"))];
    let (calls, outcomes) = talk(Box::new(Amending::withdraw(amendment())), answers);
    assert_eq!(outcomes, [("a".into(), Outcome::Accepted)]);
    assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abc")));
    let body = calls[1].body.as_ref().unwrap();
    assert_eq!(body["provisioningStatus"], "disabled");
    assert_eq!(body["optionalDeviceInformation"]["edge"]["scrapped"], true);
    assert_eq!(body["somethingNewer"], json!({ "kept": true }));
    let carried = &body["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["sha256Thumbprint"];
    assert_eq!(carried, &json!(new()), "the certificate stays where it is");
}

#[test]
fn where_nothing_is_there_yet_the_record_is_created_and_only_created() {
    for (kind, conversation) in amending() {
        let (calls, outcomes) = talk(conversation, vec![absent(), answer(200, record(&new(), "disabled"))]);
        assert_eq!(outcomes[0].1, Outcome::Accepted, "{kind}");
        assert_eq!((calls[1].method, calls[1].if_match.as_ref()), (Method::Put, None), "{kind}");
        let body = calls[1].body.as_ref().unwrap();
        assert_eq!(body["provisioningStatus"], "disabled");
        let scrapped = body["optionalDeviceInformation"]["edge"].get("scrapped");
        assert_eq!(scrapped, (kind == "withdraw").then_some(&json!(true)));
    }
}

#[test]
fn an_amendment_that_is_said_twice_changes_nothing_the_second_time() {
    for status in ["disabled", "enabled"] {
        let conversation = Box::new(Amending::replace(amendment()));
        let (calls, outcomes) = talk(conversation, vec![answer(200, record(&new(), status))]);
        assert_eq!((calls.len(), &outcomes[0].1), (1, &Outcome::Accepted), "{status}");
    }
    let mut tombstone = record(&old(), "disabled");
    tombstone["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    let (calls, outcomes) = talk(Box::new(Amending::withdraw(amendment())), vec![answer(200, tombstone)]);
    assert_eq!((calls.len(), &outcomes[0].1), (1, &Outcome::Accepted));
}

#[test]
fn only_a_later_life_of_the_box_is_waited_for_and_not_one_that_came_between_unit_and_box() {
    // What generation 2 has written is news to generation 1, and an earlier life to generation 3.
    let mut found = record(&"99".repeat(32), "disabled");
    found["optionalDeviceInformation"]["edge"] = json!({ "box": "box-1", "generation": 2 });
    for (own, held) in [(None, false), (Some(1), false), (Some(2), true), (Some(3), true)] {
        let conversation = Box::new(Amending::replace(amendment()).by(own));
        let (calls, outcomes) = talk(conversation, vec![answer(200, found.clone())]);
        assert_eq!(calls.len(), 1, "{own:?}");
        match &outcomes[0].1 {
            Outcome::Stopped(why) => assert!(held && why.code == "conflict", "{own:?}: {why:?}"),
            Outcome::Later(_) => assert!(!held, "{own:?}"),
            other => panic!("{own:?}: {other:?}"),
        }
    }
}

#[test]
fn what_is_not_ours_alone_is_held_with_its_reason_and_nothing_is_written() {
    let spoil = |spoil: fn(&mut Value)| {
        let mut found = record(&old(), "disabled");
        spoil(&mut found);
        found
    };
    let rows = [
        ("conflict", record(&"99".repeat(32), "disabled")),
        ("activated", record(&old(), "enabled")),
        ("activated", spoil(|found| found["provisioningStatus"] = Value::Null)),
        ("assigned", spoil(|found| found["registrationState"]["status"] = json!("assigned"))),
        ("assigned", spoil(|found| found["registrationState"] = Value::Null)),
        ("conflict", spoil(|found| found["attestation"] = json!({ "type": "symmetricKey" }))),
        (
            "conflict",
            spoil(|found| {
                let certificates = &mut found["attestation"]["x509"]["clientCertificates"];
                certificates["secondary"] = certificates["primary"].clone();
            }),
        ),
        ("conflict", spoil(|found| found["optionalDeviceInformation"] = json!("a note"))),
        ("rejected", spoil(|found| found["etag"] = Value::Null)),
    ];
    for (expected, found) in rows {
        for (kind, conversation) in amending() {
            let (calls, outcomes) = talk(conversation, vec![answer(200, found.clone())]);
            assert_eq!(calls.len(), 1, "{kind}: nothing is written");
            let [(_, Outcome::Stopped(why))] = &outcomes[..] else { panic!("{kind} {found}: {outcomes:?}") };
            assert_eq!(why.code, expected, "{kind}: {}", why.detail);
        }
    }
}

#[test]
fn a_tombstone_is_never_given_a_new_certificate() {
    let mut tombstone = record(&old(), "disabled");
    tombstone["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    let (_, outcomes) = talk(Box::new(Amending::replace(amendment())), vec![answer(200, tombstone)]);
    assert!(matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "scrapped"), "{outcomes:?}");
}

#[test]
fn an_amendment_that_somebody_overtakes_reads_again_and_sees_what_they_did() {
    for (kind, conversation) in amending() {
        let answers = vec![
            answer(200, record(&old(), "disabled")),
            lost_race(),
            // The portal was faster.
            answer(200, record(&old(), "enabled")),
        ];
        let (_, outcomes) = talk(conversation, answers);
        let activated = matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "activated");
        assert!(activated, "{kind}: {outcomes:?}");
    }
    for (kind, conversation) in amending() {
        let answers =
            vec![absent(), answer(409, exists("a")), answer(200, record(&"99".repeat(32), "disabled"))];
        let (_, outcomes) = talk(conversation, answers);
        assert!(matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "conflict"), "{kind}");
    }
    for (kind, conversation) in amending() {
        let read = || answer(200, record(&old(), "disabled"));
        let hopeless = std::iter::repeat_with(|| [read(), lost_race()]).take(6).flatten().collect();
        assert!(matches!(talk(conversation, hopeless).1[0].1, Outcome::Later(_)), "{kind}");
    }
}

#[test]
fn a_box_that_lives_on_elsewhere_amends_nothing_and_says_so() {
    let mut found = record(&old(), "disabled");
    found["optionalDeviceInformation"]["edge"] = json!({ "box": "box-1", "generation": 2 });
    for (kind, mut conversation) in amending() {
        conversation.hear(&answer(200, found.clone())).unwrap();
        assert_eq!((conversation.next(), conversation.generation()), (None, Some(2)), "{kind}");
    }
}

#[test]
fn an_answer_that_shows_another_certificate_is_looked_at_and_a_conflict_that_is_none_is_no_refusal() {
    let no_bulk = || answer(400, json!({ "errorCode": 400_004, "message": "no bulk today" }));
    let ours = || answer(200, record(&"ab".repeat(32), "disabled"));
    let conflict = || answer(412, json!({ "errorCode": 412_001, "message": "Precondition failed." }));
    let (calls, outcomes) =
        talk(announcing(&["a"]), vec![no_bulk(), answer(200, record("CD", "disabled")), ours()]);
    assert_eq!((calls[2].method, &outcomes[0].1), (Method::Get, &Outcome::Accepted));
    assert_eq!(talk(announcing(&["a"]), vec![no_bulk(), conflict(), ours()]).1[0].1, Outcome::Accepted);
    let (_, outcomes) = talk(announcing(&["a"]), vec![no_bulk(), conflict(), conflict()]);
    assert!(matches!(outcomes[0].1, Outcome::Later(_)));
    assert!(matches!(talk(activating(), vec![conflict()]).1[0].1, Outcome::Later(_)));
}

/// Both amendments as a person has decided them, about the version `abc` that [`record`] shows.
fn decided() -> [(&'static str, Box<dyn Conversation>); 2] {
    let etag = || Some("abc".to_owned());
    [
        ("replace", Box::new(Amending::replace(amendment()).decided(etag()))),
        ("withdraw", Box::new(Amending::withdraw(amendment()).decided(etag()))),
    ]
}

#[test]
fn what_a_person_has_decided_overrules_who_else_has_a_part_and_keeps_what_is_theirs() {
    let spoil = |spoil: fn(&mut Value)| {
        let mut found = record(&old(), "enabled");
        found["initialTwin"] = json!({ "tags": { "site": "x" } });
        found["iotHubs"] = json!(["hub"]);
        found["allocationPolicy"] = json!("static");
        found["optionalDeviceInformation"]["portal"] = json!({ "note": "of somebody else" });
        spoil(&mut found);
        found
    };
    let rows = [
        spoil(|_| {}),
        spoil(|found| found["registrationState"]["status"] = json!("assigned")),
        spoil(|found| found["attestation"] = record(&"99".repeat(32), "enabled")["attestation"].clone()),
        spoil(|found| found["attestation"] = json!({ "type": "symmetricKey" })),
        spoil(|found| {
            let certificates = &mut found["attestation"]["x509"]["clientCertificates"];
            certificates["secondary"] = certificates["primary"].clone();
        }),
    ];
    for found in rows {
        for (kind, conversation) in decided() {
            let answers = vec![answer(200, found.clone()), answer(200, record(&new(), "enabled"))];
            let (calls, outcomes) = talk(conversation, answers);
            assert_eq!(outcomes[0].1, Outcome::Accepted, "{kind} {found}");
            assert_eq!((calls[1].method, calls[1].if_match.as_deref()), (Method::Put, Some("abc")), "{kind}");
            let body = calls[1].body.as_ref().unwrap();
            for kept in ["initialTwin", "iotHubs", "allocationPolicy", "somethingNewer"] {
                assert_eq!(body[kept], found[kept], "{kind}: {kept}");
            }
            assert_eq!(body["optionalDeviceInformation"]["portal"]["note"], "of somebody else");
            assert_eq!(body["optionalDeviceInformation"]["edge"]["seq"], 9);
            if kind == "replace" {
                assert_eq!(body["provisioningStatus"], "enabled", "it stays activated");
                let primary = json!({ "certificate": "YSBjZXJ0aWZpY2F0ZQ==" });
                let certificates = &body["attestation"]["x509"]["clientCertificates"];
                assert_eq!(certificates, &json!({ "primary": primary }), "and no other key opens it");
            } else {
                assert_eq!(body["provisioningStatus"], "disabled");
                assert_eq!(body["optionalDeviceInformation"]["edge"]["scrapped"], true);
                assert_eq!(body["attestation"], found["attestation"]);
            }
        }
    }
}

#[test]
fn a_strangers_record_gets_the_claim_of_the_unit_whose_label_it_is_and_our_own_keeps_its() {
    let claim = |thumbprint: &str| {
        let mut found = record(thumbprint, "disabled");
        found["optionalDeviceInformation"]["claim"] = json!("as it was");
        let [(_, conversation), _] = decided();
        let answers = vec![answer(200, found), answer(200, record(&new(), "disabled"))];
        let (calls, _) = talk(conversation, answers);
        calls[1].body.as_ref().unwrap()["optionalDeviceInformation"]["claim"].clone()
    };
    assert_eq!(claim(&old()), json!("as it was"));
    assert_eq!(claim(&"99".repeat(32))["generation"], 1);
}

#[test]
fn on_an_old_decision_nothing_is_written_and_the_person_looks_again() {
    let changed = |found: Value| {
        for (kind, conversation) in decided() {
            let (calls, outcomes) = talk(conversation, vec![answer(200, found.clone())]);
            assert_eq!(calls.len(), 1, "{kind}: nothing is written");
            let held = matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "changed");
            assert!(held, "{kind}: {outcomes:?}");
        }
    };
    let mut later = record(&old(), "enabled");
    later["etag"] = json!("abd");
    changed(later.clone());
    // Even where it would be ours alone by now.
    later["provisioningStatus"] = json!("disabled");
    changed(later.clone());
    // Somebody was faster than the write itself.
    for (kind, conversation) in decided() {
        let answers = vec![answer(200, record(&old(), "enabled")), lost_race(), answer(200, later.clone())];
        let (calls, outcomes) = talk(conversation, answers);
        assert_eq!(calls.len(), 3, "{kind}");
        let held = matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "changed");
        assert!(held, "{kind}: {outcomes:?}");
    }
}

#[test]
fn what_was_decided_and_is_there_already_is_not_written_again() {
    let mut replaced = record(&new(), "enabled");
    replaced["etag"] = json!("abd");
    let mut withdrawn = record(&"99".repeat(32), "disabled");
    withdrawn["etag"] = json!("abd");
    withdrawn["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    for ((kind, conversation), found) in decided().into_iter().zip([replaced, withdrawn]) {
        let (calls, outcomes) = talk(conversation, vec![answer(200, found)]);
        assert_eq!((calls.len(), &outcomes[0].1), (1, &Outcome::Accepted), "{kind}");
    }
}

#[test]
fn a_decision_brings_no_tombstone_back_and_changes_nothing_of_a_later_self() {
    let mut tombstone = record(&old(), "disabled");
    tombstone["optionalDeviceInformation"]["edge"]["scrapped"] = json!(true);
    let [(_, replace), _] = decided();
    let (calls, outcomes) = talk(replace, vec![answer(200, tombstone)]);
    assert_eq!(calls.len(), 1);
    assert!(matches!(&outcomes[0].1, Outcome::Stopped(why) if why.code == "scrapped"), "{outcomes:?}");
    let mut found = record(&old(), "enabled");
    found["optionalDeviceInformation"]["edge"] = json!({ "box": "box-1", "generation": 2 });
    for (kind, mut conversation) in decided() {
        conversation.hear(&answer(200, found.clone())).unwrap();
        assert_eq!((conversation.next(), conversation.generation()), (None, Some(2)), "{kind}");
    }
}

#[test]
fn a_record_that_was_removed_after_the_decision_is_created_and_only_created() {
    for (kind, conversation) in decided() {
        let (calls, outcomes) = talk(conversation, vec![absent(), answer(200, record(&new(), "disabled"))]);
        assert_eq!((&outcomes[0].1, calls[1].if_match.as_ref()), (&Outcome::Accepted, None), "{kind}");
        assert_eq!(calls[1].body.as_ref().unwrap()["provisioningStatus"], "disabled", "{kind}");
    }
}
