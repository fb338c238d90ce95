//! Whether a time is to be believed: what was read and what is known, and nothing else.

use std::time::Duration as Elapsed;

use thiserror::Error;
use time::{Duration, OffsetDateTime};

use super::Reading;

/// How far the clock may be set back: daylight, a bad battery's drift and a wrong time zone are less.
const BEHIND: Duration = Duration::hours(24);
/// How far the clock may be set ahead while we run.
const AHEAD: Duration = Duration::days(7);
/// How long we may have been switched off before a clock that nobody has set is doubted. A plant's summer break is shorter.
const STOP: Duration = Duration::days(60);

/// Why a time is not believed. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Doubt {
    /// Nobody can run a program before it was built.
    #[error("the clock says {wall}, which is before this program was built ({built}); set it")]
    BeforeBuild { wall: OffsetDateTime, built: OffsetDateTime },
    /// It was later already.
    #[error(
        "the clock says {wall}, but it was {highest} already; set it, or if it is right now: edge clock accept --reason TEXT"
    )]
    Behind { wall: OffsetDateTime, highest: OffsetDateTime },
    /// It has jumped while we ran.
    #[error(
        "the clock has jumped ahead by {days} days to {wall}; set it, or if it is right now: edge clock accept --reason TEXT"
    )]
    Leapt { wall: OffsetDateTime, days: i64 },
    /// We were off for long, and nobody vouches for the clock.
    #[error(
        "the clock says {wall}, {days} days after this box last ran, and no time server has set it; connect one, or if it is \
         right: edge clock accept --reason TEXT"
    )]
    LongStop { wall: OffsetDateTime, days: i64 },
}

/// The last time that was believed.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    wall: OffsetDateTime,
    uptime: Elapsed,
}

/// What is known of the time.
#[derive(Debug)]
pub(crate) struct Judge {
    built: OffsetDateTime,
    highest: OffsetDateTime,
    /// `None` until a time was believed since the start.
    anchor: Option<Anchor>,
}

impl Judge {
    /// At a start: when the program was built, and the highest time that is on record.
    pub(crate) fn new(built: OffsetDateTime, highest: OffsetDateTime) -> Self {
        Self { built, highest, anchor: None }
    }

    /// The highest time that was believed.
    pub(crate) fn highest(&self) -> OffsetDateTime {
        self.highest
    }

    /// Believes a time, and remembers it, or doubts it, and does not.
    pub(crate) fn judge(&mut self, reading: Reading) -> Result<OffsetDateTime, Doubt> {
        let wall = whole(reading.wall);
        if reading.wall < self.built {
            return Err(Doubt::BeforeBuild { wall, built: self.built });
        }
        if self.highest - reading.wall > BEHIND {
            return Err(Doubt::Behind { wall, highest: whole(self.highest) });
        }
        match self.anchor {
            Some(anchor) => {
                let passed = reading.uptime.saturating_sub(anchor.uptime);
                let leap = reading.wall - anchor.wall - passed;
                if leap > AHEAD {
                    return Err(Doubt::Leapt { wall, days: leap.whole_days() });
                }
            }
            None => {
                let stop = reading.wall - self.highest;
                if stop > STOP && !reading.synchronised {
                    return Err(Doubt::LongStop { wall, days: stop.whole_days() });
                }
            }
        }
        self.anchor = Some(Anchor { wall: reading.wall, uptime: reading.uptime });
        self.highest = self.highest.max(reading.wall);
        Ok(reading.wall)
    }

    /// Begins anew from a time that a person vouches for.
    pub(crate) fn accept(&mut self, reading: Reading) {
        self.highest = reading.wall;
        self.anchor = Some(Anchor { wall: reading.wall, uptime: reading.uptime });
    }

    /// Whether a person may vouch for it: not for a time at which this program did not exist.
    pub(crate) fn may_accept(&self, reading: Reading) -> Result<(), Doubt> {
        if reading.wall < self.built {
            return Err(Doubt::BeforeBuild { wall: whole(reading.wall), built: self.built });
        }
        Ok(())
    }
}

