//! What nobody can do without: to verify the request's signature, and to sign a certificate. With the same library as the
//! appliance, in one thread, on bytes of the same size.

use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};

use super::cost;

/// The part of a request that is signed, in bytes.
const REQUEST: usize = 160;
/// The part of a certificate that is signed.
const CERTIFICATE: usize = 380;
/// After so many the CPU time is looked at.
const ROUND: u32 = 200;

/// CPU time for one of each.
pub(crate) fn verify_and_sign(length: Duration) -> Result<Duration> {
    let random = SystemRandom::new();
    let unspecified = |_| anyhow!("the library refuses");
    let key = || -> Result<EcdsaKeyPair> {
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).map_err(unspecified)?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
            .map_err(|error| anyhow!("{error}"))
    };
    let (device, authority) = (key()?, key()?);
    let (request, certificate) = ([7; REQUEST], [8; CERTIFICATE]);
    let proof = device.sign(&random, &request).map_err(unspecified)?;
    let (begin, mut done) = (cost::of_thread(), 0);
    loop {
        for _ in 0..ROUND {
            let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, device.public_key().as_ref());
            public.verify(&request, proof.as_ref()).map_err(unspecified)?;
            std::hint::black_box(authority.sign(&random, &certificate).map_err(unspecified)?);
        }
        done += ROUND;
        let used = cost::of_thread() - begin;
        if used >= length {
            return Ok(used / done);
        }
    }
}
