//! Whether an account may take a device out of service: one decision, looked at and written down in one step.

use cloud_sync::{State, Want, books};
use ledger::{Decision, View};

use crate::event::{Activation, Deactivation, PortalEvent, activation_key};

/// Why a device is not taken out of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such activation under this account.
    Unknown,
    /// The activation was refused: there is nothing to end.
    NeverActive,
    /// A later request for the device counts instead.
    Replaced,
    /// It is out of service already, or on its way there.
    Already,
}

/// Whether the activation `record` may be ended where the device stands as in `state`.
///
/// # Errors
/// With the reason why not.
pub fn may_end(record: &Activation, state: Option<&State>) -> Result<(), Refusal> {
    match state {
        Some(state) if state.epoch() > record.last_epoch() => Err(Refusal::Replaced),
        Some(State::Held { want: Want::Activate, .. }) => Err(Refusal::NeverActive),
        Some(
            State::Waiting { want: Want::Deactivate, .. } | State::Settled { want: Want::Deactivate, .. },
        ) => Err(Refusal::Already),
        // In force, or on its way: then this takes its place. A deactivation that is held may be tried again.
        _ => Ok(()),
    }
}

/// Decides about `asked`; its `id` and `epoch` are set here. The answer says whether it is new: the same, asked twice, is
/// one request.
///
/// # Errors
/// With the reason why it is not saved; nothing is written then.
pub fn decide(view: &View<'_>, mut asked: Deactivation) -> Result<Decision<PortalEvent, bool>, Refusal> {
    let record: Option<Activation> = view.get(&activation_key(asked.activation));
    let record = record.filter(|record| record.account == asked.account).ok_or(Refusal::Unknown)?;
    let state = books::standing(view, &record.id).map(|standing| standing.state);
    match may_end(&record, state.as_ref()) {
        Err(Refusal::Already) if record.end.as_ref().is_some_and(|end| end.reason == asked.reason) => {
            return Ok(Decision { events: vec![], answer: false });
        }
        may => may?,
    }
    asked.epoch = record.last_epoch() + 1;
    asked.id = record.id;
    Ok(Decision { events: vec![PortalEvent::DeactivationRequested(asked)], answer: true })
}
