//! A cloud that swallows packets: nobody refuses, nobody answers.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::Result;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
use tokio::net::TcpStream;

/// A listener that nobody accepts from, filled up: the kernel drops what knocks.
#[derive(Debug)]
pub(crate) struct Hole {
    address: SocketAddr,
    _listener: std::os::fd::OwnedFd,
    _filling: Vec<TcpStream>,
}

impl Hole {
    pub(crate) async fn dig() -> Result<Self> {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        listen(&listener, 0)?;
        let address = SocketAddr::try_from(getsockname(&listener)?)?;
        let mut filling = Vec::new();
        // Full once a connection does not come about by itself.
        while let Ok(connected) =
            tokio::time::timeout(std::time::Duration::from_millis(300), TcpStream::connect(address)).await
        {
            filling.push(connected?);
        }
        Ok(Self { address, _listener: listener, _filling: filling })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}
