//! What a person is told about a request: only what has happened, and whose turn it is.

mod deactivation;

use cloud_sync::{Cause, LinkState, State};
use serde::Serialize;
use time::{Duration, OffsetDateTime};

use crate::event::Activation;

/// Who has to do something next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// The portal: it goes on by itself.
    Portal,
    /// The factory that built the device.
    Factory,
    /// The person who reads this.
    You,
    /// Nobody: there is nothing left to do here.
    Nobody,
}

impl Turn {
    /// What it is called on the page.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Portal => "our turn",
            Self::Factory => "the factory’s turn",
            Self::You => "your turn",
            Self::Nobody => "closed",
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Saved, and not yet carried out.
    Waiting,
    /// DPS has it.
    Done,
    /// It will not be done like this.
    Refused,
    /// A later request for the same device counts instead.
    Replaced,
    /// The device is to be taken out of service, and is not yet.
    Deactivating,
    /// The device is out of service: DPS has it.
    Deactivated,
    /// The device was to be taken out of service, and will not be like this.
    NotDeactivated,
}

/// Everything that the page shows about a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Where it stands.
    pub phase: Phase,
    /// Whose turn it is.
    pub turn: Turn,
    /// In a few words.
    pub headline: String,
    /// What that means, and what to do.
    pub detail: String,
    /// A stable code, where there is something to look up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// When it was saved.
    #[serde(with = "time::serde::rfc3339")]
    pub saved_at: OffsetDateTime,
    /// When it ended, if it has.
    #[serde(with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<OffsetDateTime>,
}

/// Derives what to say from what was committed: the request and the device's standing, and from the link as the worker
/// knows it; a portal without a cloud has none.
#[must_use]
pub fn status(
    request: &Activation,
    standing: Option<&State>,
    link: Option<&LinkState>,
    now: OffsetDateTime,
) -> Status {
    let say = |phase, turn, headline: &str, detail: String| Status {
        phase,
        turn,
        headline: headline.to_owned(),
        detail,
        code: None,
        saved_at: request.at,
        ended_at: None,
    };
    // An outcome of an earlier request is not this one's.
    match standing.filter(|state| state.epoch() >= request.epoch) {
        Some(state) if request.end.as_ref().is_some_and(|end| end.epoch == state.epoch()) => {
            deactivation::status(request, state, link)
        }
        Some(state) if state.epoch() > request.epoch => say(
            Phase::Replaced,
            Turn::Nobody,
            "A later request counts",
            "This device was asked for again after this; the later request counts.".to_owned(),
        ),
        Some(State::Settled { at, .. }) => Status {
            ended_at: Some(*at),
            ..say(
                Phase::Done,
                Turn::You,
                "Activated",
                format!(
                    "The device may join {} now. Power it on and connect its network cable; it calls in by itself.",
                    request.hub
                ),
            )
        },
        Some(State::Held { why, at, .. }) => {
            let (turn, headline, detail) = refused(&why.code);
            Status {
                ended_at: Some(*at),
                code: Some(why.code.clone()),
                ..say(Phase::Refused, turn, headline, detail.to_owned())
            }
        }
        Some(State::Waiting { .. }) | None => {
            let (turn, headline, detail) = waiting(link, now - request.at);
            say(Phase::Waiting, turn, &headline, detail.to_owned())
        }
    }
}

fn refused(code: &str) -> (Turn, &'static str, &'static str) {
    match code {
        "claim-mismatch" => (
            Turn::You,
            "The claim code does not match this device",
            "Compare device id and claim code with the label, and try again. Nothing was changed.",
        ),
        "no-claim" => (
            Turn::Factory,
            "This device has no claim code",
            "The factory announced it without one. Give them the support code below; nothing was changed.",
        ),
        "scrapped" => (
            Turn::Factory,
            "The factory has withdrawn this device",
            "It must not be used. Give the factory the support code below; nothing was changed.",
        ),
        _ => (
            Turn::Factory,
            "The cloud does not take this request",
            "A person has to look at it. Give the factory the support code below; what you typed is kept.",
        ),
    }
}

/// How long an answer may take before it is more likely that DPS does not know the device.
const ANSWERED_WITHIN: Duration = Duration::seconds(10);

fn waiting(link: Option<&LinkState>, waited: Duration) -> (Turn, String, &'static str) {
    if link == Some(&LinkState::Up) && waited >= ANSWERED_WITHIN {
        return (
            Turn::Factory,
            "Saved; waiting for the factory to announce the device".to_owned(),
            "The factory announces each device when it has internet. We keep asking and go on by ourselves; \
             you can close this page.",
        );
    }
    let detail = match link {
        None => {
            "Your request is stored safely and will be carried out once whoever runs this portal has connected it."
        }
        Some(LinkState::Up | LinkState::Unknown) => "Your request is stored safely. You can close this page.",
        Some(LinkState::Down { .. }) => {
            "Your request is stored safely and will be carried out as soon as possible. You can close this page."
        }
    };
    (Turn::Portal, format!("Saved; {}", link_words(link)), detail)
}

