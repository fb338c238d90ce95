//! Reading back: what it costs, when it keeps quiet, and what it makes of somebody who meddles with records.

use std::time::Duration;

use azure_iot::enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus};
use cloud_sync::{
    CloudEvent, Permit, Progress, ReadBackConfig, Resolution, State, Want,
    answer::Call,
    books,
    drift::{Seen, Told, compare},
    mind::Pace,
    readback,
};
use emulator::Weather;
use ledger::Reads;
use serde_json::Value;

use crate::{
    drain::issue,
    on_all_cores,
    orders::register,
    party::Party,
    plant::{PASSES, UNITS, certificate, describe, id, name},
    seeds::{act, pass, permit},
    share,
    wire::{moment, request},
    world::{Tally, Who, World},
};

/// How many worlds with a meddler are lived through.
const SEEDS: u64 = share(2000);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
/// One pass after the other.
const ALWAYS: Duration = Duration::from_secs(1);

fn pace(per_minute: u32, share: f64, every: Duration) -> Pace {
    Pace {
        per_minute,
        count_units: true,
        in_flight: 4,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(300),
        read_back: ReadBackConfig { share, every },
    }
}

/// A factory with so many units that wait.
fn factory(units: usize, pace: Pace, permit: Permit) -> World {
    let mut factory = Party::new(pace, permit, 7);
    for unit in 0..units {
        factory.happens(Duration::ZERO, issue(&format!("gw-{unit:05}"), unit % (UNITS * PASSES)));
    }
    let mut world = World::new([(Who::Factory, factory)], fastrand::Rng::with_seed(7));
    world.guarded = false;
    world
}

fn told(world: &mut World) {
    world.live(world.now + 24 * HOUR, |world| world.party(Who::Factory).waiting() == 0);
    assert_eq!(world.party(Who::Factory).waiting(), 0);
}

fn lives(world: &mut World, long: Duration) -> u64 {
    world.tally = Tally::default();
    world.live(world.now + long, |_| false);
    world.tally.requests
}

fn progress(world: &mut World) -> Progress {
    world.party(Who::Factory).clerk.progress(moment).unwrap()
}

#[test]
fn a_quiet_hour_costs_the_share_and_no_more() {
    for (share, expected) in [(0.05, 590), (0.5, 5900)] {
        let mut world = factory(40, pace(200, share, ALWAYS), Permit::Anybody);
        told(&mut world);
        let asked = lives(&mut world, HOUR);
        println!("{share} of 200 a minute: {asked} looks in an hour");
        assert!(asked.abs_diff(expected) <= expected / 20, "{asked}");
        assert!(asked as f64 <= share * 200.0 * 60.0, "{asked}");
    }
}

#[test]
fn a_pass_begins_no_sooner_than_it_should() {
    let mut world = factory(40, pace(200, 0.05, 24 * HOUR), Permit::Anybody);
    told(&mut world);
    let asked = lives(&mut world, 23 * HOUR);
    assert_eq!((asked, progress(&mut world).pass), (40, 1));
    assert_eq!(progress(&mut world).last.unwrap().tally.compared, 40);
    assert_eq!(lives(&mut world, 2 * HOUR), 40);
}

#[test]
fn nothing_is_read_back_where_that_is_turned_off() {
    let mut world = factory(40, pace(200, 0.0, ALWAYS), Permit::Anybody);
    told(&mut world);
    assert_eq!(lives(&mut world, HOUR), 0);
    assert_eq!(world.party(Who::Factory).clerk.progress(moment), None);
}

#[test]
fn whoever_waits_goes_first() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), Permit::Anybody);
    told(&mut world);
    lives(&mut world, HOUR);
    let before = progress(&mut world);
    let now = world.now;
    for unit in 1000..2000 {
        world.party(Who::Factory).happens(now, issue(&format!("gw-{unit:05}"), 0));
    }
    world.tally = Tally::default();
    told(&mut world);
    // One look may have been under way.
    let after = progress(&mut world);
    let looks = |progress: &Progress| progress.pass * 40 + progress.tally.compared;
    assert!(looks(&after) - looks(&before) <= 1, "{before:?}, {after:?}");
    assert!(world.tally.requests <= 1000 / 10 + 1, "{:?}", world.tally);
}

