//! The public keys that we certify: which kinds there are, and why one is refused.
//!
//! A kind that is not here is refused by name, and so is a key that its owner could not keep to himself.

mod rsa;

use std::{borrow::Cow, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ParsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::der::{BIT_STRING, INTEGER, NULL, NotDer, OID, SEQUENCE, check, expect, only, read};

/// A kind of key that can be certified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyType {
    /// ECDSA on P-256: what this appliance makes itself.
    P256,
    /// ECDSA on P-384.
    P384,
    /// RSA with a modulus of 2048 bits: certified, never made.
    Rsa2048,
    /// RSA with a modulus of 3072 bits: certified, never made.
    Rsa3072,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
        })
    }
}

/// Why a key is not certified. The text completes "the key is refused: it …".
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum KeyRefusal {
    #[error("is no SubjectPublicKeyInfo in DER ({0})")]
    Malformed(#[from] NotDer),
    #[error("is {0}, which is not among P-256, P-384, RSA 2048 and RSA 3072")]
    Unsupported(String),
    #[error("{0}")]
    Weak(Cow<'static, str>),
}

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x2b\x81\x04\x00\x22";

/// Kinds that people do send, by the content of their object identifier.
const KNOWN: &[(&[u8], &str)] = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", "an RSA key for PSS only"),
    (b"\x2b\x65\x6e", "an X25519 key"),
    (b"\x2b\x65\x6f", "an X448 key"),
    (b"\x2b\x65\x70", "an Ed25519 key"),
    (b"\x2b\x65\x71", "an Ed448 key"),
    (b"\x2a\x86\x48\xce\x38\x04\x01", "a DSA key"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x03\x01", "a Diffie-Hellman key"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x11", "an ML-DSA-44 key"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x12", "an ML-DSA-65 key"),
    (b"\x60\x86\x48\x01\x65\x03\x04\x03\x13", "an ML-DSA-87 key"),
];

/// Curves that people do send.
const CURVES: &[(&[u8], &str)] = &[
    (b"\x2a\x86\x48\xce\x3d\x03\x01\x01", "P-192"),
    (b"\x2b\x81\x04\x00\x21", "P-224"),
    (b"\x2b\x81\x04\x00\x23", "P-521"),
    (b"\x2b\x81\x04\x00\x0a", "secp256k1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x07", "brainpoolP256r1"),
    (b"\x2b\x24\x03\x03\x02\x08\x01\x01\x0b", "brainpoolP384r1"),
];

/// What is inside a `SubjectPublicKeyInfo`, as far as its form tells.
enum Key<'a> {
    Ec { kind: KeyType, point: &'a [u8] },
    Rsa { kind: KeyType, modulus: &'a [u8], exponent: &'a [u8] },
}

impl KeyType {
    /// The kind of a key by its form alone; whether it is a good one is [`check_key`].
    pub(crate) fn of(spki: &[u8]) -> Result<Self, KeyRefusal> {
        Ok(match read_key(spki)? {
            Key::Ec { kind, .. } | Key::Rsa { kind, .. } => kind,
        })
    }

    pub(crate) fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072)
    }
}

/// Says of which kind a public key is (DER `SubjectPublicKeyInfo`, RFC 5280 4.1.2.7), or why it is not certified.
pub(crate) fn check_key(spki: &[u8]) -> Result<KeyType, KeyRefusal> {
    match read_key(spki)? {
        Key::Ec { kind, point } => {
            let curve: &'static dyn VerificationAlgorithm = match kind {
                KeyType::P384 => &ECDSA_P384_SHA384_ASN1,
                _ => &ECDSA_P256_SHA256_ASN1,
            };
            match ParsedPublicKey::new(curve, point) {
                Ok(_) => Ok(kind),
                Err(_) => weak("is a point that is not on its curve"),
            }
        }
        Key::Rsa { kind, modulus, exponent } => rsa::check(modulus, exponent).map(|()| kind),
    }
}

fn weak<T>(why: &'static str) -> Result<T, KeyRefusal> {
    Err(KeyRefusal::Weak(why.into()))
}

