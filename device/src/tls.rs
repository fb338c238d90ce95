//! TLS with the device's own certificate.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};

use crate::files::Files;

/// What a device trusts and what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    /// Reads what `device-agent birth` has stored. An `Err` says what is missing.
    pub(crate) fn read(files: &Files, extra_root: Option<&Path>) -> Result<Self, String> {
        let at = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let read = |path: &Path| fs::read(path).map_err(|error| at(path, &error));
        let mut roots = RootCertStore::empty();
        // A device with a broken certificate among its roots still has the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = extra_root {
            for root in CertificateDer::pem_slice_iter(&read(path)?) {
                let root = root.map_err(|_| at(path, &"not PEM"))?;
                roots.add(root).map_err(|error| at(path, &error))?;
            }
        }
        let pem = [read(&files.certificate())?, read(&files.chain())?].concat();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.map_err(|_| at(&files.certificate(), &"not PEM"))?;
        let pem = keys::read_private(&files.key()).map_err(|error| error.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| at(&files.key(), &"not PEM"))?;
        Ok(Self { roots: Arc::new(roots), chain, key: Arc::new(key) })
    }

    /// The TLS configuration for `host`; `elsewhere` if the connection goes to another address than the host's own.
    pub(crate) fn client(&self, host: &str, elsewhere: bool) -> Result<ClientConfig, String> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
        let key = self.key.clone_key();
        let builder = if elsewhere {
            let verifier = WebPkiServerVerifier::builder_with_provider(self.roots.clone(), provider);
            let verifier = verifier.build().map_err(|error| error.to_string())?;
            let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Named { verifier, name }))
        } else {
            builder.with_root_certificates(self.roots.clone())
        };
        builder.with_client_auth_cert(self.chain.clone(), key).map_err(|error| error.to_string())
    }
}

/// Verifies the certificate as always, but for the name that was meant, not for the address that was dialled.
///
/// The MQTT client takes the name to verify from the address to connect to. With `connect_to` these differ, and what
/// must be verified is still the host: this is stricter than what it replaces, never laxer.
#[derive(Debug)]
struct Named {
    verifier: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier.verify_server_cert(certificate, intermediates, &self.name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