#[test]
fn a_unit_that_comes_waits_for_one_look_at_most() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), Permit::Anybody);
    told(&mut world);
    for unit in 0..200 {
        let pause = Duration::from_millis(world.dice.u64(1000..5000));
        world.live(world.now + pause, |_| false);
        let now = world.now;
        world.party(Who::Factory).happens(now, issue(&format!("late-{unit:05}"), 0));
        told(&mut world);
        // There and back twice, and what a token or two cost.
        let took = world.now - now;
        assert!(took < Duration::from_millis(1300), "{took:?}");
    }
}

#[test]
fn looks_and_announcements_together_stay_within_the_budget() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), Permit::Anybody);
    world.weather = Weather::Quota { per_minute: 200 };
    told(&mut world);
    world.tally = Tally::default();
    for unit in 0..2000 {
        let now = world.now;
        if unit % 3 == 0 {
            world.party(Who::Factory).happens(now, issue(&format!("late-{unit:05}"), 0));
        }
        world.live(now + Duration::from_millis(700), |_| false);
    }
    assert!(world.tally.requests > 1500, "{:?}", world.tally);
    assert_eq!(world.tally.throttled, 0);
}

#[test]
fn nothing_is_read_back_without_a_permit() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), Permit::Anybody);
    told(&mut world);
    lives(&mut world, MINUTE);
    world.party(Who::Factory).permit = Permit::Withheld;
    assert_eq!(lives(&mut world, HOUR), 0);
    world.party(Who::Factory).permit = Permit::Anybody;
    assert!(lives(&mut world, HOUR) > 5000);
}

#[test]
fn while_the_link_is_down_it_is_probed_as_ever_and_nothing_is_read_back() {
    let tries = |share| {
        let mut world = factory(40, pace(200, share, ALWAYS), permit(1));
        told(&mut world);
        lives(&mut world, HOUR);
        world.weather = Weather::Offline;
        lives(&mut world, 2 * MINUTE);
        let before = world.party(Who::Factory).clerk.progress(moment);
        let asked = lives(&mut world, 12 * HOUR);
        assert_eq!(world.party(Who::Factory).clerk.progress(moment), before);
        asked
    };
    let (without, with) = (tries(0.0), tries(0.5));
    println!("{without} tries without, {with} with");
    assert!(without > 100 && with.abs_diff(without) <= without / 4, "{without} without, {with} with");
}

#[test]
fn a_look_is_no_probe() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), Permit::Anybody);
    told(&mut world);
    world.weather = Weather::Offline;
    lives(&mut world, MINUTE);
    // Nobody has anything to say, and nobody looks after himself.
    assert_eq!(lives(&mut world, 12 * HOUR), 0);
}

#[test]
fn one_unit_is_looked_at_after_the_other_however_long_answers_take() {
    let mut world = factory(40, pace(1000, 0.5, ALWAYS), Permit::Anybody);
    told(&mut world);
    lives(&mut world, 5 * MINUTE);
    assert!(progress(&mut world).pass > 10);
    assert_eq!(progress(&mut world).last.unwrap().tally.compared, 40);
}

#[test]
fn a_restart_goes_on_where_it_was_written_down() {
    let mut world = factory(2500, pace(1000, 0.5, 24 * HOUR), Permit::Anybody);
    told(&mut world);
    world.live(world.now + HOUR, |world| progress(world).tally.compared >= 1700);
    let frames = world.party(Who::Factory).ledger.seq();
    world.crash(Who::Factory, 8);
    let now = world.now;
    world.tally = Tally::default();
    // It has to know of the link first.
    world.party(Who::Factory).happens(now, issue("zz", 0));
    world.live(now + HOUR, |world| progress(world).tally.compared > 1000);
    let found = progress(&mut world);
    assert_eq!((found.pass, found.tally.compared), (1, 1001));
    assert_eq!(found.position, Some("gw-01000".parse().unwrap()));
    assert!(world.tally.requests < 10, "{:?}", world.tally);
    world.live(world.now + HOUR, |world| progress(world).last.is_some());
    assert_eq!(progress(&mut world).last.unwrap().tally.compared, 2501);
    let written = world.party(Who::Factory).ledger.seq() - frames;
    assert!(written <= 6, "{written} frames");
    let known = readback::committed(&world.party(Who::Factory).ledger).unwrap().unwrap();
    assert_eq!((known.pass, known.position, known.last.unwrap().tally.compared), (1, None, 2501));
}

