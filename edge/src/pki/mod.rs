//! The box's own PKI, and the one door to `rcgen`.
//!
//! ```text
//! root ─┬─▶ issuing CA (devices only, pathlen 0) ─▶ a leaf for every unit
//!       └─▶ floor CA (pathlen 0)                  ─▶ our server certificate, our checkpoint certificate
//! ```
//!
//! Of a request we take the public key; every other field is ours (law 8). Validity and serial are always set: the
//! library's defaults reach from 1975 to 4096, and repeat the serial for the same key.

mod authority;
mod crl;
mod issuer;
mod signer;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use authority::{
    CHECKPOINT, FLOOR, ISSUING, ROOT, checkpoint_certificate, make, make_root, server_certificate,
};
pub(crate) use crl::{Entry, List};
pub(crate) use issuer::{Issued, Issuer, Profile};

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
