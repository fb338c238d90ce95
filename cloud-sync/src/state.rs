//! Where a unit stands with the cloud: one pure, total function.
//!
//! ```text
//! Waiting ── Accepted ─▶ Settled          a new want replaces a waiting or held one (Superseded)
//!    └────── Stopped ──▶ Held             an outcome for another epoch is ignored
//!    ◀────── Retried ───┤
//!    ◀──── ReplaceCloud ┘── KeepCloud ─▶ Settled
//! Settled ── Drifted ──▶ Waiting, where it is ours to tell again; else Held
//! ```
//!
//! Nothing is stored about a request in flight: every request is safe to repeat.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What the cloud is to be told about a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// A unit was issued: there shall be a disabled enrollment with its certificate.
    Announce,
    /// A unit was reworked: its enrollment shall carry its new certificate.
    Replace,
    /// A unit was scrapped: its enrollment shall be a tombstone.
    Withdraw,
    /// A device was claimed: its enrollment shall be enabled, with this twin and these hubs.
    Activate,
    /// A device was taken out of service: its enrollment shall be disabled, and otherwise stay as it is.
    Deactivate,
}

/// The code of a job that a person has stopped.
pub const ASKED: &str = "asked";

/// The code of a job for which a person has decided on a version of the record that is not there any more.
pub const CHANGED: &str = "changed";

/// Why a job stopped and a person should look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// A stable code: [`ASKED`], [`CHANGED`], `conflict`, `rejected`, `activated`, `assigned`, `claim-mismatch`, `no-claim`,
    /// `scrapped`, `missing`.
    pub code: String,
    /// A sentence for that person.
    pub detail: String,
}

/// What a person has decided about a job that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Resolution {
    /// What the cloud has stays, and nothing is told.
    KeepCloud {
        /// SHA-256 of the certificate that it has, upper-case hex; `None` where it has none.
        sha256: Option<String>,
    },
    /// What the cloud has gives way, as long as it is what the person has seen.
    ReplaceCloud {
        /// The version of the record that the person has seen.
        etag: String,
    },
}

/// Where a unit stands with the cloud.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// The cloud has yet to be told.
    Waiting {
        /// What.
        want: Want,
        /// Which pass of the unit this is about.
        epoch: u32,
        /// The version of the cloud's record that gives way, whatever it is, because a person has decided so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<String>,
    },
    /// The cloud has it, or a person wants it left as it is there.
    Settled {
        /// What.
        want: Want,
        /// Which pass of the unit this is about.
        epoch: u32,
        /// Since when.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
        /// A person wants it left as it is there, whatever that is.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        kept: bool,
    },
    /// The cloud disagrees; a person decides.
    Held {
        /// What was wanted.
        want: Want,
        /// Which pass of the unit this is about.
        epoch: u32,
        /// What the matter is.
        why: Why,
        /// Since when.
        #[serde(with = "time::serde::rfc3339")]
        at: OffsetDateTime,
    },
}

impl State {
    /// Which pass of the unit this is about.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        match self {
            Self::Waiting { epoch, .. } | Self::Settled { epoch, .. } | Self::Held { epoch, .. } => *epoch,
        }
    }

    /// What is or was wanted.
    #[must_use]
    pub fn want(&self) -> Want {
        match self {
            Self::Waiting { want, .. } | Self::Settled { want, .. } | Self::Held { want, .. } => *want,
        }
    }

    /// Whether the cloud has what was wanted.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Settled { kept: false, .. })
    }

    /// The version of the cloud's record that a person wants to give way, as long as it waits.
    #[must_use]
    pub fn decided(&self) -> Option<&str> {
        match self {
            Self::Waiting { etag, .. } => etag.as_deref(),
            Self::Settled { .. } | Self::Held { .. } => None,
        }
    }
}

