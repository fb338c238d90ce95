//! What every HTTP face of ours shares: a TLS listener that knows the peer's certificate, limits, errors as problem+json
//! and a graceful stop.
//!
//! [`Server::bind`] returns once the port is taken, so that a test may ask for port 0; [`Server::run`] ends when told to.

mod connections;
mod headers;
mod json;
mod limited;
mod limits;
mod peer;
mod problem;
mod server;
mod tls;
mod unread;

pub use crate::{
    json::{Json, Object},
    limits::Limits,
    peer::Peer,
    problem::Problem,
    server::{BindError, Server},
    tls::{ClientCertificates, Tls, TlsError},
};
