//! What a courier says to the cloud is what the worker would say, and it says it once, however often a bundle is done.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use azure_iot::enrollment::{IndividualEnrollment, ProvisioningStatus};
use cloud_sync::{
    Amendment, Announcement, CloudEvent, Provenance, ReadBackConfig, Work,
    claim::{ClaimCode, ClaimRecord},
    courier::{Bundle, Errands, Job, Letter, Step},
    fence::Identity,
    mind::Pace,
};
use emulator::{Fate, cloud::Cloud};

use crate::{
    guard,
    plant::{BOX, PASSES, certificate, id, name},
    wire::{cloud, heard, moment},
};

/// A cloud, and the bundles that are done there.
struct Office {
    cloud: Cloud,
    now: Duration,
}

/// The unit as pass `epoch` has left it.
fn unit(number: usize, epoch: u32) -> Announcement {
    let der = certificate(number * PASSES + epoch as usize - 1).der.clone();
    Announcement {
        id: id(number),
        thumbprint: hex::encode_upper(digest(&SHA256, &der)),
        certificate: der,
        provenance: Provenance {
            box_id: BOX.to_owned(),
            generation: 1,
            epoch,
            seq: 9,
            head: "00".into(),
            scrapped: false,
        },
        claim: ClaimRecord::new(1, &[1; 16], &ClaimCode::from_bits([7; 10])),
    }
}

fn amendment(number: usize, epoch: u32) -> Amendment {
    let earlier = (1..epoch).map(|epoch| unit(number, epoch).thumbprint).collect();
    Amendment { unit: unit(number, epoch), earlier }
}

fn announce(number: usize) -> Work {
    Work::Announce(unit(number, 1))
}

fn bundle(generation: u8, work: Vec<Work>) -> Bundle {
    let instance = if generation > 1 { "i" } else { "" }.to_owned();
    let identity =
        Identity { box_id: BOX.into(), generation, instance, certificate: certificate(0).der.clone() };
    let jobs: Vec<_> = work.into_iter().map(|work| Job::of(work).unwrap()).collect();
    Bundle { letter: Letter::new(identity, 1, "courier".into(), jobs.len(), moment(Duration::ZERO)), jobs }
}

impl Office {
    fn new() -> Self {
        Self { cloud: cloud(7), now: Duration::ZERO }
    }

    /// Does a bundle, with so many requests at most, and returns what stands in its receipt.
    fn run(&mut self, bundle: Bundle, most: usize) -> Vec<CloudEvent> {
        let second = Duration::from_secs(1);
        let pace = Pace {
            per_minute: 6000,
            count_units: true,
            in_flight: 4,
            first_delay: second,
            longest_delay: second,
            read_back: ReadBackConfig::default(),
        };
        let mut errands = Errands::new(bundle, pace, 7).unwrap();
        for _ in 0..most {
            match errands.next(self.now, moment(self.now)).unwrap() {
                Step::Done => break,
                Step::Rest(rest) => self.now += rest.expect("nothing is under way"),
                Step::Ask(number, call) => {
                    let nothing = BTreeSet::new();
                    let met = guard::meet(
                        &mut self.cloud,
                        moment(self.now),
                        &call,
                        Fate::Served,
                        &issued(),
                        &nothing,
                    );
                    errands.heard(self.now, number, heard(met.unwrap()).unwrap());
                }
            }
        }
        errands.receipt("dps").unwrap().outcomes
    }

    fn record(&self, number: usize) -> IndividualEnrollment {
        self.cloud.enrollment(&name(number)).unwrap()
    }

    fn activate(&mut self, number: usize) {
        let enable = |record: &mut IndividualEnrollment| {
            record.provisioning_status = Some(ProvisioningStatus::Enabled);
        };
        assert!(self.cloud.act_as_portal(moment(self.now), &name(number), enable));
    }
}

/// Every certificate that the factory may have given out.
fn issued() -> BTreeMap<String, BTreeSet<String>> {
    let of = |number| (1..=PASSES as u32).map(|epoch| unit(number, epoch).thumbprint).collect();
    (0..crate::plant::UNITS).map(|number| (name(number), of(number))).collect()
}

fn accepted(number: usize, epoch: u32) -> CloudEvent {
    CloudEvent::Accepted { id: id(number), epoch }
}

/// The code with which unit `number` is held.
fn held(outcomes: &[CloudEvent], number: usize) -> Option<&str> {
    outcomes.iter().find_map(|outcome| match outcome {
        CloudEvent::Held { id, why, .. } if *id == self::id(number) => Some(why.code.as_str()),
        _ => None,
    })
}

#[test]
fn a_bundle_that_is_done_again_changes_nothing_and_says_the_same() {
    let mut office = Office::new();
    let first = bundle(1, (0..4).map(announce).collect());
    assert_eq!(office.run(first.clone(), 1000), [0, 1, 2, 3].map(|number| accepted(number, 1)));
    let second =
        bundle(1, vec![Work::Replace(amendment(0, 2)), Work::Withdraw(amendment(1, 2)), announce(4)]);
    let outcomes = office.run(second.clone(), 1000);
    assert_eq!(outcomes, [accepted(0, 2), accepted(1, 2), accepted(4, 1)]);
    assert_eq!(office.record(0).thumbprint(), Some(unit(0, 2).thumbprint.as_str()));
    let before = office.cloud.enrollments();
    assert_eq!(before.len(), 5);
    assert_eq!(office.run(second, 1000), outcomes);
    // The first bundle is of before the rework: it finds another certificate, and leaves it there.
    assert_eq!(held(&office.run(first, 1000), 0), Some("conflict"));
    assert_eq!(office.cloud.enrollments(), before, "nothing was written, not even the same");
}

#[test]
fn a_courier_never_undoes_an_activation() {
    let mut office = Office::new();
    let first = bundle(1, vec![announce(0), announce(1)]);
    office.run(first.clone(), 1000);
    office.activate(0);
    office.activate(1);
    let before = office.cloud.enrollments();
    assert_eq!(office.run(first, 1000), [accepted(0, 1), accepted(1, 1)]);
    let later = bundle(1, vec![Work::Replace(amendment(0, 2)), Work::Withdraw(amendment(1, 2))]);
    let outcomes = office.run(later, 1000);
    assert_eq!([0, 1].map(|number| held(&outcomes, number)), [Some("activated"), Some("activated")]);
    assert_eq!(office.cloud.enrollments(), before);
}

#[test]
fn what_was_not_told_is_not_in_the_receipt_and_is_told_the_next_time() {
    let mut office = Office::new();
    let work = || bundle(1, vec![announce(0), Work::Withdraw(amendment(1, 2))]);
    // A look for the box itself, the announcement, and half of what a withdrawal takes.
    assert_eq!(office.run(work(), 3), [accepted(0, 1)]);
    assert_eq!(office.run(work(), 1000), [accepted(0, 1), accepted(1, 2)]);
}

#[test]
fn in_the_name_of_a_box_that_lives_on_elsewhere_nothing_is_said() {
    let mut office = Office::new();
    assert_eq!(office.run(bundle(2, vec![announce(0)]), 1000), [accepted(0, 1)]);
    let before = office.cloud.enrollments();
    let outcomes = office.run(bundle(1, vec![announce(1), announce(2)]), 1000);
    assert_eq!(outcomes, [CloudEvent::Superseded { generation: 2 }]);
    assert_eq!(office.cloud.enrollments(), before);
}
