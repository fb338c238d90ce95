//! IoT Hub over MQTT: user name and topics, both ways.
//! <https://learn.microsoft.com/azure/iot/iot-mqtt-connect-to-iot-hub>

use crate::{
    dps_topics::parameter,
    ids::DeviceId,
    properties::{self, Property},
};

/// The version of the MQTT API that we speak.
pub const API_VERSION: &str = "2021-04-12";
/// Answers to twin requests.
pub const TWIN_RESPONSES: &str = "$iothub/twin/res/#";
/// Changes of the desired properties.
pub const DESIRED_CHANGES: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Calls of direct methods.
pub const METHOD_CALLS: &str = "$iothub/methods/POST/#";

const TWIN_GET: &str = "$iothub/twin/GET/?";
const TWIN_REPORTED: &str = "$iothub/twin/PATCH/properties/reported/?";
const TWIN_RESPONSE: &str = "$iothub/twin/res/";
const TWIN_DESIRED: &str = "$iothub/twin/PATCH/properties/desired/?";
const METHOD_CALL: &str = "$iothub/methods/POST/";
const METHOD_RESPONSE: &str = "$iothub/methods/res/";

/// The MQTT user name of a device at its hub.
#[must_use]
pub fn user_name(hub: &str, device: &DeviceId, client: &str) -> String {
    format!("{hub}/{device}/?api-version={API_VERSION}&DeviceClientType={client}")
}

/// Reads a user name: hub and device id. A port that the client was configured with is dropped from the hub.
#[must_use]
pub fn parse_user_name(text: &str) -> Option<(&str, &str)> {
    let (path, _) = text.split_once("/?api-version=").or_else(|| text.split_once("/api-version="))?;
    let (hub, device) = path.split_once('/')?;
    let hub = hub.split(':').next().unwrap_or(hub);
    (!hub.is_empty() && !device.is_empty()).then_some((hub, device))
}

/// The filter for messages from the cloud to this device.
#[must_use]
pub fn messages_to(device: &str) -> String {
    format!("devices/{device}/messages/devicebound/#")
}

/// What a device publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromDevice {
    /// A message of this device.
    Telemetry {
        /// Who sends it, as the topic says.
        device: String,
        /// What it says about itself.
        properties: Vec<Property>,
    },
    /// A request for the whole twin.
    TwinGet {
        /// Names the answer.
        rid: String,
    },
    /// A patch of the reported properties.
    TwinReported {
        /// Names the answer.
        rid: String,
    },
    /// The result of a direct method.
    MethodResult {
        /// The method's own status.
        status: i64,
        /// Names the call.
        rid: String,
    },
}

impl FromDevice {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> String {
        match self {
            Self::Telemetry { device, properties } => {
                let bag = properties::encode(
                    properties.iter().map(|(key, value)| (key.as_str(), value.as_deref())),
                );
                format!("devices/{device}/messages/events/{bag}")
            }
            Self::TwinGet { rid } => format!("{TWIN_GET}$rid={rid}"),
            Self::TwinReported { rid } => format!("{TWIN_REPORTED}$rid={rid}"),
            Self::MethodResult { status, rid } => format!("{METHOD_RESPONSE}{status}/?$rid={rid}"),
        }
    }

    /// Reads a topic; `None` if no device publishes to it.
    #[must_use]
    pub fn parse(topic: &str) -> Option<Self> {
        let rid = |query: &str| parameter(query, "$rid").map(str::to_owned);
        if let Some(rest) = topic.strip_prefix("devices/") {
            let (device, bag) = rest.split_once("/messages/events")?;
            let properties = properties::decode(bag.trim_start_matches('/'))?;
            return Some(Self::Telemetry { device: device.to_owned(), properties });
        }
        if let Some(query) = topic.strip_prefix(TWIN_GET) {
            return Some(Self::TwinGet { rid: rid(query)? });
        }
        if let Some(query) = topic.strip_prefix(TWIN_REPORTED) {
            return Some(Self::TwinReported { rid: rid(query)? });
        }
        let (status, query) = topic.strip_prefix(METHOD_RESPONSE)?.split_once("/?")?;
        Some(Self::MethodResult { status: status.parse().ok()?, rid: rid(query)? })
    }
}

