//! Reading one enrollment back, to see whether it is still as it was told.

use azure_iot::RegistrationId;

use crate::{
    announce::path,
    answer::{Answer, Call, Method, Trouble},
    cause::Cause,
    drift::{Seen, Told, compare},
};

/// The conversation: one GET.
#[derive(Debug)]
pub(crate) struct Reread {
    id: RegistrationId,
    told: Told,
    /// The generation of the box that looks.
    own: u8,
    seen: Option<Seen>,
}

impl Reread {
    /// A look at the enrollment of `id`.
    pub(crate) fn new(id: RegistrationId, told: Told, own: u8) -> Self {
        Self { id, told, own, seen: None }
    }

    /// What to ask next; `None` once it was answered.
    pub(crate) fn next(&self) -> Option<Call> {
        let call = Call { method: Method::Get, path: path(&self.id), cost: 1, ..Call::default() };
        self.seen.is_none().then_some(call)
    }

    /// Takes the answer, one that [`Answer::check`] let pass.
    pub(crate) fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        self.seen = Some(match answer.status {
            200 => compare(&self.told, self.own, Some(&answer.parse()?)),
            404 => compare(&self.told, self.own, None),
            _ => {
                let detail = format!("DPS does not show the enrollment of {}: {}", self.id, answer.summary());
                return Err(Trouble { cause: Cause::Service, detail, retry_after: None });
            }
        });
        Ok(())
    }

    /// What it has shown, if it was answered.
    pub(crate) fn seen(self) -> Option<Seen> {
        self.seen
    }
}
