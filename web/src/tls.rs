//! TLS for a listener: rustls on aws-lc-rs, versions 1.2 and 1.3.

use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject};
use thiserror::Error;

/// Why a certificate and key do not make a TLS listener.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The chain is not PEM, or empty.
    #[error("the certificate chain is not PEM")]
    Chain,
    /// The key is not PEM.
    #[error("the private key is not PEM")]
    Key,
    /// They do not fit each other, or are of a kind that is not supported.
    #[error("certificate and key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What is made of a client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    /// None is asked for.
    Ignored,
    /// One is asked for, not required, and not compared with any root: the handler decides, see [`crate::Peer`].
    Requested,
}

/// The server's side of TLS. Clones share the certificate, so that [`Tls::replace`] reaches a running listener.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(crate) config: RustlsConfig,
    clients: ClientCertificates,
    protocols: &'static [&'static str],
}

impl Tls {
    /// TLS for HTTP, with a certificate chain (leaf first) and its key, both PEM.
    pub fn new(chain: &[u8], key: &[u8], clients: ClientCertificates) -> Result<Self, TlsError> {
        Self::for_protocols(chain, key, clients, &["h2", "http/1.1"])
    }

    /// TLS for what is not HTTP: no protocol is negotiated. [`Tls::server_config`] is what a listener of one's own needs.
    pub fn plain(chain: &[u8], key: &[u8], clients: ClientCertificates) -> Result<Self, TlsError> {
        Self::for_protocols(chain, key, clients, &[])
    }

    fn for_protocols(
        chain: &[u8],
        key: &[u8],
        clients: ClientCertificates,
        protocols: &'static [&'static str],
    ) -> Result<Self, TlsError> {
        let config = server_config(chain, key, clients, protocols)?;
        Ok(Self { config: RustlsConfig::from_config(Arc::new(config)), clients, protocols })
    }

    /// Puts another certificate in place; connections from now on see it.
    pub fn replace(&self, chain: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let config = server_config(chain, key, self.clients, self.protocols)?;
        self.config.reload_from_config(Arc::new(config));
        Ok(())
    }

    /// The rustls configuration as it is now.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.config.get_inner()
    }
}

fn server_config(
    chain: &[u8],
    key: &[u8],
    clients: ClientCertificates,
    protocols: &[&str],
) -> Result<ServerConfig, TlsError> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().map_err(|_| TlsError::Chain)?;
    if chain.is_empty() {
        return Err(TlsError::Chain);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        ClientCertificates::Ignored => builder.with_no_client_auth(),
        ClientCertificates::Requested => builder.with_client_cert_verifier(Arc::new(AnyClient { provider })),
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Lets any certificate pass whose key the client proves to hold.
///
/// Devices present certificates of many CAs, and what counts is the thumbprint that was enrolled, or the token that was
/// paired with the key: so the handler compares, and TLS only proves possession.
#[derive(Debug)]
struct AnyClient {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
