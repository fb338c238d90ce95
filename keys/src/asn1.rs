//! The few ASN.1 structures that a token speaks about, byte by byte: curves, points and signatures.

use crate::Algorithm;

/// The OBJECT IDENTIFIER of a curve (RFC 5480 section 2.1.1.1), DER: what PKCS#11 calls `CKA_EC_PARAMS`.
pub(crate) fn parameters(algorithm: Algorithm) -> Vec<u8> {
    match algorithm {
        Algorithm::P256 => vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
        Algorithm::P384 => vec![0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22],
    }
}

/// The curve that [`parameters`] are of.
pub(crate) fn algorithm(parameters: &[u8]) -> Option<Algorithm> {
    [Algorithm::P256, Algorithm::P384].into_iter().find(|known| self::parameters(*known) == parameters)
}

/// `SubjectPublicKeyInfo` of an uncompressed point (RFC 5480 section 2).
pub(crate) fn spki(algorithm: Algorithm, point: &[u8]) -> Vec<u8> {
    const EC_PUBLIC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let kind = tagged(0x30, &[&EC_PUBLIC_KEY[..], &parameters(algorithm)].concat());
    let bits = tagged(0x03, &[&[0][..], point].concat());
    tagged(0x30, &[kind, bits].concat())
}

/// The inside of an OCTET STRING of less than 128 bytes: how a token wraps a point.
pub(crate) fn octets(der: &[u8]) -> Option<Vec<u8>> {
    match der {
        [0x04, length, rest @ ..] if *length < 0x80 && usize::from(*length) == rest.len() => {
            Some(rest.to_vec())
        }
        _ => None,
    }
}

/// A raw signature, r and s of the same length, as DER `ECDSA-Sig-Value` (RFC 3279 section 2.2.3).
pub(crate) fn signature(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.is_empty() || !raw.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = raw.split_at(raw.len() / 2);
    Some(tagged(0x30, &[integer(r), integer(s)].concat()))
}

/// A number without a sign as a DER INTEGER: no zeros in front, but one where the first bit is set.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
    let number = &number[zeros..];
    let sign: &[u8] = if number[0] & 0x80 == 0 { &[] } else { &[0] };
    tagged(0x02, &[sign, number].concat())
}

/// Tag, length and content; all that is made here is shorter than 256 bytes.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("keys and signatures of these curves are short");
    let head: &[u8] = if length < 0x80 { &[tag, length] } else { &[tag, 0x81, length] };
    [head, content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FileKey, SigningKey};

    #[test]
    fn a_point_becomes_the_structure_that_the_library_makes() {
        let dir = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::P256, Algorithm::P384] {
            let key = FileKey::create(&dir.path().join(format!("{algorithm:?}")), algorithm).unwrap();
            assert_eq!(spki(algorithm, key.public_point()), key.public_key_der());
            assert_eq!(self::algorithm(&parameters(algorithm)), Some(algorithm));
        }
        assert_eq!(algorithm(&[6, 1, 1]), None);
    }

    #[test]
    fn a_signature_has_the_shortest_integers() {
        assert_eq!(signature(&[0, 1, 0x80, 2]).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2]);
        assert_eq!(signature(&[0, 0, 0, 5]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 5]);
        assert_eq!(signature(&[1, 2, 3]), None);
        assert_eq!(signature(&[]), None);
        assert_eq!(signature(&[0xff; 96]).unwrap().len(), 2 + 2 * (2 + 49));
        assert_eq!(signature(&[0xff; 132]).unwrap()[..3], [0x30, 0x81, 138]);
    }

    #[test]
    fn a_point_is_unwrapped_only_whole() {
        assert_eq!(octets(&[4, 2, 8, 9]), Some(vec![8, 9]));
        assert_eq!(octets(&[4, 3, 8, 9]), None);
        assert_eq!(octets(&[8, 9]), None);
    }
}
