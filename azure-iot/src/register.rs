//! Register and poll: the conversation by which a device learns its hub.
//!
//! A value that is stepped with answers; the shell around it sends, waits and listens, over MQTT or HTTPS alike.
//!
//! ```text
//! Register ─▶ 202 assigning ─▶ wait ─▶ Poll ─▶ … ─▶ 200 assigned | failed | disabled
//!     ▲             429, 5xx: wait, ask the same again      │
//!     └──────────────── 404: the operation has expired ◀────┘
//! ```

use std::time::Duration;

use crate::{
    error_body::ErrorBody,
    ids::{DeviceId, OperationId},
    registration::{RegistrationOperation, RegistrationStatus},
};

/// How long to wait when the service does not say, as the official clients do.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Register this device.
    Register,
    /// Ask how the operation is doing.
    Poll {
        /// The operation.
        operation: OperationId,
    },
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, of HTTP or of the response topic.
    pub status: u16,
    /// How long the service wants to be left alone.
    pub retry_after: Option<Duration>,
    /// The JSON, or nothing.
    pub body: Vec<u8>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send this, and bring the answer to [`Conversation::hear`].
    Send(Request),
    /// Wait so long, and then send what [`Conversation::waited`] says.
    Wait(Duration),
    /// It is over.
    Done(Outcome),
}

/// How a registration ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The device has a hub.
    Assigned {
        /// The hub's host name.
        hub: String,
        /// The device's name there.
        device_id: DeviceId,
    },
    /// The enrollment exists, and nobody has activated it yet.
    Disabled,
    /// DPS knows the device but could not give it a hub.
    Failed {
        /// Six digits.
        code: i64,
        /// Why.
        message: String,
    },
    /// DPS does not accept this device: unknown, another certificate, expired.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        message: String,
    },
}

/// A running conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    request: Request,
}

impl Default for Conversation {
    fn default() -> Self {
        Self::new()
    }
}

impl Conversation {
    /// A new one; it begins with [`Conversation::waited`].
    #[must_use]
    pub fn new() -> Self {
        Self { request: Request::Register }
    }

    /// What to send first, and after every wait.
    #[must_use]
    pub fn waited(&self) -> Next {
        Next::Send(self.request.clone())
    }

    /// Takes an answer. Total: an answer that makes no sense ends the conversation as a refusal that says so.
    pub fn hear(&mut self, answer: &Answer) -> Next {
        let wait = Next::Wait(answer.retry_after.unwrap_or(PATIENCE));
        match answer.status {
            200 | 202 => match serde_json::from_slice(&answer.body) {
                Ok(operation) => self.hear_operation(operation, wait),
                Err(error) => refused(answer.status, format!("the answer is not of DPS: {error}")),
            },
            429 | 500.. => wait,
            404 if self.request != Request::Register => {
                self.request = Request::Register;
                wait
            }
            status => {
                let body = serde_json::from_slice::<ErrorBody>(&answer.body);
                refused(
                    status,
                    body.map(|body| format!("{}: {}", body.error_code, body.message)).unwrap_or_default(),
                )
            }
        }
    }

    fn hear_operation(&mut self, found: RegistrationOperation, wait: Next) -> Next {
        let state = found.registration_state;
        match found.status {
            RegistrationStatus::Assigning | RegistrationStatus::Unassigned => {
                // A poll's answer may lack the id: the one that we have stays good.
                if let Some(Ok(operation)) = found.operation_id.map(|id| id.parse()) {
                    self.request = Request::Poll { operation };
                }
                wait
            }
            RegistrationStatus::Assigned => {
                let hub = state.as_ref().and_then(|state| state.assigned_hub.clone());
                let device = state.and_then(|state| state.device_id).and_then(|id| id.parse().ok());
                match (hub, device) {
                    (Some(hub), Some(device_id)) => Next::Done(Outcome::Assigned { hub, device_id }),
                    _ => refused(200, "assigned, but to no hub".to_owned()),
                }
            }
            RegistrationStatus::Disabled => Next::Done(Outcome::Disabled),
            RegistrationStatus::Failed => {
                let code = state.as_ref().and_then(|state| state.error_code).unwrap_or_default();
                let message = state.and_then(|state| state.error_message).unwrap_or_default();
                Next::Done(Outcome::Failed { code, message })
            }
        }
    }
}

