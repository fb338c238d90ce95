//! What a device can honestly say about itself.

use std::fs;

use serde_json::{Value, json};

/// One message: a number that counts, and what the operating system says.
pub(crate) fn reading(sequence: u64) -> Value {
    let number = |path: &str| fs::read_to_string(path).ok()?.split_whitespace().next()?.parse::<f64>().ok();
    json!({ "sequence": sequence, "uptimeSeconds": number("/proc/uptime"), "load": number("/proc/loadavg") })
}
