//! Factory, portal and cloud under one clock: requests travel, meet their fate, and are answered or given up.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
    time::Duration,
};

use cloud_sync::{
    Cause,
    answer::{Answer, Call, Trouble},
    clerk::Action,
};
use emulator::{Fate, Forecast, Weather, cloud::Cloud};

use crate::{
    factory::Issued,
    guard,
    party::Party,
    wire::{cloud, heard, moment, request, trouble},
};

/// How long a clerk waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Who {
    Factory,
    Portal,
}

/// Something on its way.
#[derive(Debug)]
enum Flight {
    /// A request; nobody waits for the answer of a late one.
    Request { call: Call, late: bool },
    /// What came of it.
    Heard(Result<Answer, Trouble>),
}

/// Whose it is: the party, its life, and the number of the request.
type Sender = (Who, u64, u64);

/// How the requests went.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) throttled: u64,
    /// Requests that were asked before a `Retry-After` was over.
    pub(crate) impatient: u64,
}

/// The world.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) cloud: Cloud,
    pub(crate) weather: Weather,
    forecast: Forecast,
    pub(crate) dice: fastrand::Rng,
    parties: HashMap<Who, Party>,
    pub(crate) issued: Issued,
    /// The units whose records somebody has changed by hand.
    pub(crate) by_hand: BTreeSet<usize>,
    /// What is on its way, by the time at which it arrives.
    order: BinaryHeap<Reverse<(Duration, u64)>>,
    flights: HashMap<u64, (Sender, Flight)>,
    sent: u64,
    /// How often a request takes so long that its sender gives it up before it arrives, in a hundred.
    pub(crate) astray: u8,
    /// What DPS answers with 500, whoever else is in the request.
    pub(crate) poison: Option<fn(&str) -> bool>,
    /// Whether the guard looks at every request.
    pub(crate) guarded: bool,
    pub(crate) tally: Tally,
    /// When each party may ask again, as DPS has asked.
    silent_until: HashMap<Who, Duration>,
}

impl World {
    pub(crate) fn new(parties: impl IntoIterator<Item = (Who, Party)>, mut dice: fastrand::Rng) -> Self {
        Self {
            now: Duration::ZERO,
            cloud: cloud(dice.u64(..)),
            weather: Weather::Clear,
            forecast: Forecast::new(dice.fork()),
            parties: parties.into_iter().collect(),
            issued: Issued::nothing(),
            by_hand: BTreeSet::new(),
            order: BinaryHeap::new(),
            flights: HashMap::new(),
            sent: 0,
            astray: 0,
            poison: None,
            guarded: true,
            tally: Tally::default(),
            silent_until: HashMap::new(),
            dice,
        }
    }

    pub(crate) fn party(&mut self, who: Who) -> &mut Party {
        self.parties.get_mut(&who).unwrap()
    }

    /// A party dies and comes back. It tries at once, because nobody has told it of any patience.
    pub(crate) fn crash(&mut self, who: Who, seed: u64) {
        self.party(who).crash(seed);
        self.silent_until.remove(&who);
    }

    /// Lives until `until`, or until `done`.
    pub(crate) fn live(&mut self, until: Duration, mut done: impl FnMut(&mut Self) -> bool) {
        while self.now < until {
            let mut wake = until;
            for who in [Who::Factory, Who::Portal] {
                if self.parties.contains_key(&who) {
                    wake = wake.min(self.act(who));
                }
            }
            if done(self) {
                return;
            }
            let next = self.order.peek().map(|Reverse((at, _))| *at);
            self.now = self.now.max(next.map_or(wake, |next| next.min(wake)));
            while let Some(Reverse((_, number))) = self.order.pop_if_due(self.now) {
                self.arrives(number);
            }
        }
    }

    /// Lets a party do what it has to do now; returns when it wants to look again.
    fn act(&mut self, who: Who) -> Duration {
        loop {
            let now = self.now;
            match self.party(who).next(now) {
                Action::Ask(number, call) => {
                    self.tally.requests += 1;
                    self.tally.impatient +=
                        u64::from(self.silent_until.get(&who).is_some_and(|until| now < *until));
                    let sender = (who, self.party(who).life, number);
                    if self.dice.u8(..100) < self.astray {
                        let late = Duration::from_secs(self.dice.u64(31..7200));
                        self.send(late, sender, Flight::Request { call, late: true });
                        self.send(
                            PATIENCE,
                            sender,
                            Flight::Heard(Err(trouble(Cause::TimedOut, "no answer"))),
                        );
                    } else {
                        let travel = self.travel();
                        self.send(travel, sender, Flight::Request { call, late: false });
                    }
                }
                Action::Rest(rest) => {
                    return rest.map_or(Duration::MAX, |rest| now + rest.max(Duration::from_micros(1)));
                }
                Action::Write(_) => {}
            }
        }
    }

    fn arrives(&mut self, number: u64) {
        let Some((sender, flight)) = self.flights.remove(&number) else { return };
        let (who, life, asked) = sender;
        match flight {
            Flight::Heard(result) => {
                let now = self.now;
                if self.party(who).life != life {
                    return;
                }
                if let Ok(Answer { status: 429, retry_after: Some(wait), .. }) = &result {
                    let until = self.silent_until.entry(who).or_default();
                    *until = (*until).max(now + *wait);
                }
                self.party(who).clerk.heard(now, asked, result);
            }
            Flight::Request { call, late } => {
                let mut fate = self.forecast.fate(self.weather, moment(self.now), &request(&call));
                let poisoned = |poison: fn(&str) -> bool| {
                    poison(&call.path) || call.body.as_ref().is_some_and(|body| poison(&body.to_string()))
                };
                if fate == Fate::Served && self.poison.is_some_and(poisoned) {
                    fate = Fate::Refused { status: 500, retry_after: None };
                }
                self.tally.throttled += u64::from(matches!(fate, Fate::Refused { status: 429, .. }));
                let met = if who == Who::Factory && self.guarded {
                    let Issued { thumbprints, decided, .. } = &self.issued;
                    guard::meet(&mut self.cloud, moment(self.now), &call, fate, thumbprints, decided).unwrap()
                } else {
                    self.cloud.meet(moment(self.now), &request(&call), fate)
                };
                if late {
                    return;
                }
                match heard(met) {
                    Some(result) => {
                        let travel = self.travel();
                        self.send(travel, sender, Flight::Heard(result));
                    }
                    None => {
                        self.send(
                            PATIENCE,
                            sender,
                            Flight::Heard(Err(trouble(Cause::TimedOut, "no answer"))),
                        );
                    }
                }
            }
        }
    }

    fn send(&mut self, travels: Duration, sender: Sender, flight: Flight) {
        self.sent += 1;
        self.flights.insert(self.sent, (sender, flight));
        self.order.push(Reverse((self.now + travels, self.sent)));
    }

    fn travel(&mut self) -> Duration {
        Duration::from_millis(self.dice.u64(10..150))
    }
}

/// Takes what is due out of a heap of times.
trait PopIfDue {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64)>>;
}

impl PopIfDue for BinaryHeap<Reverse<(Duration, u64)>> {
    fn pop_if_due(&mut self, now: Duration) -> Option<Reverse<(Duration, u64)>> {
        if self.peek().is_some_and(|Reverse((at, _))| *at <= now) { self.pop() } else { None }
    }
}