/// What can happen to a unit's standing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The program wants something told.
    Wanted {
        /// What.
        want: Want,
        /// For which pass of the unit.
        epoch: u32,
    },
    /// The cloud has it.
    Accepted {
        /// The pass that was told.
        epoch: u32,
    },
    /// Asking again will not help, or a person does not want it.
    Stopped {
        /// The pass that was told.
        epoch: u32,
        /// What the matter is.
        why: Why,
    },
    /// A person wants it asked again.
    Retried {
        /// The pass that is to be told.
        epoch: u32,
    },
    /// A person has compared both sides, and decided.
    Resolved {
        /// The pass that it is about.
        epoch: u32,
        /// What was decided.
        resolution: Resolution,
    },
    /// The cloud does not have any more what it was told.
    Drifted {
        /// The pass that was told.
        epoch: u32,
        /// Why a person has to decide; without it, it is told again.
        why: Option<Why>,
    },
}

/// Why a happening changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// It is about a pass that a later one has replaced, or one that was never asked for.
    OtherEpoch,
    /// Nothing is waiting for an outcome.
    NotWaiting,
    /// Nothing is held that could be asked again, or decided.
    NotHeld,
    /// Nothing is settled that could have drifted.
    NotSettled,
}

/// Where a unit stands after `happening`. Total: what does not fit is ignored, with the reason, and never a panic.
pub fn after(before: Option<&State>, happening: Happening, at: OffsetDateTime) -> Result<State, Ignored> {
    match (before, happening) {
        (Some(before), Happening::Wanted { epoch, .. }) if epoch <= before.epoch() => {
            Err(Ignored::OtherEpoch)
        }
        (_, Happening::Wanted { want, epoch }) => Ok(State::Waiting { want, epoch, etag: None }),
        (None, Happening::Accepted { .. } | Happening::Stopped { .. }) => Err(Ignored::NotWaiting),
        (None, Happening::Retried { .. } | Happening::Resolved { .. }) => Err(Ignored::NotHeld),
        (None, Happening::Drifted { .. }) => Err(Ignored::NotSettled),
        (
            Some(before),
            Happening::Accepted { epoch }
            | Happening::Stopped { epoch, .. }
            | Happening::Retried { epoch }
            | Happening::Resolved { epoch, .. }
            | Happening::Drifted { epoch, .. },
        ) if epoch != before.epoch() => Err(Ignored::OtherEpoch),
        // Whatever was decided before is not asked again: what waits now is told only where it is ours alone.
        (Some(State::Held { want, epoch, .. }), Happening::Retried { .. }) => {
            Ok(State::Waiting { want: *want, epoch: *epoch, etag: None })
        }
        (Some(State::Held { want, epoch, .. }), Happening::Resolved { resolution, .. }) => {
            Ok(match resolution {
                Resolution::KeepCloud { .. } => State::Settled { want: *want, epoch: *epoch, at, kept: true },
                Resolution::ReplaceCloud { etag } => {
                    State::Waiting { want: replacing(*want), epoch: *epoch, etag: Some(etag) }
                }
            })
        }
        (
            Some(State::Waiting { .. } | State::Settled { .. }),
            Happening::Retried { .. } | Happening::Resolved { .. },
        ) => Err(Ignored::NotHeld),
        (Some(State::Waiting { want, epoch, .. }), Happening::Accepted { .. }) => {
            Ok(State::Settled { want: *want, epoch: *epoch, at, kept: false })
        }
        (Some(State::Waiting { want, epoch, .. }), Happening::Stopped { why, .. }) => {
            Ok(State::Held { want: *want, epoch: *epoch, why, at })
        }
        (Some(State::Settled { want, epoch, kept: false, .. }), Happening::Drifted { why, .. }) => {
            Ok(match why {
                Some(why) => State::Held { want: *want, epoch: *epoch, why, at },
                None => State::Waiting { want: *want, epoch: *epoch, etag: None },
            })
        }
        // What a person wants left as it is cannot drift.
        (Some(_), Happening::Drifted { .. }) => Err(Ignored::NotSettled),
        (Some(State::Settled { .. } | State::Held { .. }), _) => Err(Ignored::NotWaiting),
    }
}

