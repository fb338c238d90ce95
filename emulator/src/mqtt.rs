//! The MQTT face: a small MQTT 3.1.1 server on the codec of `rumqttc` (its one door here).
//!
//! One task a connection. What the cloud wants published to others goes through their queues.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use rumqttc::mqttbytes::{
    QoS,
    v4::{Codec, ConnAck, ConnectReturnCode, Packet, PubAck, Publish, SubAck, SubscribeReasonCode, UnsubAck},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{codec::Framed, sync::CancellationToken};
use tracing::{debug, info};

use crate::{
    cloud::http::Request,
    cloud::{hub::Connection, mqtt::Output},
    door::Open,
    emulator::Control,
    weather::Fate,
};

/// The largest packet: a message of 256 KB and its topic.
const LARGEST: usize = 262_144 + 4096;
/// How long a connection may take to say who it is.
const HELLO: Duration = Duration::from_secs(10);
/// How many publishes may wait for a slow connection.
const QUEUE: usize = 256;

/// Ways to the connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queues(Arc<Mutex<HashMap<Connection, mpsc::Sender<Output>>>>);

impl Queues {
    /// Passes on what the cloud wants done; a connection that takes nothing is let go.
    pub(crate) fn send(&self, outputs: Vec<Output>) {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for output in outputs {
            let (Output::Publish { to, .. } | Output::Close { to }) = &output;
            let to = *to;
            if queues.get(&to).is_some_and(|queue| queue.try_send(output).is_err()) {
                queues.remove(&to);
            }
        }
    }

    fn insert(&self, connection: Connection) -> mpsc::Receiver<Output> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(connection, sender);
        receiver
    }

    fn remove(&self, connection: Connection) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection);
    }
}

/// A bound listener.
pub(crate) struct Server {
    listener: TcpListener,
    tls: TlsAcceptor,
    control: Control,
    open: Open,
}

type Wire = Framed<TlsStream<TcpStream>, Codec>;

impl Server {
    pub(crate) async fn bind(tls: TlsAcceptor, control: Control, open: Open) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind("127.0.0.1:0").await?, tls, control, open })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) -> io::Result<()> {
        let mut connections = JoinSet::new();
        let mut next: Connection = 0;
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                Some(_) = connections.join_next() => {}
                accepted = self.listener.accept() => {
                    let Ok((stream, peer)) = accepted else { continue };
                    next += 1;
                    let (tls, control, open) = (self.tls.clone(), self.control.clone(), self.open.clone());
                    connections.spawn(async move {
                        if let Err(why) = serve(stream, peer, next, tls, &control, &open).await {
                            debug!(%why, "an MQTT connection ended");
                        }
                        control.queues().remove(next);
                        control.with(|cloud, _| cloud.disconnect(next));
                    });
                }
            }
        }
    }
}

/// Serves one connection to its end; an `Err` says why it ended, for the log.
async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    connection: Connection,
    tls: TlsAcceptor,
    control: &Control,
    open: &Open,
) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = timeout(HELLO, tls.accept(stream))
        .await
        .map_err(|late| text(&late))?
        .map_err(|error| text(&error))?;
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    let mut wire = Framed::new(stream, Codec { max_incoming_size: LARGEST, max_outgoing_size: LARGEST });
    let hello = timeout(HELLO, wire.next()).await.map_err(|late| text(&late))?.ok_or("it said nothing")?;
    let Packet::Connect(hello) = hello.map_err(|error| error.to_string())? else {
        return Err("it did not begin with CONNECT".to_owned());
    };
    let user = hello.login.map(|login| login.username).unwrap_or_default();
    let queue = control.queues().insert(connection);
    let connected =
        control.with(|cloud, now| cloud.connect(now, connection, &hello.client_id, &user, certificate));
    let code = if connected.is_ok() { ConnectReturnCode::Success } else { ConnectReturnCode::NotAuthorized };
    send(&mut wire, Packet::ConnAck(ConnAck::new(code, false))).await?;
    let Ok(outputs) = connected else { return Err(format!("{user} is not authorized")) };
    info!(client = hello.client_id, user, "connected");
    control.queues().send(outputs);
    // MQTT 3.1.1, 3.1.2.10: silence for one and a half times the keep-alive ends the connection.
    let patience = match hello.keep_alive {
        0 => Duration::from_secs(1767),
        seconds => Duration::from_millis(u64::from(seconds) * 1500),
    };
    converse(wire, queue, patience, connection, peer, control, open).await
}

