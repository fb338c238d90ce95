//! When to send what: the worker's mind, without I/O and without a clock.
//!
//! Time is a `Duration` since the worker started; randomness was given to [`Delays`]; what happened comes in as values.
//! While the link is down, one unit at a time probes it; everything else rests. Once it is up, more and more requests
//! are under way at the same time, each with as many units as are due.
//!
//! A request that fails in a way that one of its units may have caused makes suspects of them: a suspect is sent alone,
//! so that one bad unit neither stops the others nor sends them again and again.

use std::{collections::HashMap, time::Duration};

use azure_iot::RegistrationId;

use crate::{
    answer::Trouble,
    budget::Budget,
    cause::Cause,
    delays::Delays,
    link::{LinkState, Sighting},
    readback::ReadBackConfig,
};

/// As many enrollments as DPS takes in one bulk request.
pub const BULK: usize = 10;
/// How many units can be under suspicion; in a long outage of the service nearly all suspicion is wrong.
const SUSPECTS: usize = 64;
/// How often a suspect fails alone, while others pass, until a person should look: more often than bad luck on a bad day
/// explains …
const STRIKES: u32 = 24;
/// … and for how long at least.
const STRUCK: Duration = Duration::from_secs(3600);

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Tell the cloud about these.
    Send(Vec<RegistrationId>),
    /// Nothing, until the ledger changes, an answer comes or so much time has passed.
    Rest(Option<Duration>),
}

/// How the pace is set.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Operations a minute.
    pub per_minute: u32,
    /// Whether every unit of a bulk counts as an operation, or the bulk as one.
    pub count_units: bool,
    /// How many requests may be under way at once.
    pub in_flight: usize,
    /// The longest first delay after a failure.
    pub first_delay: Duration,
    /// The longest delay.
    pub longest_delay: Duration,
    /// Which share of it may go into looking whether DPS still has what it was told.
    pub read_back: ReadBackConfig,
}

/// What a failure was taken for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blame {
    /// The way to the cloud; its state is there if that is news.
    Link(Option<LinkState>),
    /// Perhaps one of the units; they are asked for one by one.
    Units,
    /// This unit, so often that a person should look.
    Unit(RegistrationId),
}

/// A unit that waits for a reason of its own.
#[derive(Debug)]
struct Later {
    delays: Delays,
    at: Duration,
    /// Whether it may have made a request fail; then it is sent alone.
    suspect: bool,
    /// How often it failed alone, and when first.
    strikes: u32,
    struck: Duration,
    /// How many requests about units had passed when it failed alone last.
    passed: u64,
}

/// The link's state, the budget, and who has to wait for a reason of its own.
#[derive(Debug)]
pub struct Mind {
    pace: Pace,
    link: LinkState,
    since: Duration,
    delays: Delays,
    probe_at: Duration,
    /// Requests with a number below this were asked before the link failed last: what they hear is old news.
    fresh: u64,
    /// How many requests may be under way now.
    window: usize,
    /// Failures in a row that may be a unit's or the link's.
    doubtful: u32,
    /// How many requests about units were answered.
    passed: u64,
    sightings: Vec<Sighting<Duration>>,
    budget: Budget,
    later: HashMap<RegistrationId, Later>,
    jitter: fastrand::Rng,
}

