//! Activation is never undone: every order of events around one unit, and many random longer ones.

use std::time::Duration;

use azure_iot::enrollment::{AllocationPolicy, ProvisioningStatus};
use cloud_sync::{
    Cause, Deactivation, Permit, ReadBackConfig, Want, answer::Call, conversation::Conversation,
    deactivate::Deactivating, mind::Pace,
};
use emulator::{
    Fate,
    cloud::{Cloud, http::Request},
};

use crate::{
    factory::Issued,
    guard, on_all_cores,
    party::Party,
    plant::{HUB, certificate, code, id, name, twin},
    share,
    wire::{SCOPE, cloud, heard, moment, request, trouble},
};

/// What can happen around a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    /// The factory asks something and hears the answer.
    Send,
    /// The factory asks something, it is carried out, and the answer is lost.
    ReplyLost,
    /// The oldest request that is still on its way arrives; without one, the next request of the factory goes astray,
    /// and the factory gives it up.
    LateArrival,
    /// The factory dies, comes back and asks again.
    Resend,
    /// Somebody enables it, whatever it is by now.
    PortalEnable,
    /// The portal deactivates it, as it does.
    PortalDisable,
    DeviceRegisters,
    Rework,
    Scrap,
    /// The factory's ledger is what it was after the unit was issued.
    Restore,
    /// A person decides that a job that is held is not told.
    Keep,
    /// A person decides that what the cloud has now gives way to a job that is held.
    Replace,
}

/// So many of them happen without a person who decides about a job.
const BY_THEMSELVES: usize = 10;

const EVENTS: [Event; 12] = [
    Event::Send,
    Event::ReplyLost,
    Event::LateArrival,
    Event::Resend,
    Event::PortalEnable,
    Event::PortalDisable,
    Event::DeviceRegisters,
    Event::Rework,
    Event::Scrap,
    Event::Restore,
    Event::Keep,
    Event::Replace,
];

/// Whether the factory keeps to its rule that an announcement is create-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Kept,
    Removed,
}

/// One unit, its factory and the cloud.
struct Scene {
    now: Duration,
    cloud: Cloud,
    factory: Party,
    issued: Issued,
    backup: (ledger::Memory<crate::plant::Happened>, Issued),
    late: Vec<Call>,
    guard: Guard,
}

/// One request at a time, and as many as there are.
pub(crate) fn one_by_one(read_back: ReadBackConfig) -> Pace {
    Pace {
        per_minute: 60_000,
        count_units: true,
        in_flight: 1,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(300),
        read_back,
    }
}

impl Scene {
    fn new(guard: Guard) -> Self {
        let mut factory = Party::new(one_by_one(ReadBackConfig::OFF), Permit::Anybody, 1);
        let mut issued = Issued::nothing();
        let unit = issued.pass(0, Want::Announce).unwrap();
        factory.happens(Duration::ZERO, unit.clone());
        issued.note(0, &unit, factory.ledger.seq());
        let backup = (factory.ledger.clone(), issued.clone());
        Self { now: Duration::ZERO, cloud: cloud(1), factory, issued, backup, late: Vec::new(), guard }
    }

