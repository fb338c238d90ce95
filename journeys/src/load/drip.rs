//! Clients that never finish a sentence: a connection each, and a byte of a header now and then.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::{Result, ensure};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_rustls::TlsConnector;

/// How often each sends a byte.
const PAUSE: Duration = Duration::from_millis(500);
/// How many come from one address.
const EACH: usize = 8;

/// Starts so many; they come again when they are sent away, until they are dropped.
pub(crate) fn begin(address: SocketAddr, tls: &Arc<ClientConfig>, clients: usize) -> Result<JoinSet<()>> {
    let mut dripping = JoinSet::new();
    for number in 0..clients {
        let from = u16::try_from(number / EACH)?;
        let [a, b] = from.to_be_bytes();
        let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 7, a, b.max(1))), 0);
        let (tls, first) = (
            TlsConnector::from(tls.clone()),
            Instant::now() + PAUSE * u32::try_from(number)? / u32::try_from(clients)?,
        );
        dripping.spawn(async move {
            let mut next = first;
            loop {
                sleep_until(next).await;
                next += PAUSE;
                // Being sent away is what it is there for.
                let _ = drip(address, from, &tls).await;
            }
        });
    }
    ensure!(!dripping.is_empty(), "there are no slow clients");
    Ok(dripping)
}

async fn drip(to: SocketAddr, from: SocketAddr, tls: &TlsConnector) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(from)?;
    let stream = socket.connect(to).await?;
    let stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
    let (reading, mut writing) = tokio::io::split(stream);
    writing.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await?;
    tokio::select! {
        ended = gone(reading) => ended,
        ended = trickle(writing) => ended,
    }
}

async fn gone(mut reading: impl AsyncRead + Unpin) -> Result<()> {
    let mut answer = [0; 512];
    while reading.read(&mut answer).await? > 0 {}
    Ok(())
}

async fn trickle(mut writing: impl AsyncWrite + Unpin) -> Result<()> {
    let mut next = Instant::now();
    loop {
        next += PAUSE;
        sleep_until(next).await;
        writing.write_all(b"x").await?;
        writing.flush().await?;
    }
}