async fn converse(
    mut wire: Wire,
    mut queue: mpsc::Receiver<Output>,
    patience: Duration,
    connection: Connection,
    peer: SocketAddr,
    control: &Control,
    open: &Open,
) -> Result<(), String> {
    let mut packet_id = 0u16;
    loop {
        tokio::select! {
            output = queue.recv() => match output {
                Some(Output::Publish { topic, payload, qos, .. }) => {
                    let mut publish = Publish::new(topic, if qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce }, payload);
                    if qos > 0 {
                        packet_id = packet_id % u16::MAX + 1;
                        publish.pkid = packet_id;
                    }
                    send(&mut wire, Packet::Publish(publish)).await?;
                }
                Some(Output::Close { .. }) => return Err("the cloud ended it".to_owned()),
                None => return Err("it was too slow".to_owned()),
            },
            packet = timeout(patience, wire.next()) => {
                let packet = packet.map_err(|_| "it fell silent")?.ok_or("it closed")?.map_err(|error| error.to_string())?;
                if !take(&mut wire, packet, connection, peer, control, open).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// Takes one packet; `false` when the device says goodbye.
async fn take(
    wire: &mut Wire,
    packet: Packet,
    connection: Connection,
    peer: SocketAddr,
    control: &Control,
    open: &Open,
) -> Result<bool, String> {
    match packet {
        Packet::Publish(publish) => {
            match control.fate(&Request::default()) {
                // What spoils an answer over HTTPS leaves a packet whole.
                Fate::Served
                | Fate::Refused { .. }
                | Fate::Dripping
                | Fate::Truncated
                | Fate::WrongThumbprint
                | Fate::Contended => {}
                Fate::Delayed(delay) => tokio::time::sleep(delay).await,
                Fate::Hangs => return Ok(true),
                Fate::Lost | Fate::Captive => {
                    open.cut(peer);
                    return Err("lost in bad weather".to_owned());
                }
                Fate::ReplyLost => {
                    control
                        .with(|cloud, now| cloud.publish(now, connection, &publish.topic, &publish.payload));
                    open.cut(peer);
                    return Err("its answer was lost in bad weather".to_owned());
                }
            }
            if publish.qos == QoS::ExactlyOnce {
                return Err("QoS 2 is not supported".to_owned());
            }
            // The acknowledgement goes first: official clients wait for it before they listen.
            if publish.qos == QoS::AtLeastOnce {
                send(wire, Packet::PubAck(PubAck::new(publish.pkid))).await?;
            }
            let outputs =
                control.with(|cloud, now| cloud.publish(now, connection, &publish.topic, &publish.payload));
            control.queues().send(outputs);
        }
        Packet::Subscribe(subscribe) => {
            let mut granted = Vec::new();
            for filter in &subscribe.filters {
                let asked = filter.qos as u8;
                let qos = control.with(|cloud, _| cloud.subscribe(connection, &filter.path, asked));
                match qos {
                    Some(0) => granted.push(SubscribeReasonCode::Success(QoS::AtMostOnce)),
                    Some(_) => granted.push(SubscribeReasonCode::Success(QoS::AtLeastOnce)),
                    None => return Err(format!("nobody subscribes to {}", filter.path)),
                }
            }
            send(wire, Packet::SubAck(SubAck::new(subscribe.pkid, granted))).await?;
        }
        Packet::Unsubscribe(unsubscribe) => {
            for filter in &unsubscribe.topics {
                control.with(|cloud, _| cloud.unsubscribe(connection, filter));
            }
            send(wire, Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid))).await?;
        }
        Packet::PingReq => send(wire, Packet::PingResp).await?,
        Packet::PubAck(_) => {}
        Packet::Disconnect => return Ok(false),
        other => return Err(format!("unexpected: {other:?}")),
    }
    Ok(true)
}

async fn send(wire: &mut Wire, packet: Packet) -> Result<(), String> {
    wire.send(packet).await.map_err(|error| error.to_string())
}
