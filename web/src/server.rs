//! A listener and what serves it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use axum::{Router, ServiceExt, body::Body, middleware::from_fn_with_state};
use axum_server::{Handle, tls_rustls::RustlsAcceptor};
use http::Request;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tracing::debug;

use crate::{
    connections::Connections,
    limited::{Grant, answer},
    limits::Limits,
    problem::Problem,
    tls::Tls,
};

/// What is read of the head of a request; enough for every browser's cookies.
const LARGEST_HEAD: usize = 32 << 10;
/// Requests at a time on one HTTP/2 connection.
const MOST_STREAMS: u32 = 64;

/// Why an address cannot be listened on.
#[derive(Debug, Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// A bound listener with everything that it will serve; nothing is served yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    limits: Limits,
    browsers: bool,
}

impl Server {
    /// Takes the address; without `tls` it speaks plain HTTP, for loopback only.
    pub fn bind(
        address: SocketAddr,
        tls: Option<Tls>,
        router: Router,
        limits: Limits,
    ) -> Result<Self, BindError> {
        let error = |source| BindError { address, source };
        let listener = TcpListener::bind(address).map_err(error)?;
        listener.set_nonblocking(true).map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let router = router
            .fallback(|| async { Problem::not_found() })
            .method_not_allowed_fallback(|| async { Problem::method_not_allowed() });
        Ok(Self { listener, address, tls, router, limits, browsers: false })
    }

    /// Adds to every answer, refusals too, the headers that keep a page to itself: no foreign scripts, no frames, no
    /// guessing of types.
    #[must_use]
    pub fn for_browsers(self) -> Self {
        Self { browsers: true, ..self }
    }

    /// Where it listens; of interest after asking for port 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until cancelled; then takes no more connections and lets running requests finish within the grace period.
    pub async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let handle = Handle::new();
        let mut serve = axum_server::from_tcp(self.listener)?
            .handle(handle.clone())
            .first_request_timeout(self.limits.head)
            .accept_error_handler(|address, error| debug!(?address, %error, "a connection was not accepted"));
        let http = serve.http_builder();
        http.http1().header_read_timeout(self.limits.idle).max_buf_size(LARGEST_HEAD);
        http.http2()
            .max_concurrent_streams(MOST_STREAMS)
            .max_header_list_size(16 << 10)
            .keep_alive_interval(self.limits.idle);
        let grant = Grant::new(&self.limits, self.browsers);
        let service = ServiceBuilder::new()
            .map_request(|request: Request<_>| request.map(Body::new))
            .layer(from_fn_with_state(grant, answer))
            .service(self.router);
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let stop = async {
            cancel.cancelled().await;
            handle.graceful_shutdown(Some(self.limits.grace));
            std::future::pending::<()>().await;
        };
        let connections = Connections::new(self.limits.connections, self.limits.connections_per_address);
        let serve = async {
            match self.tls {
                Some(tls) => {
                    let acceptor = RustlsAcceptor::new(tls.config)
                        .handshake_timeout(self.limits.handshake)
                        .acceptor(connections);
                    serve.acceptor(acceptor).serve(service).await
                }
                None => serve.acceptor(connections).serve(service).await,
            }
        };
        tokio::select! {
            served = serve => served,
            () = stop => Ok(()),
        }
    }
}