impl Mind {
    /// A mind that knows nothing about the link yet, and so probes at once.
    #[must_use]
    pub fn new(pace: Pace, mut jitter: fastrand::Rng) -> Self {
        Self {
            link: LinkState::Unknown,
            since: Duration::ZERO,
            delays: Delays::new(pace.first_delay, pace.longest_delay, jitter.fork()),
            probe_at: Duration::ZERO,
            fresh: 0,
            window: 1,
            doubtful: 0,
            passed: 0,
            sightings: Vec::new(),
            budget: Budget::new(pace.per_minute, BULK as u32),
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

    /// Since when it is so.
    #[must_use]
    pub fn since(&self) -> Duration {
        self.since
    }

    /// When the link is tried again, while it is down.
    #[must_use]
    pub fn next_try(&self) -> Option<Duration> {
        matches!(self.link, LinkState::Down { .. }).then_some(self.probe_at)
    }

    /// Everything that stood in the way during this outage, or the last.
    #[must_use]
    pub fn sightings(&self) -> &[Sighting<Duration>] {
        &self.sightings
    }

    /// How many units a minute are told while the link is up.
    #[must_use]
    pub fn per_minute(&self) -> f64 {
        let units = if self.pace.count_units { 1 } else { BULK };
        self.budget.per_minute() * units as f64
    }

    /// The pace in operations a minute.
    #[must_use]
    pub fn operations_per_minute(&self) -> f64 {
        self.budget.per_minute()
    }

    /// Whether a request may begin while `under_way` others are, or how long not; `None` for as long as they are.
    pub fn may_ask(&self, now: Duration, under_way: usize) -> Result<(), Option<Duration>> {
        match self.link {
            LinkState::Down { .. } if now < self.probe_at => Err(Some(self.probe_at - now)),
            LinkState::Down { .. } | LinkState::Unknown if under_way > 0 => Err(None),
            LinkState::Up if under_way >= self.window => Err(None),
            _ => Ok(()),
        }
    }

    /// Whom to tell about now, given a way to look at what waits, oldest first. Asked when [`Mind::may_ask`] allows it.
    pub fn next(&self, now: Duration, waiting: impl IntoIterator<Item = RegistrationId>) -> Next {
        let probes = self.link != LinkState::Up;
        let most = if probes { 1 } else { BULK };
        let (mut due, mut suspect) = (Vec::new(), None);
        let mut earliest: Option<Duration> = None;
        for id in waiting {
            match self.later.get(&id) {
                Some(later) if later.at > now => {
                    earliest = Some(earliest.map_or(later.at, |found| found.min(later.at)));
                }
                // A probe is for the link: somebody above suspicion tells more about it.
                Some(Later { suspect: true, .. }) if probes => suspect = suspect.or(Some(id)),
                Some(Later { suspect: true, .. }) if due.is_empty() => return Next::Send(vec![id]),
                Some(Later { suspect: true, .. }) => {}
                _ => due.push(id),
            }
            if due.len() == most {
                break;
            }
        }
        if due.is_empty() {
            due.extend(suspect);
        }
        if due.is_empty() { Next::Rest(earliest.map(|at| at - now)) } else { Next::Send(due) }
    }

    /// What a request with `units` units costs.
    #[must_use]
    pub fn cost(&self, units: u32) -> u32 {
        if self.pace.count_units { units } else { 1 }
    }

    /// Takes what a request with `units` units costs from the budget, or says how long to wait for it.
    pub fn spend(&mut self, now: Duration, units: u32) -> Result<(), Duration> {
        self.budget.take(now, self.cost(units))
    }

    /// DPS answered request `number`, which was about `units` units. Returns the link's state if that is news.
    pub fn heard(&mut self, now: Duration, number: u64, units: usize) -> Option<LinkState> {
        self.passed += u64::from(units > 0);
        if number < self.fresh {
            return None;
        }
        self.delays.reset();
        self.doubtful = 0;
        self.window =
            if self.link == LinkState::Up { self.window + 1 } else { 1 }.min(self.pace.in_flight.max(1));
        self.become_(now, LinkState::Up)
    }

    /// Request `number` failed, and with it what was asked about `units`; requests up to `asked` are under way.
    pub fn failed(
        &mut self,
        now: Duration,
        number: u64,
        asked: u64,
        trouble: &Trouble,
        units: &[RegistrationId],
    ) -> Blame {
        self.sight(now, trouble);
        let doubtful = trouble.cause.may_be_a_unit() && trouble.retry_after.is_none();
        if doubtful && self.link == LinkState::Up {
            if let [unit] = units
                && self.later.get(unit).is_some_and(|later| later.suspect)
            {
                return self.strike(now, unit, trouble.cause);
            }
            self.doubtful += 1;
            if self.doubtful == 1 && !units.is_empty() {
                self.suspect(now, units, false);
                return Blame::Units;
            }
        }
        if doubtful {
            self.suspect(now, units, true);
        }
        if number < self.fresh {
            // The link has failed since: this is the same outage, and only what the server asks for is new.
            if let Some(asked) = trouble.retry_after {
                self.probe_at = self.probe_at.max(now + self.delays.next(Some(asked)));
            }
            return Blame::Link(None);
        }
        self.fresh = asked + 1;
        if trouble.cause == Cause::Busy {
            self.budget.throttled(now);
        }
        self.probe_at = now + self.delays.next(trouble.retry_after);
        Blame::Link(
            self.become_(now, LinkState::Down { cause: trouble.cause, detail: trouble.detail.clone() }),
        )
    }

    /// The cloud is not ready for this unit: ask again, later and later.
    pub fn defer(&mut self, now: Duration, id: RegistrationId) {
        let later = self.later(&id);
        later.at = now + later.delays.next(None);
    }

    /// The unit is settled or held: nothing is remembered of its delays.
    pub fn done(&mut self, id: &RegistrationId) {
        self.later.remove(id);
    }

    fn later(&mut self, id: &RegistrationId) -> &mut Later {
        let (pace, jitter) = (&self.pace, &mut self.jitter);
        self.later.entry(id.clone()).or_insert_with(|| Later {
            delays: Delays::new(pace.first_delay, pace.longest_delay, jitter.fork()),
            at: Duration::ZERO,
            suspect: false,
            strikes: 0,
            struck: Duration::ZERO,
            passed: 0,
        })
    }

    /// One of `units` may have made a request fail; `delayed` if it was not the first time.
    fn suspect(&mut self, now: Duration, units: &[RegistrationId], delayed: bool) {
        for id in units {
            let suspects = self.later.values().filter(|later| later.suspect).count();
            let later = self.later(id);
            later.suspect |= suspects < SUSPECTS;
            if delayed {
                later.at = now + later.delays.next(None);
            }
        }
    }

    /// A suspect failed alone, while others pass.
    fn strike(&mut self, now: Duration, id: &RegistrationId, cause: Cause) -> Blame {
        let passed = self.passed;
        let later = self.later(id);
        if later.strikes == 0 {
            later.struck = now;
        }
        // An answer that breaks off may do so for its length; and where nobody else was asked, nobody else has passed.
        let others_pass = std::mem::replace(&mut later.passed, passed) < passed;
        later.strikes += u32::from(others_pass && cause != Cause::Garbled);
        later.at = now + later.delays.next(None);
        let hopeless = later.strikes >= STRIKES && now >= later.struck + STRUCK && cause != Cause::Garbled;
        if hopeless { Blame::Unit(id.clone()) } else { Blame::Units }
    }

    fn sight(&mut self, now: Duration, trouble: &Trouble) {
        if !matches!(self.link, LinkState::Down { .. }) && self.doubtful == 0 {
            self.sightings.clear();
        }
        match self.sightings.iter_mut().find(|seen| seen.cause == trouble.cause) {
            Some(seen) => {
                seen.detail.clone_from(&trouble.detail);
                (seen.last, seen.tries) = (now, seen.tries + 1);
            }
            None => {
                let (cause, detail) = (trouble.cause, trouble.detail.clone());
                self.sightings.push(Sighting { cause, detail, tries: 1, first: now, last: now });
            }
        }
    }

    fn become_(&mut self, now: Duration, state: LinkState) -> Option<LinkState> {
        let news = !self.link.same_kind(&state);
        if news {
            self.since = now;
        }
        self.link = state;
        news.then(|| self.link.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mind() -> Mind {
        let pace = Pace {
            per_minute: 200,
            count_units: true,
            in_flight: 3,
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(300),
            read_back: ReadBackConfig::OFF,
        };
        Mind::new(pace, fastrand::Rng::with_seed(1))
    }

    fn ids(n: usize) -> Vec<RegistrationId> {
        (0..n).map(|i| format!("unit-{i}").parse().unwrap()).collect()
    }

    fn trouble(cause: Cause, retry_after: Option<Duration>) -> Trouble {
        Trouble { cause, detail: "refused".into(), retry_after }
    }

    fn fail(mind: &mut Mind, cause: Cause, units: &[RegistrationId]) -> Blame {
        let number = mind.fresh;
        mind.failed(NOW, number, number, &trouble(cause, None), units)
    }

    fn is_down(mind: &Mind) -> bool {
        matches!(mind.link(), LinkState::Down { .. })
    }

    const NOW: Duration = Duration::from_secs(100);
    const LONG_AFTER: Duration = Duration::from_secs(100_000);

    #[test]
    fn a_restart_probes_at_once_with_one_and_then_sends_by_ten() {
        let mut mind = mind();
        assert_eq!(mind.next(NOW, ids(30)), Next::Send(ids(1)));
        assert_eq!(mind.heard(NOW, 0, 1), Some(LinkState::Up));
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
        mind.failed(NOW, 0, 0, &trouble(Cause::Refused, Some(Duration::from_secs(60))), &[]);
        let Err(Some(wait)) = mind.may_ask(NOW, 0) else { panic!("no rest") };
        assert!(wait >= Duration::from_secs(60));
        assert_eq!(mind.may_ask(NOW + wait, 0), Ok(()));
        assert_eq!(mind.may_ask(NOW + wait, 1), Err(None), "one at a time");
        assert_eq!(mind.next(NOW + wait, ids(30)), Next::Send(ids(1)));
    }

    #[test]
    fn more_requests_are_under_way_the_longer_all_goes_well_and_one_after_a_failure() {
        let mut mind = mind();
        for window in [1, 2, 3, 3] {
            mind.heard(NOW, 0, 1);
            assert_eq!((mind.may_ask(NOW, window - 1), mind.may_ask(NOW, window)), (Ok(()), Err(None)));
        }
        fail(&mut mind, Cause::Refused, &[]);
        let number = mind.fresh;
        mind.heard(NOW, number, 1);
        assert_eq!((mind.may_ask(NOW, 0), mind.may_ask(NOW, 1)), (Ok(()), Err(None)));
    }

    #[test]
    fn what_was_asked_before_the_link_failed_does_not_open_it_again() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        let busy = trouble(Cause::Busy, Some(Duration::from_secs(60)));
        mind.failed(NOW, 5, 7, &busy, &[]);
        assert_eq!((mind.heard(NOW, 6, 1), is_down(&mind)), (None, true), "request 6 was under way");
        let longer = trouble(Cause::Busy, Some(Duration::from_secs(90)));
        mind.failed(NOW, 7, 7, &longer, &[]);
        assert!(mind.may_ask(NOW + Duration::from_secs(89), 0).is_err(), "the longest wait counts");
        assert!(mind.heard(NOW, 8, 1).is_some());
    }

    #[test]
    fn one_complaint_halves_the_pace_once_however_many_were_under_way() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        let full = mind.per_minute();
        for number in 1..5 {
            mind.failed(NOW, number, 4, &trouble(Cause::Busy, None), &[]);
        }
        assert!((mind.per_minute() - full / 2.0).abs() < 1.0);
    }

    #[test]
    fn a_cause_is_news_once_and_counted_every_time() {
        let mut mind = mind();
        let news = |blame| matches!(blame, Blame::Link(Some(_)));
        assert!(news(fail(&mut mind, Cause::Refused, &[])));
        assert!(!news(fail(&mut mind, Cause::Refused, &[])));
        assert!(news(fail(&mut mind, Cause::Name, &[])));
        let seen: Vec<_> = mind.sightings().iter().map(|seen| (seen.cause, seen.tries)).collect();
        assert_eq!(seen, [(Cause::Refused, 2), (Cause::Name, 1)]);
        assert!(mind.heard(NOW, 100, 1).is_some());
        assert!(mind.heard(NOW, 101, 1).is_none());
        fail(&mut mind, Cause::Tls, &[]);
        assert_eq!(mind.sightings().len(), 1, "a new outage is counted anew");
    }

    #[test]
    fn a_unit_that_has_to_wait_does_not_hold_up_the_others() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        let [first, second]: [_; 2] = ids(2).try_into().unwrap();
        mind.defer(NOW, first.clone());
        assert_eq!(mind.next(NOW, ids(2)), Next::Send(vec![second]));
        let Next::Rest(Some(wait)) = mind.next(NOW, ids(1)) else { panic!("no rest") };
        assert_eq!(mind.next(NOW + wait, ids(1)), Next::Send(ids(1)));
        mind.defer(NOW, first.clone());
        mind.done(&first);
        assert_eq!(mind.next(NOW, ids(1)), Next::Send(ids(1)));
    }

    #[test]
    fn a_bulk_that_fails_alone_is_asked_one_by_one_and_the_link_stays_up() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        assert_eq!(fail(&mut mind, Cause::Service, &ids(10)), Blame::Units);
        assert_eq!(mind.link(), &LinkState::Up);
        assert_eq!(mind.next(NOW, ids(10)), Next::Send(ids(1)), "a suspect goes alone");
        for id in ids(10) {
            mind.done(&id);
        }
        assert_eq!(mind.next(NOW, ids(10)), Next::Send(ids(10)));
    }

