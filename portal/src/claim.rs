//! Whether an account may ask for a device: one decision, looked at and written down in one step.

use azure_iot::RegistrationId;
use cloud_sync::{State, Want, books};
use ledger::{Decision, View};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::account::AccountName;
use crate::event::{
    Activation, MISS_COUNTS_FOR, PortalEvent, Request, activation_key, device_key, miss_keys,
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is saved under its own name.
    Saved,
    /// The very same was asked before; here it is.
    Before(Uuid),
}

/// Why a request is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another account has it, or is about to. Says nothing about that account.
    NotYours,
    /// This account has activated it already, with other metadata or another hub.
    Active {
        /// The request that did.
        activation: Uuid,
        /// Since when.
        since: OffsetDateTime,
    },
    /// Too many wrong claim codes for this device, from this account or from this address.
    TooManyMisses {
        /// When it may be tried again.
        wait: Duration,
    },
}

/// Decides about `request`; its `epoch` is set here.
///
/// # Errors
/// With the reason why it is not saved; nothing is written then.
pub fn decide(
    view: &View<'_>,
    mut request: Request,
    most_misses: usize,
    now: OffsetDateTime,
) -> Result<Decision<PortalEvent, Answer>, Refusal> {
    let before: Option<Uuid> = view.get(&device_key(&request.id));
    let found = before.and_then(|uuid| Some((uuid, view.get::<Activation>(&activation_key(uuid))?)));
    request.epoch = 1;
    if let Some((activation, record)) = found {
        request.epoch = record.last_epoch() + 1;
        let state = books::standing(view, &request.id).map(|standing| standing.state);
        let ours = record.account == request.account;
        match state {
            // Taken out of service: the next, by whoever holds the label. On its way there: its owner may think again.
            Some(State::Settled { want: Want::Deactivate, .. }) => {}
            Some(State::Waiting { want: Want::Deactivate, .. }) if ours => {}
            Some(State::Waiting { .. } | State::Settled { .. }) if !ours => return Err(Refusal::NotYours),
            Some(State::Waiting { .. } | State::Settled { .. }) if record.mark == request.mark => {
                return Ok(Decision { events: vec![], answer: Answer::Before(activation) });
            }
            Some(State::Settled { at, .. }) => return Err(Refusal::Active { activation, since: at }),
            // Waiting, and typed anew: the newer one counts. Held: the next try, by whoever holds the label.
            Some(State::Waiting { .. } | State::Held { .. }) | None => {}
        }
    }
    if let Some(wait) = too_many(view, &request.id, &request.account, &request.address, most_misses, now) {
        return Err(Refusal::TooManyMisses { wait });
    }
    Ok(Decision { events: vec![PortalEvent::ActivationRequested(request)], answer: Answer::Saved })
}

/// How long to wait, if wrong codes were tried too often.
fn too_many(
    view: &View<'_>,
    id: &RegistrationId,
    account: &AccountName,
    address: &str,
    most: usize,
    now: OffsetDateTime,
) -> Option<Duration> {
    let now = now.unix_timestamp();
    let wait = |key: &Vec<u8>| {
        let mut misses: Vec<i64> = view.get(key)?;
        misses.retain(|&miss| now - miss < MISS_COUNTS_FOR);
        // The one that has to grow old before there is room for another.
        let blocking = misses.len().checked_sub(most).and_then(|surplus| misses.get(surplus))?;
        Some(Duration::seconds(blocking + MISS_COUNTS_FOR - now))
    };
    miss_keys(id, account, address).iter().filter_map(wait).max()
}