/// What a hub publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromHub {
    /// The answer to a twin request.
    TwinResponse {
        /// As in HTTP: 200 to a GET, 204 to a patch.
        status: u16,
        /// Names the request.
        rid: String,
        /// The version of the reported properties after a patch.
        version: Option<u64>,
    },
    /// A change of the desired properties.
    Desired {
        /// Their version after it.
        version: u64,
    },
    /// A call of a direct method.
    MethodCall {
        /// The method.
        name: String,
        /// Names the call.
        rid: String,
    },
    /// A message from the cloud.
    Message {
        /// To whom.
        device: String,
        /// What it says about itself.
        properties: Vec<Property>,
    },
}

impl FromHub {
    /// The topic.
    #[must_use]
    pub fn topic(&self) -> String {
        match self {
            Self::TwinResponse { status, rid, version } => {
                let version = version.map(|version| format!("&$version={version}")).unwrap_or_default();
                format!("{TWIN_RESPONSE}{status}/?$rid={rid}{version}")
            }
            Self::Desired { version } => format!("{TWIN_DESIRED}$version={version}"),
            Self::MethodCall { name, rid } => format!("{METHOD_CALL}{name}/?$rid={rid}"),
            Self::Message { device, properties } => {
                let bag = properties::encode(
                    properties.iter().map(|(key, value)| (key.as_str(), value.as_deref())),
                );
                format!("devices/{device}/messages/devicebound/{bag}")
            }
        }
    }

    /// Reads a topic; `None` if no hub publishes to it.
    #[must_use]
    pub fn parse(topic: &str) -> Option<Self> {
        if let Some(rest) = topic.strip_prefix(TWIN_RESPONSE) {
            let (status, query) = rest.split_once("/?")?;
            let version = parameter(query, "$version").and_then(|version| version.parse().ok());
            let rid = parameter(query, "$rid")?.to_owned();
            return Some(Self::TwinResponse { status: status.parse().ok()?, rid, version });
        }
        if let Some(query) = topic.strip_prefix(TWIN_DESIRED) {
            return Some(Self::Desired { version: parameter(query, "$version")?.parse().ok()? });
        }
        if let Some(rest) = topic.strip_prefix(METHOD_CALL) {
            let (name, query) = rest.split_once("/?")?;
            return Some(Self::MethodCall {
                name: name.to_owned(),
                rid: parameter(query, "$rid")?.to_owned(),
            });
        }
        let (device, bag) = topic.strip_prefix("devices/")?.split_once("/messages/devicebound")?;
        let properties = properties::decode(bag.trim_start_matches('/'))?;
        Some(Self::Message { device: device.to_owned(), properties })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_read_as_every_client_writes_it() {
        for text in [
            "h.azure-devices.net/dev/?api-version=2021-04-12&DeviceClientType=x",
            "h.azure-devices.net:8883/dev/?api-version=2019-10-01",
            "h.azure-devices.net/dev/api-version=2018-06-30",
        ] {
            assert_eq!(parse_user_name(text), Some(("h.azure-devices.net", "dev")), "{text}");
        }
        let ours = user_name("h.azure-devices.net", &"dev".parse().expect("an id"), "edge");
        assert_eq!(parse_user_name(&ours), Some(("h.azure-devices.net", "dev")));
        assert_eq!(parse_user_name("h.azure-devices.net"), None);
    }

    #[test]
    fn what_a_device_publishes_is_read_back() {
        let properties =
            vec![("$.ct".to_owned(), Some("application/json".to_owned())), ("a b".to_owned(), None)];
        for published in [
            FromDevice::Telemetry { device: "dev".into(), properties },
            FromDevice::Telemetry { device: "dev".into(), properties: vec![] },
            FromDevice::TwinGet { rid: "1".into() },
            FromDevice::TwinReported { rid: "2".into() },
            FromDevice::MethodResult { status: 200, rid: "a".into() },
        ] {
            assert_eq!(FromDevice::parse(&published.topic()), Some(published));
        }
        assert_eq!(FromDevice::parse("$iothub/other/"), None);
    }

    #[test]
    fn what_a_hub_publishes_is_read_back() {
        for published in [
            FromHub::TwinResponse { status: 200, rid: "1".into(), version: None },
            FromHub::TwinResponse { status: 204, rid: "1".into(), version: Some(7) },
            FromHub::Desired { version: 3 },
            FromHub::MethodCall { name: "ping".into(), rid: "1f".into() },
            FromHub::Message { device: "dev".into(), properties: vec![("a".into(), Some("b".into()))] },
        ] {
            assert_eq!(FromHub::parse(&published.topic()), Some(published));
        }
    }
}
