//! The rate budget: one for everything that this box says to one DPS.
//!
//! A token bucket makes the pace even, and a look at the last minute keeps it below what DPS allows in any minute,
//! wherever DPS lets its minutes begin. The pace halves when DPS says that it is busy, and climbs back evenly: several
//! boxes on one DPS share it fairly without knowing of each other (additive increase, multiplicative decrease).

use std::{collections::VecDeque, time::Duration};

/// What counts as a minute: a little more than one, because some requests travel longer than others.
const MINUTE: Duration = Duration::from_secs(61);
/// The pace never falls below this share of the full one.
const SLOWEST: f64 = 1.0 / 16.0;
/// How much of the full pace comes back in a minute without complaint.
const CLIMB: f64 = 0.05;

/// A rate budget. Time is a `Duration` since any fixed moment, given by the caller.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Operations that DPS allows in a minute.
    allowed: f64,
    /// The share of it that is used now.
    share: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
    /// What was spent during the last minute, oldest first.
    spent: VecDeque<(Duration, f64)>,
    total: f64,
}

impl Budget {
    /// A full budget of `per_minute` operations a minute, of which `burst` may come at once.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32) -> Self {
        let allowed = f64::from(per_minute.max(1));
        let burst = f64::from(burst.max(1));
        let (at, spent) = (Duration::ZERO, VecDeque::new());
        Self { allowed, share: 1.0, burst, tokens: burst, at, spent, total: 0.0 }
    }

    /// Takes `cost` operations, or says how long to wait until they can be taken.
    ///
    /// A cost above the burst is taken from a full bucket, which then owes the rest.
    pub fn take(&mut self, now: Duration, cost: u32) -> Result<(), Duration> {
        self.refill(now);
        let cost = f64::from(cost);
        let missing = cost.min(self.burst) - self.tokens;
        // A wait rounded down to the nanosecond must not end a hair too early, for ever.
        let wait = if missing > 1e-6 {
            Duration::from_secs_f64(missing / self.per_second())
        } else {
            Duration::ZERO
        };
        let wait = wait.max(self.minute_is_full(now, cost));
        if !wait.is_zero() {
            return Err(wait);
        }
        self.tokens -= cost;
        self.total += cost;
        self.spent.push_back((now, cost));
        Ok(())
    }

    /// DPS asks for patience: half the pace, and nothing saved up.
    pub fn throttled(&mut self, now: Duration) {
        self.refill(now);
        self.share = (self.share / 2.0).max(SLOWEST);
        self.tokens = self.tokens.min(0.0);
    }

    /// The pace now, in operations a minute.
    #[must_use]
    pub fn per_minute(&self) -> f64 {
        self.per_second() * 60.0
    }

    fn per_second(&self) -> f64 {
        self.allowed * self.share / MINUTE.as_secs_f64()
    }

    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second()).min(self.burst);
        self.share = (self.share + CLIMB * elapsed / 60.0).min(1.0);
        self.at = self.at.max(now);
        while let Some((_, cost)) = self.spent.pop_front_if(|(at, _)| *at + MINUTE <= now) {
            self.total -= cost;
        }
    }

    /// How long until a minute has room for `cost` more.
    fn minute_is_full(&self, now: Duration, cost: f64) -> Duration {
        let mut room = self.allowed - self.total;
        let mut spent = self.spent.iter();
        let mut wait = Duration::ZERO;
        while room + 1e-6 < cost {
            // A single cost above all that a minute allows waits for an empty minute.
            let Some((at, freed)) = spent.next() else { break };
            room += freed;
            wait = (*at + MINUTE).saturating_sub(now);
        }
        wait
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Spends until it is `until`, as fast as it may, and tells when what was spent.
    fn spend(budget: &mut Budget, until: Duration, cost: u32) -> Vec<(Duration, u32)> {
        let (mut now, mut spent) = (budget.at, Vec::new());
        while now < until {
            match budget.take(now, cost) {
                Ok(()) => spent.push((now, cost)),
                Err(wait) => now += wait,
            }
        }
        spent
    }

    proptest! {
        #[test]
        fn in_no_minute_is_more_spent_than_allowed(
            costs in prop::collection::vec((1u32..12, 0u64..5000), 1..400), allowed in prop::sample::select(vec![20u32, 200, 1000]),
        ) {
            let mut budget = Budget::new(allowed, 10);
            let (mut now, mut taken) = (Duration::ZERO, Vec::new());
            for (cost, pause) in costs {
                now += Duration::from_millis(pause);
                while let Err(wait) = budget.take(now, cost) {
                    prop_assert!(wait > Duration::ZERO);
                    now += wait;
                }
                taken.push((now, cost));
                let minute = taken.iter().filter(|(at, _)| *at + Duration::from_secs(60) > now);
                prop_assert!(minute.map(|(_, cost)| cost).sum::<u32>() <= allowed);
            }
        }
    }

    #[test]
    fn nearly_all_that_is_allowed_is_used() {
        for allowed in [200, 1000] {
            let mut budget = Budget::new(allowed, 10);
            let spent: u32 =
                spend(&mut budget, Duration::from_secs(3600), 10).iter().map(|(_, cost)| cost).sum();
            assert!(f64::from(spent) >= 0.97 * 60.0 * f64::from(allowed), "{spent}");
        }
    }

    #[test]
    fn a_complaint_halves_the_pace_and_it_comes_back_evenly() {
        let mut budget = Budget::new(600, 10);
        let full = budget.per_minute();
        budget.throttled(Duration::from_secs(1));
        assert!((budget.per_minute() - full / 2.0).abs() < 1.0);
        for _ in 0..20 {
            budget.throttled(Duration::from_secs(1));
        }
        assert!(budget.per_minute() >= full * SLOWEST - 1.0);
        spend(&mut budget, Duration::from_secs(600), 10);
        assert!(budget.per_minute() > full * 0.5 && budget.per_minute() < full * 0.6);
        spend(&mut budget, Duration::from_secs(1800), 10);
        assert!((budget.per_minute() - full).abs() < 1e-6);
    }
}
