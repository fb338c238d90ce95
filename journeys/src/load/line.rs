//! Lines that ask for identities: a keep-alive connection each, and requests that were made beforehand.
//!
//! They share the machine with what is measured, so they take as little of it as they can: an answer is read, its head
//! parsed, and its body left alone.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
    vec,
};

use anyhow::{Context, Result, anyhow, ensure};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::Mutex as Lock,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::latency::Turn;

/// How many connections come from one address: a line PC has a few.
const EACH: usize = 8;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many lines the head of an answer may have.
const HEADERS: usize = 32;

/// Requests that nobody has sent yet, in the order of their ids, as a line counts its units.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Mutex<vec::IntoIter<String>>>);

impl Requests {
    /// Makes so many, each with a key of its own; the ids begin with `name`.
    pub(crate) fn make(name: &str, many: usize) -> Result<Self> {
        let threads = thread::available_parallelism()?.get();
        let made = thread::scope(|scope| {
            let make = |thread: usize| {
                let mine = many * thread / threads..many * (thread + 1) / threads;
                move || mine.map(|n| request(&format!("{name}-{n:07}"))).collect::<Result<Vec<_>>>()
            };
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(make(thread))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Self(Arc::new(Mutex::new(made.concat().into_iter()))))
    }

    fn next(&self) -> Result<String> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).next();
        next.context("more requests were needed than made: say --requests")
    }
}

fn request(id: &str) -> Result<String> {
    Ok(crate::fault::load::ask(id, true)?.to_string())
}

/// An appliance as lines see it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) token: String,
}

/// A line PC's connection.
#[derive(Debug)]
struct Line {
    stream: TlsStream<TcpStream>,
    token: Arc<str>,
    answer: Vec<u8>,
}

/// Line PCs, each with a connection.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Door {
    /// The `number`th line PC, with a connection that is open already.
    async fn line(&self, number: usize) -> Result<Line> {
        let from = Ipv4Addr::new(127, 6, 0, u8::try_from(number / EACH + 1)?);
        let stream = self.connect(from).await?;
        stream.get_ref().0.set_nodelay(true)?;
        let mut line =
            Line { stream, token: self.token.as_str().into(), answer: Vec::with_capacity(8 << 10) };
        line.ask("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n", 200).await?;
        Ok(line)
    }

    /// A connection from this address, with nothing said yet.
    pub(super) async fn connect(&self, from: Ipv4Addr) -> Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
        let stream = socket.connect(self.address).await?;
        let tls = TlsConnector::from(self.tls.clone());
        Ok(tls.connect(ServerName::try_from("localhost")?, stream).await?)
    }

    /// So many line PCs, with connections that are open.
    pub(crate) async fn lines(&self, connections: usize) -> Result<Lines> {
        let mut lines = Vec::new();
        for number in 0..connections {
            lines.push(self.line(number).await?);
        }
        Ok(Lines(lines))
    }
}

impl Lines {
    /// Each asks for the next unit when it has the last, for so long.
    pub(crate) async fn closed(self, length: Duration, requests: &Requests) -> Result<Turn> {
        let (begin, mut working) = (Instant::now(), JoinSet::new());
        for mut line in self.0 {
            let requests = requests.clone();
            working.spawn(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < length {
                    let asked = Instant::now();
                    line.issue(&requests.next()?).await?;
                    latencies.push(asked.elapsed());
                }
                Ok::<_, anyhow::Error>(latencies)
            });
        }
        end(working, begin).await
    }

    /// So many units a second, asked for when it is time, whether the last ones are there or not.
    pub(crate) async fn offered(
        self,
        per_second: u32,
        length: Duration,
        requests: &Requests,
    ) -> Result<Turn> {
        let lines: Vec<_> = self.0.into_iter().map(|line| Arc::new(Lock::new(line))).collect();
        let (begin, mut working) = (Instant::now(), JoinSet::new());
        let many = per_second * u32::try_from(length.as_secs())?;
        for (n, line) in (0..many).zip(lines.iter().cycle()) {
            // What counts is when it should have been sent.
            let due = begin + Duration::from_secs(1) * n / per_second;
            sleep_until(due).await;
            let (line, request) = (line.clone(), requests.next()?);
            working.spawn(async move {
                line.lock().await.issue(&request).await?;
                Ok(vec![due.elapsed()])
            });
        }
        end(working, begin).await
    }
}

async fn end(mut working: JoinSet<Result<Vec<Duration>>>, begin: Instant) -> Result<Turn> {
    let mut latencies = Vec::new();
    while let Some(line) = working.join_next().await {
        latencies.extend(line??);
    }
    Ok(Turn { latencies, seconds: begin.elapsed().as_secs_f64(), server: 0.0 })
}

impl Line {
    /// Asks for a unit.
    async fn issue(&mut self, request: &str) -> Result<()> {
        let request = format!(
            "POST /v1/units HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{request}",
            self.token,
            request.len()
        );
        self.ask(&request, 201).await
    }

    /// Sends a request, and reads its whole answer, which has to have this status.
    async fn ask(&mut self, request: &str, status: u16) -> Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let found = timeout(PATIENCE, self.answer()).await.context("no answer")??;
        ensure!(found == status, "answered {found}: {}", String::from_utf8_lossy(&self.answer));
        Ok(())
    }

    /// Reads an answer; returns its status.
    async fn answer(&mut self) -> Result<u16> {
        self.answer.clear();
        loop {
            ensure!(
                self.stream.read_buf(&mut self.answer).await? > 0,
                "the connection ends within an answer"
            );
            if let Some((status, length)) = head(&self.answer)? {
                while self.answer.len() < length {
                    let read = self.stream.read_buf(&mut self.answer).await?;
                    ensure!(read > 0, "the connection ends within an answer");
                }
                return Ok(status);
            }
        }
    }
}

/// The status of an answer and its length with its head, once its head is there.
fn head(answer: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(answer)? else { return Ok(None) };
    let status = response.code.context("an answer without a status")?;
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Ok("0"), |header| std::str::from_utf8(header.value))?;
    Ok(Some((status, head + length.parse::<usize>()?)))
}
