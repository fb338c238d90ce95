//! Shared access signatures: `SharedAccessSignature sr=…&sig=…&se=…&skn=…`.
//!
//! `sig` is the base64 HMAC-SHA256 of `sr`, as it stands in the token, a line feed, and `se`.
//! <https://learn.microsoft.com/azure/iot-hub/iot-hub-dev-guide-sas>

use std::fmt;

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const SCHEME: &str = "SharedAccessSignature ";

/// The secret of a shared access policy. Does not print itself.
#[derive(Clone)]
pub struct SasKey(Vec<u8>);

impl SasKey {
    /// The key with these bytes (a connection string carries them in base64).
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

impl fmt::Debug for SasKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SasKey(..)")
    }
}

/// Makes a token for `resource` (a host name) that is good until `expires`, in seconds since 1970.
#[must_use]
pub fn sign(resource: &str, policy: &str, key: &SasKey, expires: i64) -> String {
    let resource = utf8_percent_encode(resource, RESERVED).to_string();
    let mac = hmac::sign(&key.hmac(), format!("{resource}\n{expires}").as_bytes());
    let signature = STANDARD.encode(mac);
    let signature = utf8_percent_encode(&signature, RESERVED);
    let policy = utf8_percent_encode(policy, RESERVED);
    format!("{SCHEME}sr={resource}&sig={signature}&se={expires}&skn={policy}")
}

/// A token as somebody presents it; nothing in it is true before [`Presented::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// What it claims to be good for, decoded.
    pub resource: String,
    /// Until when, in seconds since 1970.
    pub expires: i64,
    /// The policy whose key made it.
    pub policy: String,
    signed: String,
    signature: Vec<u8>,
}

impl Presented {
    /// Reads the value of an `Authorization` header; `None` if it is no shared access signature.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let fields: Vec<_> =
            header.strip_prefix(SCHEME)?.split('&').filter_map(|field| field.split_once('=')).collect();
        let raw = |name: &str| fields.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        let decode = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
        let (resource, expires) = (raw("sr")?, raw("se")?);
        Some(Self {
            resource: decode(resource)?,
            expires: expires.parse().ok()?,
            policy: decode(raw("skn")?)?,
            // The signature is over the text as it was sent: encoders differ in case and in what they escape.
            signed: format!("{resource}\n{expires}"),
            signature: STANDARD.decode(decode(raw("sig")?)?).ok()?,
        })
    }

    /// Whether it was made with `key`. Says nothing about resource and expiry.
    #[must_use]
    pub fn verify(&self, key: &SasKey) -> bool {
        hmac::verify(&key.hmac(), self.signed.as_bytes(), &self.signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SasKey {
        SasKey::new(STANDARD.decode("c2VjcmV0LWtleS0wMDE=").expect("base64"))
    }

    #[test]
    fn a_service_token_is_the_one_of_the_protocol_notes() {
        let token =
            sign("mydps.azure-devices-provisioning.net", "provisioningserviceowner", &key(), 1_767_225_600);
        let expected = "SharedAccessSignature sr=mydps.azure-devices-provisioning.net\
            &sig=6yVC4uHxHZdJzVvw5bln5wbr0TqWKAtqezKbFXZB4sE%3D&se=1767225600&skn=provisioningserviceowner";
        assert_eq!(token, expected);
    }

    #[test]
    fn a_device_token_is_the_one_of_the_protocol_notes() {
        let token = sign("0neTEST/registrations/dev-001", "registration", &key(), 1_767_225_600);
        let presented = Presented::parse(&token).expect("a token");
        assert!(token.contains("sr=0neTEST%2Fregistrations%2Fdev-001&"));
        assert_eq!(STANDARD.encode(&presented.signature), "XPYGmpMw6C3VU0lRUIfizPlo8l+TN6BiW885hwqmsJE=");
        assert_eq!(presented.resource, "0neTEST/registrations/dev-001");
    }

    #[test]
    fn fields_may_come_in_any_order_and_in_another_encoding() {
        let token = sign("a/b", "p", &key(), 5);
        let fields: Vec<_> = token.strip_prefix(SCHEME).expect("a token").split('&').collect();
        let turned = format!("{SCHEME}{}&{}&{}&{}", fields[3], fields[1], fields[0], fields[2]);
        assert!(Presented::parse(&turned).is_some_and(|token| token.verify(&key())));
        let mac = hmac::sign(&key().hmac(), b"a%2fb\n5");
        let lower = format!(
            "{SCHEME}sr=a%2fb&sig={}&se=5&skn=p",
            utf8_percent_encode(&STANDARD.encode(mac), RESERVED)
        );
        assert!(
            Presented::parse(&lower).is_some_and(|token| token.verify(&key()) && token.resource == "a/b")
        );
    }

    #[test]
    fn a_changed_token_or_another_key_does_not_verify() {
        let token = sign("host", "p", &key(), 5);
        for changed in [token.replace("sr=host", "sr=most"), token.replace("se=5", "se=6")] {
            assert!(Presented::parse(&changed).is_some_and(|token| !token.verify(&key())), "{changed}");
        }
        assert!(Presented::parse(&token).is_some_and(|token| !token.verify(&SasKey::new(b"other".to_vec()))));
        assert_eq!(Presented::parse("Bearer abc"), None);
    }
}
