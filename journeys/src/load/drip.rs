//! Clients that never finish a sentence: a connection each, and a byte of a header now and then.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::{Result, ensure};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_rustls::client::TlsStream;

use super::line::Door;

/// Over how long they come, one after the other; for so long the server lets them be, so that they go on coming at that rate.
const COMING: Duration = Duration::from_secs(5);
/// How often each sends a byte.
const PAUSE: Duration = Duration::from_millis(500);
/// How many come from one address.
const EACH: usize = 8;

/// Starts so many, and returns once each has begun its header or was sent away; they come again when they are sent away,
/// until they are dropped.
pub(crate) async fn begin(door: &Door, clients: usize) -> Result<JoinSet<()>> {
    let mut dripping = JoinSet::new();
    let (there, mut arrived) = mpsc::channel::<()>(1);
    for number in 0..clients {
        let from = u16::try_from(number / EACH)?;
        let [a, b] = from.to_be_bytes();
        let from = Ipv4Addr::new(127, 7, a, b.max(1));
        let (door, first) =
            (door.clone(), Instant::now() + COMING * u32::try_from(number)? / u32::try_from(clients)?);
        let mut there = Some(there.clone());
        dripping.spawn(async move {
            let mut next = first;
            loop {
                sleep_until(next).await;
                next += PAUSE;
                // Being sent away is what it is there for.
                if let Ok(stream) = knock(&door, from).await {
                    drop(there.take());
                    let _ = drip(stream).await;
                }
                drop(there.take());
            }
        });
    }
    ensure!(!dripping.is_empty(), "there are no slow clients");
    drop(there);
    // Nobody ever sends: it ends when the last has dropped its end.
    arrived.recv().await;
    Ok(dripping)
}

/// Opens a connection, and begins a header.
async fn knock(door: &Door, from: Ipv4Addr) -> Result<TlsStream<TcpStream>> {
    let mut stream = door.connect(from).await?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await?;
    Ok(stream)
}

/// Goes on with it, for ever.
async fn drip(stream: TlsStream<TcpStream>) -> Result<()> {
    let (reading, writing) = tokio::io::split(stream);
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
