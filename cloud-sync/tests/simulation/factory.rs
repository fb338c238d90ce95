//! What the factory has issued, as its customers know it.

use std::collections::{BTreeMap, BTreeSet};

use azure_iot::{RegistrationId, enrollment::IndividualEnrollment};
use cloud_sync::{CloudEvent, Resolution, State, Want, books};
use ledger::Seq;

use crate::{
    party::Party,
    plant::{Happened, PASSES, Unit, certificate, id},
};

/// What the factory did, kept outside of the ledger that may be lost.
#[derive(Debug, Default, Clone)]
pub(crate) struct Issued {
    /// Every certificate that was given out, by unit.
    pub(crate) thumbprints: BTreeMap<String, BTreeSet<String>>,
    /// How often each unit got a certificate.
    passes: BTreeMap<usize, usize>,
    /// The units as the ledger has them, with the frame of their last pass.
    pub(crate) units: BTreeMap<usize, (Unit, Seq)>,
    pub(crate) generation: u8,
    /// Certificates that no ledger knows any more.
    pub(crate) lost: BTreeSet<String>,
    /// The versions of records that a person has given up, with their units.
    pub(crate) decided: BTreeSet<(String, String)>,
    /// The passes of units that a person has not had told, as the ledger has them.
    pub(crate) kept: BTreeSet<(RegistrationId, u32)>,
}

impl Issued {
    /// Nothing yet, by the first generation of the box.
    pub(crate) fn nothing() -> Self {
        Self { generation: 1, ..Self::default() }
    }

    /// The unit's next pass; what makes no sense does not happen.
    pub(crate) fn pass(&mut self, unit: usize, want: Want) -> Option<Happened> {
        let known = self.units.get(&unit).map(|(unit, _)| unit);
        let passes = self.passes.entry(unit).or_default();
        let new = match (known, want) {
            (None, Want::Announce) | (Some(_), Want::Replace | Want::Withdraw) => want,
            _ => return None,
        };
        if known.is_some_and(|known| known.want == Want::Withdraw)
            || (*passes == PASSES && new != Want::Withdraw)
        {
            return None;
        }
        let mut earlier = known.map(|known| known.earlier.clone()).unwrap_or_default();
        let certificate = match (new, known) {
            (Want::Withdraw, Some(known)) => known.certificate,
            _ => {
                earlier.extend(known.map(|known| known.certificate));
                *passes += 1;
                unit * PASSES + *passes - 1
            }
        };
        let epoch = known.map_or(1, |known| known.epoch + 1);
        let issued =
            Unit { id: id(unit), epoch, want: new, certificate, earlier, generation: self.generation };
        Some(Happened::Unit(issued))
    }

    /// Notes that it was given out, in frame `seq`.
    pub(crate) fn note(&mut self, unit: usize, event: &Happened, seq: Seq) {
        let Happened::Unit(issued) = event else { return };
        let thumbprint = certificate(issued.certificate).thumbprint.clone();
        self.thumbprints.entry(issued.id.to_string()).or_default().insert(thumbprint);
        self.units.insert(unit, (issued.clone(), seq));
    }

    /// A person looks at a job that is held, and decides; `None` where there is nothing to decide.
    pub(crate) fn decide(
        &mut self,
        factory: &Party,
        found: Option<IndividualEnrollment>,
        unit: usize,
        keep: bool,
    ) -> Option<Happened> {
        let id = id(unit);
        let state = books::committed(&factory.ledger, &id).unwrap()?.state;
        let State::Held { epoch, .. } = state else { return None };
        let found = found?;
        let resolution = if keep {
            self.kept.insert((id.clone(), epoch));
            Resolution::KeepCloud { sha256: found.thumbprint().map(str::to_owned) }
        } else {
            let etag = found.etag.unwrap();
            self.decided.insert((id.to_string(), etag.clone()));
            Resolution::ReplaceCloud { etag }
        };
        Some(CloudEvent::Resolved { id, epoch, resolution, reason: "compared".to_owned() }.into())
    }

    /// The ledger was restored from a backup: what it does not have is lost.
    pub(crate) fn restored(self, factory: &Party, units: BTreeMap<usize, (Unit, Seq)>) -> Self {
        for (unit, seq) in units.values() {
            let record = books::committed(&factory.ledger, &unit.id).unwrap().unwrap();
            assert_eq!((record.state.epoch(), record.wanted.seq), (unit.epoch, *seq));
        }
        let kept: BTreeSet<_> = units
            .values()
            .flat_map(|(unit, _)| unit.earlier.iter().chain([&unit.certificate]))
            .map(|number| certificate(*number).thumbprint.clone())
            .collect();
        let lost =
            self.thumbprints.values().flatten().filter(|given| !kept.contains(*given)).cloned().collect();
        let mut kept = self.kept;
        kept.retain(|(id, epoch)| {
            let record = books::committed(&factory.ledger, id).unwrap();
            record.is_some_and(|record| {
                matches!(record.state, State::Settled { .. }) && record.state.epoch() == *epoch
            })
        });
        Self { units, generation: self.generation + 1, lost, kept, ..self }
    }
}
