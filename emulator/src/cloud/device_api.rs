//! The device API: register and poll, over HTTPS and MQTT alike.

use std::time::Duration;

use azure_iot::{
    enrollment::{IndividualEnrollment, ProvisioningStatus},
    register::{Answer, Request as Asked},
    registration::{RegisterBody, RegistrationOperation, RegistrationState, RegistrationStatus},
};
use serde_json::json;
use time::OffsetDateTime;

use super::{
    Cloud, Operation,
    certificate::{Presented, presented},
    http::{Refused, Request, Response},
    time,
};

impl Cloud {
    pub(super) fn https_register(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        scope: &str,
        id: &str,
    ) -> Result<Response, Refused> {
        let body: RegisterBody = serde_json::from_slice(&request.body)
            .map_err(|error| Refused::invalid(format!("The request body is not valid: {error}")))?;
        if body.registration_id.is_some_and(|other| other != id) {
            return Err(Refused::invalid("The registration id in the body is not that of the address."));
        }
        let operation = self.register(now, scope, id, request.peer.as_deref())?;
        Ok(self.https(operation))
    }

    pub(super) fn https_poll(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        scope: &str,
        id: &str,
        operation: &str,
    ) -> Result<Response, Refused> {
        let operation = self.poll(now, scope, id, operation, request.peer.as_deref())?;
        Ok(self.https(operation))
    }

    pub(super) fn https_lookup(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        scope: &str,
        id: &str,
    ) -> Result<Response, Refused> {
        self.identify(now, scope, id, request.peer.as_deref())?;
        let unassigned = || RegistrationState::new(id, RegistrationStatus::Unassigned);
        let state = self.registrations.get(&id.to_ascii_lowercase()).cloned().unwrap_or_else(unassigned);
        Ok(Response::json(200, &state))
    }

    fn https(&self, operation: RegistrationOperation) -> Response {
        let status = if operation.status == RegistrationStatus::Assigning { 202 } else { 200 };
        let response = Response::json(status, &operation);
        if status == 202 { response.with("retry-after", self.identity.retry_after) } else { response }
    }

    /// Answers a request that came over MQTT from a connection of `id`.
    pub(super) fn mqtt_request(
        &mut self,
        now: OffsetDateTime,
        scope: &str,
        id: &str,
        peer: Option<&[u8]>,
        asked: &Asked,
        payload: &[u8],
    ) -> Answer {
        // The official C# client sends no payload at all, others send one blank.
        let body: RegisterBody = serde_json::from_slice(payload).unwrap_or_default();
        let id = body.registration_id.as_deref().unwrap_or(id);
        let done = match asked {
            Asked::Register => self.register(now, scope, id, peer),
            Asked::Poll { operation } => self.poll(now, scope, id, operation.as_ref(), peer),
        };
        match done {
            Ok(operation) => {
                let waiting = operation.status == RegistrationStatus::Assigning;
                Answer {
                    status: if waiting { 202 } else { 200 },
                    retry_after: waiting.then(|| Duration::from_secs(self.identity.retry_after)),
                    body: json!(operation).to_string().into_bytes(),
                }
            }
            Err(refused) => {
                let body = refused.body(self.uuid(), now);
                Answer {
                    status: refused.status,
                    retry_after: None,
                    body: json!(body).to_string().into_bytes(),
                }
            }
        }
    }

    /// Compares what a device presents with what is enrolled.
    fn identify(
        &self,
        now: OffsetDateTime,
        scope: &str,
        id: &str,
        peer: Option<&[u8]>,
    ) -> Result<(IndividualEnrollment, Presented), Refused> {
        let presented = presented(peer, now)?;
        if scope != self.identity.id_scope {
            return Err(Refused::unauthorized("The id scope is not known."));
        }
        if presented.common_name != id {
            return Err(Refused::unauthorized(
                "The common name of the certificate is not the registration id.",
            ));
        }
        let stored = self.enrollments.get(&id.to_ascii_lowercase());
        let stored = stored.ok_or_else(|| Refused::unauthorized("Unauthorized"))?;
        if !stored.thumbprints.contains(&presented.thumbprint) {
            return Err(Refused::unauthorized("Invalid certificate."));
        }
        Ok((stored.record.clone(), presented))
    }

