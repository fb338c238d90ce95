//! A job that is held, compared with what the cloud has, and what a person decides about it.
//!
//! Only a person has the cloud asked here, once for every look and beside the worker's budget; no line waits for it
//! (law 4), and nothing is written to the cloud. A decision goes into the journal, and the worker acts on it.

use std::time::Duration;

use azure_iot::RegistrationId;
use cloud_sync::{CloudEvent, Found, Resolution, State, Want, books};
use http::StatusCode;
use ledger::{Decision, Stamp, View};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tracing::info;
use utoipa::ToSchema;
use web::Problem;

use crate::{
    EdgeEvent,
    event::{CertificateRevoked, UnitIssued},
    fence,
    http::{Shared, now, refused, units::issued, unreadable},
    index::{self, Unit},
    issuance::id,
    life,
    queue::{self, Job},
};

/// How long a person waits for the cloud; the HTTPS face gives up on a request a little later.
const PATIENCE: Duration = Duration::from_secs(10);
/// Why nothing is known of the cloud where none is configured.
const NO_CLOUD: &str = "no-cloud";

/// A job; one that is held with both sides of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Compared {
    #[serde(flatten)]
    pub(crate) job: Job,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comparison: Option<Comparison>,
}

/// Both sides.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) cloud: InCloud,
    pub(crate) ours: Ours,
    /// What is likely, in a sentence.
    pub(crate) likely: String,
    /// What a person can do.
    pub(crate) choices: Vec<Choice>,
}

/// What the cloud has, as far as it says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub(crate) enum InCloud {
    /// This record.
    Found(Found),
    /// No record.
    Absent,
    /// It could not be asked.
    Unknown {
        /// Why, as a stable code.
        code: String,
        /// Why, in words.
        detail: String,
    },
}

/// What this box has given the unit last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ours {
    /// SHA-256 of the certificate, upper-case hex.
    pub(crate) sha256: String,
    /// Which pass of the unit it is of.
    pub(crate) epoch: u32,
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) issued_at: OffsetDateTime,
}

/// Something that a person can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Choice {
    pub(crate) command: String,
    /// What comes of it.
    pub(crate) means: String,
}

/// What a person decides about a job that is held.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolve {
    pub(crate) decision: Verdict,
    /// Required: why; it stands in the journal for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub(crate) reason: Option<String>,
    /// Required to replace: the version of the cloud's record that was looked at. Another one is never replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub(crate) etag: Option<String>,
}

/// Which side gives way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// Ours.
    KeepCloud,
    /// The cloud's.
    ReplaceCloud,
}

/// What came of a decision.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resolved {
    #[serde(flatten)]
    pub(crate) job: Job,
    /// The serial number of the certificate that was revoked with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<String>,
    /// What happens now, in a sentence.
    pub(crate) next: String,
}

/// The job of one unit; if it is held, with what the cloud has.
pub(crate) async fn compare(floor: &Shared, name: &str) -> Result<Compared, Problem> {
    let job = queue::show(floor, name)?;
    if !job.is_held() {
        return Ok(Compared { job, comparison: None });
    }
    let (issued_at, issued) = last_issued(floor, &job.id)?;
    let cloud = look(floor, &job.id).await;
    let own_box = floor.this_box().map_err(|error| unreadable(&error))?.issued_by.box_id;
    let likely = likely(job.want, &issued, &own_box, &cloud);
    let choices = choices(&job, &issued, &cloud);
    let ours = Ours { sha256: issued.sha256, epoch: issued.epoch, issued_at };
    Ok(Compared { job, comparison: Some(Comparison { cloud, ours, likely, choices }) })
}

