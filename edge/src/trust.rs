//! What a stranger believes of this box who trusts nothing but its root certificate.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{fingerprint::sha256, pki::CHECKPOINT};

/// As many authorities may stand between a unit and a root.
const DEEPEST: usize = 8;

/// The root certificate of a box, DER, and those of others that have signed its issuing CAs.
#[derive(Debug, Clone)]
pub(crate) struct Root(Vec<u8>, Vec<Vec<u8>>);

impl Root {
    /// Takes a certificate, DER.
    pub(crate) fn new(der: Vec<u8>) -> Result<Self, String> {
        parse(&der)?;
        Ok(Self(der, Vec::new()))
    }

    /// Trusts `others`, DER, as far as units are concerned: roots of a plant or a company.
    pub(crate) fn and_for_units(self, others: Vec<Vec<u8>>) -> Self {
        Self(self.0, others)
    }

    /// Checks a signature of the box's checkpoint key: `certificates` lead from the key to the root.
    pub(crate) fn check(
        &self,
        certificates: &[Vec<u8>],
        key: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        let [own, floor] = certificates else {
            return Err("the certificates of its key are not two".to_owned());
        };
        let own = parse(own)?;
        self.check_authority(floor)?;
        signed_by(&own, &parse(floor)?)?;
        let name = own.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        if name != Some(CHECKPOINT) {
            return Err("its key is not a checkpoint key".to_owned());
        }
        if sha256(own.public_key().raw) != key {
            return Err("its certificate is of another key".to_owned());
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &*own.public_key().subject_public_key.data)
            .verify(message, signature)
            .map_err(|_| "the signature does not hold".to_owned())
    }

    /// Checks that `leaf` (DER) was issued by one of `authorities` (DER), and that they lead from it to a root.
    pub(crate) fn check_issued(&self, leaf: &[u8], authorities: &[Vec<u8>]) -> Result<(), String> {
        let mut at = parse(leaf)?;
        for height in 0..=DEEPEST {
            for root in std::iter::once(&self.0).chain(&self.1) {
                // A unit is issued by an authority, not by a root.
                if height > 0 && issued(&at, &parse(root)?) {
                    return Ok(());
                }
            }
            let mut above = authorities.iter().map(|der| parse(der));
            let Some(next) = above.find(|next| next.as_ref().map_or(true, |next| issued(&at, next))) else {
                break;
            };
            let next = next?;
            if !next.is_ca() {
                return Err("its issuer is no authority".to_owned());
            }
            if height > 0 && next.public_key().raw == at.public_key().raw {
                break;
            }
            at = next;
        }
        Err("no authority of this box has issued it, or that one does not lead to this root".to_owned())
    }

    fn check_authority(&self, der: &[u8]) -> Result<(), String> {
        let authority = parse(der)?;
        if !authority.is_ca() {
            return Err("its issuer is no authority".to_owned());
        }
        signed_by(&authority, &parse(&self.0)?).map_err(|_| "it does not lead to this root".to_owned())
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("it is no certificate".to_owned()),
    }
}

