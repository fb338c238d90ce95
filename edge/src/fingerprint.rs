//! By what keys, certificates and tokens are known: the SHA-256 of their bytes, hex.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of some bytes, hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest(&SHA256, bytes))
}
