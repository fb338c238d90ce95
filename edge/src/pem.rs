//! PEM as RFC 7468 wants it, wiped when dropped: one of the things that we encode is a private key.

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

/// Encodes `der` under `label`, in lines of 64.
pub(crate) fn encode(label: &str, der: &[u8]) -> Zeroizing<String> {
    of_base64(label, &Zeroizing::new(STANDARD.encode(der)))
}

/// Encodes what `text` is the base64 of under `label`, in lines of 64.
pub(crate) fn of_base64(label: &str, text: &str) -> Zeroizing<String> {
    // Room for all of it at once: a string that grows leaves copies behind.
    let mut pem = Zeroizing::new(String::with_capacity(text.len() + text.len() / 64 + 2 * label.len() + 64));
    pem.push_str("-----BEGIN ");
    pem.push_str(label);
    pem.push_str("-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        pem.push('\n');
    }
    pem.push_str("-----END ");
    pem.push_str(label);
    pem.push_str("-----\n");
    pem
}
