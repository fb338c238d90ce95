//! A listener and what serves it.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use axum::{
    Router,
    error_handling::HandleErrorLayer,
    extract::DefaultBodyLimit,
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
};
use axum_server::{Handle, tls_rustls::RustlsAcceptor};
use http::StatusCode;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tower::{BoxError, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error};

use crate::{connections::Connections, limits::Limits, problem::Problem, tls::Tls, unread::read_to_the_end};

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
        let router = limited(router, &limits);
        Ok(Self { listener, address, tls, router, limits })
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
        let service = self.router.into_make_service_with_connect_info::<SocketAddr>();
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

/// Puts the limits around a router, and answers for what it does not know.
fn limited(router: Router, limits: &Limits) -> Router {
    let panicked = |panic: Box<dyn std::any::Any + Send>| panicked(panic.as_ref());
    // From the outside in, as one layer: the router boxes each that it is given, for every request.
    let layers = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(panicked))
        .layer(HandleErrorLayer::new(too_slow))
        .timeout(limits.request)
        .layer(from_fn_with_state(limits.body, read_to_the_end))
        .layer(DefaultBodyLimit::max(limits.body));
    router
        .fallback(|| async { Problem::not_found() })
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .layer(layers)
}

async fn too_slow(_: BoxError) -> Problem {
    Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the request took too long; send it again")
        .retryable(true)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Response {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    error!(panic = text.unwrap_or("?"), "a request handler panicked");
    Problem::internal().into_response()
}
