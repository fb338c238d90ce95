//! Profiles: what a line's certificates look like, what they refuse, and that a bad one does not start.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;

use edge::{Appliance, StartError};
use serde_json::{Value, json};
use support::{FLOOR, Running, csr, csr_of, passphrase, problem};
use x509_parser::{
    pem::parse_x509_pem,
    prelude::{FromDer, GeneralName, X509Certificate},
};

const METERS: &str = r#"
[profile.meter]
keys = ["p384"]
validity = "none"
organization = "Plant GmbH"
country = "DE"
serial_number = true
hardware_module = "1.3.6.1.4.1.32473.7"
policy = "1.3.6.1.4.1.32473.8"
[[line]]
id = "L3"
profile = "meter"
"#;

fn subject_of(unit: &Value) -> String {
    let (_, block) = parse_x509_pem(unit["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&block.contents).unwrap();
    leaf.subject().to_string()
}

#[tokio::test]
async fn a_line_issues_with_its_profile_and_the_others_with_the_default() {
    let edge = Running::start_ending(METERS).await;
    let token = edge.role("station").await;
    let meter = csr_of(&rcgen::PKCS_ECDSA_P384_SHA384, "m-1");
    let (status, unit) = edge.issue(&token, &json!({ "csr": meter, "line": "L3" })).await;
    assert_eq!((status, &unit["profile"]), (201, &json!("meter")), "{unit}");
    assert_eq!(subject_of(&unit), "C=DE, O=Plant GmbH, CN=m-1, serialNumber=m-1");
    assert_eq!(unit["not_after"], "9999-12-31T23:59:59Z");
    let (_, block) = parse_x509_pem(unit["certificate"].as_str().unwrap().as_bytes()).unwrap();
    let (_, leaf) = X509Certificate::from_der(&block.contents).unwrap();
    let names = &leaf.subject_alternative_name().unwrap().unwrap().value.general_names;
    assert!(matches!(&names[..], [GeneralName::OtherName(_, value)] if value.ends_with(b"m-1")));

    let (status, plain) = edge.issue(&token, &json!({ "csr": csr("g-1"), "line": "L1" })).await;
    assert_eq!((status, plain.get("profile")), (201, None), "{plain}");
    assert_eq!(subject_of(&plain), "CN=g-1");
    // The profile is in the journal with the unit, not in memory.
    let edge = edge.restart().await;
    assert_eq!(edge.get(&token, "/v1/units/m-1").await.1["profile"], "meter");
}

#[tokio::test]
async fn a_request_goes_before_its_order_and_an_order_before_its_line() {
    let more = "[profile.meter]\nvalidity = '1y'\n[profile.gateway]\nvalidity = '2y'\n[profile.probe]\nvalidity = '3y'\n\
                [[line]]\nid = \"L3\"\nprofile = \"meter\"\n";
    let edge = Running::start_ending(more).await;
    let token = edge.role("supervisor").await;
    let open = json!({ "number": "A-1", "quantity": 9, "line": "L3", "profile": "gateway" });
    assert_eq!(edge.ask(&token, "/v1/orders", open.clone()).await.0, 201);
    let mut unknown = open;
    unknown["profile"] = json!("gold");
    assert_eq!(problem(&edge.ask(&token, "/v1/orders", unknown).await), (422, "profile-unknown"));
    let ask = |id: &str, more: Value| {
        let mut asked = json!({ "id": id, "csr": csr(id), "line": "L3" });
        asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        asked
    };
    let (line, order) = (ask("a", json!({})), ask("b", json!({ "order": "A-1" })));
    let request = ask("c", json!({ "order": "A-1", "profile": "probe" }));
    for (asked, expected) in [(&line, "meter"), (&order, "gateway"), (&request, "probe")] {
        let (status, unit) = edge.issue(&token, asked).await;
        assert_eq!((status, &unit["profile"]), (201, &json!(expected)), "{unit}");
        assert_eq!(edge.issue(&token, asked).await, (200, unit), "a repeat");
        let mut other = asked.clone();
        other["profile"] = json!("default");
        let differs = edge.issue(&token, &other).await;
        assert_eq!((problem(&differs), &differs.1["field"]), ((409, "differs"), &json!("profile")));
    }
    assert_eq!(
        problem(&edge.issue(&token, &ask("d", json!({ "profile": "gold" }))).await),
        (422, "profile-unknown")
    );
    // A further pass is of the unit's own profile, whatever its line issues with by now.
    let (dir, admin) = edge.stop().await;
    let later = more.replace("profile = \"meter\"", "profile = \"probe\"");
    fs::write(dir.path().join("more.toml"), later).unwrap();
    let edge = Running::start_in(dir, admin);
    assert_eq!(edge.issue(&token, &line).await.1["profile"], "meter", "a repeat stays one");
    let (status, again) = edge.ask(&token, "/v1/units/a/rework", json!({ "reason": "board swapped" })).await;
    assert_eq!((status, &again["profile"]), (201, &json!("meter")), "{again}");
    assert_eq!(edge.issue(&token, &ask("e", json!({}))).await.1["profile"], "probe");
}

#[tokio::test]
async fn what_a_profile_does_not_allow_is_refused_by_the_name_of_the_rule() {
    let edge = Running::start_ending(METERS).await;
    let token = edge.role("station").await;
    let p384 = |name: &str| csr_of(&rcgen::PKCS_ECDSA_P384_SHA384, name);
    let seq = edge.seq().await;
    for (asked, code, rules) in [
        (json!({ "csr": csr("a"), "line": "L3" }), "csr-key-unsupported", json!("key-not-in-profile")),
        (json!({ "csr": p384("a"), "line": "L1" }), "csr-key-unsupported", json!("key-not-in-profile")),
        (json!({ "id": "a", "line": "L3" }), "csr-required", json!("key-not-in-profile")),
        (json!({ "csr": p384("a_b"), "line": "L3" }), "certificate-refused", json!(["serial-number-type"])),
    ] {
        let (status, body) = edge.issue(&token, &asked).await;
        assert_eq!((status, body["code"].as_str()), (422, Some(code)), "{body}");
        assert!(body["rule"] == rules || body["rules"] == rules, "{body}");
        assert!(body["detail"].as_str().unwrap().contains("profile"), "{body}");
    }
    assert_eq!(edge.seq().await, seq, "nothing is written");
}

#[tokio::test]
async fn a_profile_that_the_lint_refuses_does_not_start() {
    let (dir, _) = Running::start().await.stop().await;
    for (profile, rule) in [
        ("validity = '60y'", "validity-outlives-issuer"),
        ("backdate = '30d'", "validity-backdate"),
        ("country = 'Deutschland'", "country-letters"),
        ("keys = ['rsa2048']\norganization = ' '", "subject-string-blanks"),
    ] {
        fs::write(dir.path().join("more.toml"), format!("[profile.odd]\n{profile}\n")).unwrap();
        let refused = Appliance::bind(&Running::config(&dir, "", FLOOR), &passphrase()).err().unwrap();
        let text = refused.to_string();
        assert!(matches!(refused, StartError::Profile(_)), "{text}");
        assert!(text.contains("[profile.odd]") && text.contains(rule), "{text}");
    }
    fs::write(dir.path().join("more.toml"), "[profile.odd]\nvalidity = '40y'\n").unwrap();
    Appliance::bind(&Running::config(&dir, "", FLOOR), &passphrase()).unwrap();
}