    fn happens(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Keep | Event::Replace => {
                let keep = event == Event::Keep;
                self.factory.write_down(self.now);
                let found = self.cloud.enrollment(&name(0));
                if let Some(decision) = self.issued.decide(&self.factory, found, 0, keep) {
                    self.factory.happens(self.now, decision);
                }
                Ok(())
            }
            Event::Send => self.send(),
            Event::Resend => {
                self.factory.crash(2);
                self.send()
            }
            Event::ReplyLost => {
                let Some((number, call)) = self.ask() else { return Ok(()) };
                self.arrives(&call)?;
                self.factory.clerk.heard(
                    self.now,
                    number,
                    Err(trouble(Cause::Unreachable, "connection reset")),
                );
                Ok(())
            }
            Event::LateArrival if self.late.is_empty() => {
                let Some((number, call)) = self.ask() else { return Ok(()) };
                self.late.push(call);
                self.now += Duration::from_secs(30);
                self.factory.clerk.heard(self.now, number, Err(trouble(Cause::TimedOut, "no answer")));
                Ok(())
            }
            Event::LateArrival => {
                let call = self.late.remove(0);
                self.arrives(&call).map(drop)
            }
            Event::PortalEnable => {
                self.enable();
                Ok(())
            }
            Event::PortalDisable => {
                self.deactivate();
                Ok(())
            }
            Event::DeviceRegisters => {
                self.registers();
                Ok(())
            }
            Event::Rework => {
                self.pass(Want::Replace);
                Ok(())
            }
            Event::Scrap => {
                self.pass(Want::Withdraw);
                Ok(())
            }
            Event::Restore => {
                self.factory.ledger = self.backup.0.clone();
                self.factory.crash(3);
                self.issued = self.issued.clone().restored(&self.factory, self.backup.1.units.clone());
                Ok(())
            }
        }
    }

    /// What the factory asks next, once it may.
    fn ask(&mut self) -> Option<(u64, Call)> {
        self.factory.asks(&mut self.now)
    }

    fn send(&mut self) -> Result<(), String> {
        let Some((number, call)) = self.ask() else { return Ok(()) };
        let met = self.arrives(&call)?;
        self.factory.clerk.heard(self.now, number, heard(met).unwrap());
        Ok(())
    }

    fn arrives(&mut self, call: &Call) -> Result<emulator::cloud::meet::Met, String> {
        let refused = Fate::Refused { status: 400, retry_after: None };
        let (call, fate) = match (self.guard, call.path.as_str()) {
            (Guard::Kept, _) => (call.clone(), Fate::Served),
            // Bulks are create-only by themselves; without them everything is put.
            (Guard::Removed, "/enrollments") => (call.clone(), refused),
            (Guard::Removed, _) => (guard::mutated(call), Fate::Served),
        };
        let Issued { thumbprints, decided, .. } = &self.issued;
        guard::meet(&mut self.cloud, moment(self.now), &call, fate, thumbprints, decided)
    }

    fn enable(&mut self) {
        self.cloud.act_as_portal(moment(self.now), &name(0), |record| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
            record.initial_twin = Some(twin());
            record.allocation_policy = Some(AllocationPolicy::Static);
            record.iot_hubs = Some(vec![HUB.to_owned()]);
        });
    }

    fn deactivate(&mut self) {
        let mut talk = Deactivating::new(Deactivation { id: id(0), code: code() });
        while let Some(call) = talk.next() {
            let met = self.cloud.meet(moment(self.now), &request(&call), Fate::Served);
            talk.hear(&heard(met).unwrap().unwrap()).unwrap();
        }
    }

    fn pass(&mut self, want: Want) {
        if let Some(event) = self.issued.pass(0, want) {
            self.factory.happens(self.now, event.clone());
            self.issued.note(0, &event, self.factory.ledger.seq());
        }
    }

    /// The device calls with its present certificate, and polls until it knows.
    fn registers(&mut self) {
        let peer = Some(certificate(self.issued.units[&0].0.certificate).der.clone());
        register(&mut self.cloud, self.now, &name(0), peer);
    }

    /// Everything that is on its way arrives, and the factory says all that it has to say.
    fn ends(&mut self) -> Result<(), String> {
        for call in std::mem::take(&mut self.late) {
            self.arrives(&call)?;
        }
        for _ in 0..50 {
            if self.factory.waiting() == 0 {
                return match self.cloud.enrollments().len() {
                    1 => Ok(()),
                    found => Err(format!("{found} enrollments")),
                };
            }
            self.send()?;
        }
        Err("something still waits".to_owned())
    }
}

/// A device registers over HTTPS, and polls twice.
pub(crate) fn register(cloud: &mut Cloud, now: Duration, name: &str, peer: Option<Vec<u8>>) {
    let query = [("api-version".to_owned(), "2021-06-01".to_owned())].into();
    let asks = |method: &str, path: String, peer| Request {
        method: method.to_owned(),
        path,
        query: std::collections::BTreeMap::clone(&query),
        body: b"{}".to_vec(),
        peer,
        ..Request::default()
    };
    let path = format!("/{SCOPE}/registrations/{name}");
    let begun = cloud.handle(moment(now), &asks("PUT", format!("{path}/register"), peer.clone()));
    let Some(operation) = begun.body.as_ref().and_then(|body| body["operationId"].as_str()) else { return };
    for _ in 0..2 {
        cloud.handle(moment(now), &asks("GET", format!("{path}/operations/{operation}"), peer.clone()));
    }
}

/// Plays the events; an `Err` says what went wrong.
fn play(events: &[Event], guard: Guard) -> Result<(), String> {
    let mut scene = Scene::new(guard);
    events.iter().try_for_each(|event| scene.happens(*event))?;
    scene.ends()
}

