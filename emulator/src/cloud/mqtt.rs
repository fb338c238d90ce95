//! The MQTT face: who may connect as what, and what becomes of what they publish.

use azure_iot::{
    dps_topics,
    hub_topics::{self, FromDevice, FromHub},
};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{Cloud, certificate::presented, hub::Connection, time};

/// What the shell shall do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Publish to a connection.
    Publish {
        /// To whom.
        to: Connection,
        /// Where.
        topic: String,
        /// What.
        payload: Vec<u8>,
        /// 0 or 1, as the connection subscribed.
        qos: u8,
    },
    /// End a connection.
    Close {
        /// Whose.
        to: Connection,
    },
}

/// A connection and what it listens to.
#[derive(Debug, Clone)]
pub(super) struct Session {
    role: Role,
    peer: Option<Vec<u8>>,
    /// Topic filters with the QoS that was granted.
    filters: Vec<(String, u8)>,
}

#[derive(Debug, Clone)]
enum Role {
    /// A device that wants to register.
    Dps { scope: String, id: String },
    /// A device at its hub.
    Hub { hub: String, device: String },
}

/// The connection is refused: not authorized (return code 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAuthorized;

impl Cloud {
    /// Lets a connection in, or not. A second connection of a device ends its first.
    pub fn connect(
        &mut self,
        now: OffsetDateTime,
        connection: Connection,
        client_id: &str,
        user_name: &str,
        peer: Option<Vec<u8>>,
    ) -> Result<Vec<Output>, NotAuthorized> {
        let Ok(shown) = presented(peer.as_deref(), now) else { return Err(NotAuthorized) };
        if let Some(user) = dps_topics::parse_user_name(user_name) {
            // Whether the certificate fits is said in the answer to the register request, as the service does.
            let role = Role::Dps { scope: user.scope.to_owned(), id: user.registration_id.to_owned() };
            self.sessions.insert(connection, Session { role, peer, filters: Vec::new() });
            return Ok(Vec::new());
        }
        let (hub, device) = hub_topics::parse_user_name(user_name).ok_or(NotAuthorized)?;
        if device != client_id {
            return Err(NotAuthorized);
        }
        let found = self.hub.authenticate(hub, device, &shown.thumbprint).ok_or(NotAuthorized)?;
        let former = found.connection.replace(connection);
        let role = Role::Hub { hub: hub.to_owned(), device: device.to_owned() };
        self.sessions.insert(connection, Session { role, peer, filters: Vec::new() });
        self.saw(now, format!("CONNECT {hub}/{device}"), Vec::new(), 0);
        Ok(former.into_iter().map(|to| Output::Close { to }).collect())
    }

    /// Forgets a connection that ended.
    pub fn disconnect(&mut self, connection: Connection) {
        let Some(session) = self.sessions.remove(&connection) else { return };
        if let Role::Hub { hub, device } = session.role
            && let Some(found) = self.hub.device(&hub, &device)
            && found.connection == Some(connection)
        {
            found.connection = None;
        }
    }

    /// Subscribes, and returns the granted QoS; `None` where the service would end the connection.
    pub fn subscribe(&mut self, connection: Connection, filter: &str, qos: u8) -> Option<u8> {
        let session = self.sessions.get_mut(&connection)?;
        let known = match &session.role {
            Role::Dps { .. } => filter == dps_topics::RESPONSES,
            Role::Hub { device, .. } => {
                [hub_topics::TWIN_RESPONSES, hub_topics::DESIRED_CHANGES, hub_topics::METHOD_CALLS]
                    .contains(&filter)
                    || filter == hub_topics::messages_to(device)
            }
        };
        if !known {
            return None;
        }
        let granted = qos.min(1);
        session.filters.retain(|(other, _)| other != filter);
        session.filters.push((filter.to_owned(), granted));
        Some(granted)
    }

