//! `edge watch`: the feed in a terminal. The one door to `tokio-tungstenite`.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use futures_util::StreamExt;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio_tungstenite::{
    Connector, connect_async_tls_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use super::{Failure, say};

/// Shows what happens, one JSON object a line, until it is interrupted.
#[derive(Debug, Args)]
pub(super) struct Watch {
    /// Where the appliance listens, such as `https://edge.local:8443`.
    #[arg(long, default_value = "https://localhost:8443")]
    url: String,
    /// The appliance's root certificate.
    #[arg(long)]
    root: PathBuf,
    /// A file with a token.
    #[arg(long)]
    token_file: PathBuf,
}

impl Watch {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
        };
        let token = read(&self.token_file)?;
        let address =
            self.url.strip_prefix("https://").ok_or_else(|| Failure::usage("--url begins with https://"))?;
        let url = format!("wss://{}/v1/feed", address.trim_end_matches('/'));
        let mut request = url.as_str().into_client_request().map_err(Failure::usage)?;
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.trim())).map_err(Failure::usage)?;
        request.headers_mut().insert("authorization", bearer);
        let connector = Connector::Rustls(Arc::new(trusting(read(&self.root)?.as_bytes())?));
        let connected = connect_async_tls_with_config(request, None, false, Some(connector)).await;
        let (mut feed, _) = connected.map_err(|error| match error {
            Error::Http(response) => Failure::refused(
                response.status().as_u16(),
                format!("the appliance refuses: {}", response.status()),
            ),
            error => Failure::unreachable(format!("{url}: {error}")),
        })?;
        while let Some(message) = feed.next().await {
            if let Message::Text(text) = message.map_err(Failure::unreachable)? {
                say::line(&text);
            }
        }
        Err(Failure::unreachable("the appliance has closed the feed"))
    }
}

fn trusting(root: &[u8]) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(root) {
        roots.add(certificate.map_err(|_| Failure::usage("--root is not PEM"))?).map_err(Failure::usage)?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(Failure::failed)?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
