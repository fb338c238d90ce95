//! What was asked of the portal last is what counts: every order of activating, deactivating, losing and arriving late.

use std::time::Duration;

use azure_iot::enrollment::ProvisioningStatus;
use cloud_sync::{Cause, Permit, ReadBackConfig, State, Want, answer::Call, books, clerk::Action};
use emulator::{
    Fate,
    cloud::{Cloud, meet::Met},
};

use crate::{
    drain::issue,
    guard, on_all_cores,
    orders::{one_by_one, order},
    party::Party,
    plant::{HUB, Happened, id, name, twin},
    share,
    wire::{cloud, heard, moment, request, trouble},
};

/// What can happen around a device at the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Activate,
    Deactivate,
    /// The portal asks something and hears the answer.
    Send,
    /// The portal asks something, it is carried out, and the answer is lost.
    ReplyLost,
    /// The oldest request that is still on its way arrives; without one, the next request of the portal goes astray, and
    /// the portal gives it up.
    LateArrival,
    /// The portal dies and comes back.
    Crash,
}

const EVENTS: [Event; 6] =
    [Event::Activate, Event::Deactivate, Event::Send, Event::ReplyLost, Event::LateArrival, Event::Crash];

/// Whether the portal writes only to the version that it has read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Kept,
    Removed,
}

/// One announced device, a portal and the cloud.
struct Scene {
    now: Duration,
    cloud: Cloud,
    portal: Party,
    epoch: u32,
    late: Vec<Call>,
    guard: Guard,
}

impl Scene {
    fn new(guard: Guard, read_back: ReadBackConfig) -> Self {
        let (mut now, mut cloud) = (Duration::ZERO, cloud(1));
        let mut factory = Party::new(one_by_one(ReadBackConfig::OFF), Permit::Anybody, 1);
        factory.happens(now, issue(&name(0), 0));
        while let Some((number, call)) = factory.asks(&mut now) {
            let met = cloud.meet(moment(now), &request(&call), Fate::Served);
            factory.clerk.heard(now, number, heard(met).unwrap());
        }
        let portal = Party::new(one_by_one(read_back), Permit::Anybody, 2);
        Self { now, cloud, portal, epoch: 0, late: Vec::new(), guard }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Activate | Event::Deactivate => {
                self.epoch += 1;
                let (id, epoch) = (id(0), self.epoch);
                let activate = event == Event::Activate;
                let asked =
                    if activate { Happened::Claimed { id, epoch } } else { Happened::Released { id, epoch } };
                self.portal.happens(self.now, asked);
            }
            Event::Send => self.send(),
            Event::ReplyLost => {
                let Some((number, call)) = self.portal.asks(&mut self.now) else { return };
                self.arrives(&call);
                let lost = trouble(Cause::Unreachable, "connection reset");
                self.portal.clerk.heard(self.now, number, Err(lost));
            }
            Event::LateArrival if self.late.is_empty() => {
                let Some((number, call)) = self.portal.asks(&mut self.now) else { return };
                self.late.push(call);
                self.now += Duration::from_secs(30);
                self.portal.clerk.heard(self.now, number, Err(trouble(Cause::TimedOut, "no answer")));
            }
            Event::LateArrival => {
                let call = self.late.remove(0);
                self.arrives(&call);
            }
            Event::Crash => self.portal.crash(3),
        }
    }

    fn send(&mut self) {
        let Some((number, call)) = self.portal.asks(&mut self.now) else { return };
        let met = self.arrives(&call);
        self.portal.clerk.heard(self.now, number, heard(met).unwrap());
    }

    fn arrives(&mut self, call: &Call) -> Met {
        let call = match self.guard {
            Guard::Kept => call.clone(),
            Guard::Removed => guard::mutated(call),
        };
        self.cloud.meet(moment(self.now), &request(&call), Fate::Served)
    }

    /// The portal says all that it has to say, and then what went astray arrives.
    fn ends(&mut self) -> Result<(), String> {
        for _ in 0..50 {
            self.send();
        }
        if self.portal.waiting() > 0 {
            return Err("something still waits".to_owned());
        }
        for call in std::mem::take(&mut self.late) {
            self.arrives(&call);
        }
        let Some(known) = books::committed(&self.portal.ledger, &id(0)).unwrap() else { return Ok(()) };
        let State::Settled { want, epoch, .. } = known.state else {
            return Err(format!("it is not settled: {:?}", known.state));
        };
        let record = self.cloud.enrollment(&name(0)).unwrap();
        let is_active = record.provisioning_status == Some(ProvisioningStatus::Enabled);
        if epoch != self.epoch || is_active != (want == Want::Activate) {
            return Err(format!("{want:?} was undone: {record:?}"));
        }
        if is_active && (record.initial_twin != Some(twin()) || record.iot_hubs != Some(vec![HUB.to_owned()]))
        {
            return Err(format!("it is active with something else: {record:?}"));
        }
        Ok(())
    }
}

