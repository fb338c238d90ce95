//! What Prometheus is told: every number that is documented and no other, in its format, and books that always balance.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use cloud_sync::{CloudEvent, Why};
use reqwest::Method;
use serde_json::json;
use support::{Running, csr, write};
use tempfile::TempDir;
use time::Duration;
use tokio::task::JoinSet;

const PAGE: &str = include_str!("../../docs/metrics.md");

/// An appliance below a cloud that nobody answers for.
async fn below_nobody() -> Running {
    let dir = TempDir::new().unwrap();
    let credential = dir.path().join("connection-string.txt");
    let words =
        "HostName=plant.azure-devices-provisioning.net;SharedAccessKeyName=owner;SharedAccessKey=AAAA";
    fs::write(&credential, words).unwrap();
    let cloud = format!("[cloud]\nconnection_string_file = {credential:?}\nconnect_to = \"127.0.0.1:9\"\n");
    Running::start_ending(&cloud).await
}

/// A scrape: what a page says, by the rules of the text format 0.0.4.
#[derive(Debug, Default)]
struct Scrape {
    text: String,
    types: BTreeMap<String, String>,
    /// Name, labels and value of every sample.
    samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    /// Reads a page; a page that is none ends the test.
    fn parse(text: String) -> Self {
        let mut scrape = Self::default();
        let (mut help, mut family) = (None, String::new());
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            if let Some(told) = line.strip_prefix("# HELP ") {
                let (name, words) = told.split_once(' ').unwrap();
                assert!(words.ends_with('.') && words.len() > 10, "{line}");
                help = Some(name.to_owned());
            } else if let Some(told) = line.strip_prefix("# TYPE ") {
                let (name, kind) = told.split_once(' ').unwrap();
                assert_eq!(help.take().as_deref(), Some(name), "every family has its words");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert!(
                    scrape.types.insert(name.to_owned(), kind.to_owned()).is_none(),
                    "{name} is there twice"
                );
                name.clone_into(&mut family);
            } else {
                let (name, labels, value) = sample(line);
                let suffix = name.strip_prefix(&family).unwrap_or_else(|| panic!("{line} after {family}"));
                let known = match scrape.types[&family].as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"].contains(&suffix),
                    _ => suffix.is_empty(),
                };
                assert!(known, "{line}");
                let twin =
                    scrape.samples.iter().any(|(other, others, _)| (other, others) == (&name, &labels));
                assert!(!twin, "{line} is there twice");
                scrape.samples.push((name, labels, value));
            }
        }
        for (name, kind) in &scrape.types {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            let valid = |c: char| c.is_ascii_lowercase() || c == '_';
            assert!(name.starts_with("edge_") && name.chars().all(valid), "{name}");
        }
        scrape.text = text;
        scrape
    }

    /// The value of a sample that has these labels.
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let fits = |found: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| found.get(*name).is_some_and(|found| found == value))
        };
        let mut found = self.samples.iter().filter(|(found, labels, _)| found == name && fits(labels));
        let value = found.next().map(|(_, _, value)| *value);
        assert!(found.next().is_none(), "{name} {labels:?} is not one");
        value
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}:\n{}", self.text))
    }

    /// Enqueued, completed, dropped, waiting and held; they always balance.
    fn books(&self) -> [f64; 5] {
        let total = |name: &str| self.value(&format!("edge_queue_{name}_total"), &[]);
        let jobs = |state: &str| self.value("edge_queue_jobs", &[("state", state)]);
        let books @ [enqueued, completed, dropped, waiting, held] =
            [total("enqueued"), total("completed"), total("dropped"), jobs("waiting"), jobs("held")];
        assert_eq!(enqueued, completed + dropped + waiting + held, "{books:?}");
        books
    }
}

/// Reads `name{label="value",…} number`.
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
    let Some((name, labels)) = head.split_once('{') else { return (head.to_owned(), BTreeMap::new(), value) };
    let (mut rest, mut found) = (labels, BTreeMap::new());
    while let Some((label, quoted)) = rest.split_once("=\"") {
        let (mut text, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => text.push(match chars.next().unwrap().1 {
                    'n' => '\n',
                    other @ ('"' | '\\') => other,
                    other => panic!("{line}: \\{other}"),
                }),
                (end, '"') => break end,
                (_, other) => text.push(other),
            }
        };
        assert!(found.insert(label.to_owned(), text).is_none(), "{line}");
        rest = &quoted[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    assert_eq!(rest, "}", "{line}");
    (name.to_owned(), found, value)
}