/// For people, who do not read nanoseconds.
fn whole(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(0).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use time::{UtcOffset, macros::datetime};

    use super::*;

    const BUILT: OffsetDateTime = datetime!(2026-11-28 04:00 UTC);
    /// The highest time on record when the box starts.
    const LAST: OffsetDateTime = datetime!(2027-03-01 12:00 UTC);

    /// What the clock says so long after the start, and whether a time server has set it.
    type Look = (u64, OffsetDateTime, bool);

    fn reading((seconds, wall, synchronised): Look) -> Reading {
        Reading { wall, uptime: Elapsed::from_secs(seconds), synchronised }
    }

    /// Shows a judge one time after the other, and says of each whether it was believed.
    fn words(looks: &[Look]) -> Vec<&'static str> {
        let mut judge = Judge::new(BUILT, LAST);
        let word = |look: &Look| match judge.judge(reading(*look)) {
            Ok(_) => "believed",
            Err(Doubt::BeforeBuild { .. }) => "before build",
            Err(Doubt::Behind { .. }) => "behind",
            Err(Doubt::Leapt { .. }) => "leapt",
            Err(Doubt::LongStop { .. }) => "long stop",
        };
        looks.iter().map(word).collect()
    }

    #[test]
    fn every_case_that_a_plant_has_seen() {
        let hour = 3600;
        let cases: &[(&str, &[Look], &[&str])] = &[
            ("a boot at 1970", &[(0, OffsetDateTime::UNIX_EPOCH, false)], &["before build"]),
            ("a second before the build", &[(0, BUILT - Duration::SECOND, true)], &["before build"]),
            ("20 years ahead at a start", &[(0, LAST + Duration::days(7305), false)], &["long stop"]),
            (
                "20 years ahead while running, and back again",
                &[
                    (0, LAST, true),
                    (60, LAST + Duration::days(7305), true),
                    (120, LAST + Duration::seconds(120), true),
                ],
                &["believed", "leapt", "believed"],
            ),
            (
                "an hour back while units wait",
                &[(0, LAST, true), (60, LAST - Duration::HOUR, true), (hour, LAST, true)],
                &["believed", "believed", "believed"],
            ),
            (
                "a leap to the last second of 32 bits",
                &[(0, LAST, true), (1, datetime!(2038-01-19 03:14:07 UTC), true)],
                &["believed", "leapt"],
            ),
            (
                "running over the end of 32 bits, day by day",
                &[
                    (0, datetime!(2038-01-18 03:14:08 UTC), true),
                    (24 * hour, datetime!(2038-01-19 03:14:08 UTC), true),
                ],
                &["believed", "believed"],
            ),
            (
                "another time zone is the same time",
                &[(0, LAST, true), (1, LAST.to_offset(UtcOffset::from_hms(14, 0, 0).unwrap()), true)],
                &["believed", "believed"],
            ),
            (
                "a time server steps the clock by minutes while a credential lives",
                &[
                    (0, LAST, true),
                    (60, LAST + Duration::minutes(31), true),
                    (120, LAST + Duration::minutes(2), true),
                ],
                &["believed", "believed", "believed"],
            ),
            (
                "the battery is empty and the box offline for days, then a time server answers",
                &[
                    (0, datetime!(2000-01-01 0:00 UTC), false),
                    (72 * hour, datetime!(2000-01-04 0:00 UTC), false),
                    (73 * hour, LAST + Duration::days(3), true),
                ],
                &["before build", "before build", "believed"],
            ),
            ("a summer break", &[(0, LAST + Duration::days(59), false)], &["believed"]),
            (
                "a long stop, until a time server has set the clock",
                &[(0, LAST + Duration::days(61), false), (30, LAST + Duration::days(61), true)],
                &["long stop", "believed"],
            ),
            (
                "a day back is borne, more is not",
                &[
                    (0, LAST - Duration::hours(24), false),
                    (1, LAST - Duration::hours(24) - Duration::SECOND, false),
                ],
                &["believed", "behind"],
            ),
            (
                "a week ahead is borne, more is not",
                &[
                    (0, LAST, false),
                    (0, LAST + Duration::days(7), false),
                    (0, LAST + Duration::days(14) + Duration::SECOND, false),
                ],
                &["believed", "believed", "leapt"],
            ),
        ];
        for (case, looks, expected) in cases {
            assert_eq!(words(looks), *expected, "{case}");
        }
    }

    #[test]
    fn what_is_doubted_is_not_remembered() {
        let mut judge = Judge::new(BUILT, LAST);
        judge.judge(reading((0, LAST, true))).unwrap();
        judge.judge(reading((1, LAST + Duration::days(7305), true))).unwrap_err();
        assert_eq!(judge.highest(), LAST);
    }

    #[test]
    fn a_person_sets_the_floor_lower_or_higher_but_not_below_the_build() {
        for wall in [LAST - Duration::days(30), LAST + Duration::days(365)] {
            let mut judge = Judge::new(BUILT, LAST);
            let look = reading((0, wall, false));
            judge.judge(look).unwrap_err();
            judge.may_accept(look).unwrap();
            judge.accept(look);
            assert_eq!(judge.judge(look), Ok(wall));
            assert_eq!(judge.highest(), wall);
        }
        let judge = Judge::new(BUILT, LAST);
        let before = reading((0, BUILT - Duration::SECOND, true));
        assert!(matches!(judge.may_accept(before), Err(Doubt::BeforeBuild { .. })));
    }
}