    /// Unsubscribes.
    pub fn unsubscribe(&mut self, connection: Connection, filter: &str) {
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.filters.retain(|(other, _)| other != filter);
        }
    }

    /// Takes what a connection publishes. What the service would not take ends the connection.
    pub fn publish(
        &mut self,
        now: OffsetDateTime,
        from: Connection,
        topic: &str,
        payload: &[u8],
    ) -> Vec<Output> {
        let close = vec![Output::Close { to: from }];
        let Some(session) = self.sessions.get(&from) else { return close };
        match session.role.clone() {
            Role::Dps { scope, id } => {
                let peer = session.peer.clone();
                let Some((asked, rid)) = dps_topics::parse_request_topic(topic) else { return close };
                let answer = self.mqtt_request(now, &scope, &id, peer.as_deref(), &asked, payload);
                self.saw(
                    now,
                    format!("PUBLISH {} {id}", topic.split('?').next().unwrap_or(topic)),
                    Vec::new(),
                    answer.status,
                );
                let topic = dps_topics::response_topic(answer.status, rid, answer.retry_after);
                self.tell(from, topic, answer.body).into_iter().collect()
            }
            Role::Hub { hub, device } => match FromDevice::parse(topic) {
                Some(FromDevice::Telemetry { device: named, properties }) if named == device => {
                    if let Some(found) = self.hub.device(&hub, &device) {
                        found.said(time(now), properties, payload);
                    }
                    Vec::new()
                }
                Some(FromDevice::TwinGet { rid }) => {
                    let Some(found) = self.hub.device(&hub, &device) else { return close };
                    let body = json!(found.twin()).to_string().into_bytes();
                    self.twin_answer(from, 200, rid, None, body)
                }
                Some(FromDevice::TwinReported { rid }) => {
                    self.reported(now, from, &hub, &device, rid, payload)
                }
                Some(FromDevice::MethodResult { status, rid }) => {
                    self.hub.answered(rid, status, payload);
                    Vec::new()
                }
                Some(FromDevice::Telemetry { .. }) | None => close,
            },
        }
    }

    fn reported(
        &mut self,
        now: OffsetDateTime,
        from: Connection,
        hub: &str,
        device: &str,
        rid: String,
        payload: &[u8],
    ) -> Vec<Output> {
        let patch: Result<Map<String, Value>, _> = serde_json::from_slice(payload);
        let done = match (patch, self.hub.device(hub, device)) {
            (Ok(patch), Some(found)) => found.report(patch).map_err(|limit| limit.to_string()),
            (Err(error), _) => Err(error.to_string()),
            (_, None) => Err("The device is gone.".to_owned()),
        };
        match done {
            Ok(version) => self.twin_answer(from, 204, rid, Some(version), Vec::new()),
            Err(message) => {
                let body = json!({ "errorCode": 400_004, "trackingId": self.uuid().to_string(), "message": message,
                    "timestampUtc": time(now) });
                self.twin_answer(from, 400, rid, None, body.to_string().into_bytes())
            }
        }
    }

    fn twin_answer(
        &mut self,
        to: Connection,
        status: u16,
        rid: String,
        version: Option<u64>,
        body: Vec<u8>,
    ) -> Vec<Output> {
        self.tell(to, FromHub::TwinResponse { status, rid, version }.topic(), body).into_iter().collect()
    }

    /// Patches the desired properties of a device, as a back end does; `None` without such a device.
    pub fn patch_desired(&mut self, device: &str, patch: Map<String, Value>) -> Option<(u64, Vec<Output>)> {
        let (version, connection) = self.hub.desired(device, patch.clone())?;
        let mut body = patch;
        body.insert("$version".to_owned(), json!(version));
        let body = Value::Object(body).to_string().into_bytes();
        let told = connection.and_then(|to| self.tell(to, FromHub::Desired { version }.topic(), body));
        Some((version, told.into_iter().collect()))
    }

    /// Calls a direct method, as a back end does; `None` where the device is not there or does not listen.
    pub fn call_method(
        &mut self,
        device: &str,
        name: &str,
        payload: &Value,
    ) -> Option<(String, Vec<Output>)> {
        let (rid, to) = self.hub.call(device)?;
        let topic = FromHub::MethodCall { name: name.to_owned(), rid: rid.clone() }.topic();
        let told = self.tell(to, topic, payload.to_string().into_bytes())?;
        Some((rid, vec![told]))
    }

    /// A publish to a connection that has subscribed to it.
    fn tell(&self, to: Connection, topic: String, payload: Vec<u8>) -> Option<Output> {
        let filters = &self.sessions.get(&to)?.filters;
        let covers = |filter: &str| filter.strip_suffix('#').is_some_and(|prefix| topic.starts_with(prefix));
        let (_, qos) = filters.iter().find(|(filter, _)| covers(filter))?;
        Some(Output::Publish { to, topic, payload, qos: *qos })
    }
}
