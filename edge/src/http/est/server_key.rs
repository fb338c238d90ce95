//! `POST /serverkeygen` (RFC 7030 4.4): a key and its certificate, for devices that cannot make one.

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use web::Problem;
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{Oid, asn1_rs::oid},
    prelude::FromDer,
};

use super::{
    body::Pkcs10, enroll::nameless, label::Label, multipart::key_and_certificate, pkcs7::certs_only, refusal,
};
use crate::{
    access::Principal,
    csr::CsrError,
    http::{Shared, units::certificate_der},
    issuance::{Outcome, Wish, id, issue, unprocessable},
};

/// Wishes that the key be encrypted once more (RFC 7030 4.4.1.1 and 4.4.1.2): decryptKeyID and asymmDecryptKeyID.
const ENCRYPTED: [Oid<'static>; 2] = [oid!(1.2.840.113549.1.9.16.2.37), oid!(1.2.840.113549.1.9.16.2.54)];

/// A unit's key and certificate, this once. A repeat is refused: the key is not kept.
pub(in crate::http) async fn serverkeygen(
    State(floor): State<Shared>,
    Extension(principal): Extension<Principal>,
    label: Label,
    Pkcs10(der): Pkcs10,
) -> Response {
    generate(&floor, &principal, label, &der).await.unwrap_or_else(refusal)
}

async fn generate(
    floor: &Shared,
    principal: &Principal,
    label: Label,
    der: &[u8],
) -> Result<Response, Problem> {
    let wish = Wish { id: Some(id(&name(der)?)?), ..label.wish(principal)? };
    match issue(floor, principal, wish).await? {
        Outcome::Issued { unit, private_key: Some(key), .. } => {
            let certificate = certificate_der(&unit)?;
            Ok(key_and_certificate(&key, &certs_only(&[&certificate])?))
        }
        // Without a csr in the wish, a new unit has a key of ours and a repeat is refused.
        Outcome::Issued { .. } | Outcome::Again(_) => Err(Problem::internal()),
    }
}

/// The common name of a request (DER). Its key and its signature do not count here: RFC 7030 4.4.1.
fn name(der: &[u8]) -> Result<String, Problem> {
    let malformed = |why| {
        let why = CsrError::Malformed(why);
        unprocessable(why.code(), why.to_string())
    };
    let (rest, request) =
        X509CertificationRequest::from_der(der).map_err(|_| malformed("its DER does not parse"))?;
    if !rest.is_empty() {
        return Err(malformed("bytes follow the request"));
    }
    let info = &request.certification_request_info;
    if info.iter_attributes().any(|attribute| ENCRYPTED.contains(&attribute.oid)) {
        let detail = "the key cannot be encrypted once more than TLS does; leave decryptKeyID and asymmDecryptKeyID out";
        return Err(Problem::new(StatusCode::BAD_REQUEST, "key-encryption-unsupported", detail));
    }
    let mut names = info.subject.iter_common_name();
    match (names.next(), names.next()) {
        (Some(name), None) => {
            let name = name.as_str().map_err(|_| malformed("its common name is not text"))?;
            if name.is_empty() { Err(nameless()) } else { Ok(name.to_owned()) }
        }
        (None, _) => Err(nameless()),
        (Some(_), Some(_)) => Err(malformed("it has more than one common name")),
    }
}
