//! Individual enrollments: create, read, replace, delete.

use azure_iot::{
    enrollment::{AllocationPolicy, IndividualEnrollment, ReprovisionPolicy, X509Certificates},
    registration::{RegistrationState, RegistrationStatus},
};
use time::OffsetDateTime;

use super::{
    Cloud, Stored,
    certificate::{self, Thumbprint},
    http::{Refused, Request, Response},
    time,
};

/// What a write demands of what is there.
pub(super) enum Condition<'a> {
    /// Nothing may be there.
    Absent,
    /// Something must be there, of this version; `*` for any.
    Version(&'a str),
}

fn exists() -> Refused {
    Refused::new(409, 409_201, "Enrollment already exists.")
}

fn not_found() -> Refused {
    Refused::new(404, 404_201, "Enrollment not found.")
}

/// `If-Match` as clients send it: raw, or in one pair of quotes.
fn if_match(request: &Request) -> Option<&str> {
    let raw = request.headers.get("if-match")?.trim();
    Some(raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"')).unwrap_or(raw))
}

pub(super) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|error| invalid(&error))
}

pub(super) fn invalid(error: &serde_json::Error) -> Refused {
    Refused::invalid(format!("The request body is not valid: {error}"))
}

impl Cloud {
    pub(super) fn put_enrollment(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        id: &str,
    ) -> Result<Response, Refused> {
        let record: IndividualEnrollment = parse(&request.body)?;
        if !record.registration_id.eq_ignore_ascii_case(id) {
            return Err(Refused::invalid("The registration id in the body is not that of the address."));
        }
        let condition = if_match(request).map_or(Condition::Absent, Condition::Version);
        self.write(now, record, condition)?;
        let mut written = self.shown(id).ok_or_else(not_found)?;
        // Only a GET shows the registration.
        written.registration_state = None;
        Ok(Response::json(200, &written))
    }

    pub(super) fn get_enrollment(&mut self, id: &str) -> Result<Response, Refused> {
        Ok(Response::json(200, &self.shown(id).ok_or_else(not_found)?))
    }

    pub(super) fn delete_enrollment(&mut self, request: &Request, id: &str) -> Result<Response, Refused> {
        self.delete(id, if_match(request))?;
        Ok(Response::empty(204))
    }

    pub(super) fn attestation(&mut self, id: &str) -> Result<Response, Refused> {
        Ok(Response::json(200, &self.shown(id).ok_or_else(not_found)?.attestation))
    }

    /// A record as a GET shows it.
    pub(super) fn shown(&self, id: &str) -> Option<IndividualEnrollment> {
        let key = id.to_ascii_lowercase();
        let mut record = self.enrollments.get(&key)?.record.clone();
        let unassigned =
            || RegistrationState::new(record.registration_id.clone(), RegistrationStatus::Unassigned);
        record.registration_state = Some(self.registrations.get(&key).cloned().unwrap_or_else(unassigned));
        Some(record)
    }

    /// Changes a record as somebody else would: read, change, write back on condition that nobody wrote meanwhile.
    /// Returns whether it was written.
    pub fn act_as_portal(
        &mut self,
        now: OffsetDateTime,
        id: &str,
        change: impl FnOnce(&mut IndividualEnrollment),
    ) -> bool {
        let Some(mut record) = self.shown(id) else { return false };
        let Some(etag) = record.etag.clone() else { return false };
        change(&mut record);
        self.write(now, record, Condition::Version(&etag)).is_ok()
    }

    pub(super) fn delete(&mut self, id: &str, version: Option<&str>) -> Result<(), Refused> {
        let key = id.to_ascii_lowercase();
        let stored = self.enrollments.get(&key).ok_or_else(not_found)?;
        if let Some(version) = version {
            self.matches(stored, version)?;
        }
        self.enrollments.remove(&key);
        Ok(())
    }