#[test]
fn a_month_of_passes_adds_little_to_the_journal() {
    let mut world = factory(UNITS, pace(20, 0.05, ALWAYS), Permit::Anybody);
    told(&mut world);
    let before = world.party(Who::Factory).ledger.journal_bytes();
    let asked = lives(&mut world, 30 * 24 * HOUR);
    let written = world.party(Who::Factory).ledger.journal_bytes() - before;
    println!("{asked} looks, {} passes, {written} bytes", progress(&mut world).pass);
    assert!(asked > 40_000 && progress(&mut world).pass > 5000, "{asked}");
    assert!(written < 256 << 10, "{written}");
}

#[test]
fn a_record_that_dps_does_not_show_stops_nobody_and_is_no_outage() {
    let mut world = factory(40, pace(200, 0.5, ALWAYS), permit(1));
    told(&mut world);
    world.poison = Some(|text| text.ends_with("gw-00020"));
    let frames = world.party(Who::Factory).ledger.seq();
    lives(&mut world, HOUR);
    let last = progress(&mut world).last.unwrap().tally;
    assert_eq!((last.compared, last.unread), (39, 1));
    assert_eq!(books::balance(&world.party(Who::Factory).ledger).unwrap().settled, 40);
    assert!(world.party(Who::Factory).ledger.seq() - frames <= 2, "an outage was written down");
}

/// A factory with one unit, after these passes, all of them told.
fn unit(passes: &[Want]) -> World {
    let factory = Party::new(pace(200, 0.5, MINUTE), permit(1), 7);
    let mut world = World::new([(Who::Factory, factory)], fastrand::Rng::with_seed(7));
    for want in passes {
        pass(&mut world, 0, *want);
        told(&mut world);
    }
    world
}

/// What somebody does to a record who should leave it alone.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meddling {
    Nothing,
    Delete,
    SwapCertificate,
    /// Puts the certificate of the unit's first pass back.
    FormerCertificate,
    /// Takes the mark of a tombstone away.
    Unmark,
    Mark,
    Enable,
    Register,
    EditTwin,
}

const MEDDLINGS: [Meddling; 9] = [
    Meddling::Nothing,
    Meddling::Delete,
    Meddling::SwapCertificate,
    Meddling::FormerCertificate,
    Meddling::Unmark,
    Meddling::Mark,
    Meddling::Enable,
    Meddling::Register,
    Meddling::EditTwin,
];

fn meddle(world: &mut World, unit: usize, meddling: Meddling) {
    let now = world.now;
    let mut change = |change: &dyn Fn(&mut IndividualEnrollment)| {
        world.cloud.act_as_portal(moment(now), &name(unit), change);
    };
    let wears = |number: usize| {
        move |record: &mut IndividualEnrollment| {
            record.attestation = Attestation::x509(&certificate(number).der);
        }
    };
    match meddling {
        Meddling::Nothing => {}
        Meddling::Delete => {
            let call = Call { path: format!("/enrollments/{}", name(unit)), ..Call::default() };
            let delete = emulator::cloud::http::Request { method: "DELETE".into(), ..request(&call) };
            world.cloud.handle(moment(now), &delete);
        }
        Meddling::SwapCertificate => change(&wears((unit + 1) % UNITS * PASSES)),
        Meddling::FormerCertificate => change(&wears(unit * PASSES)),
        Meddling::Unmark => change(&|record| {
            let edge = record.optional_device_information.as_mut().and_then(|found| found.get_mut("edge"));
            edge.and_then(Value::as_object_mut).map(|edge| edge.remove("scrapped"));
        }),
        Meddling::Mark => change(&|record| {
            let edge = record.optional_device_information.as_mut().and_then(|found| found.get_mut("edge"));
            edge.and_then(Value::as_object_mut).map(|edge| edge.insert("scrapped".into(), true.into()));
        }),
        Meddling::Enable => change(&|record| act(record, true)),
        Meddling::Register => {
            if let Some((issued, _)) = world.issued.units.get(&unit) {
                let peer = Some(certificate(issued.certificate).der.clone());
                register(&mut world.cloud, now, &name(unit), peer);
            }
        }
        Meddling::EditTwin => change(&|record| act(record, false)),
    }
}

/// How the unit stands: `settled`, or why it is held.
fn stands(world: &mut World, unit: usize) -> String {
    let record = books::committed(&world.party(Who::Factory).ledger, &id(unit)).unwrap().unwrap();
    match record.state {
        State::Settled { .. } => "settled".into(),
        State::Held { why, .. } => why.code,
        State::Waiting { .. } => "waiting".into(),
    }
}

