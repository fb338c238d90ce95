//! Latencies, and what a turn of load comes to.

use std::time::Duration;

use serde::Serialize;

/// What was measured in a turn, or in all turns of a kind.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) seconds: f64,
    /// CPU seconds of the server.
    pub(crate) server: f64,
}

/// The same, to be read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    issued: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_ms: f64,
    p95_ms: f64,
    pub(crate) p99_ms: f64,
    max_ms: f64,
    /// CPU microseconds of the server for each.
    pub(crate) server_us: f64,
}

impl Turn {
    /// Adds another turn of the same kind.
    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.seconds += other.seconds;
        self.server += other.server;
    }

    pub(crate) fn figures(&self) -> Figures {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let at = |share: f64| {
            let index = (sorted.len() as f64 * share) as usize;
            sorted
                .get(index.min(sorted.len().saturating_sub(1)))
                .map_or(0.0, |found| found.as_secs_f64() * 1e3)
        };
        let issued = sorted.len();
        Figures {
            issued,
            per_second: issued as f64 / self.seconds,
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: at(1.0),
            server_us: self.server * 1e6 / issued as f64,
        }
    }
}
