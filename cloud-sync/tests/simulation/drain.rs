//! Long outages and large backlogs: what they cost, and how fast they are made good.

use std::time::Duration;

use cloud_sync::{Cause, Link, Permit, ReadBackConfig, State, Want, books, mind::Pace};
use emulator::Weather;
use ledger::Reads;
use time::OffsetDateTime;

use crate::{
    party::Party,
    plant::{Happened, PASSES, UNITS, Unit},
    world::{Who, World},
};

const DAY: Duration = Duration::from_secs(86_400);

/// A unit is issued with a certificate.
pub(crate) fn issue(id: &str, certificate: usize) -> Happened {
    let (epoch, want, earlier, generation) = (1, Want::Announce, Vec::new(), 1);
    Happened::Unit(Unit { id: id.parse().unwrap(), epoch, want, certificate, earlier, generation })
}

/// A factory in which `jobs` units wait; every `bad`-th has a certificate that DPS does not take.
fn backlog(jobs: usize, bad: Option<usize>, per_minute: u32) -> World {
    let pace = Pace {
        per_minute,
        count_units: true,
        in_flight: 4,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(300),
        read_back: ReadBackConfig::default(),
    };
    let mut factory = Party::new(pace, Permit::Anybody, 7);
    for job in 0..jobs {
        let is_bad = bad.is_some_and(|bad| job % bad == bad - 1);
        let number = if is_bad { UNITS * PASSES } else { job % (UNITS * PASSES) };
        factory.happens(Duration::ZERO, issue(&format!("gw-{job:06}"), number));
    }
    let mut world = World::new([(Who::Factory, factory)], fastrand::Rng::with_seed(7));
    world.guarded = false;
    world
}

/// Drains a backlog in `weather`; returns how long it took, and how long was expected at the start.
fn drain(world: &mut World, weather: Weather) -> (Duration, Duration) {
    world.weather = weather;
    let waiting = world.party(Who::Factory).waiting();
    let mind = world.party(Who::Factory).clerk.mind();
    let link =
        Link { per_minute: mind.per_minute().round() as u32, ..Link::unknown(OffsetDateTime::UNIX_EPOCH) };
    let expected = link.eta(waiting as u64).unwrap();
    // The probe that finds the link again is not part of the drain.
    let until = world.now + 30 * DAY;
    world.live(until, |world| world.party(Who::Factory).waiting() < waiting);
    let begin = world.now;
    world.tally = crate::world::Tally::default();
    world.live(until, |world| world.party(Who::Factory).waiting() == 0);
    (world.now - begin, expected)
}

/// What a plant makes in a week; a tenth of it in an unoptimised build, where each takes ten times as long.
const JOBS: usize = if cfg!(debug_assertions) { 10_000 } else { 100_000 };

#[test]
fn a_week_offline_is_made_good_at_nearly_all_that_dps_allows() {
    let mut world = backlog(JOBS, None, 1000);
    world.weather = Weather::Offline;
    world.live(7 * DAY, |_| false);
    assert_eq!(world.party(Who::Factory).waiting(), JOBS as i64);
    let (took, expected) = drain(&mut world, Weather::Quota { per_minute: 1000 });
    let used = JOBS as f64 / (took.as_secs_f64() / 60.0 * 1000.0);
    let throttled = world.tally.throttled as f64 / world.tally.requests as f64;
    println!(
        "drained in {took:?}, expected {expected:?}: {used:.4} of the budget, {throttled:.4} answered 429"
    );
    assert!(used >= 0.95, "{used}");
    assert!(throttled <= 0.01, "{throttled}");
    assert_eq!(world.tally.impatient, 0);
    let off = took.as_secs_f64() / expected.as_secs_f64();
    assert!((0.9..=1.1).contains(&off), "{took:?}, expected {expected:?}");
    assert_eq!(world.cloud.enrollments().len(), JOBS);
}

#[test]
fn a_month_offline_with_a_weeks_units_adds_less_than_a_megabyte_to_the_journal() {
    let mut world = backlog(JOBS, None, 200);
    let before = world.party(Who::Factory).ledger.journal_bytes();
    let (mut day, mut tries) = (Duration::ZERO, 0);
    // Whatever stands in the way, it is another thing every other hour.
    let weathers =
        [Weather::Offline, Weather::Captive, Weather::Hanging, Weather::Throttled { retry_after: 60 }];
    while day < 30 * DAY {
        world.weather = weathers[(day.as_secs() / 7200) as usize % weathers.len()];
        day += Duration::from_secs(7200);
        world.live(day, |_| false);
        tries = world.tally.requests;
    }
    let written = world.party(Who::Factory).ledger.journal_bytes() - before;
    println!("{tries} tries, {written} bytes");
    assert!(tries > 5000, "{tries}");
    assert!(written < 1 << 20, "{written}");
    assert!(written > 0, "the outage itself is written down");
}

