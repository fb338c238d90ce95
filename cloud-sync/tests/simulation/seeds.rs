//! A factory, a portal and a stormy cloud for some days, told by a seed: in the end everything is as it was acknowledged.

use std::{collections::BTreeSet, time::Duration};

use azure_iot::{
    RegistrationId,
    enrollment::{AllocationPolicy, IndividualEnrollment, ProvisioningStatus},
};
use cloud_sync::{
    CloudEvent, Permit, ReadBackConfig, State, Want, Why, books, fence::Identity, mind::Pace, state::ASKED,
};
use emulator::Weather;

use crate::{
    on_all_cores,
    orders::register,
    party::Party,
    plant::{BOX, HUB, Happened, UNITS, certificate, id, name, twin},
    share,
    wire::moment,
    world::{Who, World},
};

/// How many worlds are lived through.
const SEEDS: u64 = share(10_000);
const HOUR: Duration = Duration::from_secs(3600);

fn pace(dice: &mut fastrand::Rng) -> Pace {
    Pace {
        per_minute: [20, 200, 1000][dice.usize(..3)],
        count_units: true,
        in_flight: dice.usize(1..5),
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(300),
        read_back: ReadBackConfig {
            share: [0.0, 0.05, 0.5][dice.usize(..3)],
            every: Duration::from_secs([300, 3600][dice.usize(..2)]),
        },
    }
}

pub(crate) fn permit(generation: u8) -> Permit {
    let instance = if generation == 1 { String::new() } else { format!("restore-{generation}") };
    Permit::Box(Identity {
        box_id: BOX.to_owned(),
        generation,
        instance,
        certificate: certificate(0).der.clone(),
    })
}

fn weather(dice: &mut fastrand::Rng) -> Weather {
    let all = [
        Weather::Clear,
        Weather::Clear,
        Weather::Storm,
        Weather::Storm,
        Weather::Storm,
        Weather::Offline,
        Weather::Flaky,
        Weather::ReplyLost,
        Weather::Throttled { retry_after: 30 },
        Weather::Quota { per_minute: 20 },
        Weather::Contended,
        Weather::Truncated,
        Weather::WrongThumbprint,
    ];
    all[dice.usize(..all.len())]
}

/// One thing that somebody does.
fn happens(world: &mut World, backup: &mut Option<Backup>) {
    // Much happens to some, so that it meets.
    let units = if world.dice.bool() { 2 } else { UNITS };
    let unit = world.dice.usize(..units);
    let now = world.now;
    let seed = world.dice.u64(..);
    match world.dice.u8(..23) {
        0..5 => pass(world, unit, Want::Announce),
        5 => pass(world, unit, Want::Replace),
        6 => pass(world, unit, Want::Withdraw),
        7 => {
            let epoch = claims(world, unit) + 1;
            world.party(Who::Portal).happens(now, Happened::Claimed { id: id(unit), epoch });
        }
        8 => {
            let enabled = world.dice.bool();
            world.by_hand.insert(unit);
            world.cloud.act_as_portal(moment(now), &name(unit), |record| act(record, enabled));
        }
        9 => {
            if let Some((issued, _)) = world.issued.units.get(&unit) {
                let peer = Some(certificate(issued.certificate).der.clone());
                register(&mut world.cloud, now, &name(unit), peer);
            }
        }
        10 => world.crash(Who::Factory, seed),
        11 => world.crash(Who::Portal, seed),
        12 => *backup = Some((world.party(Who::Factory).ledger.clone(), world.issued.units.clone())),
        13 if world.issued.generation < 4 => {
            if let Some((ledger, units)) = backup.clone() {
                let generation = world.issued.generation + 1;
                let factory = world.party(Who::Factory);
                factory.ledger = ledger;
                factory.permit = permit(generation);
                world.crash(Who::Factory, seed);
                let issued = world.issued.clone();
                world.issued = issued.restored(world.party(Who::Factory), units);
            }
        }
        14..16 => {
            let keep = world.dice.u8(..3) == 0;
            decide(world, keep);
        }
        16..18 => {
            let held = held(world);
            if let Some(number) = (!held.is_empty()).then(|| world.dice.usize(..held.len())) {
                let (id, epoch, _) = held[number].clone();
                world.party(Who::Factory).happens(now, CloudEvent::Retried { id, epoch }.into());
            }
        }
        18 => hold(world, unit),
        19 => pause(world),
        20 if claims(world, unit) > 0 => {
            let epoch = claims(world, unit) + 1;
            world.party(Who::Portal).happens(now, Happened::Released { id: id(unit), epoch });
        }
        _ => world.weather = weather(&mut world.dice),
    }
}

