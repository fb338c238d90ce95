//! The HTTPS face: the shell around [`crate::cloud::Cloud::handle`].

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, State},
    response::{Html, IntoResponse, Response},
    routing::any,
};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use percent_encoding::percent_decode_str;
use web::Peer;

use crate::{
    cloud::{
        http::{self as cloud_http, Request},
        meet::Met,
    },
    door::Open,
    emulator::Control,
    weather::Fate,
};

/// What the handler shares.
#[derive(Debug, Clone)]
pub(crate) struct Shell {
    pub(crate) control: Control,
    pub(crate) open: Open,
}

pub(crate) fn router(shell: Shell) -> Router {
    Router::new().route("/", any(handle)).route("/{*path}", any(handle)).with_state(shell)
}

async fn handle(
    State(shell): State<Shell>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    Peer(chain): Peer,
    body: Bytes,
) -> Response {
    let request = request(&method, &uri, &headers, chain.first().map(|leaf| leaf.to_vec()), &body);
    let fate = shell.control.fate(&request);
    if let Fate::Delayed(delay) = fate {
        tokio::time::sleep(delay).await;
    }
    match shell.control.with(|cloud, now| cloud.meet(now, &request, fate)) {
        Met::Answer(response) => respond(response),
        Met::Dripping(response) => respond(response).map(drip),
        Met::Truncated(response) => truncate(respond(response)).await,
        Met::LoginPage => Html(LOGIN_PAGE).into_response(),
        Met::Broken => lost(&shell, peer).await,
        Met::Silence => std::future::pending().await,
    }
}

/// What a hotel answers in place of everybody else.
const LOGIN_PAGE: &str = "<!doctype html><title>Welcome</title><p>Please log in to use this network.";

/// The body, a byte a second.
fn drip(body: Body) -> Body {
    let bytes = stream::once(axum::body::to_bytes(body, usize::MAX))
        .flat_map(|read| stream::iter(read.unwrap_or_default()))
        .then(|byte| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok::<_, Infallible>(Bytes::from(vec![byte]))
        });
    Body::from_stream(bytes)
}

/// The first half of the body, as if it were all.
async fn truncate(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(head, Body::from(body.slice(..body.len() / 2)))
}

/// Breaks the connection; the answer is never read.
async fn lost(shell: &Shell, peer: SocketAddr) -> Response {
    shell.open.cut(peer);
    std::future::pending().await
}

fn request(method: &Method, uri: &Uri, headers: &HeaderMap, peer: Option<Vec<u8>>, body: &Bytes) -> Request {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) => (decode(key), decode(value)),
        None => (decode(pair), String::new()),
    };
    let query: BTreeMap<_, _> = uri.query().unwrap_or_default().split('&').map(pair).collect();
    let header = |(name, value): (&header::HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    Request {
        method: method.as_str().to_owned(),
        path: decode(uri.path()),
        query,
        headers: headers.iter().map(header).collect(),
        body: body.to_vec(),
        peer,
    }
}

fn respond(response: cloud_http::Response) -> Response {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = match response.body {
        Some(body) => (status, Body::from(body.to_string())).into_response(),
        None => status.into_response(),
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    for (name, value) in response.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    answer
}