/// The events of order `number`, of all orders of `events` with repetition that are `length` long.
pub(crate) fn order<E: Copy>(events: &[E], mut number: u64, length: usize) -> Vec<E> {
    let base = events.len() as u64;
    let digits = (0..length).map(|_| {
        let digit = number % base;
        number /= base;
        events[digit as usize]
    });
    digits.collect()
}

/// How many orders of `length` different ones of `events` there are.
fn orders_of_different(events: &[Event], length: usize) -> u64 {
    (0..length).map(|taken| (events.len() - taken) as u64).product()
}

/// The events of order `number`, of all orders of `length` different ones of `events`.
fn order_of_different(events: &[Event], mut number: u64, length: usize) -> Vec<Event> {
    let mut left = events.to_vec();
    let pick = |_| {
        let at = (number % left.len() as u64) as usize;
        number /= left.len() as u64;
        left.remove(at)
    };
    (0..length).map(pick).collect()
}

/// Plays every order of up to `longest` different ones of `events`, behind what has happened `before`.
fn check_different(before: &[Event], events: &[Event], longest: usize) {
    for length in 1..=longest {
        on_all_cores(orders_of_different(events, length), |number| {
            check(&[before, &order_of_different(events, number, length)].concat());
        });
    }
}

fn random(seed: u64) -> Vec<Event> {
    let mut dice = fastrand::Rng::with_seed(seed);
    (0..dice.usize(7..=16)).map(|_| EVENTS[dice.usize(..EVENTS.len())]).collect()
}

fn check(events: &[Event]) {
    if let Err(what) = play(events, Guard::Kept) {
        panic!("{what}\nafter {events:?}");
    }
}

/// The orders of the longest two lengths are nearly all of them.
const SHORTER: usize = if cfg!(debug_assertions) { 2 } else { 0 };

#[test]
fn no_order_of_up_to_six_different_events_undoes_an_activation() {
    check_different(&[], &EVENTS[..BY_THEMSELVES], 6 - SHORTER);
}

#[test]
fn no_order_of_up_to_four_different_events_around_a_persons_decision_undoes_an_activation() {
    for (last, decision) in [Event::Rework, Event::Scrap]
        .into_iter()
        .flat_map(|last| [Event::Replace, Event::Keep].map(|decision| (last, decision)))
    {
        let held = [Event::Send, Event::PortalEnable, last, Event::Send];
        check_different(&held, &EVENTS, 4 - SHORTER);
        check_different(&[&held[..], &[decision]].concat(), &EVENTS, 3 - SHORTER);
    }
}

#[test]
fn what_a_person_decides_is_carried_out() {
    let held = [Event::Send, Event::PortalEnable, Event::Rework, Event::Send];
    let ends = |decision: Event| {
        let mut scene = Scene::new(Guard::Kept);
        for event in held.into_iter().chain([decision]) {
            scene.happens(event).unwrap();
        }
        scene.ends().unwrap();
        let record = scene.cloud.enrollment(&name(0)).unwrap();
        assert_eq!(record.provisioning_status, Some(ProvisioningStatus::Enabled));
        record.thumbprint().unwrap().to_owned()
    };
    assert_eq!(ends(Event::Replace), certificate(1).thumbprint);
    assert_eq!(ends(Event::Keep), certificate(0).thumbprint);
}

#[test]
fn no_order_of_four_events_that_may_repeat_undoes_an_activation() {
    let all = (EVENTS.len() as u64).pow(4);
    on_all_cores(share(all), |number| check(&order(&EVENTS, number * (all / share(all)), 4)));
}

#[test]
fn a_hundred_thousand_random_longer_orders_undo_no_activation() {
    on_all_cores(share(100_000), |seed| check(&random(seed)));
}

#[test]
fn without_the_guard_an_activation_is_undone_and_that_is_noticed() {
    let orders = 0..orders_of_different(&EVENTS, 4);
    let undone = orders.map(|number| play(&order_of_different(&EVENTS, number, 4), Guard::Removed));
    let found =
        undone.filter(|result| result.as_ref().is_err_and(|what| what.contains("its status was changed")));
    assert!(found.count() > 10);
}

#[test]
fn an_order_is_every_order_once() {
    let orders = 0..orders_of_different(&EVENTS, 3);
    let all: std::collections::BTreeSet<_> =
        orders.map(|number| format!("{:?}", order_of_different(&EVENTS, number, 3))).collect();
    assert_eq!(all.len(), 12 * 11 * 10);
}