/// How often the portal was asked something about a unit.
fn claims(world: &mut World, unit: usize) -> u32 {
    let portal = &world.party(Who::Portal).ledger;
    books::committed(portal, &id(unit)).unwrap().map_or(0, |known| known.state.epoch())
}

/// A person looks at a job that is held, and decides.
fn decide(world: &mut World, keep: bool) {
    let now = world.now;
    let held = held(world);
    if held.is_empty() {
        return;
    }
    let (unlucky, ..) = &held[world.dice.usize(..held.len())];
    let Some(unit) = (0..UNITS).find(|unit| id(*unit) == *unlucky) else { return };
    let mut issued = world.issued.clone();
    let found = world.cloud.enrollment(&name(unit));
    let decision = issued.decide(world.party(Who::Factory), found, unit, keep);
    world.issued = issued;
    if let Some(decision) = decision {
        world.party(Who::Factory).happens(now, decision);
    }
}

/// What is held in the factory, and why.
fn held(world: &mut World) -> Vec<(RegistrationId, u32, String)> {
    let ledger = &world.party(Who::Factory).ledger;
    let held = books::held(ledger, None, usize::MAX).unwrap().into_iter();
    let why = |(_, id): (_, RegistrationId)| match books::committed(ledger, &id).unwrap().unwrap().state {
        State::Held { epoch, why, .. } => (id, epoch, why.code),
        state => panic!("{id} is not held: {state:?}"),
    };
    held.map(why).collect()
}

/// A person holds a job that waits.
fn hold(world: &mut World, unit: usize) {
    let now = world.now;
    let factory = world.party(Who::Factory);
    let standing = books::committed(&factory.ledger, &id(unit)).unwrap();
    if let Some(State::Waiting { epoch, .. }) = standing.map(|record| record.state) {
        let why = Why { code: ASKED.to_owned(), detail: "an audit".to_owned() };
        factory.happens(now, CloudEvent::Held { id: id(unit), epoch, why }.into());
    }
}

/// A person has nothing sent, or lets it go on.
fn pause(world: &mut World) {
    let now = world.now;
    let factory = world.party(Who::Factory);
    let event = match books::paused(&factory.ledger).unwrap() {
        None => CloudEvent::Paused { reason: "the hub is moved".to_owned() },
        Some(_) => CloudEvent::Resumed {},
    };
    factory.happens(now, event.into());
}

type Backup =
    (ledger::Memory<Happened>, std::collections::BTreeMap<usize, (crate::plant::Unit, ledger::Seq)>);

/// A unit is issued, reworked or scrapped, if it can be.
pub(crate) fn pass(world: &mut World, unit: usize, want: Want) {
    let Some(event) = world.issued.pass(unit, want) else { return };
    let now = world.now;
    let factory = world.party(Who::Factory);
    factory.happens(now, event.clone());
    let seq = factory.ledger.seq();
    world.issued.note(unit, &event, seq);
}

/// Somebody changes a record by hand, in Azure's own portal.
pub(crate) fn act(record: &mut IndividualEnrollment, enabled: bool) {
    record.provisioning_status =
        Some(if enabled { ProvisioningStatus::Enabled } else { ProvisioningStatus::Disabled });
    record.initial_twin = Some(twin());
    record.allocation_policy = Some(AllocationPolicy::Static);
    record.iot_hubs = Some(vec![HUB.to_owned()]);
}

/// Lives through a world, and looks what is left.
fn live(seed: u64) -> World {
    let mut dice = fastrand::Rng::with_seed(seed);
    let pace = pace(&mut dice);
    let parties = [
        (Who::Factory, Party::new(pace.clone(), permit(1), dice.u64(..))),
        (Who::Portal, Party::new(pace, Permit::Anybody, dice.u64(..))),
    ];
    let mut world = World::new(parties, dice);
    world.astray = 2;
    let mut backup = None;
    for _ in 0..world.dice.usize(5..30) {
        happens(&mut world, &mut backup);
        let pause = [1, 20, 60, 600, 3600][world.dice.usize(..5)];
        let until = world.now + Duration::from_secs(world.dice.u64(0..pause));
        world.live(until, |_| false);
    }
    world.weather = Weather::Clear;
    world.astray = 0;
    let now = world.now;
    world.party(Who::Factory).happens(now, CloudEvent::Resumed {}.into());
    // Whoever has held something remembers in the end.
    for (id, epoch, _) in held(&mut world).into_iter().filter(|(_, _, code)| code == ASKED) {
        world.party(Who::Factory).happens(now, CloudEvent::Retried { id, epoch }.into());
    }
    let until = world.now + 4 * 24 * HOUR;
    world.live(until, |world| world.party(Who::Factory).waiting() == 0);
    // What went astray arrives in the end, and must change nothing.
    let until = world.now + 2 * HOUR;
    world.live(until, |_| false);
    world
}

