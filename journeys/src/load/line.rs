//! Lines that ask for identities: a keep-alive connection each, and requests that were made beforehand.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use reqwest::{Certificate, Client, header};
use tokio::{task::JoinSet, time::Instant};

use super::latency::Turn;

/// How many connections come from one address: a line PC has a few.
const EACH: usize = 8;

/// Requests that nobody has sent yet.
#[derive(Debug, Clone)]
pub(crate) struct Requests(Arc<Mutex<Vec<String>>>);

impl Requests {
    /// Makes so many, each with a key of its own; the ids begin with `name`.
    pub(crate) fn make(name: &str, many: usize) -> Result<Self> {
        let threads = thread::available_parallelism()?.get();
        let made = thread::scope(|scope| {
            let make = |thread: usize| {
                move || {
                    (thread..many)
                        .step_by(threads)
                        .map(|n| request(&format!("{name}-{n:07}")))
                        .collect::<Result<Vec<_>>>()
                }
            };
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(make(thread))).collect();
            running
                .into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Self(Arc::new(Mutex::new(made.concat()))))
    }

    fn next(&self) -> Result<String> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        next.context("more requests were needed than made: say --requests")
    }
}

fn request(id: &str) -> Result<String> {
    Ok(crate::fault::load::ask(id, true)?.to_string())
}

/// An appliance as lines see it.
#[derive(Debug, Clone)]
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) root: Certificate,
    pub(crate) token: String,
}

/// A connection.
#[derive(Debug, Clone)]
struct Line {
    client: Client,
    url: String,
    token: String,
}

/// Line PCs, each with a connection.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Line>);

impl Door {
    /// The `number`th line PC, with a connection that is open already.
    async fn line(&self, number: usize) -> Result<Line> {
        let from = Ipv4Addr::new(127, 6, 0, u8::try_from(number / EACH + 1)?);
        let client = Client::builder()
            .tls_certs_only([self.root.clone()])
            .local_address(IpAddr::V4(from))
            .http1_only()
            .pool_max_idle_per_host(1)
            .timeout(Duration::from_secs(20))
            .no_proxy()
            .build()?;
        let line = Line { client, url: format!("{}/v1/units", self.url), token: self.token.clone() };
        let hello = line.client.get(format!("{}/livez", self.url)).send().await?;
        hello.error_for_status()?.bytes().await?;
        Ok(line)
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
    pub(crate) async fn closed(&self, length: Duration, requests: &Requests) -> Result<Turn> {
        let (begin, mut working) = (Instant::now(), JoinSet::new());
        for line in &self.0 {
            let (line, requests) = (line.clone(), requests.clone());
            working.spawn(async move {
                let mut latencies = Vec::new();
                while begin.elapsed() < length {
                    latencies.push(line.issue(requests.next()?).await?);
                }
                Ok::<_, anyhow::Error>(latencies)
            });
        }
        end(working, begin).await
    }

    /// So many units a second, asked for when it is time, whether the last ones are there or not.
    pub(crate) async fn offered(
        &self,
        per_second: u32,
        length: Duration,
        requests: &Requests,
    ) -> Result<Turn> {
        let (begin, mut working) = (Instant::now(), JoinSet::new());
        let many = per_second * u32::try_from(length.as_secs())?;
        for (n, line) in (0..many).zip(self.0.iter().cycle()) {
            // What counts is when it should have been sent.
            let due = begin + Duration::from_secs(1) * n / per_second;
            tokio::time::sleep_until(due).await;
            let (line, request) = (line.clone(), requests.next()?);
            working.spawn(async move {
                line.issue(request).await?;
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
    /// Asks for a unit; how long the whole answer took.
    async fn issue(&self, request: String) -> Result<Duration> {
        let begin = Instant::now();
        let request = self
            .client
            .post(&self.url)
            .bearer_auth(&self.token)
            .header(header::CONTENT_TYPE, "application/json")
            .body(request);
        let response = request.send().await?;
        let (status, body) = (response.status().as_u16(), response.bytes().await?);
        if status != 201 {
            bail!("answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(begin.elapsed())
    }
}
