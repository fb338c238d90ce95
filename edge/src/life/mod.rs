//! A unit after its issue: reworked, rekeyed, renewed, scrapped, and told about.
//!
//! ```text
//! issued (pass 1) ── rework, rekey, renewal ─▶ issued again (pass 2, 3, …) ── scrap ─▶ the end: its id is never issued again
//! ```
//!
//! A certificate that a unit had before is revoked as soon as nobody needs it: after a rework and a renewal when the cloud
//! carries the new one, after a lost reply and after a scrap at once.

pub(crate) mod history;
mod reissue;
mod renew;
mod rework;
mod scrap;

pub(crate) use renew::{renew, superseded};
pub(crate) use rework::{Rework, rework};
pub(crate) use scrap::scrap;

use azure_iot::RegistrationId;
use cloud_sync::{CloudEvent, claim::ClaimRecord};
use http::StatusCode;
use ledger::{Applied, Changes};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use web::Problem;

use crate::{
    access::Principal,
    crl::{self, Reason},
    event::{IssuedBy, UnitIssued},
    http::{Shared, unreadable},
    index::{self, Unit},
    issuance::unprocessable,
};

/// Why a unit was issued again, and what it had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Again {
    /// What kind of a second pass this is.
    pub why: Why,
    /// What the person or the station said.
    pub reason: String,
    /// Every certificate that the unit had before, the last one last.
    pub before: Vec<Retired>,
    /// SHA-256 of a certificate that this box gave the unit after the backup that it was restored from, if the cloud knew
    /// of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_sha256: Option<String>,
}

impl Again {
    /// The thumbprints by which the cloud may know the unit so far.
    pub(crate) fn earlier(&self) -> Vec<String> {
        self.before.iter().map(|retired| retired.sha256.clone()).chain(self.lost_sha256.clone()).collect()
    }
}

/// What kind of a second pass it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A person decided that the unit gets a new identity.
    Rework,
    /// The station never saw the answer that it asked for.
    ReplyLost,
    /// The unit itself asked, with the certificate that it had.
    Renewed,
}

/// A certificate that a unit had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// The pass that it was of.
    pub epoch: u32,
    /// Its serial number, hex.
    pub serial: String,
    /// Its SHA-256, upper-case hex.
    pub sha256: String,
    /// When it would have ended.
    #[serde(with = "time::serde::rfc3339")]
    pub not_after: OffsetDateTime,
    /// SHA-256 of the issuing CA's certificate, hex.
    pub issuer_sha256: String,
}

impl Retired {
    fn of(issued: &UnitIssued) -> Self {
        Self {
            epoch: issued.epoch,
            serial: issued.serial.clone(),
            sha256: issued.sha256.clone(),
            not_after: issued.not_after,
            issuer_sha256: issued.issuer_sha256.clone(),
        }
    }

    /// Every certificate of `unit`, whose present pass is `last`, that one last.
    fn all(floor: &Shared, unit: &Unit, last: &UnitIssued) -> Result<Vec<Self>, Problem> {
        let mut all = match &last.again {
            Some(again) => again.before.clone(),
            None if last.epoch == 1 => Vec::new(),
            // Renewed by a version that did not write down what came before.
            None => history::passes(floor, unit)?.iter().map(Self::of).collect(),
        };
        all.retain(|retired| retired.epoch < last.epoch);
        all.push(Self::of(last));
        Ok(all)
    }
}

/// A unit came to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnitScrapped {
    /// Its registration id.
    pub id: RegistrationId,
    /// The pass that ends everything: one after the last.
    pub epoch: u32,
    /// What the person said.
    pub reason: String,
    /// Every certificate that it had, the last one last.
    pub retired: Vec<Retired>,
    /// The last certificate, base64 of the DER: the tombstone carries it where the cloud has no record yet.
    pub certificate: String,
    /// Its SHA-256, upper-case hex.
    pub sha256: String,
    /// SHA-256 of a certificate that this box gave the unit after the backup that it was restored from, if the cloud knew
    /// of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_sha256: Option<String>,
    /// What of the claim code may travel.
    pub claim: ClaimRecord,
    /// The box that scrapped it, and its generation then.
    pub issued_by: IssuedBy,
}

impl UnitScrapped {
    /// The thumbprints by which the cloud may know the unit so far.
    pub(crate) fn earlier(&self) -> Vec<String> {
        self.retired.iter().map(|retired| retired.sha256.clone()).chain(self.lost_sha256.clone()).collect()
    }
}

/// A certificate was revoked that will never be of use: a person had the cloud keep another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRevoked {
    /// The unit.
    pub id: RegistrationId,
    /// Its certificate.
    pub retired: Retired,
}

impl CertificateRevoked {
    /// That of the pass which `issued` began.
    pub(crate) fn of(issued: &UnitIssued) -> Self {
        Self { id: issued.id.clone(), retired: Retired::of(issued) }
    }
}

/// Certificates that are revoked once the cloud carries the pass that replaces them, under `retiring/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Retiring {
    epoch: u32,
    certificates: Vec<Retired>,
}

fn retiring(id: &RegistrationId) -> Vec<u8> {
    format!("retiring/{id}").into_bytes()
}