fn check(seed: u64) {
    let result = std::panic::catch_unwind(|| {
        let mut world = live(seed);
        assert_eq!(world.tally.impatient, 0, "a Retry-After was broken");
        assert_eq!(world.party(Who::Factory).waiting(), 0, "something still waits");
        let found = world.cloud.enrollments();
        let issued: BTreeSet<_> = world.issued.thumbprints.keys().cloned().collect();
        let own = |record: &&IndividualEnrollment| !record.registration_id.starts_with("edge-");
        let names: BTreeSet<_> =
            found.iter().filter(own).map(|record| record.registration_id.clone()).collect();
        assert!(names.is_subset(&issued), "phantoms: {names:?}");
        let units = world.issued.units.clone();
        for (unit, (issued, _)) in &units {
            let record = books::committed(&world.party(Who::Factory).ledger, &issued.id).unwrap().unwrap();
            let enrolled = world.cloud.enrollment(&name(*unit));
            let enrolled =
                enrolled.unwrap_or_else(|| panic!("{} was acknowledged and is not there", issued.id));
            let thumbprint = enrolled.thumbprint().unwrap().to_owned();
            let wanted = &certificate(issued.certificate).thumbprint;
            match record.state {
                // A person has seen what is there.
                State::Settled { epoch, .. } if world.issued.kept.contains(&(issued.id.clone(), epoch)) => {}
                // A request of a pass that the ledger has lost may still have been on its way.
                State::Settled { .. } if world.issued.lost.contains(&thumbprint) => {}
                // A tombstone may carry any certificate of the unit; what counts is that it is one.
                State::Settled { want: Want::Withdraw, .. } => {
                    let information = enrolled.optional_device_information.unwrap_or_default();
                    assert_eq!(information["edge"]["scrapped"], true, "{}", issued.id);
                    assert!(world.issued.thumbprints[&name(*unit)].contains(&thumbprint), "{}", issued.id);
                }
                State::Settled { epoch, .. } => {
                    assert_eq!((epoch, &thumbprint), (issued.epoch, wanted), "{}", issued.id);
                }
                // Somebody else acted on the record first, or the ledger has forgotten a pass.
                State::Held { why, .. } => {
                    let fine = ["activated", "assigned", "changed", "conflict", "scrapped"]
                        .contains(&why.code.as_str());
                    let meddled = issued.want != Want::Announce || world.issued.generation > 1;
                    assert!(fine && meddled, "{}: {why:?}", issued.id);
                }
                State::Waiting { .. } => panic!("{} still waits", issued.id),
            }
        }
        for unit in 0..UNITS {
            check_portal(&mut world, unit);
        }
    });
    if result.is_err() {
        panic!("seed {seed}");
    }
}

/// What the portal was asked last is so, unless somebody has changed it by hand or the factory has scrapped the unit.
fn check_portal(world: &mut World, unit: usize) {
    let known = books::committed(&world.party(Who::Portal).ledger, &id(unit)).unwrap();
    let Some(state) = known.map(|known| known.state) else { return };
    let record = world.cloud.enrollment(&name(unit));
    match state {
        State::Waiting { want, .. } => {
            assert_eq!((want, record), (Want::Activate, None), "{unit} still waits at the portal");
        }
        State::Held { want, why, .. } => {
            let expected = if want == Want::Activate { "scrapped" } else { "missing" };
            assert_eq!(why.code, expected, "{unit}: {why:?}");
        }
        State::Settled { want, .. } => {
            let record = record.unwrap_or_else(|| panic!("{unit} is {want:?} and not there"));
            let information = record.optional_device_information.unwrap_or_default();
            if world.by_hand.contains(&unit) || information["edge"]["scrapped"] == true {
                return;
            }
            let expected = match want {
                Want::Activate => ProvisioningStatus::Enabled,
                _ => ProvisioningStatus::Disabled,
            };
            assert_eq!(record.provisioning_status, Some(expected), "{unit} was to be {want:?}");
        }
    }
}

#[test]
fn every_acknowledged_unit_ends_as_exactly_one_enrollment_whatever_happens() {
    println!("seeds 0 to {SEEDS}");
    on_all_cores(SEEDS, check);
}
