//! The rate budget: one token bucket for everything that this box says to one DPS.

use std::time::Duration;

/// A token bucket. Time is a `Duration` since any fixed moment, given by the caller.
#[derive(Debug, Clone)]
pub struct Bucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    /// A full bucket that refills with `per_minute` operations a minute and holds at most `burst`.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { per_second: f64::from(per_minute.max(1)) / 60.0, burst, tokens: burst, at: Duration::ZERO }
    }

    /// Takes `cost` operations, or says how long to wait until they can be taken.
    ///
    /// A cost above the burst is taken from a full bucket, which then owes the rest.
    pub fn take(&mut self, now: Duration, cost: u32) -> Result<(), Duration> {
        let elapsed = now.saturating_sub(self.at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.burst);
        self.at = self.at.max(now);
        let cost = f64::from(cost);
        let missing = cost.min(self.burst) - self.tokens;
        // A wait rounded down to the nanosecond must not end a hair too early, for ever.
        if missing > 1e-6 {
            return Err(Duration::from_secs_f64(missing / self.per_second));
        }
        self.tokens -= cost;
        Ok(())
    }

    /// How long `operations` will take at this pace.
    #[must_use]
    pub fn eta(&self, operations: u64) -> Duration {
        Duration::from_secs_f64(operations as f64 / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn whatever_is_asked_the_rate_is_kept(costs in prop::collection::vec((1u32..12, 0u64..5000), 1..200)) {
            let mut bucket = Bucket::new(200, 10);
            let (mut now, mut taken) = (Duration::ZERO, 0.0);
            for (cost, pause) in costs {
                now += Duration::from_millis(pause);
                while let Err(wait) = bucket.take(now, cost) {
                    prop_assert!(wait > Duration::ZERO);
                    now += wait;
                }
                taken += f64::from(cost);
                prop_assert!(taken <= 10.0 + 2.0 + now.as_secs_f64() * 200.0 / 60.0 + 1e-3);
            }
        }
    }

    #[test]
    fn the_estimate_follows_the_rate() {
        assert_eq!(Bucket::new(200, 10).eta(1000), Duration::from_secs(300));
    }
}