/// Applies that a unit was issued again. Before the index learns of its new pass: the history begins with the old one.
pub(crate) fn issued(changes: &mut Changes<'_>, at: &Applied<'_>, unit: &UnitIssued) {
    if unit.epoch == 1 {
        return;
    }
    history::note(changes, at, &unit.id);
    let Some(again) = &unit.again else { return };
    if again.why == Why::ReplyLost
        && let Some(last) = again.before.last()
    {
        crl::revoke(changes, at, last, Reason::Superseded);
    }
    let retiring = Retiring { epoch: unit.epoch, certificates: again.before.clone() };
    changes.put(&self::retiring(&unit.id), &retiring);
}

/// Applies that a unit was scrapped.
pub(crate) fn scrapped(changes: &mut Changes<'_>, at: &Applied<'_>, scrapped: &UnitScrapped) {
    history::note(changes, at, &scrapped.id);
    if let Some(unit) = changes.get::<Unit>(&index::unit(&scrapped.id)) {
        changes.put(&index::unit(&scrapped.id), &Unit { scrapped: true, ..unit });
    }
    for retired in &scrapped.retired {
        let last = retired.sha256 == scrapped.sha256;
        crl::revoke(
            changes,
            at,
            retired,
            if last { Reason::CessationOfOperation } else { Reason::Superseded },
        );
    }
    changes.remove(&retiring(&scrapped.id));
}

/// Applies that a certificate is of no use any more.
pub(crate) fn revoked(changes: &mut Changes<'_>, at: &Applied<'_>, event: &CertificateRevoked) {
    history::note(changes, at, &event.id);
    let unit = changes.get::<Unit>(&index::unit(&event.id));
    if let Some(unit) = unit.filter(|unit| unit.sha256 == event.retired.sha256) {
        changes.put(&index::unit(&event.id), &Unit { revoked: true, ..unit });
    }
    crl::revoke(changes, at, &event.retired, Reason::Superseded);
}

/// Applies what the cloud said about a unit, or a person about its job.
pub(crate) fn told(changes: &mut Changes<'_>, at: &Applied<'_>, event: &CloudEvent) {
    let Some(id) = event.unit() else { return };
    history::note(changes, at, id);
    if let CloudEvent::Accepted { epoch, .. } = event
        && let Some(found) = changes.get::<Retiring>(&retiring(id))
        && found.epoch == *epoch
    {
        for retired in &found.certificates {
            crl::revoke(changes, at, retired, Reason::Superseded);
        }
        changes.remove(&retiring(id));
    }
}

/// Why a unit stays as it is. Each says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("no unit with this id was issued here; check the id")]
    Unknown,
    #[error("this unit was scrapped; its id is never issued again, give the device another one")]
    Scrapped,
    #[error("this key already belongs to {0}; every unit needs a key of its own, make a new one")]
    KeyInUse(RegistrationId),
    #[error("the unit has or had this very key; a new identity needs a new key, make one on the device")]
    KeyUnchanged,
    #[error("{}", .0.words())]
    Fenced(crate::fence::Fence),
    #[error(
        "the unit has been announced, or is held, so the reply was not lost: what it needs is rework (POST /v1/units/{0}/rework)"
    )]
    TooLate(RegistrationId),
    #[error("somebody else changed this unit at the same time; look at it, then ask again")]
    Overtaken,
    #[error("this unit has a newer certificate; ask with that one")]
    Superseded,
    #[error(
        "a later certificate of this unit was issued before this box was restored from a backup that lacks it \
         (SHA-256 {0}); it gets a new one by rework"
    )]
    Lost(String),
}

impl Refusal {
    fn problem(self) -> Problem {
        let code = match &self {
            Self::Fenced(fence) => return fence.problem(),
            Self::Unknown => "unit-unknown",
            Self::Scrapped => "unit-scrapped",
            Self::KeyInUse(_) => "key-in-use",
            Self::KeyUnchanged => "key-unchanged",
            Self::TooLate(_) => "rekey-too-late",
            Self::Overtaken => "unit-changed",
            Self::Superseded => "certificate-superseded",
            Self::Lost(_) => "unit-lost",
        };
        let status = match &self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Superseded => StatusCode::FORBIDDEN,
            _ => StatusCode::CONFLICT,
        };
        Problem::new(status, code, self.to_string()).retryable(matches!(self, Self::Overtaken))
    }
}

/// The unit, if whoever asks may know of it.
pub(crate) fn unit(floor: &Shared, principal: &Principal, id: &str) -> Result<Unit, Problem> {
    let unknown = || Refusal::Unknown.problem();
    let id = RegistrationId::parse_any_case(id).map_err(|_| unknown())?;
    let unit = floor.ledger.get::<Unit>(&index::unit(&id)).map_err(|error| unreadable(&error))?;
    unit.filter(|unit| principal.may_use(&unit.line)).ok_or_else(unknown)
}

/// Reads why somebody decides something: it stands in the journal for ever.
pub(crate) fn reason(text: Option<String>) -> Result<String, Problem> {
    const LONGEST: usize = 500;
    let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| {
        unprocessable(
            "reason-required",
            "say why, in \"reason\"; it stands in the journal for ever".to_owned(),
        )
    })?;
    if text.chars().count() > LONGEST {
        let detail = format!("the reason is longer than {LONGEST} characters; say it shorter");
        return Err(unprocessable("reason-too-long", detail));
    }
    Ok(text)
}
