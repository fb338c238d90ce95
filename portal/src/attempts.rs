//! How often somebody may try: a sliding window per key, in memory, with the time as an argument.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;

use time::OffsetDateTime;

/// The most keys that are remembered; beyond, the oldest are forgotten first.
const KEYS: usize = 10_000;

/// So many tries within such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many.
    pub tries: usize,
    /// Within which time.
    pub within: Duration,
}

/// Remembers tries.
#[derive(Debug, Default)]
pub struct Attempts {
    tries: HashMap<String, VecDeque<OffsetDateTime>>,
}

impl Attempts {
    /// Counts a try under `key`, or says how long to wait. A try that has to wait is not counted: it delays, it never locks.
    ///
    /// # Errors
    /// With the time until the next try is allowed.
    pub fn count(&mut self, key: &str, allowance: Allowance, now: OffsetDateTime) -> Result<(), Duration> {
        if !self.tries.contains_key(key) && self.tries.len() >= KEYS {
            self.forget(allowance, now);
        }
        let tries = self.tries.entry(key.to_owned()).or_default();
        while tries.front().is_some_and(|&first| now - first >= allowance.within) {
            tries.pop_front();
        }
        match tries.front() {
            Some(&first) if tries.len() >= allowance.tries => {
                let passed = Duration::try_from(now - first).unwrap_or_default();
                Err(allowance.within.saturating_sub(passed))
            }
            _ => {
                tries.push_back(now);
                Ok(())
            }
        }
    }

    /// Forgets the tries under `key`: it went well.
    pub fn clear(&mut self, key: &str) {
        self.tries.remove(key);
    }

    /// Makes room: what is too old goes, and if that is not enough, whoever tried longest ago.
    fn forget(&mut self, allowance: Allowance, now: OffsetDateTime) {
        self.tries.retain(|_, tries| tries.back().is_some_and(|&last| now - last < allowance.within));
        while self.tries.len() >= KEYS {
            let oldest = self.tries.iter().min_by_key(|(_, tries)| tries.back().copied());
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            self.tries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_A_MINUTE: Allowance = Allowance { tries: 2, within: Duration::from_secs(60) };

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(seconds)
    }

    #[test]
    fn the_third_try_within_a_minute_waits_for_the_first_to_be_a_minute_old() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.count("a", TWO_A_MINUTE, at(0)), Ok(()));
        assert_eq!(attempts.count("a", TWO_A_MINUTE, at(10)), Ok(()));
        assert_eq!(attempts.count("a", TWO_A_MINUTE, at(20)), Err(Duration::from_secs(40)));
        assert_eq!(attempts.count("b", TWO_A_MINUTE, at(20)), Ok(()), "others are not held up");
        assert_eq!(attempts.count("a", TWO_A_MINUTE, at(60)), Ok(()), "and waiting is enough");
    }

    #[test]
    fn a_success_is_forgiven() {
        let mut attempts = Attempts::default();
        for _ in 0..10 {
            assert_eq!(attempts.count("a", TWO_A_MINUTE, at(0)), Ok(()));
            attempts.clear("a");
        }
    }

    #[test]
    fn a_flood_of_names_does_not_fill_the_memory() {
        let mut attempts = Attempts::default();
        for i in 0..KEYS as i64 + 100 {
            assert_eq!(attempts.count(&i.to_string(), TWO_A_MINUTE, at(i / 1000)), Ok(()));
        }
        assert!(attempts.tries.len() <= KEYS);
    }
}