fn refused(status: u16, message: String) -> Next {
    Next::Done(Outcome::Refused { status, message })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(status: u16, retry_after: Option<u64>, body: Value) -> Answer {
        Answer {
            status,
            retry_after: retry_after.map(Duration::from_secs),
            body: body.to_string().into_bytes(),
        }
    }

    fn assigning(retry_after: u64) -> Answer {
        answer(202, Some(retry_after), json!({ "operationId": "5.op", "status": "assigning" }))
    }

    fn poll() -> Next {
        Next::Send(Request::Poll { operation: "5.op".parse().expect("an id") })
    }

    #[test]
    fn a_device_registers_polls_and_learns_its_hub() {
        let mut conversation = Conversation::new();
        assert_eq!(conversation.waited(), Next::Send(Request::Register));
        assert_eq!(conversation.hear(&assigning(3)), Next::Wait(Duration::from_secs(3)));
        assert_eq!(conversation.waited(), poll());
        let done = json!({ "operationId": "5.op", "status": "assigned", "registrationState": {
            "x509": {}, "registrationId": "a", "assignedHub": "h.azure-devices.net", "deviceId": "a", "status": "assigned",
            "substatus": "initialAssignment", "etag": "Ijc" } });
        let device_id = "a".parse().expect("an id");
        let assigned = Outcome::Assigned { hub: "h.azure-devices.net".into(), device_id };
        assert_eq!(conversation.hear(&answer(200, None, done)), Next::Done(assigned));
    }

    #[test]
    fn a_disabled_device_is_told_so_with_a_200() {
        let body = json!({ "operationId": "5.op", "status": "disabled", "registrationState": { "status": "disabled" } });
        assert_eq!(Conversation::new().hear(&answer(200, None, body)), Next::Done(Outcome::Disabled));
    }

    #[test]
    fn a_failure_carries_its_code() {
        let state = json!({ "status": "failed", "errorCode": 400_208, "errorMessage": "no hub" });
        let body = json!({ "status": "failed", "registrationState": state });
        let failed = Outcome::Failed { code: 400_208, message: "no hub".into() };
        assert_eq!(Conversation::new().hear(&answer(200, None, body)), Next::Done(failed));
    }

    #[test]
    fn a_busy_service_is_asked_the_same_again_when_it_said_so() {
        let mut conversation = Conversation::new();
        conversation.hear(&assigning(0));
        for (status, retry_after, expected) in [(429, Some(7), 7), (503, None, 2)] {
            let next = conversation.hear(&answer(status, retry_after, json!({})));
            assert_eq!(next, Next::Wait(Duration::from_secs(expected)));
            assert_eq!(conversation.waited(), poll());
        }
    }

    #[test]
    fn an_expired_operation_starts_again() {
        let mut conversation = Conversation::new();
        conversation.hear(&assigning(0));
        assert!(matches!(conversation.hear(&answer(404, None, json!({}))), Next::Wait(_)));
        assert_eq!(conversation.waited(), Next::Send(Request::Register));
    }

    #[test]
    fn an_unknown_device_and_a_stranger_are_refusals_that_say_why() {
        let check = |status, body: &str, expected: &str| {
            let heard = Conversation::new().hear(&Answer { status, retry_after: None, body: body.into() });
            let Next::Done(Outcome::Refused { message, .. }) = heard else { panic!("{heard:?}") };
            assert!(message.contains(expected), "{message}");
        };
        check(401, r#"{"errorCode":401002,"message":"Unauthorized"}"#, "401002: Unauthorized");
        check(401, "", "");
        check(200, "<html>", "not of DPS");
        check(200, r#"{"status":"assigned"}"#, "no hub");
    }
}
