//! The cloud as a value: no socket, no clock, rows of requests and answers.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use azure_iot::sas::{self, SasKey};
use emulator::{
    Forecast, Weather,
    cloud::{
        Cloud, Identity,
        assumptions::Assumptions,
        http::{Request, Response},
        meet::Met,
        mqtt::{NotAuthorized, Output},
    },
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);
const HOST: &str = "plant.azure-devices-provisioning.net";
const HUB: &str = "hub-1.azure-devices.net";

fn key() -> SasKey {
    SasKey::new(b"secret".to_vec())
}

fn cloud() -> Cloud {
    let identity = Identity {
        host: HOST.into(),
        id_scope: "0neTEST".into(),
        policy: "owner".into(),
        key: key(),
        hubs: vec![HUB.into(), "hub-2.azure-devices.net".into()],
        retry_after: 3,
    };
    Cloud::new(identity, Assumptions::default(), 1)
}

fn certificate(name: &str) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (NOW - Duration::DAY, NOW + Duration::days(365));
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn request(method: &str, path: &str, body: &Value) -> Request {
    let mut request = Request { method: method.into(), path: path.into(), ..Request::default() };
    request.query.insert("api-version".into(), "2021-10-01".into());
    request.body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    request
}

/// A request to the service API, signed.
fn service(method: &str, path: &str, body: &Value) -> Request {
    let mut request = request(method, path, body);
    let token = sas::sign(HOST, "owner", &key(), NOW.unix_timestamp() + 3600);
    request.headers.insert("authorization".into(), token);
    request
}

fn if_match(mut request: Request, etag: &str) -> Request {
    request.headers.insert("if-match".into(), etag.into());
    request
}

fn record(id: &str, der: &[u8], status: &str) -> Value {
    use base64::{Engine, engine::general_purpose::STANDARD};
    json!({ "registrationId": id, "provisioningStatus": status, "attestation": { "type": "x509", "x509": {
        "clientCertificates": { "primary": { "certificate": STANDARD.encode(der) } } } } })
}

fn code(response: &Response) -> (u16, i64) {
    let code = response.body.as_ref().and_then(|body| body["errorCode"].as_i64()).unwrap_or_default();
    (response.status, code)
}

fn put(cloud: &mut Cloud, record: &Value) -> Response {
    let path = format!("/enrollments/{}", record["registrationId"].as_str().unwrap());
    cloud.handle(NOW, &service("PUT", &path, record))
}

#[test]
fn a_record_is_created_read_and_never_shows_its_certificate() {
    let mut cloud = cloud();
    let der = certificate("a");
    let made = put(&mut cloud, &record("a", &der, "disabled"));
    assert_eq!(made.status, 200, "{made:?}");
    let found = cloud.handle(NOW, &service("GET", "/Enrollments/A", &Value::Null)).body.unwrap();
    let primary = &found["attestation"]["x509"]["clientCertificates"]["primary"];
    assert!(primary.get("certificate").is_none());
    assert_eq!(primary["info"]["subjectName"], "CN=a");
    assert_eq!(primary["info"]["sha256Thumbprint"].as_str().unwrap().len(), 64);
    assert_eq!(found["registrationState"]["status"], "unassigned");
    assert_eq!(found["reprovisionPolicy"], json!({ "updateHubAssignment": true, "migrateDeviceData": true }));
    assert!(made.body.unwrap().get("registrationState").is_none(), "only a GET shows it");
    assert_eq!(code(&cloud.handle(NOW, &service("GET", "/enrollments/b", &Value::Null))), (404, 404_201));
}

