//! An issuing CA's certificate and what leads from it to a root, and whether that will do.

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::CaChain;
use crate::{fingerprint::sha256, pem};

/// At most so many certificates lead to a root.
const LONGEST: usize = 8;

/// A chain: the issuing CA first, each signed by the next. A root of somebody else stands last; our own is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chain(Vec<CertificateDer<'static>>);

impl Chain {
    /// Reads PEM, the issuing CA first.
    pub(crate) fn from_pem(text: &[u8]) -> Result<Self, String> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = certificates.map_err(|error| format!("this is no PEM: {error}"))?;
        match certificates.len() {
            0 => Err("there is no certificate in it; expected PEM, the issuing CA first".to_owned()),
            1..=LONGEST => Ok(Self(certificates)),
            more => Err(format!(
                "{more} certificates are too many; send the issuing CA and what leads to its root"
            )),
        }
    }

    pub(super) fn of_event(event: &CaChain) -> Option<Self> {
        let ders = event.certificates.iter().map(|der| Some(STANDARD.decode(der).ok()?.into()));
        ders.collect::<Option<Vec<_>>>().filter(|ders| !ders.is_empty()).map(Self)
    }

    pub(super) fn to_event(&self) -> CaChain {
        let certificates = self.0.iter().map(|der| STANDARD.encode(der)).collect();
        CaChain { sha256: self.sha256(), certificates }
    }

    /// The issuing CA.
    pub(crate) fn issuing(&self) -> &CertificateDer<'static> {
        &self.0[0]
    }

    /// SHA-256 of the issuing CA, hex.
    pub(crate) fn sha256(&self) -> String {
        sha256(self.issuing())
    }

    /// When the issuing CA ends; `None` if that cannot be read.
    pub(crate) fn ends(&self) -> Option<OffsetDateTime> {
        Some(parse(self.issuing()).ok()?.validity().not_after.to_datetime())
    }

    /// All of it, DER.
    pub(crate) fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0
    }

    /// The root at its end, where it is not our own.
    pub(crate) fn root(&self) -> Option<&CertificateDer<'static>> {
        self.0.last().filter(|last| is_self_signed(last))
    }

    /// What goes with a unit's certificate, PEM: everything but the root, which whoever checks has to have anyway.
    pub(crate) fn served(&self) -> String {
        pem_of(self.0.iter().filter(|der| !is_self_signed(der)))
    }

    /// All of it, PEM.
    pub(crate) fn pem(&self) -> String {
        pem_of(self.0.iter())
    }

    /// Whether it is an issuing CA for the key `spki` that leads to a root, now. `own` is the root of this box.
    pub(super) fn check(
        &self,
        spki: &[u8],
        own: &CertificateDer<'_>,
        now: OffsetDateTime,
    ) -> Result<(), String> {
        let own_above = self.root().is_none().then_some(own);
        let ders: Vec<&[u8]> = self.0.iter().map(AsRef::as_ref).chain(own_above.map(AsRef::as_ref)).collect();
        let parsed = ders.iter().map(|der| parse(der)).collect::<Result<Vec<_>, _>>()?;
        let issuing = &parsed[0];
        if issuing.public_key().raw != spki {
            return Err("the first certificate is not for the key of the last request; \
                        run edge ca request, and have that signed"
                .to_owned());
        }
        if parsed.len() == 1 {
            return Err("the issuing CA signs itself; have the request signed by a root".to_owned());
        }
        for (below, certificate) in parsed.iter().enumerate() {
            let name = certificate.subject();
            let (begin, end) = (
                certificate.validity().not_before.to_datetime(),
                certificate.validity().not_after.to_datetime(),
            );
            if now < begin || now > end {
                return Err(format!("'{name}' is good from {begin} to {end}, and not now"));
            }
            let constraints = certificate.basic_constraints().ok().flatten();
            let Some(constraints) = constraints.filter(|found| found.value.ca) else {
                return Err(format!("'{name}' is no CA; it needs basicConstraints with CA:TRUE"));
            };
            if !constraints.critical {
                return Err(format!("basicConstraints of '{name}' is not critical"));
            }
            if constraints.value.path_len_constraint.is_some_and(|most| (most as usize) < below) {
                return Err(format!(
                    "'{name}' allows fewer CAs below it (pathlen) than the {below} that are"
                ));
            }
            let may_sign =
                certificate.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
            if !may_sign {
                return Err(format!(
                    "'{name}' may not sign certificates; it needs keyUsage with keyCertSign"
                ));
            }
            let signer = parsed.get(below + 1).unwrap_or(certificate);
            if signer.subject().as_raw() != certificate.issuer().as_raw()
                || certificate.verify_signature(Some(signer.public_key())).is_err()
            {
                return Err(format!(
                    "'{name}' is not signed by '{}'; send the issuing CA first, then what has signed it, up to the root",
                    signer.subject()
                ));
            }
        }
        let usages = issuing.extended_key_usage().ok().flatten();
        if usages.is_some_and(|usages| !usages.value.any && !usages.value.client_auth) {
            return Err(
                "the issuing CA's extendedKeyUsage leaves out clientAuth, which units need".to_owned()
            );
        }
        let usages = issuing.key_usage().ok().flatten();
        if !usages.is_some_and(|usages| usages.value.crl_sign()) {
            return Err(
                "the issuing CA may not sign revocation lists; it needs keyUsage with cRLSign".to_owned()
            );
        }
        Ok(())
    }
}