async fn scrape(edge: &Running, token: &str) -> Scrape {
    let response = edge.client.get(edge.url("/metrics")).bearer_auth(token).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4");
    Scrape::parse(response.text().await.unwrap())
}

/// The rows of the page: name to type and labels.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `edge_"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        let labels = labels.filter(|label| label != "–").collect();
        (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), labels))
    });
    rows.collect()
}

#[tokio::test]
async fn every_number_is_documented_and_everything_documented_is_told() {
    let edge = below_nobody().await;
    let token = edge.role("station").await;
    assert_eq!(edge.issue(&token, &json!({ "id": "a", "csr": csr("a"), "line": "L1" })).await.0, 201);
    // Until the worker has tried.
    let page = loop {
        let page = scrape(&edge, &token).await;
        if page.find("edge_link_up", &[]).is_some() {
            break page;
        }
    };
    assert_eq!(page.value("edge_link_up", &[]), 0.0);
    assert!(
        page.value("edge_sync_attempts_total", &[("outcome", "failed"), ("code", "link-refused")]) >= 1.0
    );
    assert_eq!(page.value("edge_sync_attempts_total", &[("outcome", "answered")]), 0.0);
    let documented = documented();
    let mut told: BTreeMap<_, _> =
        page.types.iter().map(|(name, kind)| (name.clone(), (kind.clone(), BTreeSet::new()))).collect();
    for (name, labels, _) in &page.samples {
        let family = told.keys().filter(|family| name.starts_with(*family)).max_by_key(|family| family.len());
        let family = family.unwrap().clone();
        told.get_mut(&family).unwrap().1.extend(labels.keys().filter(|label| *label != "le").cloned());
    }
    for (name, told) in &told {
        assert_eq!(documented.get(name), Some(told), "{name} in docs/metrics.md");
    }
    // `journeys/tests/metrics.rs` has a cloud that answers.
    let missing: Vec<_> = documented.keys().filter(|name| !told.contains_key(*name)).collect();
    assert_eq!(missing, ["edge_clock_offset_seconds", "edge_sync_last_success_timestamp_seconds"]);
    assert_eq!(page.value("edge_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!((page.value("edge_ready", &[]), page.value("edge_clock_believed", &[])), (1.0, 1.0));
    assert!(page.value("edge_storage_free_bytes", &[]) > 1e6);
    let now = support::now().unix_timestamp() as f64;
    for ca in ["root", "issuing", "floor"] {
        let end = page.value("edge_ca_certificate_expiry_timestamp_seconds", &[("ca", ca)]);
        assert!(end > now + 365.0 * 86_400.0, "{ca}: {end}");
    }
    let heard = page.value("edge_station_last_seen_timestamp_seconds", &[("station", "station")]);
    assert!((now - heard).abs() < 60.0, "{heard}");
    edge.stop().await;
}

#[tokio::test]
async fn values_move_when_units_are_made_and_no_label_grows_with_them() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let before = scrape(&edge, &token).await;
    for id in ["unit-a", "unit-b", "unit-c"] {
        let (status, unit) = edge.issue(&token, &json!({ "id": id, "csr": csr(id), "line": "L1" })).await;
        assert_eq!(status, 201, "{unit}");
    }
    let again = json!({ "reason": "board swapped", "csr": csr("unit-a") });
    let (status, unit) = edge.ask(&token, "/v1/units/unit-a/rework", again).await;
    assert_eq!(status, 201, "{unit}");
    let after = scrape(&edge, &token).await;
    let issued = |page: &Scrape| {
        let count = page.value("edge_certificate_issue_duration_seconds_count", &[]);
        (page.value("edge_certificates_issued_total", &[("profile", "default")]), count)
    };
    assert_eq!((issued(&before), issued(&after)), ((0.0, 0.0), (4.0, 4.0)));
    assert!(after.value("edge_certificate_issue_duration_seconds_sum", &[]) > 0.0);
    assert_eq!(after.books(), [4.0, 0.0, 1.0, 3.0, 0.0], "what was replaced before it was told is dropped");
    let names = |page: &Scrape| -> Vec<_> {
        let ours =
            page.samples.iter().filter(|(name, ..)| name != "edge_station_last_seen_timestamp_seconds");
        ours.map(|(name, labels, _)| (name.clone(), labels.clone())).collect()
    };
    assert_eq!(names(&before), names(&after), "no sample more, however many units");
    let text = |name: &str| unit[name].as_str().unwrap().to_lowercase();
    for secret in ["unit-".to_owned(), text("serial"), text("sha256"), token.to_lowercase()] {
        assert!(!after.text.to_lowercase().contains(&secret), "{secret}: {}", after.text);
    }
    edge.stop().await;
}

#[tokio::test]
async fn who_may_not_read_the_status_reads_no_numbers() {
    let edge = Running::start().await;
    let get = || edge.client.get(edge.url("/metrics"));
    for request in [get(), get().bearer_auth("edge_made-up")] {
        let answer = support::answer(request).await;
        assert_eq!(support::problem(&answer), (401, "unauthenticated"));
    }
    let gone = edge.token(json!({ "name": "gone", "role": "display" })).await;
    scrape(&edge, &gone).await;
    assert_eq!(edge.local(Method::DELETE, "/tokens/gone", None).await.0, 204);
    assert_eq!(support::answer(get().bearer_auth(&gone)).await.0, 401);
    edge.stop().await;
}

#[tokio::test]
async fn the_books_balance_at_every_scrape_and_go_on_over_a_restart() {
    let edge = Running::start().await;
    let token = edge.role("supervisor").await;
    let mut lines = JoinSet::new();
    for line in 0..4 {
        let (client, url, token) = (edge.client.clone(), edge.url("/v1/units"), token.clone());
        lines.spawn(async move {
            for n in 0..25 {
                let id = format!("u{line}-{n}");
                let request = json!({ "id": id, "csr": csr(&id), "line": "L1" });
                let request = client.post(&url).bearer_auth(&token).json(&request);
                assert_eq!(support::answer(request).await.0, 201);
            }
        });
    }
    while !lines.is_empty() {
        scrape(&edge, &token).await.books();
        while let Some(ended) = lines.try_join_next() {
            ended.unwrap();
        }
    }
    assert_eq!(scrape(&edge, &token).await.books(), [100.0, 0.0, 0.0, 100.0, 0.0]);
    let (dir, admin) = edge.stop().await;
    let why = Why { code: "conflict".to_owned(), detail: "the cloud says no".to_owned() };
    write(&dir, CloudEvent::Held { id: "u0-0".parse().unwrap(), epoch: 1, why }.into()).await;
    write(&dir, CloudEvent::Accepted { id: "u0-1".parse().unwrap(), epoch: 1 }.into()).await;
    let edge = Running::start_in(dir, admin);
    let page = scrape(&edge, &token).await;
    assert_eq!(page.books(), [100.0, 1.0, 0.0, 98.0, 1.0]);
    assert_eq!(page.value("edge_certificates_issued_total", &[]), 0.0, "counted since the start");
    assert!(page.value("edge_queue_oldest_job_age_seconds", &[]) > 0.0);
    edge.stop().await;
}

#[tokio::test]
async fn a_station_is_heard_by_its_certificate_or_token_until_it_is_shut_out() {
    let edge = Running::start().await;
    let admin = edge.role("admin").await;
    let heard = async |name: &str| {
        let page = scrape(&edge, &admin).await;
        page.find("edge_station_last_seen_timestamp_seconds", &[("station", name)])
    };
    let seen = async || heard("press-1").await;
    let (_, _, client) = edge.station("press-1", "L1", Duration::days(365)).await;
    assert_eq!(seen().await, None, "it was never here");
    let (status, _) = support::answer(client.get(edge.url("/metrics"))).await;
    assert_eq!(status, 200, "a certificate is good for reading too");
    assert!(seen().await.is_some());
    assert_eq!(edge.local(Method::DELETE, "/stations/press-1", None).await.0, 204);
    assert_eq!(seen().await, None, "nobody waits for it any more");
    let token = edge.token(json!({ "name": "t-7", "role": "station", "station": "press-7" })).await;
    assert_eq!(edge.get(&token, "/v1/status").await.0, 200);
    assert_eq!((heard("press-7").await.is_some(), heard("t-7").await), (true, None), "by where it stands");
    assert_eq!(edge.local(Method::DELETE, "/tokens/t-7", None).await.0, 204);
    assert_eq!(heard("press-7").await, None);
    edge.stop().await;
}