/// What a look at the unit would show now.
fn shows(world: &mut World, unit: usize) -> Seen {
    let ledger = &world.party(Who::Factory).ledger;
    let record = books::committed(ledger, &id(unit)).unwrap().unwrap();
    let work = describe()(&ledger.entry(&record.wanted).unwrap(), &id(unit)).unwrap();
    compare(&Told::of(work).unwrap(), 1, world.cloud.enrollment(&name(unit)).as_ref())
}

fn check(passes: &[Want], meddlings: &[Meddling], expected: &str) {
    let mut world = unit(passes);
    for meddling in meddlings {
        meddle(&mut world, 0, *meddling);
    }
    let enabled = |world: &World| world.cloud.enrollment(&name(0)).map(|found| found.provisioning_status);
    let before = enabled(&world);
    lives(&mut world, 30 * MINUTE);
    assert_eq!(stands(&mut world, 0), expected, "{passes:?}, {meddlings:?}");
    assert_eq!(enabled(&world), before);
    let same = shows(&mut world, 0) == Seen::Same;
    assert_eq!(same, expected == "settled", "{passes:?}, {meddlings:?}");
    // It is written down once.
    let drifts = |world: &mut World| {
        let ledger = &world.party(Who::Factory).ledger;
        (ledger.seq(), readback::committed(ledger).unwrap().map(|known| known.pass))
    };
    let before = drifts(&mut world);
    lives(&mut world, 20 * MINUTE);
    assert_eq!(drifts(&mut world), before, "{passes:?}, {meddlings:?}");
}

#[test]
fn what_is_ours_is_mended_and_everything_else_is_held_for_a_person() {
    use Meddling::*;
    use Want::*;
    let (new, reworked, scrapped) =
        (&[Announce][..], &[Announce, Replace][..], &[Announce, Replace, Withdraw][..]);
    for passes in [new, reworked, scrapped] {
        check(passes, &[Nothing], "settled");
        check(passes, &[EditTwin], "settled");
        check(passes, &[Register], "settled");
        check(passes, &[Delete], "missing");
        check(passes, &[SwapCertificate, Enable], "conflict");
    }
    for passes in [new, reworked] {
        check(passes, &[SwapCertificate], "conflict");
        check(passes, &[Enable], "settled");
        check(passes, &[Enable, Register], "settled");
        check(passes, &[Mark], "scrapped");
        check(passes, &[Unmark], "settled");
    }
    check(new, &[FormerCertificate], "settled");
    check(reworked, &[FormerCertificate], "settled");
    check(reworked, &[FormerCertificate, EditTwin], "settled");
    check(reworked, &[FormerCertificate, Enable], "activated");
    check(reworked, &[Enable, Register, FormerCertificate, EditTwin], "assigned");
    check(scrapped, &[FormerCertificate], "settled");
    check(scrapped, &[SwapCertificate], "settled");
    check(scrapped, &[Unmark], "settled");
    check(scrapped, &[Unmark, FormerCertificate], "settled");
    check(scrapped, &[Enable], "activated");
    check(scrapped, &[Unmark, Enable], "activated");
    check(scrapped, &[Unmark, Enable, Register, EditTwin], "assigned");
}

#[test]
fn what_was_deleted_is_announced_again_once_a_person_says_so() {
    let mut world = unit(&[Want::Announce]);
    meddle(&mut world, 0, Meddling::Delete);
    lives(&mut world, 10 * MINUTE);
    assert_eq!(stands(&mut world, 0), "missing");
    assert_eq!(world.cloud.enrollment(&name(0)), None);
    let now = world.now;
    let retried = CloudEvent::Retried { id: id(0), epoch: 1 };
    world.party(Who::Factory).happens(now, retried.into());
    lives(&mut world, MINUTE);
    assert_eq!(stands(&mut world, 0), "settled");
    let found = world.cloud.enrollment(&name(0)).unwrap();
    assert_eq!(found.provisioning_status, Some(ProvisioningStatus::Disabled));
}

#[test]
fn what_a_person_has_the_cloud_keep_is_not_looked_at_again_until_the_next_pass() {
    let mut world = unit(&[Want::Announce]);
    meddle(&mut world, 0, Meddling::SwapCertificate);
    lives(&mut world, 10 * MINUTE);
    assert_eq!(stands(&mut world, 0), "conflict");
    let sha256 = world.cloud.enrollment(&name(0)).and_then(|found| found.thumbprint().map(str::to_owned));
    let resolution = Resolution::KeepCloud { sha256 };
    let kept = CloudEvent::Resolved { id: id(0), epoch: 1, resolution, reason: "theirs".into() };
    let now = world.now;
    world.party(Who::Factory).happens(now, kept.into());
    let before = progress(&mut world);
    lives(&mut world, 30 * MINUTE);
    assert_eq!((stands(&mut world, 0).as_str(), progress(&mut world)), ("settled", before));
    // The next pass meets what is still there.
    pass(&mut world, 0, Want::Replace);
    lives(&mut world, MINUTE);
    assert_eq!(stands(&mut world, 0), "conflict");
}

