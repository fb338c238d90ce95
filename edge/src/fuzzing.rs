//! The doors of `fuzz/`: what strangers send, without a server around it. There only where a fuzzer builds us.

use std::path::Path;

use crate::{Config, csr::Csr, record::Commit};

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