#[test]
fn the_etag_decides_what_may_be_written() {
    let mut cloud = cloud();
    let der = certificate("a");
    let etag =
        put(&mut cloud, &record("a", &der, "disabled")).body.unwrap()["etag"].as_str().unwrap().to_owned();
    assert_eq!(
        code(&put(&mut cloud, &record("a", &der, "enabled"))),
        (409, 409_201),
        "no If-Match: create only"
    );
    let write = |cloud: &mut Cloud, etag: &str| {
        cloud.handle(NOW, &if_match(service("PUT", "/enrollments/a", &record("a", &der, "enabled")), etag))
    };
    assert_eq!(write(&mut cloud, "stale").status, 412);
    let second = write(&mut cloud, &format!("\"{etag}\""));
    assert_eq!(second.status, 200, "C# wraps it in quotes");
    assert_eq!(write(&mut cloud, &etag).status, 412, "every write changes it");
    assert_eq!(write(&mut cloud, "*").status, 200);
    assert_eq!(
        cloud.handle(NOW, &if_match(service("DELETE", "/enrollments/a", &Value::Null), "stale")).status,
        412
    );
    assert_eq!(cloud.handle(NOW, &service("DELETE", "/enrollments/a", &Value::Null)).status, 204);
    assert_eq!(write(&mut cloud, &etag).status, 412, "a concrete tag never creates");
}

#[test]
fn a_record_that_is_written_back_as_it_was_read_keeps_its_certificate() {
    let mut cloud = cloud();
    let der = certificate("a");
    put(&mut cloud, &record("a", &der, "disabled"));
    let mut read = cloud.handle(NOW, &service("GET", "/enrollments/a", &Value::Null)).body.unwrap();
    read["provisioningStatus"] = json!("enabled");
    let etag = read["etag"].as_str().unwrap().to_owned();
    let written = cloud.handle(NOW, &if_match(service("PUT", "/enrollments/a", &read), &etag));
    assert_eq!(written.status, 200, "{written:?}");
    assert_eq!(written.body.unwrap()["attestation"], read["attestation"]);
    let other = record("b", b"", "enabled");
    let mut info_only = other.clone();
    info_only["attestation"] = read["attestation"].clone();
    assert_eq!(code(&put(&mut cloud, &info_only)), (400, 400_004), "a description alone enrolls nothing");
}

#[test]
fn certificates_are_read_in_the_three_spellings_of_real_clients() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let der = certificate("a");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(&der));
    let mut thumbprints = Vec::new();
    for text in [STANDARD.encode(&der), pem.clone(), STANDARD.encode(&pem)] {
        let mut asked = record("a", &der, "enabled");
        asked["attestation"]["x509"]["clientCertificates"]["primary"]["certificate"] = json!(text);
        let body = put(&mut cloud(), &asked).body.unwrap();
        thumbprints.push(
            body["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["sha256Thumbprint"]
                .to_string(),
        );
    }
    assert!(thumbprints.windows(2).all(|pair| pair[0] == pair[1]), "{thumbprints:?}");
    assert_eq!(code(&put(&mut cloud(), &record("a", b"nonsense", "enabled"))), (400, 400_004));
}

#[test]
fn a_bulk_has_an_outcome_for_each_and_takes_ten() {
    let mut cloud = cloud();
    let records: Vec<_> = ["a", "b", "c"].iter().map(|id| record(id, &certificate(id), "disabled")).collect();
    put(&mut cloud, &records[1]);
    let bulk = |mode: &str, records: &[Value]| {
        service("POST", "/enrollments", &json!({ "mode": mode, "enrollments": records }))
    };
    let made = cloud.handle(NOW, &bulk("create", &records));
    let expected = json!({ "isSuccessful": false, "errors": [
        { "registrationId": "b", "errorCode": 409_201, "errorStatus": "Enrollment already exists." }] });
    assert_eq!((made.status, made.body.unwrap()), (200, expected));
    let updated = cloud.handle(NOW, &bulk("update", &records)).body.unwrap();
    assert_eq!(
        updated["errors"].as_array().unwrap().len(),
        3,
        "recorded: without an ETag nothing is updated"
    );
    let deleted = cloud.handle(NOW, &bulk("DELETE", &records)).body.unwrap();
    assert_eq!(deleted, json!({ "isSuccessful": true, "errors": [] }));
    let many = vec![records[0].clone(); 11];
    assert_eq!(code(&cloud.handle(NOW, &bulk("create", &many))), (400, 400_004));
}

