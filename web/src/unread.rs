//! What of a request nobody read.
//!
//! A refusal that is given before the body has arrived makes an HTTP/2 server reset the stream, and clients that are still
//! sending (curl 7.88 among them) then tell of a broken stream instead of the refusal. So the rest of a body of a size
//! that is taken is read, and thrown away, before the answer is given.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http::header;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Limited};

/// How long the rest may take; whoever sends it slower is answered without.
const PATIENCE: Duration = Duration::from_secs(1);

/// Answers once the whole request is here, or as much of what is left of it as `limit` bytes.
pub(crate) async fn read_to_the_end(limit: usize, request: Request, next: Next) -> Response {
    // Who asks first (RFC 9110 10.1.1) sends nothing after a refusal.
    if request.body().is_end_stream() || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let left = Left::default();
    let request = request.map(|body| Body::new(Lent { body, left: left.clone() }));
    let response = next.run(request).await;
    if let Some(body) = left.take() {
        // Too much, too slow, broken off: the answer is the same.
        let _ = tokio::time::timeout(PATIENCE, Limited::new(body, limit).collect()).await;
    }
    response
}

/// Where a body lies after whoever was to read it has dropped it.
#[derive(Debug, Default, Clone)]
struct Left(Arc<Mutex<Option<Body>>>);

impl Left {
    fn put(&self, body: Body) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }

    fn take(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A body that comes back when it is dropped before its end.
#[derive(Debug)]
struct Lent {
    body: Body,
    left: Left,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.left.put(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::{Router, middleware::from_fn, routing::post};
    use futures_util::{StreamExt, stream};
    use http::{Request, StatusCode};
    use tower::ServiceExt;

    use super::*;

    const LIMIT: usize = 100;

    /// A body of `parts` times ten bytes, and how many of them were read.
    fn body(parts: usize) -> (Body, Arc<AtomicUsize>) {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = read.clone();
        let parts =
            stream::iter(std::iter::repeat_n(Bytes::from_static(b"0123456789"), parts)).map(move |part| {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, std::io::Error>(part)
            });
        (Body::from_stream(parts), read)
    }

    async fn status(request: Request<Body>) -> StatusCode {
        let refuse = || async { StatusCode::UNAUTHORIZED };
        let read =
            |body: Bytes| async move { if body.len() == 50 { StatusCode::OK } else { StatusCode::GONE } };
        let router = Router::new()
            .route("/refuse", post(refuse))
            .route("/read", post(read))
            .layer(from_fn(|request, next| read_to_the_end(LIMIT, request, next)));
        router.oneshot(request).await.unwrap().status()
    }

    fn request(path: &str) -> http::request::Builder {
        Request::post(path)
    }

    #[tokio::test]
    async fn a_refusal_waits_for_the_rest_of_the_body() {
        let (sent, read) = body(5);
        assert_eq!(status(request("/refuse").body(sent).unwrap()).await, 401);
        assert_eq!(read.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn a_body_that_is_read_is_whole() {
        let (sent, read) = body(5);
        assert_eq!(status(request("/read").body(sent).unwrap()).await, 200);
        assert_eq!(read.load(Ordering::Relaxed), 5);
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_taken() {
        let (sent, read) = body(1000);
        assert_eq!(status(request("/refuse").body(sent).unwrap()).await, 401);
        assert_eq!(read.load(Ordering::Relaxed), LIMIT / 10 + 1);
    }

    #[tokio::test]
    async fn who_asks_first_is_not_made_to_send() {
        let (sent, read) = body(5);
        let asks = request("/refuse").header(header::EXPECT, "100-continue").body(sent).unwrap();
        assert_eq!(status(asks).await, 401);
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn nobody_waits_for_a_body_that_does_not_come() {
        let never = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(status(request("/refuse").body(never).unwrap()).await, 401);
    }
}
