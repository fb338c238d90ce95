//! The claim code of a unit, derived so that it never has to be stored.

use aws_lc_rs::hmac;
use azure_iot::RegistrationId;
use cloud_sync::claim::{ClaimCode, ClaimRecord};

/// The secret from which all claim codes of this box come. Guarded like the CA key, and backed up with it.
pub(crate) struct ClaimKey(hmac::Key);

impl ClaimKey {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The code on the label: the first 80 bits of HMAC-SHA256(key, "claim" 00 id 00 generation).
    pub(crate) fn code(&self, id: &RegistrationId, generation: u32) -> ClaimCode {
        ClaimCode::from_bits(self.derive("claim", id, generation))
    }

    /// What of it travels; the salt is derived too, so that a resend is byte-identical.
    pub(crate) fn record(&self, id: &RegistrationId, generation: u32) -> ClaimRecord {
        ClaimRecord::new(generation, &self.derive("salt", id, generation), &self.code(id, generation))
    }

    fn derive<const N: usize>(&self, what: &str, id: &RegistrationId, generation: u32) -> [u8; N] {
        let text = [what.as_bytes(), &[0], id.as_ref().as_bytes(), &[0], &generation.to_be_bytes()].concat();
        let mac = hmac::sign(&self.0, &text);
        std::array::from_fn(|i| mac.as_ref()[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_belongs_to_one_unit_one_label_and_one_box() {
        let key = ClaimKey::new(&[7; 32]);
        let (a, b): (RegistrationId, RegistrationId) = ("a".parse().unwrap(), "b".parse().unwrap());
        assert_eq!(key.code(&a, 1), key.code(&a, 1));
        assert!(key.record(&a, 1).matches(&key.code(&a, 1)));
        for other in [key.code(&b, 1), key.code(&a, 2), ClaimKey::new(&[8; 32]).code(&a, 1)] {
            assert!(!key.record(&a, 1).matches(&other));
        }
        assert_eq!(key.record(&a, 1), key.record(&a, 1), "a resend is byte-identical");
    }
}