#[test]
fn what_a_person_has_given_way_is_read_back_as_any_other() {
    let mut world = unit(&[Want::Announce]);
    meddle(&mut world, 0, Meddling::SwapCertificate);
    lives(&mut world, 10 * MINUTE);
    let etag = world.cloud.enrollment(&name(0)).and_then(|found| found.etag).unwrap();
    let resolution = Resolution::ReplaceCloud { etag };
    let replaced = CloudEvent::Resolved { id: id(0), epoch: 1, resolution, reason: "ours".into() };
    let now = world.now;
    world.party(Who::Factory).happens(now, replaced.into());
    lives(&mut world, 10 * MINUTE);
    assert_eq!((stands(&mut world, 0).as_str(), shows(&mut world, 0)), ("settled", Seen::Same));
    meddle(&mut world, 0, Meddling::Delete);
    lives(&mut world, 10 * MINUTE);
    assert_eq!(stands(&mut world, 0), "missing");
}

#[test]
fn a_rework_while_a_look_is_under_way_is_not_touched_by_what_it_shows() {
    // Wherever in the looks of a minute the rework comes.
    for millis in (0..60_000).step_by(37) {
        let mut world = unit(&[Want::Announce]);
        world.live(world.now + 2 * MINUTE, |_| false);
        meddle(&mut world, 0, Meddling::Delete);
        world.live(world.now + Duration::from_millis(millis), |_| false);
        pass(&mut world, 0, Want::Replace);
        lives(&mut world, 5 * MINUTE);
        assert_eq!(stands(&mut world, 0), "settled", "after {millis} ms");
        assert_eq!(shows(&mut world, 0), Seen::Same);
    }
}

/// A factory, its passes, some weather and a meddler for some hours; then a quiet day.
fn live(seed: u64) -> World {
    let mut dice = fastrand::Rng::with_seed(seed);
    let factory = Party::new(pace([60, 1000][dice.usize(..2)], 0.5, 10 * MINUTE), permit(1), dice.u64(..));
    let mut world = World::new([(Who::Factory, factory)], dice);
    for _ in 0..world.dice.usize(10..40) {
        let unit = world.dice.usize(..UNITS);
        let seed = world.dice.u64(..);
        match world.dice.u8(..12) {
            0..3 => pass(&mut world, unit, Want::Announce),
            3 => pass(&mut world, unit, Want::Replace),
            4 => pass(&mut world, unit, Want::Withdraw),
            5 => world.crash(Who::Factory, seed),
            6 => {
                let all = [Weather::Clear, Weather::Flaky, Weather::Offline, Weather::ReplyLost];
                world.weather = all[world.dice.usize(..all.len())];
            }
            _ => {
                let meddling = MEDDLINGS[world.dice.usize(..MEDDLINGS.len())];
                meddle(&mut world, unit, meddling);
            }
        }
        let pause = world.dice.u64(..[1000, 20_000, 300_000][unit % 3]);
        world.live(world.now + Duration::from_millis(pause), |_| false);
    }
    world.weather = Weather::Clear;
    world.live(world.now + 2 * HOUR, |_| false);
    world
}

fn check_seed(seed: u64) {
    let result = std::panic::catch_unwind(|| {
        let mut world = live(seed);
        for unit in world.issued.units.clone().into_keys() {
            let found = stands(&mut world, unit);
            let shown = shows(&mut world, unit);
            match found.as_str() {
                "settled" => assert_eq!(shown, Seen::Same, "unit {unit}"),
                "missing" => assert_eq!(world.cloud.enrollment(&name(unit)), None, "unit {unit}"),
                "conflict" | "activated" | "assigned" | "scrapped" => {}
                other => panic!("unit {unit} is {other}"),
            }
        }
    });
    assert!(result.is_ok(), "seed {seed}");
}

#[test]
fn whoever_meddles_is_found_out_and_undoes_nothing_that_was_promised() {
    println!("seeds 0 to {SEEDS}");
    on_all_cores(SEEDS, check_seed);
}
