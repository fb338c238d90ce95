//! By what keys, certificates and tokens are known: the SHA-256 of their bytes, hex.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of some bytes, hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    // At once, not letter by letter as `hex::encode` does it: every unit has half a dozen.
    let mut hex = [0; 64];
    hex::encode_to_slice(digest(&SHA256, bytes), &mut hex).expect("32 bytes are 64 digits");
    String::from_utf8_lossy(&hex).into_owned()
}

/// The SHA-256 of a certificate as thumbprints are written: hex, upper case.
pub(crate) fn thumbprint(certificate: &[u8]) -> String {
    let mut hex = sha256(certificate);
    hex.make_ascii_uppercase();
    hex
}