/// Where a request is that waits for the cloud.
fn link_words(link: Option<&LinkState>) -> &'static str {
    match link {
        None => "this portal is not connected to the cloud yet",
        Some(LinkState::Up | LinkState::Unknown) => "the cloud is being asked",
        Some(LinkState::Down { cause, .. }) => match cause {
            Cause::Busy => "the cloud is busy",
            Cause::Unauthorized | Cause::Clock => "the cloud does not accept this portal at the moment",
            _ => "the cloud cannot be reached at the moment",
        },
    }
}

#[cfg(test)]
mod tests {
    use cloud_sync::{Want, Why};
    use time::macros::datetime;

    use super::*;

    const SAVED: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    pub(super) fn request() -> Activation {
        Activation {
            id: "gw-1".parse().unwrap(),
            epoch: 2,
            account: "weber".parse().unwrap(),
            address: "192.0.2.1".to_owned(),
            mark: String::new(),
            hub: "hub-eu.azure-devices.net".to_owned(),
            at: SAVED,
            frame: ledger::FrameRef { segment: 0, offset: 0, seq: 1 },
            end: None,
        }
    }

    fn check(standing: Option<State>, link: LinkState, expected: (Phase, Turn), word: &str) {
        let status = status(&request(), standing.as_ref(), Some(&link), SAVED + Duration::minutes(1));
        assert_eq!((status.phase, status.turn), expected, "{status:?}");
        assert!(status.headline.contains(word), "{status:?}");
    }

    fn waiting() -> Option<State> {
        Some(State::Waiting { want: Want::Activate, epoch: 2, etag: None })
    }

    #[test]
    fn a_request_that_waits_says_for_what() {
        let down = |cause| LinkState::Down { cause, detail: String::new() };
        check(waiting(), LinkState::Up, (Phase::Waiting, Turn::Factory), "factory");
        check(waiting(), LinkState::Unknown, (Phase::Waiting, Turn::Portal), "being asked");
        check(waiting(), down(Cause::Busy), (Phase::Waiting, Turn::Portal), "busy");
        check(waiting(), down(Cause::Unreachable), (Phase::Waiting, Turn::Portal), "cannot be reached");
        check(None, LinkState::Unknown, (Phase::Waiting, Turn::Portal), "being asked");
    }

    #[test]
    fn a_portal_without_a_cloud_does_not_pretend_to_ask() {
        let status = status(&request(), waiting().as_ref(), None, SAVED);
        assert!(status.headline.contains("not connected"), "{status:?}");
    }

    #[test]
    fn the_factory_is_not_blamed_before_the_cloud_has_had_time_to_answer() {
        let early =
            status(&request(), waiting().as_ref(), Some(&LinkState::Up), SAVED + Duration::seconds(9));
        assert_eq!(early.turn, Turn::Portal);
    }

    #[test]
    fn nothing_is_called_done_before_the_cloud_has_it() {
        for standing in
            [waiting(), None, Some(State::Settled { want: Want::Activate, epoch: 1, at: SAVED, kept: false })]
        {
            let status = status(&request(), standing.as_ref(), Some(&LinkState::Up), SAVED);
            assert_ne!(status.phase, Phase::Done, "{standing:?}");
        }
        let done = Some(State::Settled { want: Want::Activate, epoch: 2, at: SAVED, kept: false });
        check(done, LinkState::Up, (Phase::Done, Turn::You), "Activated");
    }

    #[test]
    fn a_refusal_says_whose_turn_it_is_and_never_shows_what_the_cloud_said() {
        let held = |code: &str| {
            let why = Why { code: code.to_owned(), detail: "raw words of the service".to_owned() };
            Some(State::Held { want: Want::Activate, epoch: 2, why, at: SAVED })
        };
        check(held("claim-mismatch"), LinkState::Up, (Phase::Refused, Turn::You), "does not match");
        check(held("no-claim"), LinkState::Up, (Phase::Refused, Turn::Factory), "no claim code");
        check(held("scrapped"), LinkState::Up, (Phase::Refused, Turn::Factory), "withdrawn");
        check(held("rejected"), LinkState::Up, (Phase::Refused, Turn::Factory), "does not take");
        let status = status(&request(), held("rejected").as_ref(), Some(&LinkState::Up), SAVED);
        assert!(!format!("{status:?}").contains("raw words"));
    }

    #[test]
    fn a_request_that_was_replaced_says_so() {
        let later = Some(State::Waiting { want: Want::Activate, epoch: 3, etag: None });
        check(later, LinkState::Up, (Phase::Replaced, Turn::Nobody), "later request");
    }
}