/// What is wanted once a person has decided against what the cloud has. An announcement never writes to an existing
/// enrollment (law 5), so it is one no more.
fn replacing(want: Want) -> Want {
    match want {
        Want::Announce => Want::Replace,
        Want::Replace | Want::Withdraw | Want::Activate | Want::Deactivate => want,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const WANTS: [Want; 5] =
        [Want::Announce, Want::Replace, Want::Withdraw, Want::Activate, Want::Deactivate];

    fn why() -> Why {
        Why { code: "conflict".into(), detail: "another key".into() }
    }

    fn waiting(epoch: u32) -> State {
        State::Waiting { want: Want::Announce, epoch, etag: None }
    }

    fn settled(epoch: u32) -> State {
        State::Settled { want: Want::Announce, epoch, at: NOW, kept: false }
    }

    fn held(epoch: u32) -> State {
        State::Held { want: Want::Announce, epoch, why: why(), at: NOW }
    }

    fn check(before: Option<State>, happening: Happening, expected: Result<State, Ignored>) {
        assert_eq!(after(before.as_ref(), happening.clone(), NOW), expected, "{before:?} and {happening:?}");
    }

    #[test]
    fn a_new_want_waits_whatever_was_before() {
        let wanted = |epoch| Happening::Wanted { want: Want::Announce, epoch };
        check(None, wanted(1), Ok(waiting(1)));
        for before in [waiting(1), settled(1), held(1)] {
            check(Some(before), wanted(2), Ok(waiting(2)));
        }
    }

    #[test]
    fn every_want_follows_every_other_and_is_settled_or_held_as_itself() {
        for (first, second) in WANTS.into_iter().flat_map(|first| WANTS.map(|second| (first, second))) {
            let before = State::Waiting { want: first, epoch: 1, etag: None };
            let now = after(Some(&before), Happening::Wanted { want: second, epoch: 2 }, NOW).unwrap();
            assert_eq!(now, State::Waiting { want: second, epoch: 2, etag: None });
            check(Some(now.clone()), Happening::Accepted { epoch: 1 }, Err(Ignored::OtherEpoch));
            let settled = State::Settled { want: second, epoch: 2, at: NOW, kept: false };
            check(Some(now.clone()), Happening::Accepted { epoch: 2 }, Ok(settled));
            let held = State::Held { want: second, epoch: 2, why: why(), at: NOW };
            check(Some(now), Happening::Stopped { epoch: 2, why: why() }, Ok(held));
        }
    }

    #[test]
    fn a_want_of_the_same_or_an_older_epoch_changes_nothing() {
        for before in [waiting(2), settled(2), held(2)] {
            for epoch in [1, 2] {
                let wanted = Happening::Wanted { want: Want::Announce, epoch };
                check(Some(before.clone()), wanted, Err(Ignored::OtherEpoch));
            }
        }
    }

    #[test]
    fn only_a_waiting_unit_takes_an_outcome_and_only_one_of_its_epoch() {
        let stopped = |epoch| Happening::Stopped { epoch, why: why() };
        check(Some(waiting(2)), Happening::Accepted { epoch: 2 }, Ok(settled(2)));
        check(Some(waiting(2)), stopped(2), Ok(held(2)));
        check(Some(waiting(2)), Happening::Accepted { epoch: 1 }, Err(Ignored::OtherEpoch));
        check(Some(waiting(2)), stopped(3), Err(Ignored::OtherEpoch));
        for before in [settled(2), held(2)] {
            check(Some(before.clone()), Happening::Accepted { epoch: 2 }, Err(Ignored::NotWaiting));
            check(Some(before), stopped(2), Err(Ignored::NotWaiting));
        }
        check(None, Happening::Accepted { epoch: 1 }, Err(Ignored::NotWaiting));
    }

    #[test]
    fn only_what_is_held_is_asked_again_and_as_what_it_was() {
        for want in WANTS {
            let held = State::Held { want, epoch: 2, why: why(), at: NOW };
            let again = State::Waiting { want, epoch: 2, etag: None };
            check(Some(held.clone()), Happening::Retried { epoch: 2 }, Ok(again));
            for epoch in [1, 3] {
                check(Some(held.clone()), Happening::Retried { epoch }, Err(Ignored::OtherEpoch));
            }
        }
        for before in [waiting(2), settled(2)] {
            check(Some(before), Happening::Retried { epoch: 2 }, Err(Ignored::NotHeld));
        }
        check(None, Happening::Retried { epoch: 1 }, Err(Ignored::NotHeld));
    }

    fn keep(epoch: u32) -> Happening {
        let sha256 = Some("AB".to_owned());
        Happening::Resolved { epoch, resolution: Resolution::KeepCloud { sha256 } }
    }

    fn replace(epoch: u32) -> Happening {
        Happening::Resolved { epoch, resolution: Resolution::ReplaceCloud { etag: "e1".to_owned() } }
    }

    fn decided(want: Want) -> State {
        State::Waiting { want, epoch: 2, etag: Some("e1".to_owned()) }
    }

    #[test]
    fn only_what_is_held_is_decided_and_an_announcement_becomes_a_replacement() {
        for want in WANTS {
            let then = if want == Want::Announce { Want::Replace } else { want };
            let held = State::Held { want, epoch: 2, why: why(), at: NOW };
            let kept = State::Settled { want, epoch: 2, at: NOW, kept: true };
            check(Some(held.clone()), keep(2), Ok(kept.clone()));
            let drifted = Happening::Drifted { epoch: 2, why: Some(why()) };
            check(Some(kept), drifted, Err(Ignored::NotSettled));
            check(Some(held.clone()), replace(2), Ok(decided(then)));
            for epoch in [1, 3] {
                check(Some(held.clone()), keep(epoch), Err(Ignored::OtherEpoch));
                check(Some(held.clone()), replace(epoch), Err(Ignored::OtherEpoch));
            }
        }
        for before in [Some(waiting(2)), Some(settled(2)), Some(decided(Want::Replace)), None] {
            check(before.clone(), keep(2), Err(Ignored::NotHeld));
            check(before, replace(2), Err(Ignored::NotHeld));
        }
    }

    #[test]
    fn a_decision_ends_with_its_outcome_and_is_never_asked_again() {
        let before = decided(Want::Replace);
        let settled = State::Settled { want: Want::Replace, epoch: 2, at: NOW, kept: false };
        check(Some(before.clone()), Happening::Accepted { epoch: 2 }, Ok(settled));
        let changed = Why { code: CHANGED.into(), detail: String::new() };
        let held = after(Some(&before), Happening::Stopped { epoch: 2, why: changed }, NOW).unwrap();
        let again = State::Waiting { want: Want::Replace, epoch: 2, etag: None };
        check(Some(held), Happening::Retried { epoch: 2 }, Ok(again));
        let wanted = Happening::Wanted { want: Want::Withdraw, epoch: 3 };
        check(Some(before), wanted, Ok(State::Waiting { want: Want::Withdraw, epoch: 3, etag: None }));
    }

    #[test]
    fn a_standing_that_was_written_before_there_were_decisions_reads_as_one_without() {
        let stored = r#"{"state":"waiting","want":"announce","epoch":1}"#;
        let read: State = serde_json::from_str(stored).unwrap();
        assert_eq!((serde_json::to_string(&read).unwrap().as_str(), read), (stored, waiting(1)));
    }

    #[test]
    fn what_is_stored_keeps_its_name() {
        let named = WANTS.map(|want| serde_json::to_value(want).unwrap());
        assert_eq!(named, ["announce", "replace", "withdraw", "activate", "deactivate"]);
    }

    #[test]
    fn only_what_is_settled_drifts_and_then_waits_again_or_is_held() {
        for want in WANTS {
            let settled = State::Settled { want, epoch: 2, at: NOW, kept: false };
            let again = Happening::Drifted { epoch: 2, why: None };
            check(Some(settled.clone()), again, Ok(State::Waiting { want, epoch: 2, etag: None }));
            let a_person = Happening::Drifted { epoch: 2, why: Some(why()) };
            let held = State::Held { want, epoch: 2, why: why(), at: NOW };
            check(Some(settled.clone()), a_person, Ok(held));
            for epoch in [1, 3] {
                let drifted = Happening::Drifted { epoch, why: None };
                check(Some(settled.clone()), drifted, Err(Ignored::OtherEpoch));
            }
        }
        for before in [waiting(2), held(2)] {
            let drifted = Happening::Drifted { epoch: 2, why: None };
            check(Some(before), drifted, Err(Ignored::NotSettled));
        }
        check(None, Happening::Drifted { epoch: 1, why: None }, Err(Ignored::NotSettled));
    }
}