    fn matches(&self, stored: &Stored, version: &str) -> Result<(), Refused> {
        if version == "*" || stored.record.etag.as_deref() == Some(version) {
            return Ok(());
        }
        Err(self.precondition_failed())
    }

    fn precondition_failed(&self) -> Refused {
        Refused::new(412, self.assumptions.precondition_failed, "Precondition failed.")
    }

    pub(super) fn write(
        &mut self,
        now: OffsetDateTime,
        mut record: IndividualEnrollment,
        condition: Condition<'_>,
    ) -> Result<(), Refused> {
        let id = record.registration_id.clone();
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if id.is_empty() || id.len() > 128 || !id.chars().all(valid) {
            return Err(Refused::invalid("The registration id is not valid."));
        }
        let key = id.to_ascii_lowercase();
        let before = self.enrollments.get(&key);
        match (&condition, before) {
            (Condition::Absent, Some(_)) => return Err(exists()),
            (Condition::Version(version), Some(stored)) => self.matches(stored, version)?,
            (Condition::Version("*"), None) => {}
            (Condition::Version(_), None) if self.assumptions.if_match_needs_a_record => {
                return Err(self.precondition_failed());
            }
            (Condition::Version(_) | Condition::Absent, None) => {}
        }
        self.allocation(&record)?;
        let keep = before.filter(|_| self.assumptions.write_back_keeps_certificate);
        let thumbprints = attest(&mut record, keep)?;
        record.created_date_time_utc =
            before.map_or_else(|| Some(time(now)), |before| before.record.created_date_time_utc.clone());
        record.last_updated_date_time_utc = Some(time(now));
        record.registration_state = None;
        record.reprovision_policy.get_or_insert_with(ReprovisionPolicy::default);
        record.etag = Some(self.etag());
        self.enrollments.insert(key, Stored { record, thumbprints });
        Ok(())
    }

    fn allocation(&self, record: &IndividualEnrollment) -> Result<(), Refused> {
        let hubs = record.iot_hubs.as_deref().unwrap_or_default();
        match record.allocation_policy {
            None if !hubs.is_empty() => {
                return Err(Refused::invalid("iotHubs requires an allocationPolicy."));
            }
            Some(AllocationPolicy::Custom) if !record.other.contains_key("customAllocationDefinition") => {
                return Err(Refused::invalid("A custom allocation requires a customAllocationDefinition."));
            }
            _ => {}
        }
        match hubs.iter().find(|hub| !self.identity.hubs.contains(hub)) {
            Some(unknown) => Err(Refused::invalid(format!("The IoT hub '{unknown}' is not linked."))),
            None => Ok(()),
        }
    }
}

/// Takes the certificates of a record in, leaves their description in it, and returns what devices are compared with.
fn attest(record: &mut IndividualEnrollment, before: Option<&Stored>) -> Result<Vec<Thumbprint>, Refused> {
    let certificates = record.attestation.x509.as_mut().and_then(|x509| x509.client_certificates.as_mut());
    let Some(X509Certificates { primary, secondary }) = certificates else {
        if record.attestation.kind == "x509" {
            return Err(Refused::invalid("This emulator enrolls client certificates; see its README."));
        }
        return Ok(Vec::new());
    };
    let known = before.map(|before| before.thumbprints.as_slice()).unwrap_or_default();
    let mut thumbprints = Vec::new();
    for certificate in [primary, secondary].into_iter().filter_map(Option::as_mut) {
        match (certificate.certificate.take(), &certificate.info) {
            (Some(text), _) => certificate.info = Some(certificate::read(&text)?),
            (None, Some(info)) if known.contains(&info.sha256_thumbprint) => {}
            (None, _) => return Err(Refused::invalid("The certificate is missing.")),
        }
        thumbprints.extend(certificate.info.iter().map(|info| info.sha256_thumbprint.clone()));
    }
    if thumbprints.is_empty() {
        return Err(Refused::invalid("The certificate is missing."));
    }
    Ok(thumbprints)
}