    #[test]
    fn a_second_doubtful_failure_in_a_row_is_the_links() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        fail(&mut mind, Cause::Service, &ids(10));
        assert!(matches!(fail(&mut mind, Cause::Service, &ids(30)[10..20]), Blame::Link(Some(_))));
        assert_eq!(mind.next(LONG_AFTER, ids(30)), Next::Send(vec![ids(21)[20].clone()]), "above suspicion");
    }

    #[test]
    fn a_suspect_that_fails_alone_again_and_again_needs_a_person() {
        let mut mind = mind();
        mind.heard(NOW, 0, 1);
        let poison = ids(1);
        assert_eq!(fail(&mut mind, Cause::Service, &poison), Blame::Units);
        for _ in 0..2 * STRIKES {
            mind.heard(NOW, 0, 1);
            assert_eq!(fail(&mut mind, Cause::Service, &poison), Blame::Units, "not within minutes");
        }
        for _ in 0..2 * STRIKES {
            let blame = mind.failed(NOW + STRUCK, 0, 0, &trouble(Cause::Garbled, None), &poison);
            assert_eq!(blame, Blame::Units, "nor because answers break off");
        }
        mind.heard(NOW, 0, 1);
        let blame = mind.failed(NOW + STRUCK, 0, 0, &trouble(Cause::Service, None), &poison);
        assert_eq!((blame, mind.link()), (Blame::Unit(poison[0].clone()), &LinkState::Up));
    }

    #[test]
    fn what_no_unit_can_cause_is_the_links_at_once() {
        for cause in [Cause::Refused, Cause::Unauthorized, Cause::Clock, Cause::Busy, Cause::Tls] {
            let mut mind = mind();
            mind.heard(NOW, 0, 1);
            assert!(matches!(fail(&mut mind, cause, &ids(1)), Blame::Link(Some(_))));
            assert_eq!(mind.later.len(), 0, "nobody is suspected");
        }
    }
}
