//! The box's own PKI, and the one door to `rcgen`.
//!
//! ```text
//! root ─┬─▶ issuing CA (devices only, pathlen 0) ─▶ a leaf for every unit
//!       └─▶ floor CA (pathlen 0)                  ─▶ our server certificate, our checkpoint certificate
//! stations CA (its own root, pathlen 0)           ─▶ client certificates of stations
//! ```
//!
//! Of a request we take the public key; every other field is ours (law 8). Validity and serial are always set: the
//! library's defaults reach from 1975 to 4096, and repeat the serial for the same key.

mod authority;
mod ceremony;
mod issuer;
mod signer;
mod station;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use authority::{
    Authority, CHECKPOINT, FLOOR, ISSUING, ROOT, checkpoint_certificate, make, make_own, make_root,
    server_certificate,
};
pub(crate) use ceremony::{ca_request, proof, successor};
pub(crate) use issuer::{Issued, Issuer, Profile};
pub(crate) use station::{STATIONS, request, station_certificate};

use thiserror::Error;

/// Why a certificate was not made.
#[derive(Debug, Error)]
pub(crate) enum PkiError {
    /// The signature failed.
    #[error("the certificate could not be signed: {0}")]
    Sign(#[from] rcgen::Error),
    /// A certificate on disk is not what it should be.
    #[error("{0}")]
    Certificate(String),
}
