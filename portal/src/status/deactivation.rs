//! What a person is told about a request whose device was to be taken out of service.

use cloud_sync::{LinkState, State};

use super::{Phase, Status, Turn, link_words};
use crate::event::Activation;

/// Derives what to say from the device's standing, which is about the deactivation.
pub(super) fn status(request: &Activation, standing: &State, link: Option<&LinkState>) -> Status {
    let say = |phase, turn, headline: String, detail: String| Status {
        phase,
        turn,
        headline,
        detail,
        code: None,
        saved_at: request.at,
        ended_at: None,
    };
    match standing {
        State::Waiting { .. } => say(
            Phase::Deactivating,
            Turn::Portal,
            format!("Deactivation saved; {}", link_words(link)),
            "Your request is stored safely and will be carried out as soon as possible. Until then the device may \
             still register. You can close this page."
                .to_owned(),
        ),
        State::Settled { at, .. } => Status {
            ended_at: Some(*at),
            ..say(
                Phase::Deactivated,
                Turn::You,
                "Deactivated".to_owned(),
                format!(
                    "Azure DPS does not let this device register any more. If it is connected to its IoT Hub, it stays \
                     connected: disable or delete it in {} too.",
                    request.hub
                ),
            )
        },
        State::Held { why, at, .. } => {
            let (turn, headline, detail) = refused(&why.code);
            Status {
                ended_at: Some(*at),
                code: Some(why.code.clone()),
                ..say(Phase::NotDeactivated, turn, headline.to_owned(), detail.to_owned())
            }
        }
    }
}

fn refused(code: &str) -> (Turn, &'static str, &'static str) {
    match code {
        "missing" => (
            Turn::You,
            "Not deactivated: DPS does not know this device",
            "It has no enrollment of its own, so there was nothing to disable. An enrollment group may still let it \
             in: ask whoever runs DPS for you.",
        ),
        "claim-mismatch" | "no-claim" => (
            Turn::Factory,
            "Not deactivated: the device has another label now",
            "The claim code with which you activated it is not on its label any more, so it is no longer yours to \
             deactivate here. Nothing was changed. If you still have the device, give the factory the support code below.",
        ),
        _ => (
            Turn::Factory,
            "Not deactivated: the cloud does not take this request",
            "The device may still register. A person has to look at it: give the factory the support code below.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use cloud_sync::{Cause, Want, Why};
    use time::macros::datetime;
    use time::{Duration, OffsetDateTime};

    use crate::event::End;
    use crate::status::{self, tests::request};

    use super::*;

    const SAVED: OffsetDateTime = datetime!(2026-11-23 10:00 UTC);

    /// An activation that is to be ended.
    fn ending() -> Activation {
        let end = End {
            deactivation: uuid::Uuid::nil(),
            epoch: 3,
            account: "weber".parse().unwrap(),
            address: "192.0.2.1".to_owned(),
            reason: "sold".parse().unwrap(),
            at: SAVED,
        };
        Activation { end: Some(end), ..request() }
    }

    fn check(standing: State, link: Option<LinkState>, expected: (Phase, Turn), word: &str) -> Status {
        let now = SAVED + Duration::minutes(1);
        let status = status::status(&ending(), Some(&standing), link.as_ref(), now);
        assert_eq!((status.phase, status.turn), expected, "{status:?}");
        assert!(format!("{} {}", status.headline, status.detail).contains(word), "{word}: {status:?}");
        status
    }

    fn waiting(epoch: u32) -> State {
        State::Waiting { want: Want::Deactivate, epoch, etag: None }
    }

    #[test]
    fn a_deactivation_that_waits_says_for_what_and_that_nothing_has_changed_yet() {
        let expected = (Phase::Deactivating, Turn::Portal);
        let down = |cause| Some(LinkState::Down { cause, detail: String::new() });
        check(waiting(3), Some(LinkState::Up), expected, "being asked");
        check(waiting(3), Some(LinkState::Up), expected, "may still register");
        check(waiting(3), down(Cause::Busy), expected, "busy");
        check(waiting(3), down(Cause::Unreachable), expected, "cannot be reached");
        check(waiting(3), None, expected, "not connected");
    }

    #[test]
    fn nothing_is_called_deactivated_before_the_cloud_has_it_and_then_the_hub_is_named() {
        let settled = |epoch| State::Settled { want: Want::Deactivate, epoch, at: SAVED, kept: false };
        let status = check(settled(3), None, (Phase::Deactivated, Turn::You), "hub-eu.azure-devices.net");
        assert_eq!((status.ended_at, status.headline.as_str()), (Some(SAVED), "Deactivated"));
    }

    #[test]
    fn a_refusal_says_why_and_never_shows_what_the_cloud_said() {
        let held = |code: &str| {
            let why = Why { code: code.to_owned(), detail: "raw words of the service".to_owned() };
            State::Held { want: Want::Deactivate, epoch: 3, why, at: SAVED }
        };
        let rows = [
            ("missing", Turn::You, "An enrollment group may still let it in"),
            ("claim-mismatch", Turn::Factory, "another label"),
            ("no-claim", Turn::Factory, "another label"),
            ("rejected", Turn::Factory, "does not take"),
        ];
        for (code, turn, words) in rows {
            let status = check(held(code), None, (Phase::NotDeactivated, turn), words);
            assert_eq!(status.code.as_deref(), Some(code));
            assert!(!format!("{status:?}").contains("raw words"));
        }
    }

    #[test]
    fn an_activation_after_it_counts_instead() {
        let later = State::Waiting { want: Want::Activate, epoch: 4, etag: None };
        check(later, None, (Phase::Replaced, Turn::Nobody), "later request");
    }
}
