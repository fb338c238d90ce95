//! The DPS service API: who may, and which way.

use azure_iot::sas::Presented;
use time::OffsetDateTime;

use super::{
    Cloud,
    http::{Refused, Request, Response},
};

impl Cloud {
    /// Answers a request to the service API; `lower` is `path` in lower case, because paths are matched ignoring case.
    pub(super) fn service(
        &mut self,
        now: OffsetDateTime,
        request: &Request,
        path: &[&str],
        lower: &[&str],
    ) -> Result<Response, Refused> {
        self.authorize(now, request)?;
        match (request.method.as_str(), lower) {
            ("POST", ["enrollments"]) => self.bulk(now, request),
            ("POST", ["enrollments", "query"]) => self.query(request),
            ("POST", ["enrollments", _, "attestationmechanism"]) => self.attestation(path[1]),
            ("PUT", ["enrollments", _]) => self.put_enrollment(now, request, path[1]),
            ("GET", ["enrollments", _]) => self.get_enrollment(path[1]),
            ("DELETE", ["enrollments", _]) => self.delete_enrollment(request, path[1]),
            ("GET", ["registrations", _]) => self.get_registration(path[1]),
            ("DELETE", ["registrations", _]) => self.delete_registration(path[1]),
            (_, ["enrollmentgroups", ..]) => {
                Err(Refused::new(501, 501_000, "This emulator has no enrollment groups; see its README."))
            }
            _ => Err(Refused::new(405, 405_000, "The method is not allowed.")),
        }
    }

    fn authorize(&self, now: OffsetDateTime, request: &Request) -> Result<(), Refused> {
        let unauthorized = |message: &str| Refused::new(401, 401_000, message);
        let header = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
        let token =
            Presented::parse(header).ok_or_else(|| unauthorized("A shared access signature is required."))?;
        let resource = token.resource.split('/').next().unwrap_or_default();
        if !resource.eq_ignore_ascii_case(&self.identity.host) {
            return Err(unauthorized("The signature is for another resource."));
        }
        if token.policy != self.identity.policy || !token.verify(&self.identity.key) {
            return Err(unauthorized("The signature is wrong."));
        }
        if token.expires <= now.unix_timestamp() {
            return Err(unauthorized("The signature has expired."));
        }
        Ok(())
    }
}
