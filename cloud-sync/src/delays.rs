//! The one door to `backoff`: how long to wait after the n-th failure in a row.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};

/// The longest that a server may ask for: nobody who means it says more, and whoever says it by mistake must not end the
/// sync for ever.
const BELIEVED: Duration = Duration::from_secs(24 * 3600);

/// Growing delays with full jitter: the ceiling doubles up to the longest, and the delay lies anywhere below it, so that
/// a hall full of appliances does not come back in step.
#[derive(Debug)]
pub struct Delays {
    ceilings: ExponentialBackoff,
    longest: Duration,
    jitter: fastrand::Rng,
}

impl Delays {
    /// Starts at `first`; `jitter` is the randomness, so that a test can repeat it.
    #[must_use]
    pub fn new(first: Duration, longest: Duration, jitter: fastrand::Rng) -> Self {
        let ceilings = ExponentialBackoffBuilder::new()
            .with_initial_interval(first.min(longest))
            .with_max_interval(longest)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { ceilings, longest, jitter }
    }

    /// The delay before the next try. What the server asked for wins, and is only ever lengthened; what it asks for
    /// beyond a day is not believed.
    pub fn next(&mut self, retry_after: Option<Duration>) -> Duration {
        let ceiling = self.ceilings.next_backoff().unwrap_or(self.longest);
        match retry_after.map(|asked| asked.min(BELIEVED)) {
            Some(asked) => asked + asked.mul_f64(0.1 * self.jitter.f64()),
            None => ceiling.mul_f64(self.jitter.f64()),
        }
    }

    /// Something worked: the next failure is a first one again.
    pub fn reset(&mut self) {
        self.ceilings.reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_never_exceeds_the_cap_and_never_undercuts_the_server(
            seed: u64, first in 1u64..10_000, longest in 1u64..300_000, asked in proptest::option::of(0u64..4000), n in 1usize..40,
        ) {
            let (first, longest) = (Duration::from_millis(first), Duration::from_millis(longest));
            let asked = asked.map(Duration::from_secs);
            let mut delays = Delays::new(first, longest, fastrand::Rng::with_seed(seed));
            for _ in 0..n {
                let delay = delays.next(asked);
                match asked {
                    Some(asked) => prop_assert!(delay >= asked && delay <= asked.mul_f64(1.11)),
                    None => prop_assert!(delay <= longest),
                }
            }
        }
    }

    #[test]
    fn nobody_can_ask_for_silence_for_ever() {
        let rng = fastrand::Rng::with_seed(1);
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_secs(300), rng);
        assert!(delays.next(Some(Duration::MAX)) < BELIEVED * 2);
    }

    #[test]
    fn delays_grow_and_start_again_after_a_success() {
        let ceiling = |tries: usize, delays: &mut Delays| {
            (0..tries).fold(None, |_, _| delays.ceilings.next_backoff()).unwrap()
        };
        let rng = fastrand::Rng::with_seed(1);
        let mut delays = Delays::new(Duration::from_secs(1), Duration::from_secs(300), rng);
        assert_eq!(ceiling(3, &mut delays), Duration::from_secs(4));
        assert_eq!(ceiling(20, &mut delays), Duration::from_secs(300));
        delays.reset();
        assert_eq!(ceiling(1, &mut delays), Duration::from_secs(1));
    }
}
