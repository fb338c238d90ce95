//! Amending a record of our own: a new certificate after rework, a tombstone after scrap.
//!
//! ```text
//! GET ─▶ 404 ─▶ PUT, create-only ─▶ exists meanwhile: read again
//!    ├─▶ as wanted already ─▶ Accepted
//!    ├─▶ disabled, unassigned, and with a certificate of ours of this unit ─▶ PUT, If-Match ─▶ 412: read again
//!    └─▶ anything else ─▶ held: a person decides
//!            └─▶ decided, and still of the version that was decided on ─▶ PUT, If-Match
//!                            of another ─▶ held: the person looks again
//! ```
//!
//! An amendment acts alone only where nobody else has done anything with the record, so it never undoes an activation.
//! A person's decision is about one version of the record: it overrules who else has a part in that, and nothing that came
//! later. Even then a new certificate leaves whether the device is enabled, its twin and its hub as they are; the
//! secondary certificate goes with the primary, because what was there before shall not open the door any more.
//! A tombstone is not a deletion: the record stays, disabled and marked, so that nobody can claim the unit.

use azure_iot::{
    RegistrationId,
    enrollment::{Attestation, IndividualEnrollment, ProvisioningStatus},
};
use serde_json::{Value, json};

use crate::{
    announce::{generation, record},
    enrollment::{is_disabled, is_scrapped, is_unassigned, secondary},
    rewrite::{Purpose, Rewriting, Step},
    state::CHANGED,
    work::{Amendment, Outcome},
};

/// What is to become of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// It shall carry the new certificate.
    Replace,
    /// It shall be a tombstone.
    Withdraw,
}

/// What an amendment wants of a record.
#[derive(Debug)]
pub struct Amend {
    change: Change,
    amendment: Amendment,
    /// The version of the record that gives way, because a person has decided so.
    decided: Option<String>,
    /// The generation of the box that speaks; the unit may be one of an earlier one.
    own: u8,
    /// The highest generation of the box that was seen.
    seen: Option<u8>,
}

/// The conversation about one unit.
pub type Amending = Rewriting<Amend>;

impl Amending {
    /// A conversation that puts the unit's new certificate in the place of an earlier one.
    #[must_use]
    pub fn replace(amendment: Amendment) -> Self {
        Self::new(Change::Replace, amendment)
    }

    /// A conversation that makes the unit's record a tombstone.
    #[must_use]
    pub fn withdraw(mut amendment: Amendment) -> Self {
        amendment.unit.provenance.scrapped = true;
        Self::new(Change::Withdraw, amendment)
    }

    fn new(change: Change, amendment: Amendment) -> Self {
        let own = amendment.unit.provenance.generation;
        Self::with(Amend { change, amendment, decided: None, own, seen: None })
    }

    /// The same, said by a box of this generation; without one, by that which issued the unit.
    #[must_use]
    pub fn by(mut self, generation: Option<u8>) -> Self {
        self.purpose.own = generation.unwrap_or(self.purpose.own);
        self
    }

    /// The same, because a person has decided that the record of this version gives way.
    #[must_use]
    pub fn decided(mut self, etag: Option<String>) -> Self {
        self.purpose.decided = etag;
        self
    }
}

impl Purpose for Amend {
    const WHAT: &'static str = "the change";

    fn id(&self) -> &RegistrationId {
        &self.amendment.unit.id
    }

    fn found(&mut self, found: IndividualEnrollment) -> Step {
        let seen = generation(&self.amendment.unit, &found);
        self.seen = self.seen.max(seen);
        if seen > Some(self.own) {
            // This box lives on elsewhere: what it finds is no longer its to change.
            return Err(Outcome::Later("a later generation of this box has written the enrollment"));
        }
        prepare(self.change, &self.amendment, self.decided.as_deref(), found)
    }

    fn missing(&self) -> Step {
        // Without an ETag it is only created.
        Ok(record(&self.amendment.unit))
    }

    fn generation(&self) -> Option<u8> {
        self.seen
    }
}

/// Checks what was found, and turns it into what shall be there. Every field that is not ours is kept.
fn prepare(
    change: Change,
    amendment: &Amendment,
    decided: Option<&str>,
    found: IndividualEnrollment,
) -> Step {
    let unit = &amendment.unit;
    let information = found.optional_device_information.clone().unwrap_or_default();
    let (scrapped, disabled) = (is_scrapped(&found), is_disabled(&found));
    let carries =
        |thumbprint: &str| found.thumbprint().is_some_and(|carried| carried.eq_ignore_ascii_case(thumbprint));
    let current = carries(&unit.thumbprint);
    let ours = current || amendment.earlier.iter().any(|earlier| carries(earlier));
    match change {
        Change::Replace if scrapped => {
            let detail = "DPS says that this unit was scrapped; its record is a tombstone and stays one";
            return Err(Outcome::stopped("scrapped", detail));
        }
        Change::Replace if current => return Err(Outcome::Accepted),
        // One that was decided on may carry anybody's certificate.
        Change::Withdraw if scrapped && disabled && (ours || decided.is_some()) => {
            return Err(Outcome::Accepted);
        }
        Change::Replace | Change::Withdraw => {}
    }
    let what = match change {
        Change::Replace => "the new certificate was not put there",
        Change::Withdraw => "it was not withdrawn",
    };
    let held = |code, why: &str| Outcome::stopped(code, format!("{why}; {what}"));
    let Some(etag) = found.etag.clone() else {
        return Err(Outcome::stopped("rejected", "DPS shows the enrollment without an ETag"));
    };
    match decided {
        Some(decided) if decided == etag => {}
        Some(_) => {
            let why = "the enrollment is not what it was when somebody decided to replace it";
            return Err(held(CHANGED, why));
        }
        None => ours_alone(&found, ours).map_err(|(code, why)| held(code, &why))?,
    }
    let Value::Object(mut information) = (if information.is_null() { json!({}) } else { information }) else {
        return Err(held("conflict", "the enrollment's optionalDeviceInformation is no object"));
    };
    information.insert("edge".to_owned(), json!(unit.provenance));
    if change == Change::Replace && !ours {
        // The label is the unit's, so its code opens what was somebody else's.
        information.insert("claim".to_owned(), json!(unit.claim));
    }
    let mut wanted = found.writable();
    wanted.optional_device_information = Some(Value::Object(information));
    match change {
        Change::Replace => wanted.attestation = Attestation::x509(&unit.certificate),
        Change::Withdraw => wanted.provisioning_status = Some(ProvisioningStatus::Disabled),
    }
    wanted.etag = Some(etag);
    Ok(wanted)
}

/// Whether nobody else has a part in a record; if not, why. `ours` says whether it carries a certificate of ours.
fn ours_alone(found: &IndividualEnrollment, ours: bool) -> Result<(), (&'static str, String)> {
    if !ours {
        let theirs = found.thumbprint().unwrap_or("no certificate");
        let why = format!("DPS has a certificate for this id that is not of this unit ({theirs})");
        return Err(("conflict", why));
    }
    if secondary(found).is_some() {
        return Err(("conflict", "somebody has added a secondary certificate to the enrollment".to_owned()));
    }
    if !is_disabled(found) {
        return Err((
            "activated",
            "the device was activated, so its record is not ours alone any more".to_owned(),
        ));
    }
    if !is_unassigned(found) {
        return Err(("assigned", "the device has registered already, and may live at a hub".to_owned()));
    }
    Ok(())
}