/// Asks the cloud what it has, once.
async fn look(floor: &Shared, id: &RegistrationId) -> InCloud {
    let unknown = |code: &str, detail: String| InCloud::Unknown { code: code.to_owned(), detail };
    let Some(survey) = &floor.survey else {
        return unknown(NO_CLOUD, "no cloud is configured; see [cloud] in the configuration".to_owned());
    };
    match tokio::time::timeout(PATIENCE, survey.look(id, now())).await {
        Ok(Ok(Some(found))) => InCloud::Found(found),
        Ok(Ok(None)) => InCloud::Absent,
        Ok(Err(trouble)) => {
            unknown(trouble.cause.code(), format!("{} ({})", trouble.cause.words(), trouble.detail))
        }
        Err(_) => unknown("link-timeout", format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// How the unit was issued last, and when.
fn last_issued(floor: &Shared, id: &RegistrationId) -> Result<(OffsetDateTime, UnitIssued), Problem> {
    let unit = floor.ledger.get::<Unit>(&index::unit(id)).map_err(|error| unreadable(&error))?;
    issued(floor, &unit.ok_or_else(Problem::internal)?)
}

/// What is likely the matter.
fn likely(want: Want, issued: &UnitIssued, own_box: &str, cloud: &InCloud) -> String {
    let found = match cloud {
        InCloud::Found(found) => found,
        InCloud::Absent => return "the record was removed in the cloud, or was never made".to_owned(),
        InCloud::Unknown { .. } => {
            return "nothing can be told before the cloud answers; nothing is lost, look again later"
                .to_owned();
        }
    };
    let earlier = issued.again.as_ref().map(|again| again.earlier()).unwrap_or_default();
    let by = found.announced_by.as_ref();
    if found.scrapped && want != Want::Withdraw {
        return match by {
            Some(by) => {
                format!("box {} has scrapped the unit; its record is a tombstone and stays one", by.box_id)
            }
            None => "the unit was scrapped; its record is a tombstone and stays one".to_owned(),
        };
    }
    if found.carries(&issued.sha256) && want != Want::Withdraw {
        return "the cloud has our certificate by now: nothing needs to be replaced".to_owned();
    }
    if found.carries(&issued.sha256) || earlier.iter().any(|earlier| found.carries(earlier)) {
        let what = if want == Want::Withdraw { "scrapped" } else { "reworked" };
        return if found.is_enabled() {
            format!("the device was activated with a certificate of ours, and the unit was {what} here since")
        } else {
            format!("the device was known to the cloud before the unit was {what} here")
        };
    }
    match by {
        Some(by) if by.box_id == own_box => {
            "this box has announced the unit with a certificate that its journal does not have: it was restored from a \
             backup, or its folder was copied"
                .to_owned()
        }
        Some(by) => format!("box {} has issued a unit of the same id, or has reworked this one", by.box_id),
        None => "somebody has made the record by hand, or with another program".to_owned(),
    }
}

/// What a person can do, as commands.
fn choices(job: &Job, issued: &UnitIssued, cloud: &InCloud) -> Vec<Choice> {
    let id = &job.id;
    let choice = |command: String, means: &str| Choice { command, means: means.to_owned() };
    let retry = |means: &str| choice(format!("edge queue retry {id}"), means);
    let found = match cloud {
        InCloud::Found(found) => found,
        InCloud::Absent => return vec![retry("there is nothing to decide: it is made anew")],
        InCloud::Unknown { .. } => {
            return vec![choice(format!("edge queue show {id}"), "look again, then decide")];
        }
    };
    let mut choices = Vec::new();
    if let Some(etag) = found.etag.as_ref().filter(|_| may_replace(job.want, found)) {
        let means = match job.want {
            Want::Withdraw => "the record becomes a tombstone: the device is disabled, for ever",
            _ => "our certificate goes there, and the key that the cloud knows stops working",
        };
        let command =
            format!("edge queue resolve {id} --replace-cloud --etag {} --reason TEXT", quoted(etag));
        choices.push(choice(command, means));
    }
    let means = match job.want {
        Want::Withdraw => "the record stays as it is; the unit stays scrapped here",
        _ if found.carries(&issued.sha256) => "it is settled as it is",
        _ => "our certificate is revoked, and the unit goes to rework",
    };
    choices.push(choice(format!("edge queue resolve {id} --keep-cloud --reason TEXT"), means));
    choices.push(retry("the same is asked again, if that was mended"));
    choices
}

/// Whether a record may give way: a tombstone never does.
fn may_replace(want: Want, found: &Found) -> bool {
    want == Want::Withdraw || !found.scrapped
}

/// A word as a shell takes it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Why a decision is not taken. Each says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum Refusal {
    #[error("{0} is {1}, not held, so there is nothing to decide; look with: edge queue show {0}")]
    NotHeld(RegistrationId, String),
    #[error(
        "say which version of the cloud's record gives way, in \"etag\" (--etag); it is the one that you have looked at: \
         edge queue show {0}"
    )]
    NoEtag(RegistrationId),
    #[error(
        "the cloud's record has changed since you looked at it; look again and decide anew: edge queue show {0}"
    )]
    Stale(RegistrationId),
    #[error(
        "the cloud has no record of {0}, so there is nothing to decide; have it made: edge queue retry {0}"
    )]
    Absent(RegistrationId),
    #[error(
        "the cloud's record of {0} is a tombstone, and stays one: give the device another id, or keep it (--keep-cloud)"
    )]
    Tombstone(RegistrationId),
    #[error(
        "no cloud is configured here, so nothing can be compared or decided; see [cloud] in the configuration"
    )]
    NoCloud,
    #[error(
        "the cloud cannot be asked what it has, and without that nothing is revoked: {0}; decide when it answers"
    )]
    Unreachable(String),
    #[error(
        "somebody else has decided, or the unit was issued again meanwhile; look again: edge queue show {0}"
    )]
    Overtaken(RegistrationId),
    #[error("{}", .0.words())]
    Fenced(fence::Fence),
}

