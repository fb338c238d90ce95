//! What the service API says about registrations.

use super::{
    Cloud,
    http::{Refused, Response},
};

fn not_found() -> Refused {
    Refused::new(404, 404_202, "Registration not found.")
}

impl Cloud {
    pub(super) fn get_registration(&mut self, id: &str) -> Result<Response, Refused> {
        let state = self.registrations.get(&id.to_ascii_lowercase()).ok_or_else(not_found)?;
        Ok(Response::json(200, state))
    }

    pub(super) fn delete_registration(&mut self, id: &str) -> Result<Response, Refused> {
        self.registrations.remove(&id.to_ascii_lowercase()).ok_or_else(not_found)?;
        Ok(Response::empty(204))
    }
}
