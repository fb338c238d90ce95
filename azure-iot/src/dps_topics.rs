//! DPS over MQTT: user name and topics, both ways.
//! <https://learn.microsoft.com/azure/iot-dps/iot-dps-mqtt-support>

use std::time::Duration;

use crate::{
    ids::{IdScope, RegistrationId},
    register::Request,
};

/// What a device subscribes to.
pub const RESPONSES: &str = "$dps/registrations/res/#";
/// The version of the device API that we speak.
pub const API_VERSION: &str = "2019-03-31";

const REGISTER: &str = "$dps/registrations/PUT/iotdps-register/?";
const POLL: &str = "$dps/registrations/GET/iotdps-get-operationstatus/?";
const RESPONSE: &str = "$dps/registrations/res/";

/// The MQTT user name of a device that wants to register.
#[must_use]
pub fn user_name(scope: &IdScope, id: &RegistrationId, client: &str) -> String {
    format!("{scope}/registrations/{id}/api-version={API_VERSION}&ClientVersion={client}")
}

/// A user name that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName<'a> {
    /// The id scope.
    pub scope: &'a str,
    /// The registration id.
    pub registration_id: &'a str,
    /// The API version.
    pub api_version: &'a str,
}

/// Reads a user name; `None` if it is not one for DPS.
#[must_use]
pub fn parse_user_name(text: &str) -> Option<UserName<'_>> {
    let (path, rest) = text.split_once("api-version=")?;
    let (scope, id) = path.trim_end_matches(['/', '?']).split_once("/registrations/")?;
    let api_version = rest.split('&').next().unwrap_or(rest);
    (!scope.is_empty() && !id.is_empty()).then_some(UserName { scope, registration_id: id, api_version })
}

/// The topic to publish `request` to; `rid` names the answer.
#[must_use]
pub fn request_topic(request: &Request, rid: &str) -> String {
    match request {
        Request::Register => format!("{REGISTER}$rid={rid}"),
        Request::Poll { operation } => format!("{POLL}$rid={rid}&operationId={operation}"),
    }
}

/// Reads the topic of a request and its `rid`; `None` if it is none.
#[must_use]
pub fn parse_request_topic(topic: &str) -> Option<(Request, &str)> {
    if let Some(query) = topic.strip_prefix(REGISTER) {
        return Some((Request::Register, parameter(query, "$rid")?));
    }
    let query = topic.strip_prefix(POLL)?;
    let operation = parameter(query, "operationId")?.parse().ok()?;
    Some((Request::Poll { operation }, parameter(query, "$rid")?))
}

/// The topic of a response. `$rid` comes first and no other `$` follows: official clients split there.
#[must_use]
pub fn response_topic(status: u16, rid: &str, retry_after: Option<Duration>) -> String {
    let retry_after =
        retry_after.map(|after| format!("&retry-after={}", after.as_secs())).unwrap_or_default();
    format!("{RESPONSE}{status}/?$rid={rid}{retry_after}")
}

/// Reads the topic of a response: status, `rid`, and how long the service wants to be left alone.
#[must_use]
pub fn parse_response_topic(topic: &str) -> Option<(u16, &str, Option<Duration>)> {
    let (status, query) = topic.strip_prefix(RESPONSE)?.split_once("/?")?;
    let retry_after = parameter(query, "retry-after").and_then(|seconds| seconds.parse().ok());
    Some((status.parse().ok()?, parameter(query, "$rid")?, retry_after.map(Duration::from_secs)))
}

/// The value of a query parameter, as it stands.
pub(crate) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_read_as_every_client_writes_it() {
        let captured = "0neTEST/registrations/dev-001/api-version=2019-03-31&ClientVersion=azure-iot-provisioning-device%2F1.9.1";
        let expected = UserName { scope: "0neTEST", registration_id: "dev-001", api_version: "2019-03-31" };
        assert_eq!(parse_user_name(captured), Some(expected.clone()));
        let ours =
            user_name(&"0neTEST".parse().expect("a scope"), &"dev-001".parse().expect("an id"), "edge");
        assert_eq!(parse_user_name(&ours), Some(expected));
        assert_eq!(parse_user_name("hub.azure-devices.net/dev-001/?api-version=2021-04-12"), None);
    }

    #[test]
    fn requests_are_read_back() {
        let poll = Request::Poll { operation: "5.506603669bd3e2bf.b3602f8f".parse().expect("an id") };
        for request in [Request::Register, poll] {
            let topic = request_topic(&request, "a-rid");
            assert_eq!(parse_request_topic(&topic), Some((request, "a-rid")));
        }
        assert_eq!(parse_request_topic("$dps/registrations/PUT/iotdps-register/"), None);
    }

    #[test]
    fn responses_are_read_back_and_keep_the_rid_first() {
        let after = Some(Duration::from_secs(3));
        assert_eq!(response_topic(202, "r", after), "$dps/registrations/res/202/?$rid=r&retry-after=3");
        assert_eq!(
            parse_response_topic("$dps/registrations/res/202/?$rid=r&retry-after=3"),
            Some((202, "r", after))
        );
        assert_eq!(parse_response_topic(&response_topic(200, "r", None)), Some((200, "r", None)));
    }
}