impl Refusal {
    fn problem(self) -> Problem {
        let code = match &self {
            Self::Fenced(fence) => return fence.problem(),
            Self::NoEtag(_) => "etag-required",
            Self::NotHeld(..) => "job-not-held",
            Self::Stale(_) => "etag-stale",
            Self::Absent(_) => "record-absent",
            Self::Tombstone(_) => "record-scrapped",
            Self::NoCloud => "no-cloud",
            Self::Overtaken(_) => "unit-changed",
            Self::Unreachable(_) => "cloud-unreachable",
        };
        let status = match &self {
            Self::NoEtag(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        let later = matches!(self, Self::Overtaken(_) | Self::Unreachable(_));
        Problem::new(status, code, self.to_string()).retryable(later)
    }
}

/// What is decided, as far as what the cloud has allows it.
fn judge(job: &Job, verdict: Verdict, etag: Option<String>, cloud: &InCloud) -> Result<Resolution, Refusal> {
    let id = || job.id.clone();
    if let InCloud::Unknown { code, .. } = cloud
        && code == NO_CLOUD
    {
        return Err(Refusal::NoCloud);
    }
    match (verdict, cloud) {
        (_, InCloud::Absent) => Err(Refusal::Absent(id())),
        (Verdict::KeepCloud, InCloud::Unknown { detail, .. }) => Err(Refusal::Unreachable(detail.clone())),
        (Verdict::KeepCloud, InCloud::Found(found)) => {
            Ok(Resolution::KeepCloud { sha256: found.sha256.clone() })
        }
        (Verdict::ReplaceCloud, cloud) => {
            let etag = etag.ok_or_else(|| Refusal::NoEtag(id()))?;
            match cloud {
                InCloud::Found(found) if !may_replace(job.want, found) => Err(Refusal::Tombstone(id())),
                InCloud::Found(found) if found.etag.as_ref() != Some(&etag) => Err(Refusal::Stale(id())),
                // Where the cloud does not answer now, the worker compares before it writes.
                _ => Ok(Resolution::ReplaceCloud { etag }),
            }
        }
    }
}

/// Takes a person's decision about the job of one unit.
pub(crate) async fn resolve(
    floor: &Shared,
    actor: &str,
    name: &str,
    asked: Resolve,
) -> Result<Resolved, Problem> {
    let Resolve { decision: verdict, reason, etag } = asked;
    let reason = life::reason(reason)?;
    let id = id(name)?;
    let job = queue::show(floor, name)?;
    if !job.is_held() {
        return Err(Refusal::NotHeld(id, job.state).problem());
    }
    let etag = etag.map(|etag| etag.trim().to_owned()).filter(|etag| !etag.is_empty());
    if verdict == Verdict::ReplaceCloud && etag.is_none() {
        return Err(Refusal::NoEtag(id).problem());
    }
    let (_, issued) = last_issued(floor, &id)?;
    let cloud = look(floor, &id).await;
    let resolution = judge(&job, verdict, etag, &cloud).map_err(Refusal::problem)?;
    let revoked = useless(job.want, &issued, &resolution, &cloud).then(|| CertificateRevoked::of(&issued));
    let next = next(job.want, &resolution, revoked.is_some());
    let serial = revoked.as_ref().map(|revoked| revoked.retired.serial.clone());
    let epoch = job.epoch;
    let event = CloudEvent::Resolved { id: id.clone(), epoch, resolution, reason };
    let revoked = revoked.map(|revoked| EdgeEvent::CertificateRevoked(Box::new(revoked)));
    let events: Vec<_> = std::iter::once(EdgeEvent::Cloud(event)).chain(revoked).collect();
    let wanted = id.clone();
    let decide = move |view: &View<'_>| {
        if let Some(fence) = fence::in_view(view) {
            return Err(Refusal::Fenced(fence));
        }
        match books::standing(view, &wanted).map(|record| record.state) {
            Some(State::Held { epoch: held, .. }) if held == epoch => Ok(Decision { events, answer: () }),
            _ => Err(Refusal::Overtaken(wanted)),
        }
    };
    let stamp = Stamp { at: floor.clock.latest(), actor: actor.to_owned() };
    floor.ledger.commit(stamp, decide).await.map_err(|error| refused(error, Refusal::problem))?;
    info!(%id, epoch, ?verdict, actor, "decided by hand");
    Ok(Resolved { job: queue::show(floor, name)?, revoked: serial, next })
}

/// Whether our certificate will never be of use once this was decided. What was scrapped is revoked already.
fn useless(want: Want, issued: &UnitIssued, resolution: &Resolution, cloud: &InCloud) -> bool {
    let keeps = matches!(resolution, Resolution::KeepCloud { .. });
    let other = matches!(cloud, InCloud::Found(found) if !found.carries(&issued.sha256));
    keeps && other && want != Want::Withdraw
}

fn next(want: Want, resolution: &Resolution, revoked: bool) -> String {
    match (resolution, want) {
        (Resolution::KeepCloud { .. }, Want::Withdraw) => {
            "settled: the cloud's record stays as it is; the unit stays scrapped here"
        }
        (Resolution::KeepCloud { .. }, _) if revoked => {
            "settled: the cloud keeps the other certificate, and ours is revoked; the unit needs rework to have an \
             identity that the cloud knows"
        }
        (Resolution::KeepCloud { .. }, _) => "settled: the cloud has our certificate",
        (Resolution::ReplaceCloud { .. }, Want::Withdraw) => {
            "the record becomes a tombstone, unless it has changed by then: then the job is held again"
        }
        (Resolution::ReplaceCloud { .. }, _) => {
            "our certificate goes into the cloud's record, unless that has changed by then: then the job is held again"
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use cloud_sync::look::Announcer;
    use serde_json::{Value, json};

    use super::*;

    fn issued(again: Option<Value>) -> UnitIssued {
        let mut unit = json!({
            "id": "a", "epoch": 2, "line": "L1", "key_sha256": "k", "key_origin": "csr", "serial": "02",
            "sha256": "AB", "not_before": "2026-01-01T00:00:00Z", "not_after": "2046-01-01T00:00:00Z",
            "certificate": "", "issuer_sha256": "i", "claim": { "generation": 1, "salt": "", "sha256": "" },
            "scope": "*", "issued_by": { "box": "own", "generation": 1 },
        });
        if let Some(again) = again {
            unit["again"] = again;
        }
        serde_json::from_value(unit).unwrap()
    }

    /// A unit that had the certificate `01` before.
    fn reworked() -> UnitIssued {
        let before = json!({ "epoch": 1, "serial": "01", "sha256": "01", "not_after": "2046-01-01T00:00:00Z",
            "issuer_sha256": "i" });
        issued(Some(json!({ "why": "rework", "reason": "board swapped", "before": [before] })))
    }

    fn found(sha256: &str, by: Option<&str>) -> Found {
        let announced_by =
            by.map(|by| Announcer { box_id: by.to_owned(), generation: Some(1), epoch: Some(1) });
        Found {
            sha256: Some(sha256.to_owned()),
            secondary_sha256: None,
            attestation: "x509".to_owned(),
            provisioning_status: None,
            registration_status: None,
            assigned_hub: None,
            etag: Some("e1".to_owned()),
            last_updated: None,
            announced_by,
            scrapped: false,
        }
    }

    fn tombstone() -> Found {
        Found { scrapped: true, ..found("99", Some("other")) }
    }

    fn job(want: Want) -> Job {
        let held = json!({ "id": "a", "state": "held", "want": want, "epoch": 2, "since": "2026-11-28T12:00:00Z",
            "why": { "code": "conflict", "detail": "" } });
        serde_json::from_value(held).unwrap()
    }

    fn away(code: &str) -> InCloud {
        InCloud::Unknown { code: code.to_owned(), detail: "refused".to_owned() }
    }

    #[test]
    fn a_decision_is_taken_as_far_as_what_the_cloud_has_allows_it() {
        let check = |want, verdict, etag: Option<&str>, cloud: InCloud, expected: &str| {
            let judged = match judge(&job(want), verdict, etag.map(str::to_owned), &cloud) {
                Ok(Resolution::KeepCloud { sha256 }) => format!("keeps {}", sha256.unwrap_or_default()),
                Ok(Resolution::ReplaceCloud { etag }) => format!("replaces {etag}"),
                Err(why) => format!("{why:?}").split('(').next().unwrap_or_default().to_owned(),
            };
            assert_eq!(judged, expected, "{want:?} {verdict:?} {etag:?} {cloud:?}");
        };
        let there = || InCloud::Found(found("99", None));
        for want in [Want::Announce, Want::Replace, Want::Withdraw] {
            check(want, Verdict::KeepCloud, None, there(), "keeps 99");
            check(want, Verdict::KeepCloud, None, InCloud::Absent, "Absent");
            check(want, Verdict::KeepCloud, None, away("link-refused"), "Unreachable");
            check(want, Verdict::KeepCloud, None, away(NO_CLOUD), "NoCloud");
            check(want, Verdict::ReplaceCloud, Some("e1"), there(), "replaces e1");
            check(want, Verdict::ReplaceCloud, Some("e0"), there(), "Stale");
            check(want, Verdict::ReplaceCloud, None, there(), "NoEtag");
            check(want, Verdict::ReplaceCloud, Some("e1"), InCloud::Absent, "Absent");
            check(want, Verdict::ReplaceCloud, Some("e1"), away("link-refused"), "replaces e1");
            check(want, Verdict::ReplaceCloud, Some("e1"), away(NO_CLOUD), "NoCloud");
        }
        for want in [Want::Announce, Want::Replace] {
            check(want, Verdict::ReplaceCloud, Some("e1"), InCloud::Found(tombstone()), "Tombstone");
            check(want, Verdict::KeepCloud, None, InCloud::Found(tombstone()), "keeps 99");
        }
        check(Want::Withdraw, Verdict::ReplaceCloud, Some("e1"), InCloud::Found(tombstone()), "replaces e1");
    }

    #[test]
    fn ours_is_revoked_only_where_the_cloud_keeps_another_one() {
        let keep = Resolution::KeepCloud { sha256: None };
        let replace = Resolution::ReplaceCloud { etag: "e1".to_owned() };
        let there = |sha256: &str| InCloud::Found(found(sha256, None));
        let second = Found { secondary_sha256: Some("ab".to_owned()), ..found("99", None) };
        let rows = [
            (Want::Replace, &keep, there("99"), true),
            (Want::Announce, &keep, there("01"), true),
            (Want::Replace, &keep, there("ab"), false),
            (Want::Replace, &keep, InCloud::Found(second), false),
            (Want::Withdraw, &keep, there("99"), false),
            (Want::Replace, &replace, there("99"), false),
        ];
        for (want, resolution, cloud, expected) in rows {
            assert_eq!(useless(want, &issued(None), resolution, &cloud), expected, "{want:?} {cloud:?}");
        }
    }

    #[test]
    fn what_is_likely_is_told_from_both_sides() {
        let check = |want, unit: &UnitIssued, cloud: InCloud, expected: &str| {
            let said = likely(want, unit, "own", &cloud);
            assert!(said.contains(expected), "{want:?} {cloud:?}: {said}");
        };
        let there = |sha256: &str, by| InCloud::Found(found(sha256, by));
        check(Want::Replace, &reworked(), there("01", Some("own")), "reworked here since");
        check(Want::Withdraw, &reworked(), there("AB", Some("own")), "scrapped here since");
        check(Want::Replace, &reworked(), there("AB", Some("own")), "nothing needs to be replaced");
        check(Want::Announce, &issued(None), there("99", Some("hall-1")), "box hall-1 has issued");
        check(Want::Announce, &issued(None), there("99", Some("own")), "restored from a backup");
        check(Want::Announce, &issued(None), there("99", None), "by hand");
        check(Want::Replace, &reworked(), InCloud::Found(tombstone()), "box other has scrapped");
        check(Want::Replace, &reworked(), InCloud::Absent, "removed");
        check(Want::Replace, &reworked(), away("link-refused"), "nothing is lost");
    }

    #[test]
    fn the_commands_to_choose_from_can_be_copied_and_a_tombstone_is_not_offered() {
        let commands = |want, cloud: &InCloud| {
            let choices = choices(&job(want), &reworked(), cloud).into_iter();
            choices.map(|choice| choice.command).collect::<Vec<_>>().join("\n")
        };
        let odd = Found { etag: Some("\"it's\"".to_owned()), ..found("99", None) };
        let said = commands(Want::Replace, &InCloud::Found(odd));
        assert!(said.contains(r#"--replace-cloud --etag '"it'\''s"' --reason"#), "{said}");
        assert!(said.contains("--keep-cloud") && said.contains("edge queue retry a"), "{said}");
        assert!(!commands(Want::Replace, &InCloud::Found(tombstone())).contains("--replace-cloud"));
        assert!(commands(Want::Withdraw, &InCloud::Found(tombstone())).contains("--replace-cloud"));
        assert_eq!(commands(Want::Replace, &InCloud::Absent), "edge queue retry a");
        assert_eq!(commands(Want::Replace, &away("link-refused")), "edge queue show a");
    }
}
