//! What can stand between this box and DPS, what it is called, and what to do about it.

use serde::{Deserialize, Serialize};

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// No answer, for no reason of the more special ones.
    Unreachable,
    /// The service asked for patience (429).
    Busy,
    /// The service does not accept our credential (401, 403).
    Unauthorized,
    /// The service is in trouble itself (5xx, 408).
    Service,
    /// Somebody answered who is not DPS: a captive portal, a redirect.
    Stranger,
    /// The address is there, and nobody listens, or a firewall says no.
    Refused,
    /// The name of the service is not found.
    Name,
    /// Nothing came back in time.
    TimedOut,
    /// No trusted TLS connection.
    Tls,
    /// The proxy does not let us through, or wants a login (407).
    Proxy,
    /// The service does not accept our time of day.
    Clock,
    /// An answer of DPS that breaks off or does not parse.
    Garbled,
}

impl Cause {
    /// A stable code, for programs and for the documentation.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Unreachable => "link-unreachable",
            Self::Busy => "link-throttled",
            Self::Unauthorized => "link-unauthorized",
            Self::Service => "link-service",
            Self::Stranger => "link-captive-portal",
            Self::Refused => "link-refused",
            Self::Name => "link-dns",
            Self::TimedOut => "link-timeout",
            Self::Tls => "link-tls",
            Self::Proxy => "link-proxy",
            Self::Clock => "link-clock",
            Self::Garbled => "link-garbled",
        }
    }

    /// What it is called on a screen, in a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "no connection",
            Self::Busy => "the cloud is busy",
            Self::Unauthorized => "the cloud does not accept our credential",
            Self::Service => "the cloud has trouble",
            Self::Stranger => "something else answers in place of the cloud",
            Self::Refused => "the connection is refused",
            Self::Name => "the cloud's name is not found",
            Self::TimedOut => "no answer in time",
            Self::Tls => "no trusted TLS connection",
            Self::Proxy => "the proxy does not let us through",
            Self::Clock => "our clock is wrong",
            Self::Garbled => "the cloud's answers are cut short",
        }
    }

    /// What to do about it, and who.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "plant IT: check the cable, the address and the route of this box to the internet"
            }
            Self::Busy => {
                "nothing: it is asked again when it said so; if it stays, lower operations_per_minute on every box \
                 that shares this DPS"
            }
            Self::Unauthorized => {
                "whoever runs DPS: check that the policy of the connection string exists, with EnrollmentRead and \
                 EnrollmentWrite, and that its key was not renewed"
            }
            Self::Service => "nothing: Azure has to mend it; see status.azure.com",
            Self::Stranger => {
                "plant IT: a login page or a filter answers in place of DPS; let this box through to its host, port 443"
            }
            Self::Refused => "plant IT: allow this box to connect to the host of DPS, port 443",
            Self::Name => "plant IT: check the DNS server of this box, and the host in the connection string",
            Self::TimedOut => {
                "plant IT: a firewall drops packets to the host of DPS, port 443, or the line is overloaded"
            }
            Self::Tls => {
                "plant IT: if a proxy inspects TLS, put its root into [cloud] extra_root; else check this box's clock"
            }
            Self::Proxy => {
                "plant IT: check address, user and password in [cloud.proxy], and that it allows the host of DPS"
            }
            Self::Clock => "plant IT: set this box's clock, or give it a time server",
            Self::Garbled => {
                "plant IT: something between this box and DPS breaks answers off; check proxies and the line"
            }
        }
    }

    /// Whether one unit alone can be why a request fails like this, while others pass.
    #[must_use]
    pub fn may_be_a_unit(self) -> bool {
        matches!(self, Self::Service | Self::TimedOut | Self::Garbled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Cause; 12] = [
        Cause::Unreachable,
        Cause::Busy,
        Cause::Unauthorized,
        Cause::Service,
        Cause::Stranger,
        Cause::Refused,
        Cause::Name,
        Cause::TimedOut,
        Cause::Tls,
        Cause::Proxy,
        Cause::Clock,
        Cause::Garbled,
    ];

    #[test]
    fn every_cause_has_a_code_of_its_own_and_says_what_to_do() {
        let codes: std::collections::BTreeSet<_> = ALL.map(Cause::code).into();
        let words: std::collections::BTreeSet<_> = ALL.map(Cause::words).into();
        assert_eq!((codes.len(), words.len()), (ALL.len(), ALL.len()));
        assert!(ALL.iter().all(|cause| cause.code().starts_with("link-") && cause.advice().contains(": ")));
    }

    #[test]
    fn what_is_stored_keeps_its_name() {
        let stored = ALL.map(|cause| serde_json::to_string(&cause).unwrap());
        assert_eq!(
            stored[..5],
            ["\"unreachable\"", "\"busy\"", "\"unauthorized\"", "\"service\"", "\"stranger\""]
        );
    }
}
