//! What the conversations with DPS have in common: they are stepped with answers, and do no I/O.

use azure_iot::RegistrationId;

use crate::{
    answer::{Answer, Call, Trouble},
    work::Outcome,
};

/// A conversation about some units: says what to ask next, and in the end how it went.
///
/// Every request may be repeated from the start after a crash or a lost reply, and ends the same way.
pub trait Conversation: Send + Sync {
    /// The next request; `None` when everything was said.
    fn next(&self) -> Option<Call>;
    /// Takes the answer to it, one that [`Answer::check`] let pass.
    fn hear(&mut self, answer: &Answer) -> Result<(), Trouble>;
    /// The highest generation of the box that speaks, as far as it was seen in records of others.
    fn generation(&self) -> Option<u8> {
        None
    }
    /// What is known so far, also after trouble.
    fn outcomes(self: Box<Self>) -> Vec<(RegistrationId, Outcome)>;
}
