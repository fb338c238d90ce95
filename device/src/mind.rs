//! What the agent does next, and when: a total function of how the last thing ended.
//!
//! ```text
//! Register ─▶ assigned ─▶ Live ─▶ lost ─▶ wait ─▶ Live           (a hub that is away for long: ask DPS again)
//!    ▲  └─▶ disabled: wait slowly         refused ─▶ Register
//!    └────── anything else: wait, longer and longer
//! ```

use std::time::Duration;

/// How patient the agent is.
#[derive(Debug, Clone)]
pub struct Patience {
    /// The longest first delay after a failure.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// About how long to wait while nobody has activated the device.
    pub disabled: Duration,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask DPS where the device belongs, after this time.
    Register(Duration),
    /// Live at the assigned hub, after this time.
    Live(Duration),
}

/// How the last step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// DPS has named a hub.
    Assigned,
    /// The enrollment is disabled: nobody has activated the device yet.
    Disabled,
    /// DPS or the hub did not answer, or the connection broke.
    Lost,
    /// DPS does not know the device, or could give it no hub.
    Refused,
    /// The hub does not let it in.
    TurnedAway,
}

/// How often a hub may be out of reach in a row before DPS is asked whether the device has moved.
const HUB_TRIES: u32 = 10;

/// What the agent remembers from step to step.
#[derive(Debug)]
pub struct Mind {
    patience: Patience,
    at_hub: bool,
    failures: u32,
    jitter: fastrand::Rng,
}

impl Mind {
    /// A mind at the start of a process; `assigned` if the last answer of DPS is remembered.
    #[must_use]
    pub fn new(patience: Patience, assigned: bool, jitter: fastrand::Rng) -> Self {
        Self { patience, at_hub: assigned, failures: 0, jitter }
    }

    /// What to do first.
    #[must_use]
    pub fn first(&self) -> Step {
        if self.at_hub { Step::Live(Duration::ZERO) } else { Step::Register(Duration::ZERO) }
    }

    /// The device is in: the next failure is a first one again.
    pub fn alive(&mut self) {
        self.failures = 0;
    }

    /// What to do after a step ended so.
    pub fn next(&mut self, ended: Ended) -> Step {
        match ended {
            Ended::Assigned => {
                self.at_hub = true;
                self.failures = 0;
                Step::Live(Duration::ZERO)
            }
            // Slowly, and a fleet that was switched on at once must not come back at once.
            Ended::Disabled => {
                self.failures = 0;
                Step::Register(self.patience.disabled.mul_f64(0.5 + self.jitter.f64()))
            }
            Ended::TurnedAway => {
                self.at_hub = false;
                Step::Register(self.delay())
            }
            Ended::Refused => Step::Register(self.delay()),
            Ended::Lost if self.at_hub && self.failures < HUB_TRIES => Step::Live(self.delay()),
            Ended::Lost => {
                self.at_hub = false;
                Step::Register(self.delay())
            }
        }
    }

    /// Full jitter below a ceiling that doubles.
    fn delay(&mut self) -> Duration {
        let ceiling =
            self.patience.first.saturating_mul(1 << self.failures.min(20)).min(self.patience.longest);
        self.failures = self.failures.saturating_add(1);
        ceiling.mul_f64(self.jitter.f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn mind(assigned: bool) -> Mind {
        let patience = Patience { first: SECOND, longest: 300 * SECOND, disabled: 300 * SECOND };
        Mind::new(patience, assigned, fastrand::Rng::with_seed(7))
    }

    #[test]
    fn a_new_device_registers_and_a_known_one_goes_home() {
        assert_eq!(mind(false).first(), Step::Register(Duration::ZERO));
        assert_eq!(mind(true).first(), Step::Live(Duration::ZERO));
        assert_eq!(mind(false).next(Ended::Assigned), Step::Live(Duration::ZERO));
    }

    #[test]
    fn a_disabled_device_asks_slowly_for_ever_and_never_in_step() {
        let mut mind = mind(false);
        let waits: Vec<_> = (0..50).map(|_| mind.next(Ended::Disabled)).collect();
        for wait in &waits {
            let Step::Register(wait) = wait else { panic!("{wait:?}") };
            assert!(*wait >= 150 * SECOND && *wait <= 450 * SECOND, "{wait:?}");
        }
        assert_ne!(waits[0], waits[1]);
    }

    #[test]
    fn a_hub_that_turns_the_device_away_sends_it_back_to_dps() {
        assert!(matches!(mind(true).next(Ended::TurnedAway), Step::Register(_)));
    }

    #[test]
    fn a_lost_hub_is_tried_again_and_after_a_while_dps_is_asked() {
        let mut mind = mind(true);
        for _ in 0..HUB_TRIES {
            assert!(matches!(mind.next(Ended::Lost), Step::Live(wait) if wait <= 300 * SECOND));
        }
        assert!(matches!(mind.next(Ended::Lost), Step::Register(_)));
    }

    #[test]
    fn every_delay_stays_below_its_ceiling() {
        let mut mind = mind(false);
        for tries in 0..40u32 {
            let Step::Register(wait) = mind.next(Ended::Refused) else { panic!("no register") };
            assert!(wait <= SECOND.saturating_mul(1 << tries.min(20)).min(300 * SECOND), "{tries}: {wait:?}");
        }
    }
}
