//! Clients that take more than their share, over real connections.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![allow(clippy::disallowed_methods, reason = "a test waits for its server by itself")]

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use web::{Limits, Server};

const PATIENCE: Duration = Duration::from_secs(10);
const ASK: &[u8] = b"GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n";

struct Running {
    address: SocketAddr,
    cancel: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let router = Router::new().route("/hello", get(|| async { "hello" }));
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), None, router, limits).unwrap();
        let (address, cancel) = (server.local_addr(), CancellationToken::new());
        let task = tokio::task::spawn(server.run(cancel.clone()));
        Self { address, cancel, task }
    }

    /// A connection from one of the many addresses of this machine.
    async fn connect(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        self.cancel.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Whether a request on this connection is answered; `false` if the connection is closed instead.
async fn answered(stream: &mut TcpStream) -> bool {
    // Closed already is closed.
    let _ = stream.write_all(ASK).await;
    let mut first = [0; 12];
    let read = timeout(PATIENCE, stream.read_exact(&mut first)).await.expect("an answer or an end in time");
    read.is_ok() && &first == b"HTTP/1.1 200"
}

#[tokio::test]
async fn the_33rd_connection_of_an_address_is_refused_while_others_go_on() {
    let server = Running::start(Limits { connections_per_address: 32, ..Limits::default() });
    let mut open = Vec::new();
    for _ in 0..32 {
        let mut stream = server.connect("127.0.0.1").await;
        assert!(answered(&mut stream).await);
        open.push(stream);
    }
    assert!(!answered(&mut server.connect("127.0.0.1").await).await, "one too many");
    let mut other = server.connect("127.0.0.2").await;
    assert!(answered(&mut other).await, "another address is not concerned");
    open.pop();
    let again = async {
        while !answered(&mut server.connect("127.0.0.1").await).await {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("a place that was left is given again");
    drop((open, other));
    server.stop().await;
}

#[tokio::test]
async fn beyond_the_last_connection_nobody_gets_in() {
    let server = Running::start(Limits { connections: 2, ..Limits::default() });
    let (mut first, mut second) = (server.connect("127.0.0.1").await, server.connect("127.0.0.2").await);
    assert!(answered(&mut first).await && answered(&mut second).await);
    assert!(!answered(&mut server.connect("127.0.0.3").await).await);
    drop((first, second));
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_sends_its_head_byte_by_byte_is_cut_off() {
    let server = Running::start(Limits { head: Duration::from_millis(300), ..Limits::default() });
    let stream = server.connect("127.0.0.1").await;
    let (mut read, mut write) = stream.into_split();
    let dribble = async {
        let mut drop = tokio::time::interval(Duration::from_millis(50));
        let _ = write.write_all(b"GET /hello HTTP/1.1\r\nx: ").await;
        loop {
            drop.tick().await;
            if write.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut heard = [0; 1];
    let end = tokio::select! {
        () = dribble => unreachable!("it dribbles for ever"),
        end = timeout(PATIENCE, read.read(&mut heard)) => end.expect("cut off in time"),
    };
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    assert!(answered(&mut server.connect("127.0.0.1").await).await, "others go on");
    server.stop().await;
}

#[tokio::test]
async fn a_problem_that_may_pass_says_when_to_ask_again() {
    use axum::response::IntoResponse;
    use http::StatusCode;
    use web::Problem;
    let after = |problem: Problem| {
        let response = problem.into_response();
        response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned())
    };
    let problem = |status| Problem::new(status, "x", "y");
    assert_eq!(after(problem(StatusCode::SERVICE_UNAVAILABLE)).as_deref(), Some("5"));
    assert_eq!(
        after(problem(StatusCode::TOO_MANY_REQUESTS).retry_after(Duration::from_secs(7))).as_deref(),
        Some("7")
    );
    assert_eq!(after(problem(StatusCode::SERVICE_UNAVAILABLE).retryable(false)), None);
    assert_eq!(after(problem(StatusCode::CONFLICT)), None);
}
