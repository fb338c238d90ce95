//! The door in front of a listener: a pipe that the weather can break.
//!
//! TLS goes through it untouched, so that a broken connection looks to both sides as it does in the world.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::weather::Weather;

/// The connections that are open, by the address that the listener behind the door sees.
#[derive(Debug, Clone, Default)]
pub(crate) struct Open(Arc<Mutex<HashMap<SocketAddr, CancellationToken>>>);

impl Open {
    /// Breaks the connection that the listener behind the door knows as `peer`.
    pub(crate) fn cut(&self, peer: SocketAddr) {
        if let Some(open) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&peer) {
            open.cancel();
        }
    }

    fn insert(&self, peer: SocketAddr) -> CancellationToken {
        let cancel = CancellationToken::new();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, cancel.clone());
        cancel
    }

    fn remove(&self, peer: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&peer);
    }
}

/// A bound door.
#[derive(Debug)]
pub(crate) struct Door {
    listener: TcpListener,
    behind: SocketAddr,
    open: Open,
    weather: watch::Receiver<Weather>,
}

impl Door {
    /// Takes `address`; what comes in goes to `behind`.
    pub(crate) async fn bind(
        address: SocketAddr,
        behind: SocketAddr,
        open: Open,
        weather: watch::Receiver<Weather>,
    ) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, behind, open, weather })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let mut pipes = JoinSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_) = pipes.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    // Dropped at once: the other side sees its connection end before it began.
                    Ok(_) if *self.weather.borrow() == Weather::Offline => {}
                    Ok((stream, _)) => {
                        pipes.spawn(pipe(stream, self.behind, self.open.clone(), self.weather.clone()));
                    }
                    Err(error) => debug!(%error, "a connection was not accepted"),
                },
            }
        }
    }
}

async fn pipe(mut outside: TcpStream, behind: SocketAddr, open: Open, mut weather: watch::Receiver<Weather>) {
    let Ok(mut inside) = TcpStream::connect(behind).await else { return };
    let Ok(peer) = inside.local_addr() else { return };
    // Small packets both ways: waiting to fill them would only add delay.
    let _ = (outside.set_nodelay(true), inside.set_nodelay(true));
    let cut = open.insert(peer);
    tokio::select! {
        _ = copy_bidirectional(&mut outside, &mut inside) => {}
        () = cut.cancelled() => {}
        _ = weather.wait_for(|weather| *weather == Weather::Offline) => {}
    }
    open.remove(peer);
}
