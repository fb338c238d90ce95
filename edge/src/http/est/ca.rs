//! What to trust, and what to ask for: the two operations that are for everybody.

use axum::{extract::State, response::Response};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tracing::error;
use web::Problem;
use x509_cert::{
    attr::Attribute,
    der::{
        self, Any, Encode,
        asn1::{ObjectIdentifier, SetOfVec},
    },
};

use super::{
    label::Label,
    pkcs7::{answer, certificates},
};
use crate::http::Shared;

/// id-ecPublicKey, secp256r1 (RFC 5480) and ecdsa-with-SHA256 (RFC 5758).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// `GET /cacerts` (RFC 7030 4.1): the root, and what leads from it to units.
pub(in crate::http) async fn cacerts(State(floor): State<Shared>, _: Label) -> Result<Response, Problem> {
    let root = CertificateDer::from_pem_slice(&floor.root).map_err(|_| Problem::internal())?;
    let current = floor.issuing.current();
    let own = std::iter::once(&root).filter(|_| current.chain.root().is_none());
    certificates(&own.chain(current.chain.certificates()).map(AsRef::as_ref).collect::<Vec<_>>())
}

/// `GET /csrattrs` (RFC 7030 4.5): a key on P-256, and a request signed with SHA-256. All else is set here.
pub(in crate::http) async fn csrattrs(_: Label) -> Result<Response, Problem> {
    let der = attributes().map_err(|error| {
        error!(%error, "the attributes cannot be encoded");
        Problem::internal()
    })?;
    Ok(answer("application/csrattrs", &der))
}

/// `CsrAttrs ::= SEQUENCE OF AttrOrOID`
fn attributes() -> der::Result<Vec<u8>> {
    let values = SetOfVec::try_from(vec![Any::encode_from(&P256)?])?;
    let key = Attribute { oid: EC_PUBLIC_KEY, values };
    vec![Any::encode_from(&key)?, Any::encode_from(&ECDSA_WITH_SHA256)?].to_der()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_attributes_are_the_bytes_of_the_rfc() {
        let expected = "3021 3015 0607 2a8648ce3d0201 310a 0608 2a8648ce3d030107 0608 2a8648ce3d040302";
        assert_eq!(hex::encode(super::attributes().unwrap()), expected.replace(' ', ""));
    }
}