fn issued(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> bool {
    issuer.subject().as_raw() == certificate.issuer().as_raw() && signed_by(certificate, issuer).is_ok()
}

fn signed_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) -> Result<(), String> {
    certificate
        .verify_signature(Some(issuer.public_key()))
        .map_err(|_| "a certificate is not signed by the one above it".to_owned())
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey, SigningKey};
    use rustls_pki_types::CertificateDer;
    use tempfile::TempDir;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{
        FLOOR, ISSUING, checkpoint_certificate, make, make_root, server_certificate,
        testing::{Above, authority},
    };

    #[test]
    fn a_unit_leads_to_our_root_or_to_one_that_is_trusted_for_units() {
        let dir = TempDir::new().unwrap();
        let now = datetime!(2026-11-25 12:00 UTC);
        let key = |name: &str| FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
        let (root_key, issuing_key, unit) = (key("root"), key("issuing"), key("unit"));
        let root = make_root(&root_key, "0123456789abcdef", now, [1; 17]).unwrap();
        let own = make(ISSUING, &issuing_key, &root, &root_key, "0123456789abcdef", now, [2; 17]).unwrap();
        let plant = Above::root(now);
        let (hall, hall_key) = plant.below(|_| {});
        let foreign = authority(issuing_key.public_key_der(), &hall, &hall_key, now, |_| {});
        let leaf = |ca: &CertificateDer<'_>| {
            server_certificate(unit.public_key_der(), &["a".into()], ca, &issuing_key, now, [3; 17]).unwrap()
        };
        let authorities = [&foreign, &hall, &own].map(|der| der.to_vec());
        let ours = Root::new(root.to_vec()).unwrap();
        ours.check_issued(&leaf(&own), &authorities).unwrap();
        ours.check_issued(&leaf(&foreign), &authorities).unwrap_err();
        let both = ours.clone().and_for_units(vec![plant.certificate.to_vec()]);
        both.check_issued(&leaf(&foreign), &authorities).unwrap();
        both.check_issued(&leaf(&own), &authorities).unwrap();
        both.check_issued(&leaf(&foreign), &authorities[..1]).unwrap_err();
        let by_root =
            server_certificate(unit.public_key_der(), &["a".into()], &root, &root_key, now, [4; 17]);
        both.check_issued(&by_root.unwrap(), &authorities).unwrap_err();
        let by_unit =
            server_certificate(unit.public_key_der(), &["a".into()], &leaf(&own), &unit, now, [5; 17]);
        let no_authority = [leaf(&own).to_vec(), own.to_vec()];
        let why = both.check_issued(&by_unit.unwrap(), &no_authority).unwrap_err();
        assert!(why.contains("no authority"), "{why}");
    }

    #[test]
    fn only_a_checkpoint_key_that_leads_to_the_root_is_believed() {
        let dir = TempDir::new().unwrap();
        let now = datetime!(2026-11-25 12:00 UTC);
        let key = |name: &str| FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
        let (root_key, floor_key, own) = (key("root"), key("floor"), key("own"));
        let root = make_root(&root_key, "0123456789abcdef", now, [1; 17]).unwrap();
        let floor = make(FLOOR, &floor_key, &root, &root_key, "0123456789abcdef", now, [2; 17]).unwrap();
        let spki = own.public_key_der();
        let good = checkpoint_certificate(spki, &floor, &floor_key, now, [3; 17]).unwrap();
        let server =
            server_certificate(spki, &["localhost".into()], &floor, &floor_key, now, [4; 17]).unwrap();
        let strange_root = make_root(&own, "0123456789abcdef", now, [5; 17]).unwrap();
        let strange = checkpoint_certificate(spki, &strange_root, &own, now, [6; 17]).unwrap();
        let name = sha256(spki);
        let signature = own.sign(b"message").unwrap();
        let trust = Root::new(root.to_vec()).unwrap();
        let check = |certificates: &[&[u8]], name: &str, message: &[u8]| {
            let certificates: Vec<_> = certificates.iter().map(|der| der.to_vec()).collect();
            trust.check(&certificates, name, message, &signature)
        };
        check(&[&good, &floor], &name, b"message").unwrap();
        for (certificates, name, message, expected) in [
            (vec![&good[..], &floor], &*name, &b"massage"[..], "does not hold"),
            (vec![&good, &floor], "00", b"message", "another key"),
            (vec![&server, &floor], &name, b"message", "not a checkpoint key"),
            (vec![&strange, &strange_root], &name, b"message", "lead to this root"),
            (vec![&good, &strange_root], &name, b"message", "lead to this root"),
            (vec![&good], &name, b"message", "not two"),
            (vec![&good, b"x"], &name, b"message", "no certificate"),
        ] {
            let error = check(&certificates, name, message).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