    fn register(
        &mut self,
        now: OffsetDateTime,
        scope: &str,
        id: &str,
        peer: Option<&[u8]>,
    ) -> Result<RegistrationOperation, Refused> {
        self.identify(now, scope, id, peer)?;
        let operation = format!("5.{:016x}.{}", self.dice.u64(..), self.uuid());
        let started = Operation { registration_id: id.to_owned(), polled: false };
        self.operations.insert(operation.clone(), started);
        let status = RegistrationStatus::Assigning;
        Ok(RegistrationOperation { operation_id: Some(operation), status, registration_state: None })
    }

    fn poll(
        &mut self,
        now: OffsetDateTime,
        scope: &str,
        id: &str,
        operation: &str,
        peer: Option<&[u8]>,
    ) -> Result<RegistrationOperation, Refused> {
        let (record, presented) = self.identify(now, scope, id, peer)?;
        let not_found = || Refused::new(404, 404_203, "The operation was not found.");
        let running = self.operations.get_mut(operation).filter(|running| running.registration_id == id);
        let running = running.ok_or_else(not_found)?;
        if !std::mem::replace(&mut running.polled, true) {
            let status = RegistrationStatus::Assigning;
            let state = Some(RegistrationState::new(id, status));
            return Ok(RegistrationOperation {
                operation_id: Some(operation.to_owned()),
                status,
                registration_state: state,
            });
        }
        let state = self.assign(now, id, &record, presented);
        let status = state.status.unwrap_or(RegistrationStatus::Failed);
        self.registrations.insert(id.to_ascii_lowercase(), state.clone());
        Ok(RegistrationOperation {
            operation_id: Some(operation.to_owned()),
            status,
            registration_state: Some(state),
        })
    }

    /// Gives the device a hub, and the hub the device.
    fn assign(
        &mut self,
        now: OffsetDateTime,
        id: &str,
        record: &IndividualEnrollment,
        presented: Presented,
    ) -> RegistrationState {
        let before = self.registrations.get(&id.to_ascii_lowercase()).cloned();
        let etag = self.etag();
        let created = before.as_ref().and_then(|before| before.created_date_time_utc.clone());
        let mut state = RegistrationState {
            created_date_time_utc: Some(created.unwrap_or_else(|| time(now))),
            last_updated_date_time_utc: Some(time(now)),
            etag: Some(etag),
            ..RegistrationState::new(id, RegistrationStatus::Assigned)
        };
        if record.provisioning_status == Some(ProvisioningStatus::Disabled) {
            state.status = Some(RegistrationStatus::Disabled);
            return state;
        }
        let hubs = record.iot_hubs.as_ref().filter(|hubs| !hubs.is_empty()).unwrap_or(&self.identity.hubs);
        let hashed =
            id.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let Some(mut hub) = hubs.get(hashed % hubs.len().max(1)).cloned() else {
            state.status = Some(RegistrationStatus::Failed);
            state.error_code = Some(400_208);
            state.error_message = Some("No IoT hub is available.".to_owned());
            return state;
        };
        let device = record.device_id.clone().unwrap_or_else(|| record.registration_id.clone());
        let policy = record.reprovision_policy.clone().unwrap_or_default();
        let former = before.and_then(|before| before.assigned_hub);
        let mut substatus = "initialAssignment";
        if let Some(former) = former {
            if policy.update_hub_assignment && former != hub {
                let twin =
                    if policy.migrate_device_data { self.hub.take_twin(&former, &device) } else { None };
                substatus = if twin.is_some() { "deviceDataMigrated" } else { "deviceDataReset" };
                self.hub.provision(&hub, &device, presented.thumbprint, record.initial_twin.as_ref(), twin);
                return assigned(state, hub, device, substatus);
            }
            substatus = "reprovisionedToInitialAssignment";
            hub = former;
        }
        self.hub.provision(&hub, &device, presented.thumbprint, record.initial_twin.as_ref(), None);
        assigned(state, hub, device, substatus)
    }
}

fn assigned(mut state: RegistrationState, hub: String, device: String, substatus: &str) -> RegistrationState {
    state.assigned_hub = Some(hub);
    state.device_id = Some(device);
    state.substatus = Some(substatus.to_owned());
    state.other.insert("x509".to_owned(), json!({}));
    state
}