fn pem_of<'a>(ders: impl Iterator<Item = &'a CertificateDer<'static>>) -> String {
    ders.map(|der| pem::encode("CERTIFICATE", der).to_string()).collect()
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err("one of the certificates does not parse".to_owned()),
    }
}

fn is_self_signed(der: &CertificateDer<'_>) -> bool {
    parse(der).is_ok_and(|found| {
        found.subject().as_raw() == found.issuer().as_raw() && found.verify_signature(None).is_ok()
    })
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey, SigningKey};
    use tempfile::TempDir;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{
        FLOOR, ISSUING, make, make_root, server_certificate,
        testing::{
            Above, authority,
            wishes::{self, Wish},
        },
    };

    const NOW: OffsetDateTime = datetime!(2026-11-28 12:00 UTC);

    struct Ceremony {
        own: CertificateDer<'static>,
        own_key: FileKey,
        key: FileKey,
    }

    fn ceremony(dir: &TempDir) -> Ceremony {
        let key = |name: &str| FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
        let own_key = key("root");
        Ceremony {
            own: make_root(&own_key, "0123456789abcdef", NOW, [1; 17]).unwrap(),
            own_key,
            key: key("issuing"),
        }
    }

    impl Ceremony {
        fn check(&self, chain: &[CertificateDer<'static>]) -> Result<(), String> {
            Chain(chain.to_vec()).check(self.key.public_key_der(), &self.own, NOW)
        }

        fn refused(&self, chain: &[CertificateDer<'static>], expected: &str) {
            let why = self.check(chain).unwrap_err();
            assert!(why.contains(expected), "expected {expected}: {why}");
        }
    }

    #[test]
    fn a_chain_to_our_own_root_or_to_another_will_do() {
        let dir = TempDir::new().unwrap();
        let it = ceremony(&dir);
        let own = make(ISSUING, &it.key, &it.own, &it.own_key, "0123456789abcdef", NOW, [2; 17]).unwrap();
        it.check(&[own]).unwrap();
        let plant = Above::root(NOW);
        let (hall, hall_key) = plant.below(|_| {});
        let issuing = authority(it.key.public_key_der(), &hall, &hall_key, NOW, |_| {});
        let chain = [issuing, hall, plant.certificate.clone()];
        it.check(&chain).unwrap();
        let chain = Chain(chain.to_vec());
        assert_eq!(chain.served().matches("BEGIN CERTIFICATE").count(), 2, "the root stays out");
        assert_eq!(chain.root(), Some(&plant.certificate));
        assert_eq!(Chain::of_event(&chain.to_event()), Some(chain.clone()));
        assert_eq!(Chain::from_pem(chain.pem().as_bytes()), Ok(chain));
    }

    #[test]
    fn what_will_not_do_is_refused_by_name() {
        let dir = TempDir::new().unwrap();
        let it = ceremony(&dir);
        let plant = Above::root(NOW);
        let sign = |wish: Wish| authority(it.key.public_key_der(), &plant.certificate, &plant.key, NOW, wish);
        let good = sign(|_| {});
        let root = plant.certificate.clone();
        it.check(&[good.clone(), root.clone()]).unwrap();
        it.refused(std::slice::from_ref(&good), "is not signed by");
        it.refused(&[root.clone(), good.clone()], "not for the key of the last request");
        it.refused(&[sign(wishes::NO_CA), root.clone()], "is no CA");
        it.refused(&[sign(wishes::NO_CERT_SIGN), root.clone()], "keyCertSign");
        it.refused(&[sign(wishes::NO_CRL_SIGN), root.clone()], "cRLSign");
        it.refused(&[sign(wishes::OVER), root.clone()], "not now");
        it.refused(&[sign(wishes::SERVERS_ONLY), root.clone()], "clientAuth");
        let (narrow, narrow_key) = plant.below(wishes::NO_CA_BELOW);
        let deep = authority(it.key.public_key_der(), &narrow, &narrow_key, NOW, |_| {});
        it.refused(&[deep, narrow, root.clone()], "pathlen");
        let stranger = Above::root(NOW);
        it.refused(&[good.clone(), stranger.certificate], "is not signed by");
        let own = make_root(&it.key, "0123456789abcdef", NOW, [3; 17]).unwrap();
        it.refused(&[own], "signs itself");
        let floor = make(FLOOR, &it.own_key, &it.own, &it.own_key, "0123456789abcdef", NOW, [4; 17]).unwrap();
        let names = ["localhost".to_owned()];
        let server =
            server_certificate(it.key.public_key_der(), &names, &floor, &it.own_key, NOW, [5; 17]).unwrap();
        it.refused(&[server, floor], "is no CA");
        assert!(Chain::from_pem(b"nothing").unwrap_err().contains("no certificate"));
    }
}
