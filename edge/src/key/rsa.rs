//! RSA keys that their owner cannot keep to himself.
//!
//! Each check is cheap and has a bound: sizes are known before anything is computed. Sources: CA/Browser Forum Baseline
//! Requirements 6.1.6 and 6.1.1.3 (exponent, small factors, Fermat), NIST SP 800-89 5.3.3, CVE-2017-15361 (ROCA).

use num_bigint::BigUint;

use super::{KeyRefusal, KeyType, weak};

/// Up to here prime factors are looked for; 752 is what the Baseline Requirements ask for.
const SMALL: u32 = 1 << 12;
/// Rounds of Fermat's method, as the Baseline Requirements have them.
const ROUNDS: u32 = 100;
/// The primes modulo which a modulus of the Infineon library gives itself away: there 65537 generates few residues.
const ROCA: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// The kind of a key by the size of its modulus (the content of a DER INTEGER).
pub(super) fn kind(modulus: &[u8]) -> Result<KeyType, KeyRefusal> {
    let magnitude = match modulus {
        [0x80..=0xFF, ..] => return weak("is RSA with a negative modulus"),
        [0, rest @ ..] => rest,
        all => all,
    };
    let leading = magnitude.first().map_or(0, |first| first.leading_zeros() as usize);
    match magnitude.len() * 8 - leading {
        2048 => Ok(KeyType::Rsa2048),
        3072 => Ok(KeyType::Rsa3072),
        short @ 0..2048 => Err(KeyRefusal::Weak(format!("is RSA with only {short} bits").into())),
        other => Err(KeyRefusal::Unsupported(format!("RSA with {other} bits"))),
    }
}

/// Says why a key of the right size is weak. Both are contents of DER INTEGERs.
pub(super) fn check(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyRefusal> {
    if exponent.first().is_none_or(|first| first & 0x80 != 0) {
        return weak("is RSA with a negative exponent");
    }
    let (n, e) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    if !e.bit(0) {
        return weak("is RSA with an even exponent");
    }
    if e < BigUint::from(65537_u32) {
        return weak("is RSA with an exponent below 65537");
    }
    if e.bits() > 33 {
        return weak("is RSA with an exponent of more than 33 bits, which many verifiers refuse");
    }
    if !n.bit(0) {
        return weak("is RSA with an even modulus");
    }
    if primes().any(|prime| remainder(&n, prime) == 0) {
        return weak("is RSA with a modulus that has a small prime factor");
    }
    if ROCA.iter().all(|&prime| generated(remainder(&n, prime), prime)) {
        return weak("was made by a chip with the ROCA flaw (CVE-2017-15361)");
    }
    if fermat(&n) {
        return weak("is RSA with two primes that lie too close to each other");
    }
    Ok(())
}

pub(super) fn remainder(n: &BigUint, prime: u32) -> u32 {
    (n % prime).try_into().unwrap_or_default()
}

/// The odd primes below [`SMALL`].
pub(super) fn primes() -> impl Iterator<Item = u32> {
    (3..SMALL).step_by(2).filter(|&n| (3..).step_by(2).take_while(|d| d * d <= n).all(|d| n % d != 0))
}

/// Whether `residue` is a power of 65537 modulo `prime`.
fn generated(residue: u32, prime: u32) -> bool {
    let powers = std::iter::successors(Some(1), |power| Some(power * (65537 % prime) % prime));
    powers.take(prime as usize).any(|power| power == residue)
}

/// Whether Fermat's method finds the factors: n = a² − b² with an `a` just above √n.
fn fermat(n: &BigUint) -> bool {
    let root = n.sqrt();
    let first = if &root * &root == *n { root } else { root + 1_u8 };
    (0..ROUNDS).any(|round| {
        let a = &first + round;
        is_square(&(&a * &a - n))
    })
}

fn is_square(n: &BigUint) -> bool {
    // Few numbers look like a square modulo all of these; the root is taken of those only.
    let candidate = [64, 63, 65, 11].into_iter().all(|modulus| {
        let residue = remainder(n, modulus);
        (0..modulus).any(|x| x * x % modulus == residue)
    });
    candidate && {
        let root = n.sqrt();
        &root * &root == *n
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::testing::{close_primes, modulus, roca};

    fn why(n: &BigUint, e: u64) -> String {
        // A zero in front, as DER wants it where the first bit is set.
        let content = |n: &BigUint| {
            if n.bits().is_multiple_of(8) { [&[0], &n.to_bytes_be()[..]].concat() } else { n.to_bytes_be() }
        };
        let (n, e) = (content(n), content(&e.into()));
        kind(&n).and_then(|_| check(&n, &e)).err().map(|why| why.to_string()).unwrap_or_default()
    }

    #[test]
    fn every_weakness_is_named() {
        let good = modulus(2048, 7);
        assert_eq!(why(&good, 65537), "");
        assert_eq!(why(&good, (1 << 32) + 1), "");
        for (e, says) in [
            (1, "below 65537"),
            (3, "below 65537"),
            (65535, "below 65537"),
            (65536, "even exponent"),
            (65538, "even exponent"),
            ((1 << 33) + 1, "more than 33 bits"),
        ] {
            assert!(why(&good, e).contains(says), "{e}: {}", why(&good, e));
        }
        assert!(why(&(&good + 1_u8), 65537).contains("even modulus"));
        for prime in [3_u32, 5, 751, 4093] {
            let n = &good - remainder(&good, prime);
            let n = if n.bit(0) { n } else { n - prime };
            assert!(why(&n, 65537).contains("small prime factor"), "{prime}: {}", why(&n, 65537));
        }
        for bits in [2048, 3072] {
            assert!(why(&roca(bits), 65537).contains("ROCA"));
            for apart in [2, 1_000_000] {
                assert!(why(&close_primes(bits, apart), 65537).contains("too close"), "{bits} {apart}");
            }
        }
    }
}
