//! The factory, or the portal: a ledger and a clerk.

use std::{convert::Infallible, time::Duration};

use cloud_sync::{
    Permit, State,
    answer::{Call, Method},
    books,
    clerk::{Action, Clerk, fitting},
    mind::Pace,
};
use ledger::{Decision, Memory, Stamp};
use time::OffsetDateTime;

use crate::{
    guard::ids,
    plant::{Happened, describe},
    wire::moment,
};

/// A ledger, and who tells the cloud what is in it.
pub(crate) struct Party {
    pub(crate) ledger: Memory<Happened>,
    pub(crate) clerk: Clerk<Happened>,
    pub(crate) permit: Permit,
    pace: Pace,
    /// How often it was started; answers to an earlier life are not heard.
    pub(crate) life: u64,
}

impl Party {
    pub(crate) fn new(pace: Pace, permit: Permit, seed: u64) -> Self {
        let clerk = Clerk::new(describe(), pace.clone(), seed);
        Self { ledger: Memory::default(), clerk, permit, pace, life: 0 }
    }

    /// Something happens there.
    pub(crate) fn happens(&mut self, now: Duration, event: Happened) {
        let stamp = stamp(moment(now), "line");
        let decide = |_: &ledger::View<'_>| Ok::<_, Infallible>(Decision { events: vec![event], answer: () });
        self.ledger.commit(stamp, decide).unwrap();
        self.check();
    }

    /// Does what the clerk wants to have written down, and says what it wants then.
    pub(crate) fn next(&mut self, now: Duration) -> Action {
        loop {
            let paused = books::paused(&self.ledger).unwrap().is_some();
            let permit = if paused { Permit::Withheld } else { self.permit.clone() };
            let events = match self.clerk.next(now, &self.ledger, permit).unwrap() {
                Action::Write(events) => events,
                Action::Ask(number, call) => {
                    assert!(!paused, "{call:?} in a pause");
                    self.check_asked(&call);
                    return Action::Ask(number, call);
                }
                action @ Action::Rest(_) => return action,
            };
            let at = moment(now);
            let decide = |view: &ledger::View<'_>| Ok::<_, Infallible>(fitting(view, events, at));
            self.ledger.commit(stamp(at, "sync"), decide).unwrap();
            self.check();
        }
    }

    /// What it asks next, once it may: `now` becomes that moment.
    pub(crate) fn asks(&mut self, now: &mut Duration) -> Option<(u64, Call)> {
        loop {
            match self.next(*now) {
                Action::Ask(number, call) => return Some((number, call)),
                Action::Rest(Some(rest)) => *now += rest,
                Action::Rest(None) | Action::Write(_) => return None,
            }
        }
    }

    /// Has everything written down that was heard, and nothing asked.
    pub(crate) fn write_down(&mut self, now: Duration) {
        let permit = std::mem::replace(&mut self.permit, Permit::Withheld);
        drop(self.next(now));
        self.permit = permit;
    }

    /// The process dies and comes back, with whatever is in the ledger.
    pub(crate) fn crash(&mut self, seed: u64) {
        self.clerk = Clerk::new(describe(), self.pace.clone(), seed);
        self.life += 1;
    }

    /// How many jobs wait.
    pub(crate) fn waiting(&self) -> i64 {
        books::balance(&self.ledger).unwrap().waiting
    }

    /// Nothing is said about a unit that does not wait for it; only what was told is looked at.
    fn check_asked(&self, call: &Call) {
        for name in ids(call).into_iter().filter(|name| !name.starts_with("edge-")) {
            let standing = books::committed(&self.ledger, &name.parse().unwrap()).unwrap().unwrap().state;
            let looks = call.method == Method::Get && standing.is_told();
            assert!(looks || matches!(standing, State::Waiting { .. }), "{call:?}, but {standing:?}");
        }
    }

    /// The books balance, at every step.
    fn check(&self) {
        let books = books::balance(&self.ledger).unwrap();
        assert!(books.balance(), "{books:?}");
    }
}

fn stamp(at: OffsetDateTime, actor: &str) -> Stamp {
    Stamp { at, actor: actor.to_owned() }
}
