//! Proof of possession: a cloud that was given a CA's certificate names a code, and the CA signs a certificate for it.

use std::str::FromStr;

use http::StatusCode;
use ledger::{Decision, Ledger, Stamp, View};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use tracing::info;
use web::Problem;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{CaProved, Issuing};
use crate::{EdgeEvent, fingerprint::sha256, http::refused, init::serial, pem, pki};

/// What a cloud names: hex digits, as many as fit into a common name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Code(String);

impl Code {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // X.520 ub-common-name; fewer than 16 digits could be guessed, and be a name.
        if (16..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("the code is 16 to 64 hexadecimal digits, as the cloud shows it".to_owned())
        }
    }
}

/// Has the issuing CA prove itself; returns the certificate, PEM, once that is written down.
pub(crate) async fn prove(
    issuing: &Issuing,
    ledger: &Ledger<EdgeEvent>,
    code: &Code,
    actor: String,
    at: OffsetDateTime,
) -> Result<String, Problem> {
    let current = issuing.current();
    let (ca, key) = current.issuer.authority();
    let trouble = |error: &dyn std::fmt::Display| {
        tracing::error!(%error, "the issuing CA could not prove itself");
        Problem::internal()
    };
    let serial = serial().map_err(|error| trouble(&error))?;
    let proof = pki::proof(code.as_str(), ca, key, at, serial).map_err(|error| trouble(&error))?;
    record(ledger, code, ca, &proof, actor, at).await
}

/// Writes down that `ca` has signed `proof`, and returns it, PEM. What is no proof is refused.
pub(crate) async fn record(
    ledger: &Ledger<EdgeEvent>,
    code: &Code,
    ca: &CertificateDer<'_>,
    proof: &CertificateDer<'_>,
    actor: String,
    at: OffsetDateTime,
) -> Result<String, Problem> {
    let serial = check(code, ca, proof).map_err(|why| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "proof-unfit", format!("this proves nothing: {why}"))
    })?;
    let event = CaProved { code: code.0.clone(), ca_sha256: sha256(ca), sha256: sha256(proof), serial };
    let events = vec![EdgeEvent::CaProved(event)];
    let decide = move |_: &View<'_>| Ok::<_, std::convert::Infallible>(Decision { events, answer: () });
    let committed = ledger.commit(Stamp { at, actor: actor.clone() }, decide).await;
    committed.map_err(|error| refused(error, |never| match never {}))?;
    info!(code = code.0, ca = sha256(ca), actor, "a CA has proven itself");
    Ok(pem::encode("CERTIFICATE", proof).to_string())
}

/// Whether `ca` has signed `proof` for the code; returns its serial number, hex.
fn check(code: &Code, ca: &CertificateDer<'_>, proof: &CertificateDer<'_>) -> Result<String, String> {
    let parse = |der| {
        X509Certificate::from_der(der).map(|(_, found)| found).map_err(|_| "it is no certificate".to_owned())
    };
    let (ca, proof) = (parse(ca)?, parse(proof)?);
    let name = proof.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    if name != Some(code.as_str()) {
        return Err("its name is not the code".to_owned());
    }
    if proof.is_ca() {
        return Err("it is a CA itself".to_owned());
    }
    proof.verify_signature(Some(ca.public_key())).map_err(|_| "the CA has not signed it".to_owned())?;
    Ok(hex::encode(proof.raw_serial()))
}

#[cfg(test)]
mod tests {
    use keys::{Algorithm, FileKey, SigningKey};
    use tempfile::TempDir;
    use time::macros::datetime;

    use super::*;
    use crate::pki::{make_root, server_certificate};

    #[test]
    fn a_code_is_hex_and_nothing_else() {
        for good in ["0123456789abcdef", "ABCDEF0123456789", &"a".repeat(64)] {
            assert_eq!(good.parse::<Code>().unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "abc", "0123456789abcdeg", "0123456789abcde/", "0123456789abcdef\n", &long] {
            assert!(bad.parse::<Code>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_what_the_ca_has_signed_for_the_code_proves_something() {
        let dir = TempDir::new().unwrap();
        let now = datetime!(2026-11-28 12:00 UTC);
        let key = |name: &str| FileKey::create(&dir.path().join(name), Algorithm::P256).unwrap();
        let (key, other) = (key("ca"), key("other"));
        let ca = make_root(&key, "0123456789abcdef", now, [1; 17]).unwrap();
        let code: Code = "0123456789abcdef0123456789abcdef0123456789abcdef".parse().unwrap();
        let proof = pki::proof(code.as_str(), &ca, &key, now, [2; 17]).unwrap();
        assert_eq!(check(&code, &ca, &proof).unwrap(), "02".repeat(17));
        let (_, parsed) = X509Certificate::from_der(&proof).unwrap();
        let life = parsed.validity().time_to_expiration();
        assert!(life.is_none_or(|life| life.whole_hours() <= 24));
        let validity = parsed.validity();
        assert_eq!((validity.not_after.timestamp() - validity.not_before.timestamp()) / 3600, 24);
        assert!(
            !key.public_key_der().windows(65).any(|at| at == &*parsed.public_key().subject_public_key.data)
        );

        let strange = pki::proof(code.as_str(), &ca, &other, now, [2; 17]).unwrap();
        assert!(check(&code, &ca, &strange).unwrap_err().contains("has not signed it"));
        let another = "f".repeat(48).parse().unwrap();
        assert!(check(&another, &ca, &proof).unwrap_err().contains("not the code"));
        assert!(check(&code, &ca, &ca).unwrap_err().contains("not the code"));
        let names = [code.as_str().to_owned()];
        let server = server_certificate(other.public_key_der(), &names, &ca, &key, now, [3; 17]).unwrap();
        assert!(check(&code, &ca, &server).is_ok(), "whatever the CA signs for the code shows that it can");
        assert!(check(&code, &ca, &CertificateDer::from(vec![1])).unwrap_err().contains("no certificate"));
    }
}