#[test]
fn deleting_in_bulk_needs_a_name_and_a_current_tag_where_there_is_one() {
    let mut cloud = cloud();
    let tags = ["a", "b"].map(|id| {
        let made = put(&mut cloud, &record(id, &certificate(id), "enabled")).body.unwrap();
        made["etag"].as_str().unwrap().to_owned()
    });
    let named = json!([{ "registrationId": "a", "etag": tags[0] }, { "registrationId": "b", "etag": tags[0] },
        { "registrationId": "c" }]);
    let bulk = service("POST", "/enrollments", &json!({ "mode": "delete", "enrollments": named }));
    let errors = cloud.handle(NOW, &bulk).body.unwrap()["errors"].clone();
    let failed: Vec<_> =
        errors.as_array().unwrap().iter().map(|item| (&item["registrationId"], &item["errorCode"])).collect();
    assert_eq!(failed, [(&json!("b"), &json!(412_001)), (&json!("c"), &json!(404_201))]);
    assert!(cloud.enrollment("a").is_none() && cloud.enrollment("b").is_some());
}

#[test]
fn an_error_quotes_the_id_of_its_request() {
    let refused = cloud().handle(NOW, &service("GET", "/enrollments/a", &Value::Null));
    let id = refused.headers.iter().find(|(name, _)| *name == "x-ms-request-id").unwrap().1.clone();
    assert_eq!(refused.body.unwrap()["trackingId"], id);
}

#[test]
fn a_query_pages_through_everything_once() {
    let mut cloud = cloud();
    for n in 0..7 {
        let id = format!("u{n}");
        assert_eq!(put(&mut cloud, &record(&id, &certificate(&id), "enabled")).status, 200);
    }
    let (mut seen, mut continuation) = (Vec::new(), None::<String>);
    loop {
        let mut request = service("POST", "/enrollments/query", &json!({ "query": "SELECT *" }));
        request.headers.insert("x-ms-max-item-count".into(), "3".into());
        if let Some(token) = continuation.take() {
            request.headers.insert("x-ms-continuation".into(), token);
        }
        let page = cloud.handle(NOW, &request);
        let rows = page.body.unwrap();
        seen.extend(
            rows.as_array().unwrap().iter().map(|row| row["registrationId"].as_str().unwrap().to_owned()),
        );
        assert!(rows[0].get("registrationState").is_none());
        continuation = page
            .headers
            .iter()
            .find(|(name, _)| *name == "x-ms-continuation")
            .map(|(_, value)| value.clone());
        if continuation.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["u0", "u1", "u2", "u3", "u4", "u5", "u6"]);
}

#[test]
fn who_has_no_good_signature_gets_nothing() {
    let mut cloud = cloud();
    let check = |cloud: &mut Cloud, token: Option<String>| {
        let mut asked = request("GET", "/enrollments/a", &Value::Null);
        asked.headers.extend(token.map(|token| ("authorization".to_owned(), token)));
        code(&cloud.handle(NOW, &asked))
    };
    let soon = NOW.unix_timestamp() + 60;
    assert_eq!(check(&mut cloud, None), (401, 401_000));
    assert_eq!(check(&mut cloud, Some("Bearer x".into())), (401, 401_000));
    assert_eq!(
        check(&mut cloud, Some(sas::sign(HOST, "owner", &SasKey::new(b"other".to_vec()), soon))),
        (401, 401_000)
    );
    assert_eq!(
        check(&mut cloud, Some(sas::sign(HOST, "owner", &key(), NOW.unix_timestamp()))),
        (401, 401_000),
        "expired"
    );
    assert_eq!(
        check(&mut cloud, Some(sas::sign("other.azure-devices-provisioning.net", "owner", &key(), soon))),
        (401, 401_000)
    );
    assert_eq!(check(&mut cloud, Some(sas::sign(HOST, "reader", &key(), soon))), (401, 401_000));
    assert_eq!(
        check(&mut cloud, Some(sas::sign(&HOST.to_uppercase(), "owner", &key(), soon))),
        (404, 404_201),
        "hosts ignore case"
    );
    let mut old = service("GET", "/enrollments/a", &Value::Null);
    old.query.insert("api-version".into(), "2001-01-01".into());
    assert_eq!(cloud.handle(NOW, &old).status, 400);
}

