//! Who is at the other end, as far as TLS knows.

use std::{convert::Infallible, sync::Arc};

use axum::extract::FromRequestParts;
use axum_server::tls::TlsInfo;
use http::request::Parts;
use rustls_pki_types::CertificateDer;

/// The certificates that the client presented, leaf first; empty without.
///
/// The client has proved that it holds the leaf's key, and nothing else: whom to trust is for the handler to decide.
#[derive(Debug, Clone, Default)]
pub struct Peer(pub Vec<CertificateDer<'static>>);

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<Arc<TlsInfo>>();
        let certificates =
            info.map(|info| info.peer_certificates.iter().cloned().map(CertificateDer::from).collect());
        Ok(Self(certificates.unwrap_or_default()))
    }
}
