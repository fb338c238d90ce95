//! The doors of `fuzz/`: what strangers send, without a server around it. There only where a fuzzer builds us.

use std::path::Path;

use http::{HeaderMap, HeaderValue, header};

use crate::{Config, csr::Csr, feed, http::est::body, issuance, record::Commit};

/// A request in DER, and in PEM.
pub fn csr(bytes: &[u8]) {
    let from_der = Csr::from_der(bytes);
    if let Ok(csr) = &from_der {
        assert!(!csr.spki.is_empty());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Csr::parse(text);
    }
}

/// What an EST client posts, up to the unit that it asks for.
pub fn est_body(bytes: &[u8]) {
    let Ok(der) = body::decode(bytes) else { return };
    assert!(der.len() <= bytes.len());
    if let Ok(csr) = Csr::from_der(&der)
        && let Some(name) = &csr.common_name
    {
        let _ = issuance::id(name);
    }
}

/// Who asks for the feed, and which page has sent it: the two are one, or it gets nothing.
pub fn feed(host: &[u8], origin: &[u8]) {
    let (Ok(host), Ok(origin)) = (HeaderValue::from_bytes(host), HeaderValue::from_bytes(origin)) else {
        return;
    };
    let own = [b"https://", host.as_bytes()].concat() == origin.as_bytes();
    let headers = HeaderMap::from_iter([(header::HOST, host), (header::ORIGIN, origin)]);
    assert_eq!(feed::own_origin(&headers).is_ok(), own);
}

/// A configuration file.
pub fn config(text: &str) {
    let _ = Config::parse(Path::new("edge.toml"), text);
}

/// The payload of a frame.
pub fn event(text: &str) {
    if let Ok(commit) = serde_json::from_str::<Commit>(text) {
        for event in &commit.events {
            let json = serde_json::to_string(event).expect("events are plain data");
            let again = serde_json::from_str(&json).expect("what was written is read");
            assert_eq!(*event, again);
            let _ = (event.words(), event.unit());
        }
    }
}
