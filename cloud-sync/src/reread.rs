//! Reading one enrollment back, to see whether it is still as it was told.

use azure_iot::RegistrationId;

use crate::{
    answer::{Answer, Call, Trouble},
    drift::{Seen, Told, compare},
    look,
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
        self.seen.is_none().then(|| look::call(&self.id))
    }

    /// Takes the answer, one that [`Answer::check`] let pass.
    pub(crate) fn hear(&mut self, answer: &Answer) -> Result<(), Trouble> {
        self.seen = Some(compare(&self.told, self.own, look::hear(answer)?.as_ref()));
        Ok(())
    }

    /// What it has shown, if it was answered.
    pub(crate) fn seen(self) -> Option<Seen> {
        self.seen
    }
}