#[test]
fn hubs_are_chosen_as_the_record_says() {
    let mut cloud = cloud();
    let der = certificate("a");
    let mut asked = record("a", &der, "enabled");
    asked["iotHubs"] = json!([HUB]);
    assert_eq!(code(&put(&mut cloud, &asked)), (400, 400_004), "iotHubs needs an allocationPolicy");
    asked["allocationPolicy"] = json!("static");
    asked["iotHubs"] = json!(["mars.azure-devices.net"]);
    assert_eq!(code(&put(&mut cloud, &asked)), (400, 400_004), "a hub that is not linked");
    asked["allocationPolicy"] = json!("custom");
    asked["iotHubs"] = json!([HUB]);
    assert_eq!(code(&put(&mut cloud, &asked)), (400, 400_004), "custom needs a definition");
}

/// Registers over HTTPS and polls once; returns the two answers.
fn register(cloud: &mut Cloud, id: &str, peer: Option<&[u8]>) -> (Response, Option<Response>) {
    let mut first =
        request("PUT", &format!("/0neTEST/registrations/{id}/register"), &json!({ "registrationId": id }));
    first.peer = peer.map(<[u8]>::to_vec);
    let begun = cloud.handle(NOW, &first);
    let Some(operation) = begun.body.as_ref().and_then(|body| body["operationId"].as_str()) else {
        return (begun, None);
    };
    let mut poll = request("GET", &format!("/0neTEST/registrations/{id}/operations/{operation}"), &json!({}));
    poll.peer = first.peer.clone();
    let waiting = cloud.handle(NOW, &poll);
    assert_eq!((waiting.status, waiting.body.unwrap()["status"].clone()), (202, json!("assigning")));
    let done = cloud.handle(NOW, &poll);
    (begun, Some(done))
}

#[test]
fn a_device_is_assigned_once_it_is_enabled_and_only_with_its_own_certificate() {
    let mut cloud = cloud();
    let (der, other) = (certificate("a"), certificate("a"));
    let mut asked = record("a", &der, "disabled");
    asked["initialTwin"] = json!({ "tags": { "site": "x" }, "properties": { "desired": { "label": "P2" } } });
    put(&mut cloud, &asked);
    let (begun, done) = register(&mut cloud, "a", Some(&der));
    assert_eq!(begun.status, 202);
    assert!(begun.headers.contains(&("retry-after", "3".to_owned())));
    let done = done.unwrap();
    assert_eq!((done.status, &done.body.unwrap()["status"]), (200, &json!("disabled")), "not an error");

    assert!(cloud.act_as_portal(NOW, "a", |record| record.provisioning_status = None));
    let done = register(&mut cloud, "a", Some(&der)).1.unwrap().body.unwrap();
    let state = &done["registrationState"];
    assert_eq!(
        (&done["status"], &state["deviceId"], &state["substatus"]),
        (&json!("assigned"), &json!("a"), &json!("initialAssignment"))
    );
    let again = register(&mut cloud, "a", Some(&der)).1.unwrap().body.unwrap();
    assert_eq!(again["registrationState"]["substatus"], "reprovisionedToInitialAssignment");
    assert_eq!(again["registrationState"]["assignedHub"], state["assignedHub"]);
    let device = &cloud.hub().devices()[0];
    assert_eq!((&device.tags["site"], &device.twin.desired.properties["label"]), (&json!("x"), &json!("P2")));

    for (peer, id) in
        [(None, "a"), (Some(&other), "a"), (Some(&certificate("b")), "a"), (Some(&certificate("c")), "c")]
    {
        assert_eq!(code(&register(&mut cloud, id, peer.map(Vec::as_slice)).0), (401, 401_002));
    }
    let late = Request { peer: Some(der), ..request("PUT", "/0neTEST/registrations/a/register", &json!({})) };
    assert_eq!(cloud.handle(NOW + Duration::days(400), &late).status, 401, "an expired certificate");
}

