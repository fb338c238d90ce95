//! The feed, as a screen and as a stranger see it.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use support::Running;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{Error, client::IntoClientRequest},
};

type Feed = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(edge: &Running, headers: &[(&'static str, &str)]) -> Result<Feed, u16> {
    let mut request =
        format!("wss://localhost:{}/v1/feed", edge.address.port()).into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(edge.dir.path().join("box/root.pem")).unwrap()).unwrap();
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    match connect_async_tls_with_config(request, None, false, Some(Connector::Rustls(Arc::new(tls)))).await {
        Ok((feed, _)) => Ok(feed),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

/// The next message that is one of `kinds`.
async fn next(feed: &mut Feed, kinds: &[&str]) -> Value {
    loop {
        let message = timeout(Duration::from_secs(10), feed.next()).await.expect("in time").unwrap().unwrap();
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        if kinds.contains(&message["type"].as_str().unwrap()) {
            return message;
        }
    }
}

#[tokio::test]
async fn a_screen_hears_hello_a_snapshot_what_changes_and_a_heartbeat() {
    let edge = Running::start().await;
    let display = edge.role("display").await;
    let mut feed = open(&edge, &[("authorization", &format!("Bearer {display}"))]).await.unwrap();
    let hello = next(&mut feed, &["hello", "snapshot"]).await;
    assert_eq!((&hello["type"], &hello["proto"]), (&json!("hello"), &json!(1)));
    assert!(hello["boot_id"].is_string() && hello["server_time"].is_string());
    let snapshot = next(&mut feed, &["snapshot"]).await;
    assert_eq!(snapshot["lines"].as_array().unwrap().len(), 2);
    assert_eq!(snapshot["cloud"]["link"], "off");

    let station = edge.role("station").await;
    let (_, unit) = edge.issue(&station, &json!({ "id": "a", "line": "L2" })).await;
    let delta = loop {
        let delta = next(&mut feed, &["delta"]).await;
        if !delta["lines"].as_array().unwrap().is_empty() {
            break delta;
        }
    };
    assert_eq!(delta["lines"].as_array().unwrap().len(), 1, "only what changed: {delta}");
    assert_eq!((&delta["lines"][0]["id"], &delta["lines"][0]["last"]), (&json!("L2"), &unit["id"]));
    assert_eq!(delta["cloud"]["books"]["waiting"], 1);
    assert!(delta["seq"].as_u64() > snapshot["seq"].as_u64());
    let heartbeat = next(&mut feed, &["heartbeat"]).await;
    assert!(heartbeat["server_time"].is_string());
}

#[tokio::test]
async fn a_page_of_another_site_and_a_stranger_get_nothing() {
    let edge = Running::start().await;
    let bearer = format!("Bearer {}", edge.role("display").await);
    let own = format!("https://localhost:{}", edge.address.port());
    assert!(open(&edge, &[("authorization", &bearer), ("origin", &own)]).await.is_ok());
    assert_eq!(
        open(&edge, &[("authorization", &bearer), ("origin", "https://evil.example")]).await.err(),
        Some(403)
    );
    assert_eq!(open(&edge, &[("authorization", &bearer), ("origin", "null")]).await.err(), Some(403));
    assert_eq!(open(&edge, &[]).await.err(), Some(401));
}

#[tokio::test]
async fn a_screen_is_counted_for_as_long_as_it_is_there() {
    let edge = Running::start().await;
    let display = edge.role("display").await;
    let screens = async |wanted: u32| {
        let look = async {
            loop {
                let page = edge.client.get(edge.url("/metrics")).bearer_auth(&display).send().await.unwrap();
                let page = page.text().await.unwrap();
                if page.contains(&format!("\nedge_display_clients {wanted}\n")) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(10), look).await.unwrap_or_else(|_| panic!("never {wanted} screens"));
    };
    screens(0).await;
    let bearer = format!("Bearer {display}");
    let mut feeds = Vec::new();
    for count in 1..3 {
        let mut feed = open(&edge, &[("authorization", &bearer)]).await.unwrap();
        next(&mut feed, &["snapshot"]).await;
        feeds.push(feed);
        screens(count).await;
    }
    drop(feeds);
    screens(0).await;
}
