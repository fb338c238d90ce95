//! A unit that shows the certificate it was issued: how a device asks for a new one.

use azure_iot::RegistrationId;
use http::StatusCode;
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;
use web::Problem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    ca,
    fingerprint::sha256,
    http::{Floor, unreadable},
    index::{self, Unit},
};

/// A unit at the other end of TLS.
#[derive(Debug, Clone)]
pub(crate) struct UnitPeer {
    /// What is known of it.
    pub(crate) unit: Unit,
    /// The certificate that it shows, DER.
    pub(crate) certificate: CertificateDer<'static>,
    /// Whether that is the one it has now, and not one of an earlier pass.
    pub(crate) current: bool,
}

/// Which unit shows this certificate; one that was scrapped is refused. TLS has proved that it holds the key.
///
/// The current one is known by its thumbprint. One of an earlier pass is recognised by the issuing CA's signature and
/// by its key, which stays the unit's for ever; it is good for nothing but to hear an answer again that was lost.
pub(crate) fn unit_of(
    floor: &Floor,
    certificate: &CertificateDer<'static>,
    now: OffsetDateTime,
) -> Result<UnitPeer, Problem> {
    let refused = |detail: &str| Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail);
    let strange =
        || refused("this certificate was not issued to a unit here; show the unit's own certificate");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| strange())?;
    let mut names = parsed.subject().iter_common_name().map(|name| name.as_str());
    let (Some(Ok(name)), None) = (names.next(), names.next()) else { return Err(strange()) };
    let id = RegistrationId::parse_any_case(name).map_err(|_| strange())?;
    let unit = floor.ledger.get::<Unit>(&index::unit(&id)).map_err(|error| unreadable(&error))?;
    let unit = unit.ok_or_else(strange)?;
    let validity = parsed.validity();
    if now < validity.not_before.to_datetime() || validity.not_after.to_datetime() < now {
        return Err(refused(
            "this certificate is not valid now; a unit whose certificate has expired gets a new one by rework",
        ));
    }
    let current = unit.sha256.eq_ignore_ascii_case(&sha256(certificate));
    if !current {
        let key = index::key(&sha256(parsed.public_key().raw));
        let owner = floor.ledger.get::<RegistrationId>(&key).map_err(|error| unreadable(&error))?;
        if owner.as_ref() != Some(&id) || !is_ours(floor, &parsed)? {
            return Err(strange());
        }
    }
    if current && unit.revoked {
        let detail = "this certificate was revoked: somebody had the cloud keep another one; the unit gets a new one by rework";
        return Err(Problem::new(StatusCode::FORBIDDEN, "certificate-revoked", detail));
    }
    if unit.scrapped {
        let detail = "this unit was scrapped: its certificates are revoked, and it gets no other; give the device another id";
        return Err(Problem::new(StatusCode::FORBIDDEN, "unit-scrapped", detail));
    }
    Ok(UnitPeer { unit, certificate: certificate.clone(), current })
}

/// Whether one of our issuing CAs, the one at work or one that gave way, has signed a certificate.
fn is_ours(floor: &Floor, certificate: &X509Certificate<'_>) -> Result<bool, Problem> {
    let mut chains = ca::all(&floor.ledger).map_err(|error| unreadable(&error))?;
    chains.push(floor.issuing.current().chain.clone());
    Ok(chains.iter().any(|chain| {
        X509Certificate::from_der(chain.issuing())
            .is_ok_and(|(_, issuing)| certificate.verify_signature(Some(issuing.public_key())).is_ok())
    }))
}
