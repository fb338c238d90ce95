//! An HTTP CONNECT proxy that leads every connection to one address: a network in which Azure's names are the emulator.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A bound proxy.
#[derive(Debug)]
pub struct Proxy {
    listener: TcpListener,
    to: SocketAddr,
}

impl Proxy {
    /// Takes a free port; everything goes to `to`.
    pub async fn bind(to: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await?, to })
    }

    /// Its port.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serves until dropped.
    pub async fn run(self) -> io::Result<()> {
        let mut pipes = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    pipes.spawn(pipe(accepted?.0, self.to));
                }
                Some(_) = pipes.join_next() => {}
            }
        }
    }
}

async fn pipe(stream: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut client = BufReader::new(stream);
    let mut line = String::new();
    while client.read_line(&mut line).await? > 0 && !line.ends_with("\r\n\r\n") {}
    if !line.starts_with("CONNECT ") {
        return Ok(());
    }
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let mut server = TcpStream::connect(to).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
