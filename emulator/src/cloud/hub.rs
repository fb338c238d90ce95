//! IoT Hub: devices, their twins, what they said.

use std::collections::{BTreeMap, HashMap, VecDeque};

use azure_iot::{
    enrollment::InitialTwin,
    properties::Property,
    twin::{self, Part, Twin, TwinLimit},
};
use serde::Serialize;
use serde_json::{Map, Value};

/// Names a connection to the MQTT listener.
pub type Connection = u64;

/// How many messages of a device are kept.
const MESSAGES: usize = 1000;

/// A message from a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// Counts the device's messages, from 1.
    pub number: u64,
    /// When it came, ISO 8601.
    pub at: String,
    /// What it says about itself.
    pub properties: Vec<Property>,
    /// What it says: JSON if it is, else text.
    pub body: Value,
}

/// The result of a direct method.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodResult {
    /// The method's own status.
    pub status: i64,
    /// What it answered.
    pub payload: Value,
}

/// A device of a hub.
#[derive(Debug, Clone, Default)]
pub struct Device {
    thumbprint: String,
    tags: Map<String, Value>,
    twin: Twin,
    messages: VecDeque<Message>,
    count: u64,
    pub(super) connection: Option<Connection>,
}

/// What can be seen of a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeviceView {
    /// The hub that it belongs to.
    pub hub: String,
    /// Its name there.
    pub device_id: String,
    /// SHA-256 of the certificate that it connects with.
    pub thumbprint: String,
    /// Whether it is connected.
    pub connected: bool,
    /// For the back end only.
    pub tags: Map<String, Value>,
    /// Desired and reported.
    pub twin: Twin,
    /// How many messages it has sent.
    pub messages: u64,
}

/// All devices of all hubs.
#[derive(Debug, Clone, Default)]
pub struct Hub {
    /// By hub, then device id: case-sensitive.
    devices: BTreeMap<(String, String), Device>,
    results: HashMap<String, MethodResult>,
    calls: u64,
}

impl Hub {
    /// Every device.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceView> {
        let view = |((hub, device_id), device): (&(String, String), &Device)| DeviceView {
            hub: hub.clone(),
            device_id: device_id.clone(),
            thumbprint: device.thumbprint.clone(),
            connected: device.connection.is_some(),
            tags: device.tags.clone(),
            twin: device.twin.clone(),
            messages: device.count,
        };
        self.devices.iter().map(view).collect()
    }

    /// The messages of a device that are still kept, after number `after`.
    #[must_use]
    pub fn messages(&self, device: &str, after: u64) -> Vec<Message> {
        let found = self.devices.iter().filter(|((_, id), _)| id == device);
        found
            .flat_map(|(_, device)| device.messages.iter().filter(|message| message.number > after).cloned())
            .collect()
    }

    /// The result of a call, once it has come.
    #[must_use]
    pub fn result(&self, rid: &str) -> Option<&MethodResult> {
        self.results.get(rid)
    }

    /// Patches the desired properties; returns the new version and who is to be told, or `None` without such a device.
    pub(super) fn desired(
        &mut self,
        device: &str,
        patch: Map<String, Value>,
    ) -> Option<(u64, Option<Connection>)> {
        let (_, found) = self.devices.iter_mut().find(|((_, id), _)| id == device)?;
        Some((found.twin.desired.patch(patch), found.connection))
    }

    /// Begins a call; returns its name and whom to call, or `None` where nobody is connected.
    pub(super) fn call(&mut self, device: &str) -> Option<(String, Connection)> {
        let (_, found) = self.devices.iter().find(|((_, id), _)| id == device)?;
        let connection = found.connection?;
        self.calls += 1;
        Some((format!("{:x}", self.calls), connection))
    }

    pub(super) fn answered(&mut self, rid: String, status: i64, payload: &[u8]) {
        self.results.insert(rid, MethodResult { status, payload: json(payload) });
    }

    /// Makes or refreshes a device. An existing twin stays, unless one is brought along or it is new here.
    pub(super) fn provision(
        &mut self,
        hub: &str,
        device: &str,
        thumbprint: String,
        initial: Option<&InitialTwin>,
        brought: Option<Device>,
    ) {
        let fresh = || {
            let mut fresh = Device::default();
            let desired = initial
                .and_then(|twin| twin.properties.as_ref())
                .and_then(|properties| properties.desired.clone());
            fresh.tags = initial.and_then(|twin| twin.tags.clone()).unwrap_or_default();
            fresh.twin.desired.properties = desired.unwrap_or_default();
            fresh
        };
        let slot = self.devices.entry((hub.to_owned(), device.to_owned()));
        let found = slot.or_insert_with(|| brought.unwrap_or_else(fresh));
        found.thumbprint = thumbprint;
    }

    pub(super) fn take_twin(&mut self, hub: &str, device: &str) -> Option<Device> {
        let former = self.devices.remove(&(hub.to_owned(), device.to_owned()))?;
        Some(Device { connection: None, ..former })
    }

    /// The device, if it presents the certificate that it was provisioned with.
    pub(super) fn authenticate(&mut self, hub: &str, device: &str, thumbprint: &str) -> Option<&mut Device> {
        let found = self.devices.get_mut(&(hub.to_owned(), device.to_owned()))?;
        (found.thumbprint == thumbprint).then_some(found)
    }

    pub(super) fn device(&mut self, hub: &str, device: &str) -> Option<&mut Device> {
        self.devices.get_mut(&(hub.to_owned(), device.to_owned()))
    }
}

impl Device {
    pub(super) fn twin(&self) -> &Twin {
        &self.twin
    }

    pub(super) fn said(&mut self, at: String, properties: Vec<Property>, payload: &[u8]) {
        self.count += 1;
        self.messages.push_back(Message { number: self.count, at, properties, body: json(payload) });
        if self.messages.len() > MESSAGES {
            self.messages.pop_front();
        }
    }

    /// Merges what the device reports; the limits of the service hold for the whole document.
    pub(super) fn report(&mut self, patch: Map<String, Value>) -> Result<u64, TwinLimit> {
        let mut merged = self.twin.reported.clone();
        let version = merged.patch(patch);
        twin::check(Part::Reported, &merged.properties)?;
        self.twin.reported = merged;
        Ok(version)
    }
}

fn json(payload: &[u8]) -> Value {
    if payload.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(payload).into_owned()))
}