fn read_key(spki: &[u8]) -> Result<Key<'_>, KeyRefusal> {
    check(spki)?;
    let (algorithm, rest) = expect(only(spki, SEQUENCE)?, SEQUENCE)?;
    let key = only(rest, BIT_STRING)?;
    let (oid, parameters) = expect(algorithm, OID)?;
    let Some((0, key)) = key.split_first() else { return Err(NotDer::Value.into()) };
    match oid {
        EC => ec(parameters, key),
        RSA => {
            only(parameters, NULL)?;
            let (modulus, rest) = {
                check(key)?;
                expect(only(key, SEQUENCE)?, INTEGER)?
            };
            let exponent = only(rest, INTEGER)?;
            rsa::kind(modulus).map(|kind| Key::Rsa { kind, modulus, exponent })
        }
        other => Err(KeyRefusal::Unsupported(match KNOWN.iter().find(|(oid, _)| *oid == other) {
            Some((_, name)) => (*name).to_owned(),
            None => format!("of an unknown kind (object identifier {})", hex::encode(other)),
        })),
    }
}

fn ec<'a>(parameters: &[u8], point: &'a [u8]) -> Result<Key<'a>, KeyRefusal> {
    let unsupported = |what: String| Err(KeyRefusal::Unsupported(what));
    if parameters.is_empty() {
        return unsupported("an elliptic-curve key without its curve".to_owned());
    }
    let (parameters, rest) = read(parameters)?;
    if !rest.is_empty() {
        return Err(NotDer::Trailing.into());
    }
    let (kind, length) = match (parameters.tag, parameters.value) {
        (OID, P256) => (KeyType::P256, 65),
        (OID, P384) => (KeyType::P384, 97),
        (OID, other) => {
            return unsupported(match CURVES.iter().find(|(oid, _)| *oid == other) {
                Some((_, name)) => format!("a key on {name}"),
                None => format!("a key on an unknown curve (object identifier {})", hex::encode(other)),
            });
        }
        (SEQUENCE, _) => return unsupported("a key with explicit curve parameters".to_owned()),
        _ => return unsupported("a key without a named curve".to_owned()),
    };
    match point {
        // RFC 5480 2.2: uncompressed, the one form that every device stack reads.
        [4, ..] if point.len() == length => Ok(Key::Ec { kind, point }),
        [2 | 3, ..] => unsupported("a compressed point".to_owned()),
        [6 | 7, ..] => unsupported("a hybrid point".to_owned()),
        [0] => weak("is the point at infinity, which is no key"),
        _ => weak("is a point of the wrong length for its curve"),
    }
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests {
    use super::{
        testing::{ec_spki, p256_point, rsa_spki},
        *,
    };

    fn refused(spki: &[u8], says: &str) {
        let why = check_key(spki).unwrap_err().to_string();
        assert!(why.contains(says), "{why}, not {says}");
    }

    #[test]
    fn every_kind_that_we_certify_is_told_from_the_others() {
        for kind in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
            let spki = crate::pki::throw_away(kind).unwrap();
            assert_eq!(check_key(&spki), Ok(kind));
            assert_eq!(KeyType::of(&spki), Ok(kind));
        }
    }

    #[test]
    fn another_kind_of_key_is_refused_by_its_name() {
        for (curve, name) in CURVES {
            refused(&ec_spki(curve, &[4; 65]), name);
        }
        for (oid, name) in KNOWN {
            let spki = yasna::construct_der(|writer| {
                writer.write_sequence(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_der(&[&[6, u8::try_from(oid.len()).unwrap()], *oid].concat());
                    });
                    writer.next().write_bitvec_bytes(&[7; 32], 256);
                });
            });
            refused(&spki, name);
        }
    }

    #[test]
    fn a_point_in_another_form_or_off_its_curve_is_refused() {
        let good = p256_point();
        assert_eq!(check_key(&ec_spki(P256, &good)), Ok(KeyType::P256));
        let mut off = good.clone();
        off[64] ^= 1;
        refused(&ec_spki(P256, &off), "not on its curve");
        refused(&ec_spki(P256, &[&[2], &good[1..33]].concat()), "a compressed point");
        refused(&ec_spki(P256, &[&[6], &good[1..]].concat()), "a hybrid point");
        refused(&ec_spki(P256, &[0]), "infinity");
        refused(&ec_spki(P256, &good[..64]), "wrong length");
        refused(&ec_spki(P384, &good), "wrong length");
        refused(&ec_spki(P256, &[&[4], &[0xFF; 64][..]].concat()), "not on its curve");
    }

    #[test]
    fn a_modulus_of_another_size_is_refused_before_anything_is_computed() {
        for bits in [512, 1024, 2047, 2049, 4096, 16384] {
            let modulus = (num_bigint::BigUint::from(1_u8) << (bits - 1)) + 1_u8;
            let why = check_key(&rsa_spki(&modulus, &65537_u32.into())).unwrap_err().to_string();
            assert!(why.contains(&bits.to_string()), "{why}");
        }
    }
}