/// Plays the events; an `Err` says what went wrong.
fn play(events: &[Event], guard: Guard) -> Result<(), String> {
    let mut scene = Scene::new(guard, ReadBackConfig::OFF);
    events.iter().for_each(|event| scene.happens(*event));
    scene.ends()
}

fn check(events: &[Event]) {
    if let Err(what) = play(events, Guard::Kept) {
        panic!("{what}\nafter {events:?}");
    }
}

#[test]
fn no_order_of_six_events_lets_what_was_asked_before_undo_what_was_asked_last() {
    let all = (EVENTS.len() as u64).pow(6);
    on_all_cores(share(all), |number| check(&order(&EVENTS, number * (all / share(all)), 6)));
}

#[test]
fn a_deactivation_that_arrives_late_does_not_undo_the_activation_after_it() {
    use Event::*;
    // The write of the deactivation goes astray, and the record is as the activation after it wants it all the time.
    check(&[Activate, Send, Send, Deactivate, Send, LateArrival, Activate, Send, Send, LateArrival]);
    check(&[Activate, Send, Send, Deactivate, Send, LateArrival, Activate]);
}

#[test]
fn an_activation_that_arrives_late_does_not_undo_the_deactivation_after_it() {
    use Event::*;
    check(&[Activate, Send, LateArrival, Deactivate, Send, Send, LateArrival]);
    check(&[Activate, Send, LateArrival, Deactivate]);
}

#[test]
fn without_the_guard_what_was_asked_last_is_undone_and_that_is_noticed() {
    let orders = 0..(EVENTS.len() as u64).pow(5);
    let undone = orders.map(|number| play(&order(&EVENTS, number, 5), Guard::Removed));
    let found = undone.filter(|result| result.as_ref().is_err_and(|what| what.contains("was undone")));
    assert_eq!(found.take(10).count(), 10);
}

#[test]
fn what_the_portal_has_settled_is_nobodys_to_look_back_at() {
    let often = ReadBackConfig { share: 0.5, every: Duration::from_secs(60) };
    for event in [Event::Activate, Event::Deactivate] {
        let mut scene = Scene::new(Guard::Kept, often);
        scene.happens(event);
        while let Action::Ask(number, call) = scene.portal.next(scene.now) {
            let met = scene.arrives(&call);
            scene.portal.clerk.heard(scene.now, number, heard(met).unwrap());
        }
        assert_eq!(scene.portal.waiting(), 0);
        let before = (scene.portal.ledger.seq(), scene.cloud.enrollment(&name(0)));
        for hour in 1..24 {
            let next = scene.portal.next(scene.now + Duration::from_secs(3600 * hour));
            assert!(matches!(next, Action::Rest(_)), "{event:?}: {next:?}");
        }
        assert_eq!((scene.portal.ledger.seq(), scene.cloud.enrollment(&name(0))), before, "{event:?}");
    }
}