fn publish(outputs: &[Output]) -> (&str, Value) {
    let [Output::Publish { topic, payload, .. }] = outputs else { panic!("{outputs:?}") };
    (topic, serde_json::from_slice(payload).unwrap_or(Value::Null))
}

#[test]
fn a_hub_knows_its_devices_by_their_certificates_and_ends_the_older_of_two_connections() {
    let mut cloud = cloud();
    let der = certificate("a");
    put(&mut cloud, &record("a", &der, "enabled"));
    let hub =
        register(&mut cloud, "a", Some(&der)).1.unwrap().body.unwrap()["registrationState"]["assignedHub"]
            .as_str()
            .unwrap()
            .to_owned();
    let user = format!("{hub}:8883/a/?api-version=2021-04-12&DeviceClientType=x");
    let connect = |cloud: &mut Cloud, number, client: &str, user: &str, der: Option<Vec<u8>>| {
        cloud.connect(NOW, number, client, user, der)
    };
    assert_eq!(connect(&mut cloud, 1, "a", &user, None), Err(NotAuthorized));
    assert_eq!(connect(&mut cloud, 1, "a", &user, Some(certificate("a"))), Err(NotAuthorized));
    assert_eq!(connect(&mut cloud, 1, "b", &user, Some(der.clone())), Err(NotAuthorized));
    let elsewhere = if hub == HUB { "hub-2.azure-devices.net" } else { HUB };
    assert_eq!(
        connect(&mut cloud, 1, "a", &format!("{elsewhere}/a/?api-version=2021-04-12"), Some(der.clone())),
        Err(NotAuthorized)
    );
    assert_eq!(connect(&mut cloud, 1, "a", &user, Some(der.clone())), Ok(vec![]));
    assert_eq!(connect(&mut cloud, 2, "a", &user, Some(der)), Ok(vec![Output::Close { to: 1 }]));
    cloud.disconnect(1);
    assert!(cloud.hub().devices()[0].connected, "the end of the first is not the end of the second");

    assert_eq!(cloud.subscribe(2, "#", 1), None, "nobody subscribes to everything");
    for filter in ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"]
    {
        assert_eq!(cloud.subscribe(2, filter, 2), Some(1));
    }
    let outputs = cloud.publish(NOW, 2, "$iothub/twin/GET/?$rid=7", b" ");
    assert_eq!(
        publish(&outputs),
        (
            "$iothub/twin/res/200/?$rid=7",
            json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } })
        )
    );
    let outputs = cloud.publish(NOW, 2, "$iothub/twin/PATCH/properties/reported/?$rid=8", br#"{"a":1}"#);
    assert_eq!(publish(&outputs).0, "$iothub/twin/res/204/?$rid=8&$version=2");
    let outputs = cloud.publish(NOW, 2, "$iothub/twin/PATCH/properties/reported/?$rid=9", br#"{"a.b":1}"#);
    assert_eq!(
        (publish(&outputs).0, &publish(&outputs).1["errorCode"]),
        ("$iothub/twin/res/400/?$rid=9", &json!(400_004))
    );
    let (version, outputs) =
        cloud.patch_desired("a", json!({ "label": "x" }).as_object().unwrap().clone()).unwrap();
    assert_eq!(
        (version, publish(&outputs)),
        (2, ("$iothub/twin/PATCH/properties/desired/?$version=2", json!({ "label": "x", "$version": 2 })))
    );
    let (rid, outputs) = cloud.call_method("a", "ping", &json!({})).unwrap();
    assert_eq!(publish(&outputs).0, format!("$iothub/methods/POST/ping/?$rid={rid}"));
    assert_eq!(cloud.publish(NOW, 2, &format!("$iothub/methods/res/200/?$rid={rid}"), b"{}"), []);
    assert_eq!(cloud.hub().result(&rid).unwrap().status, 200);
    assert_eq!(cloud.publish(NOW, 2, "devices/a/messages/events/k=v", br#"{"t":1}"#), []);
    assert_eq!(cloud.hub().messages("a", 0)[0].body, json!({ "t": 1 }));
    for topic in ["devices/b/messages/events/", "$iothub/other", "x"] {
        assert_eq!(cloud.publish(NOW, 2, topic, b""), [Output::Close { to: 2 }], "{topic}");
    }
}

#[test]
fn a_device_registers_over_mqtt_as_every_official_client_does() {
    let mut cloud = cloud();
    let der = certificate("a");
    put(&mut cloud, &record("a", &der, "enabled"));
    let user =
        "0neTEST/registrations/a/api-version=2019-03-31&ClientVersion=azure-iot-provisioning-device%2F1.9.1";
    assert_eq!(cloud.connect(NOW, 1, "a", user, None), Err(NotAuthorized), "no certificate at all");
    assert_eq!(cloud.connect(NOW, 1, "a", user, Some(der)), Ok(vec![]));
    assert_eq!(cloud.subscribe(1, "$dps/registrations/res/#", 1), Some(1));
    // C# sends nothing at all, Python an explicit null.
    for payload in [&b""[..], br#"{"payload": null, "registrationId": "a"}"#] {
        let outputs = cloud.publish(NOW, 1, "$dps/registrations/PUT/iotdps-register/?$rid=1", payload);
        let (topic, body) = publish(&outputs);
        assert_eq!(topic, "$dps/registrations/res/202/?$rid=1&retry-after=3");
        let operation = body["operationId"].as_str().unwrap();
        let poll =
            format!("$dps/registrations/GET/iotdps-get-operationstatus/?$rid=2&operationId={operation}");
        assert_eq!(
            publish(&cloud.publish(NOW, 1, &poll, b" ")).0,
            "$dps/registrations/res/202/?$rid=2&retry-after=3"
        );
        let outputs = cloud.publish(NOW, 1, &poll, b"");
        assert_eq!(
            (publish(&outputs).0, &publish(&outputs).1["status"]),
            ("$dps/registrations/res/200/?$rid=2", &json!("assigned"))
        );
    }
}

#[test]
fn in_lossy_weather_so_many_answers_are_lost_and_everything_is_carried_out() {
    let (mut cloud, weather) = (cloud(), Weather::Lossy { percent: 30 });
    let lost = |cloud: &mut Cloud, seed: u64| {
        let mut forecast = Forecast::new(fastrand::Rng::with_seed(seed));
        let mut lost = Vec::new();
        for n in 0..100 {
            let id = format!("{seed}-{n}");
            let bulk =
                json!({ "mode": "create", "enrollments": [record(&id, &certificate(&id), "enabled")] });
            let request = service("POST", "/enrollments", &bulk);
            let fate = forecast.fate(weather, NOW, &request);
            lost.push(cloud.meet(NOW, &request, fate) == Met::Broken);
            let seen = cloud.seen(0).pop().unwrap();
            assert_eq!((seen.about, seen.lost, seen.status), (vec![id.clone()], lost[n], 200));
            assert!(cloud.enrollment(&id).is_some(), "{id} was not carried out");
        }
        lost
    };
    let (first, other) = (lost(&mut cloud, 1), lost(&mut cloud, 2));
    assert!((20..40).contains(&first.iter().filter(|lost| **lost).count()), "{first:?}");
    assert_ne!(first, other, "another seed is another run");
    assert_eq!(first, lost(&mut self::cloud(), 1), "and the same seed is the same run");
}
