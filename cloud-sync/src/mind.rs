//! When to send what: the worker's mind, without I/O and without a clock.
//!
//! Time is a `Duration` since the worker started; randomness was given to [`Delays`]; what happened comes in as values.
//! While the link is down, one unit at a time probes it; everything else rests.

use std::{collections::HashMap, time::Duration};

use azure_iot::RegistrationId;

use crate::{answer::Trouble, bucket::Bucket, delays::Delays, link::LinkState};

/// As many enrollments as DPS takes in one bulk request.
pub const BULK: usize = 10;

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Tell the cloud about these.
    Send(Vec<RegistrationId>),
    /// Nothing, until the ledger changes or so much time has passed.
    Rest(Option<Duration>),
}

/// How the pace is set.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Operations a minute.
    pub per_minute: u32,
    /// The longest first delay after a failure.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
}

/// The link's state, the budget, and who has to wait for a reason of its own.
#[derive(Debug)]
pub struct Mind {
    pace: Pace,
    link: LinkState,
    delays: Delays,
    probe_at: Duration,
    bucket: Bucket,
    /// Units that the cloud is not ready for, with their own delays.
    later: HashMap<RegistrationId, (Delays, Duration)>,
    jitter: fastrand::Rng,
}

impl Mind {
    /// A mind that knows nothing about the link yet, and so probes at once.
    #[must_use]
    pub fn new(pace: Pace, mut jitter: fastrand::Rng) -> Self {
        Self {
            link: LinkState::Unknown,
            delays: Delays::new(pace.first_delay, pace.longest_delay, jitter.fork()),
            probe_at: Duration::ZERO,
            bucket: Bucket::new(pace.per_minute, BULK as u32),
            later: HashMap::new(),
            jitter,
            pace,
        }
    }

    /// How the link is.
    #[must_use]
    pub fn link(&self) -> &LinkState {
        &self.link
    }

    /// What to do now, given a way to look at what waits, oldest first.
    pub fn next(&self, now: Duration, waiting: impl IntoIterator<Item = RegistrationId>) -> Next {
        let most = match self.link {
            LinkState::Up => BULK,
            LinkState::Unknown => 1,
            LinkState::Down { .. } if now < self.probe_at => return Next::Rest(Some(self.probe_at - now)),
            LinkState::Down { .. } => 1,
        };
        let mut due = Vec::new();
        let mut earliest: Option<Duration> = None;
        for id in waiting {
            match self.later.get(&id) {
                Some((_, at)) if *at > now => earliest = Some(earliest.map_or(*at, |found| found.min(*at))),
                _ => due.push(id),
            }
            if due.len() == most {
                break;
            }
        }
        if due.is_empty() { Next::Rest(earliest.map(|at| at - now)) } else { Next::Send(due) }
    }

    /// Takes `cost` operations from the budget, or says how long to wait for them.
    pub fn spend(&mut self, now: Duration, cost: u32) -> Result<(), Duration> {
        self.bucket.take(now, cost)
    }

    /// DPS answered. Returns the link's state if that is news.
    pub fn heard(&mut self) -> Option<LinkState> {
        self.delays.reset();
        self.become_(LinkState::Up)
    }

    /// The link failed. Returns its state if that is news.
    pub fn failed(&mut self, now: Duration, trouble: &Trouble) -> Option<LinkState> {
        self.probe_at = now + self.delays.next(trouble.retry_after);
        self.become_(LinkState::Down { cause: trouble.cause, detail: trouble.detail.clone() })
    }

    /// The cloud is not ready for this unit: ask again, later and later.
    pub fn defer(&mut self, now: Duration, id: RegistrationId) {
        let (pace, jitter) = (&self.pace, &mut self.jitter);
        let fresh = || (Delays::new(pace.first_delay, pace.longest_delay, jitter.fork()), Duration::ZERO);
        let (delays, at) = self.later.entry(id).or_insert_with(fresh);
        *at = now + delays.next(None);
    }

    /// The unit is settled or held: nothing is remembered of its delays.
    pub fn done(&mut self, id: &RegistrationId) {
        self.later.remove(id);
    }

    fn become_(&mut self, state: LinkState) -> Option<LinkState> {
        let news = !self.link.same_kind(&state);
        self.link = state;
        news.then(|| self.link.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Cause;

    fn mind() -> Mind {
        let pace = Pace {
            per_minute: 200,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(300),
        };
        Mind::new(pace, fastrand::Rng::with_seed(1))
    }

    fn ids(n: usize) -> Vec<RegistrationId> {
        (0..n).map(|i| format!("unit-{i}").parse().unwrap()).collect()
    }

    fn trouble(retry_after: Option<Duration>) -> Trouble {
        Trouble { cause: Cause::Unreachable, detail: "refused".into(), retry_after }
    }

    const NOW: Duration = Duration::from_secs(100);

    #[test]
    fn a_restart_probes_at_once_with_one_and_then_sends_by_ten() {
        let mut mind = mind();
        assert_eq!(mind.next(NOW, ids(30)), Next::Send(ids(1)));
        assert_eq!(mind.heard(), Some(LinkState::Up));
        assert_eq!(mind.next(NOW, ids(30)), Next::Send(ids(10)));
        assert_eq!(mind.next(NOW, ids(3)), Next::Send(ids(3)));
    }

    #[test]
    fn nothing_to_say_is_rest_until_the_ledger_changes() {
        assert_eq!(mind().next(NOW, ids(0)), Next::Rest(None));
    }

    #[test]
    fn while_the_link_is_down_one_at_a_time_probes_it() {
        let mut mind = mind();
        mind.failed(NOW, &trouble(Some(Duration::from_secs(60))));
        let Next::Rest(Some(wait)) = mind.next(NOW, ids(30)) else { panic!("no rest") };
        assert!(wait >= Duration::from_secs(60));
        assert_eq!(mind.next(NOW + wait, ids(30)), Next::Send(ids(1)));
    }

    #[test]
    fn a_change_of_the_link_is_news_once() {
        let mut mind = mind();
        assert!(mind.failed(NOW, &trouble(None)).is_some());
        assert!(mind.failed(NOW, &trouble(None)).is_none());
        let other = Trouble { cause: Cause::Busy, ..trouble(None) };
        assert!(mind.failed(NOW, &other).is_some());
        assert!(mind.heard().is_some());
        assert!(mind.heard().is_none());
    }

    #[test]
    fn a_unit_that_has_to_wait_does_not_hold_up_the_others() {
        let mut mind = mind();
        mind.heard();
        let [first, second]: [_; 2] = ids(2).try_into().unwrap();
        mind.defer(NOW, first.clone());
        assert_eq!(mind.next(NOW, ids(2)), Next::Send(vec![second]));
        let Next::Rest(Some(wait)) = mind.next(NOW, ids(1)) else { panic!("no rest") };
        assert_eq!(mind.next(NOW + wait, ids(1)), Next::Send(ids(1)));
        mind.defer(NOW, first.clone());
        mind.done(&first);
        assert_eq!(mind.next(NOW, ids(1)), Next::Send(ids(1)));
    }
}
