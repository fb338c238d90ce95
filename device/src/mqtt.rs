//! The one door to `rumqttc`: a connection that either works or has ended.
//!
//! It does not reconnect by itself: when to try again, and where, is for the mind to say.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, MqttOptions, Packet, QoS,
    TlsConfiguration, Transport,
};

use crate::tls::Identity;

/// The port of MQTT over TLS.
const PORT: u16 = 8883;
/// Below what the service allows, and what the official Python client uses.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// The largest packet: a message of 256 KB and its topic.
const LARGEST: usize = 262_144 + 4096;
/// How many publishes may wait to be sent.
const QUEUE: usize = 64;

/// Whom to call, and as whom.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    /// The host whose certificate is verified.
    pub(crate) host: String,
    /// Another address to connect to.
    pub(crate) connect_to: Option<SocketAddr>,
    pub(crate) client_id: String,
    pub(crate) user_name: String,
}

/// Why there is no connection, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gone {
    /// We are not let in.
    Refused,
    /// It broke, or never came about.
    Lost(String),
}

/// A message that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Arrived {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// A connection.
pub(crate) struct Connection {
    client: AsyncClient,
    events: EventLoop,
}

impl Connection {
    /// Connects and subscribes; returns once the server has agreed to both.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        identity: &Identity,
        filters: &[String],
    ) -> Result<Self, Gone> {
        let (address, port) = match endpoint.connect_to {
            Some(address) => (address.ip().to_string(), address.port()),
            None => (endpoint.host.clone(), PORT),
        };
        let tls = identity.client(&endpoint.host, endpoint.connect_to.is_some()).map_err(Gone::Lost)?;
        let mut options = MqttOptions::new(&endpoint.client_id, address, port);
        options
            .set_credentials(&endpoint.user_name, "")
            .set_keep_alive(KEEP_ALIVE)
            .set_clean_session(true)
            .set_max_packet_size(LARGEST, LARGEST)
            .set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))));
        let (client, events) = AsyncClient::new(options, QUEUE);
        let mut connection = Self { client, events };
        connection.until(|packet| matches!(packet, Packet::ConnAck(_))).await?;
        for filter in filters {
            let asked = connection.client.try_subscribe(filter, QoS::AtLeastOnce);
            asked.map_err(|error| Gone::Lost(error.to_string()))?;
            connection.until(|packet| matches!(packet, Packet::SubAck(_))).await?;
        }
        Ok(connection)
    }

    /// Queues a message; it is sent while [`Connection::next`] is awaited.
    pub(crate) fn publish(&self, topic: String, payload: Vec<u8>) -> Result<(), Gone> {
        self.client
            .try_publish(topic, QoS::AtLeastOnce, false, payload)
            .map_err(|error| Gone::Lost(error.to_string()))
    }

    /// The next message. Safe to drop at any await.
    pub(crate) async fn next(&mut self) -> Result<Arrived, Gone> {
        loop {
            if let Packet::Publish(publish) = self.packet().await? {
                return Ok(Arrived { topic: publish.topic, payload: publish.payload.to_vec() });
            }
        }
    }

    async fn until(&mut self, enough: impl Fn(&Packet) -> bool) -> Result<(), Gone> {
        while !enough(&self.packet().await?) {}
        Ok(())
    }

    async fn packet(&mut self) -> Result<Packet, Gone> {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(packet)) => return Ok(packet),
                Ok(Event::Outgoing(_)) => {}
                Err(ConnectionError::ConnectionRefused(
                    ConnectReturnCode::NotAuthorized
                    | ConnectReturnCode::BadUserNamePassword
                    | ConnectReturnCode::BadClientId,
                )) => return Err(Gone::Refused),
                Err(error) => return Err(Gone::Lost(error.to_string())),
            }
        }
    }
}