#[test]
fn a_budget_that_others_share_is_found_without_pestering() {
    let mut world = backlog(10_000, None, 1000);
    drain(&mut world, Weather::Quota { per_minute: 500 });
    let throttled = world.tally.throttled as f64 / world.tally.requests as f64;
    println!("{} requests, {throttled:.4} answered 429", world.tally.requests);
    assert!(throttled <= 0.01, "{throttled}");
    assert_eq!(world.tally.impatient, 0);
}

#[test]
fn every_request_is_counted_once_by_how_it_ended() {
    let mut world = backlog(2000, None, 1000);
    let hour = Duration::from_secs(3600);
    for weather in [
        Weather::Offline,
        Weather::Captive,
        Weather::Hanging,
        Weather::Throttled { retry_after: 60 },
        Weather::Clear,
    ] {
        world.weather = weather;
        let until = world.now + hour;
        world.live(until, |_| false);
    }
    let (requests, throttled) = (world.tally.requests, world.tally.throttled);
    let factory = world.party(Who::Factory);
    assert_eq!(factory.waiting(), 0);
    let attempts = factory.clerk.attempts();
    let met = [Cause::Unreachable, Cause::Busy, Cause::Stranger, Cause::TimedOut];
    assert!(attempts.failed.keys().eq(met.iter()), "{attempts:?}");
    assert_eq!(attempts.answered + attempts.failed.values().sum::<u64>(), requests, "{attempts:?}");
    assert_eq!((attempts.throttled(), throttled > 10), (throttled, true), "{attempts:?}");
    assert!(attempts.answered >= 200 && attempts.last_answer > Some(4 * hour), "{attempts:?}");
}

/// Which jobs need a person, and with which code.
fn held(world: &mut World) -> Vec<(String, String)> {
    let ledger = &world.party(Who::Factory).ledger;
    let ids = books::held(ledger, None, usize::MAX).unwrap();
    let why = |(_, id)| {
        let State::Held { why, .. } = books::committed(ledger, &id).unwrap().unwrap().state else {
            panic!("{id} is not held")
        };
        (id.to_string(), why.code)
    };
    ids.into_iter().map(why).collect()
}

#[test]
fn one_bad_unit_in_a_hundred_is_held_with_the_reason_and_the_others_drain_at_full_rate() {
    const JOBS: usize = 5000;
    let mut world = backlog(JOBS, Some(100), 1000);
    let (took, expected) = drain(&mut world, Weather::Quota { per_minute: 1000 });
    println!("drained in {took:?}, expected {expected:?}");
    assert!(took.as_secs_f64() <= 1.05 * expected.as_secs_f64(), "{took:?}, expected {expected:?}");
    let held = held(&mut world);
    assert_eq!(held.len(), JOBS / 100);
    assert!(held.iter().all(|(id, code)| id.ends_with("99") && code == "rejected"), "{held:?}");
    assert_eq!(world.cloud.enrollments().len(), JOBS - JOBS / 100);
}

#[test]
fn a_unit_that_makes_dps_fail_stops_nobody_else_and_is_held_in_the_end() {
    const JOBS: usize = 2000;
    let mut world = backlog(JOBS, None, 1000);
    world.poison = Some(|text| text.contains("50\"") || text.ends_with("50"));
    world.weather = Weather::Quota { per_minute: 1000 };
    let good = (JOBS - JOBS / 100) as i64;
    world.live(DAY, |world| {
        let ledger = &world.party(Who::Factory).ledger;
        ledger.counter(b"books/settled").unwrap() == good
    });
    let took = world.now;
    println!("the good ones took {took:?}");
    assert!(took < Duration::from_secs(300), "{took:?}");
    // The factory goes on: only while others pass it is a unit's own fault that it does not.
    let mut later = 0;
    while world.now < DAY && held(&mut world).len() < JOBS / 100 {
        later += 1;
        let now = world.now;
        world.party(Who::Factory).happens(now, issue(&format!("later-{later}x"), 0));
        world.live(now + Duration::from_secs(60), |_| false);
    }
    let held = held(&mut world);
    assert_eq!(held.len(), JOBS / 100);
    assert!(held.iter().all(|(id, code)| id.ends_with("50") && code == "link-service"), "{held:?}");
}
