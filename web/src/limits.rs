//! How much of us one client may take.

use std::time::Duration;

/// What a listener grants; over a limit is refused before any work is done.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The size of a request body, in bytes.
    pub body: usize,
    /// From the end of the handshake to the end of the first request's head.
    pub head: Duration,
    /// Between two requests on a connection, and for the head of every request but the first.
    pub idle: Duration,
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For a whole request.
    pub request: Duration,
    /// How long running requests may take to finish when the server stops.
    pub grace: Duration,
    /// Connections in all.
    pub connections: usize,
    /// Connections of one address; no fewer than all by default, because who stands behind a proxy may be many.
    pub connections_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 64 << 10,
            head: Duration::from_secs(5),
            idle: Duration::from_secs(30),
            handshake: Duration::from_secs(5),
            request: Duration::from_secs(15),
            grace: Duration::from_secs(5),
            connections: 1024,
            connections_per_address: 1024,
        }
    }
}
