//! `POST /simplereenroll` (RFC 7030 4.2.2): a unit renews its certificate with the one that it has.

use axum::{Extension, extract::State, response::Response};
use web::Problem;
use x509_parser::{
    certification_request::X509CertificationRequest,
    extensions::ParsedExtension,
    prelude::{FromDer, X509Certificate},
    x509::X509Name,
};

use super::{body::Pkcs10, label::Label, pkcs7::certificates, refusal};
use crate::{
    access::UnitPeer,
    csr::Csr,
    fingerprint::sha256,
    http::{Shared, units::certificate_of},
    issuance::unprocessable,
    life::{renew, superseded},
};

/// The same certificate again for the same key, one of the next epoch for another.
pub(in crate::http) async fn simplereenroll(
    State(floor): State<Shared>,
    Extension(peer): Extension<UnitPeer>,
    label: Label,
    Pkcs10(der): Pkcs10,
) -> Response {
    reenroll(&floor, &peer, label, &der).await.unwrap_or_else(refusal)
}

async fn reenroll(floor: &Shared, peer: &UnitPeer, label: Label, der: &[u8]) -> Result<Response, Problem> {
    label.fits(&peer.unit)?;
    let csr = Csr::from_der(der).map_err(|why| unprocessable(why.code(), why.to_string()))?;
    if !same_subject(der, &peer.certificate) {
        let detail =
            "subject and subjectAltName of the csr have to be those of the certificate that is shown";
        return Err(unprocessable("csr-subject-differs", detail.to_owned()));
    }
    // Who holds the new key and one of the unit's certificates may hear again what was answered for that key.
    if sha256(&csr.spki) == peer.unit.key_sha256 {
        return certificates(&[&certificate_of(floor, &peer.unit)?]);
    }
    if !peer.current {
        return Err(superseded());
    }
    certificates(&[&renew(floor, &peer.unit, csr).await?])
}

/// Whether a request (DER) is for the subject of a certificate (DER). Names may be written in another kind of string.
fn same_subject(request: &[u8], certificate: &[u8]) -> bool {
    let (Ok((_, request)), Ok((_, certificate))) =
        (X509CertificationRequest::from_der(request), X509Certificate::from_der(certificate))
    else {
        return false;
    };
    let subject = &request.certification_request_info.subject;
    let mut wished = request.requested_extensions().into_iter().flatten();
    let alternatives = wished.find_map(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => Some(names),
        _ => None,
    });
    let own = certificate.subject_alternative_name().ok().flatten().map(|extension| extension.value);
    // A request that is silent about other names wishes no others; they are ours to set.
    words(subject) == words(certificate.subject()) && alternatives.is_none_or(|names| Some(names) == own)
}

/// A name as kinds and values, in their order; `None` if a value is no text. Case does not count, as in ids.
fn words(name: &X509Name<'_>) -> Option<Vec<(String, String)>> {
    let attributes = name.iter_attributes();
    attributes.map(|part| Some((part.attr_type().to_string(), part.as_str().ok()?.to_lowercase()))).collect()
}
