//! Keys that nobody should have, for tests.
//!
//! Moduli are numbers of the right shape, made from a seed: nobody knows their factors, and nobody needs to.

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use num_bigint::BigUint;

/// A point on P-256, as in a `SubjectPublicKeyInfo`.
pub(crate) fn p256_point() -> Vec<u8> {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap().public_key().as_ref().to_vec()
}

/// Any bytes as a key on the curve with this object identifier (its content).
pub(crate) fn ec_spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    ec_spki_with(&[&[6, u8::try_from(curve.len()).unwrap()], curve].concat(), point)
}

/// The same with any parameters.
pub(crate) fn ec_spki_with(parameters: &[u8], point: &[u8]) -> Vec<u8> {
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_der(&[&[6, 7], super::EC].concat());
                if !parameters.is_empty() {
                    writer.next().write_der(parameters);
                }
            });
            writer.next().write_bitvec_bytes(point, point.len() * 8);
        });
    })
}

/// Any two numbers as an RSA key.
pub(crate) fn rsa_spki(modulus: &BigUint, exponent: &BigUint) -> Vec<u8> {
    let key = yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            for number in [modulus, exponent] {
                writer.next().write_bigint_bytes(&number.to_bytes_be(), true);
            }
        });
    });
    yasna::construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_sequence(|writer| {
                writer.next().write_der(&[&[6, 9], super::RSA].concat());
                writer.next().write_null();
            });
            writer.next().write_bitvec_bytes(&key, key.len() * 8);
        });
    })
}

/// A number of exactly so many bits, odd, its two highest bits set.
fn number(bits: u64, seed: u64) -> BigUint {
    let bytes: Vec<u8> = (0_u64..)
        .flat_map(|i| digest(&SHA256, &[seed.to_be_bytes(), i.to_be_bytes()].concat()).as_ref().to_vec())
        .take(usize::try_from(bits / 8).unwrap())
        .collect();
    let mut n = BigUint::from_bytes_be(&bytes);
    for bit in [0, bits - 1, bits - 2] {
        n.set_bit(bit, true);
    }
    n
}

fn has_small_factor(n: &BigUint) -> bool {
    super::rsa::primes().any(|prime| super::rsa::remainder(n, prime) == 0)
}

/// A modulus with nothing wrong that can be seen.
pub(crate) fn modulus(bits: u64, seed: u64) -> BigUint {
    let mut n = number(bits, seed);
    while has_small_factor(&n) {
        n += 2_u8;
    }
    n
}

/// A modulus as the Infineon library made them: a power of 65537 modulo a product of many small primes.
pub(crate) fn roca(bits: u64) -> BigUint {
    let product: BigUint = super::rsa::primes().take_while(|prime| *prime <= 167).product::<BigUint>() * 2_u8;
    let mut n =
        number(bits, 3) / &product * &product + BigUint::from(65537_u32).modpow(&77_u8.into(), &product);
    while has_small_factor(&n) {
        n += &product;
    }
    n
}

/// A modulus of two factors, so far apart.
pub(crate) fn close_primes(bits: u64, apart: u32) -> BigUint {
    let mut a = number(bits / 2, 5);
    while has_small_factor(&a) || has_small_factor(&(&a + apart)) {
        a += 2_u8;
    }
    &a * (&a + apart)
}
