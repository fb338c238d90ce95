//! How many connections there are, in all and of one address. One too many is closed at once, before its handshake.

use std::{
    collections::HashMap,
    future::{Ready, ready},
    io::{self, IoSlice},
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum_server::accept::Accept;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// Counts connections. Clones count the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Connections(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: usize,
    most_per_address: usize,
    /// Only addresses that have a connection.
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_address: usize) -> Self {
        Self(Arc::new(Counts { most, most_per_address, open: Mutex::default() }))
    }

    /// Counts a connection of `address` until the place is dropped.
    fn admit(&self, address: IpAddr) -> io::Result<Place> {
        let address = address.to_canonical();
        let mut open = self.0.open.lock().unwrap_or_else(PoisonError::into_inner);
        // A sum over the map: it is as small as the number of clients.
        if open.values().sum::<usize>() >= self.0.most {
            return Err(io::Error::other("too many connections"));
        }
        let count = open.entry(address).or_default();
        if *count >= self.0.most_per_address {
            return Err(io::Error::other("too many connections of this address"));
        }
        *count += 1;
        Ok(Place { counts: self.0.clone(), address })
    }
}

/// What one connection counts for.
#[derive(Debug)]
struct Place {
    counts: Arc<Counts>,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.counts.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Connections {
    type Stream = Counted;
    type Service = S;
    type Future = Ready<io::Result<(Counted, S)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let counted = || {
            let place = self.admit(stream.peer_addr()?.ip())?;
            // An answer is one small write: to wait for more would cost a station 40 ms.
            stream.set_nodelay(true)?;
            Ok((Counted { stream, _place: place }, service))
        };
        ready(counted())
    }
}

/// A connection that counts for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    _place: Place,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn an_answer_is_sent_without_waiting_for_more() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!stream.nodelay().unwrap());
        let (counted, ()) = Connections::new(1, 1).accept(stream, ()).await.unwrap();
        assert!(counted.stream.nodelay().unwrap());
    }

    #[test]
    fn an_address_has_so_many_and_all_together_have_so_many() {
        let connections = Connections::new(3, 2);
        let first = connections.admit(address("10.0.0.1")).unwrap();
        let _second = connections.admit(address("10.0.0.1")).unwrap();
        connections.admit(address("10.0.0.1")).unwrap_err();
        connections.admit(address("::ffff:10.0.0.1")).unwrap_err();
        let _other = connections.admit(address("10.0.0.2")).unwrap();
        connections.admit(address("10.0.0.3")).unwrap_err();
        drop(first);
        connections.admit(address("10.0.0.1")).unwrap();
    }
}
