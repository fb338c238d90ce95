//! A bundle: jobs that leave the box in a file, oldest first, with all that is needed to do them elsewhere.
//!
//! | line | what |
//! | --- | --- |
//! | `{"bundle":…}` | a [`Letter`]: whose it is, its number, who shall do it |
//! | `{"job":…}` | a [`Job`], as often as the letter says |
//! | `{"seal":…}` | the box's signature over all of it |

use aws_lc_rs::digest::{SHA256, digest};
use azure_iot::RegistrationId;
use base64::{Engine, engine::general_purpose::STANDARD};
use keys::{SignError, SigningKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use time::OffsetDateTime;

use super::seal::{self, Broken, Kind, VERSION};
use crate::{
    claim::ClaimRecord,
    fence::Identity,
    state::Want,
    work::{Amendment, Announcement, Provenance, Work},
};

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// The version of the format.
    version: u32,
    /// The box.
    #[serde(rename = "box")]
    pub box_id: String,
    /// How often that was restored, from 1.
    pub generation: u8,
    /// Tells two restores of one backup apart; empty in the first generation.
    pub instance: String,
    /// A certificate of the box itself, for the record by which it finds out that it lives on elsewhere.
    #[serde(with = "bytes")]
    pub certificate: Vec<u8>,
    /// Its number; a box gives every number once.
    pub number: u64,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub made_at: OffsetDateTime,
    /// The fingerprint of the key that is to seal the receipt.
    pub courier: String,
    /// How many jobs follow.
    pub jobs: usize,
}

impl Letter {
    /// The letter of bundle `number` of the box `from`, which the holder of the key `courier` shall do.
    #[must_use]
    pub fn new(from: Identity, number: u64, courier: String, jobs: usize, made_at: OffsetDateTime) -> Self {
        let Identity { box_id, generation, instance, certificate } = from;
        Self { version: VERSION, box_id, generation, instance, certificate, number, made_at, courier, jobs }
    }

    /// On whose behalf DPS is asked.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            box_id: self.box_id.clone(),
            generation: self.generation,
            instance: self.instance.clone(),
            certificate: self.certificate.clone(),
        }
    }
}

/// One job. Activations and deactivations are the portal's: a claim code travels in no file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Job {
    /// See [`Work::Announce`].
    Announce(Unit),
    /// See [`Work::Replace`].
    Replace(Change),
    /// See [`Work::Withdraw`].
    Withdraw(Change),
}

/// See [`Announcement`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    id: RegistrationId,
    #[serde(with = "bytes")]
    certificate: Vec<u8>,
    provenance: Provenance,
    claim: ClaimRecord,
}

/// See [`Amendment`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    unit: Unit,
    earlier: Vec<String>,
}

impl Job {
    /// The job that is `work`; `None` for what does not travel.
    #[must_use]
    pub fn of(work: Work) -> Option<Self> {
        let change =
            |amendment: Amendment| Change { unit: Unit::of(amendment.unit), earlier: amendment.earlier };
        match work {
            Work::Announce(announcement) => Some(Self::Announce(Unit::of(announcement))),
            Work::Replace(amendment) => Some(Self::Replace(change(amendment))),
            Work::Withdraw(amendment) => Some(Self::Withdraw(change(amendment))),
            Work::Activate(_) | Work::Deactivate(_) => None,
        }
    }

    /// What is to be said to DPS.
    pub(super) fn work(&self) -> Work {
        let amendment =
            |change: &Change| Amendment { unit: change.unit.announcement(), earlier: change.earlier.clone() };
        match self {
            Self::Announce(unit) => Work::Announce(unit.announcement()),
            Self::Replace(change) => Work::Replace(amendment(change)),
            Self::Withdraw(change) => Work::Withdraw(amendment(change)),
        }
    }

    pub(super) fn want(&self) -> Want {
        match self {
            Self::Announce(_) => Want::Announce,
            Self::Replace(_) => Want::Replace,
            Self::Withdraw(_) => Want::Withdraw,
        }
    }

    /// The unit.
    #[must_use]
    pub fn id(&self) -> &RegistrationId {
        &self.unit().id
    }

    /// Which pass of it this is about.
    pub(super) fn epoch(&self) -> u32 {
        self.unit().provenance.epoch
    }

    fn unit(&self) -> &Unit {
        match self {
            Self::Announce(unit)
            | Self::Replace(Change { unit, .. })
            | Self::Withdraw(Change { unit, .. }) => unit,
        }
    }
}

impl Unit {
    fn of(announcement: Announcement) -> Self {
        let Announcement { id, certificate, provenance, claim, thumbprint: _ } = announcement;
        Self { id, certificate, provenance, claim }
    }

    fn announcement(&self) -> Announcement {
        Announcement {
            id: self.id.clone(),
            certificate: self.certificate.clone(),
            thumbprint: hex::encode_upper(digest(&SHA256, &self.certificate)),
            provenance: self.provenance.clone(),
            claim: self.claim.clone(),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Bundle(Letter),
    Job(Box<Job>),
}

/// A bundle, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// What it says of itself.
    pub letter: Letter,
    /// The jobs, oldest first.
    pub jobs: Vec<Job>,
}

impl Bundle {
    /// Writes it, sealed with the box's `key`.
    pub fn seal(self, key: &dyn SigningKey) -> Result<String, SignError> {
        let jobs = self.jobs.into_iter().map(|job| Line::Job(Box::new(job)));
        seal::close(Kind::Bundle, std::iter::once(Line::Bundle(self.letter)).chain(jobs), key)
    }

    /// Opens one that the box with the key `trusted` has sealed for the courier with the key `own`.
    pub fn open(text: &str, trusted: &str, own: &str) -> Result<Self, Broken> {
        let wrong = |what: &str| Broken::Tampered { kind: "bundle", what: what.to_owned() };
        let mut lines = seal::open(Kind::Bundle, text, trusted)?.into_iter();
        let Some(Line::Bundle(letter)) = lines.next() else { return Err(wrong("there is no letter")) };
        let job = |line| match line {
            Line::Job(job) => Ok(*job),
            Line::Bundle(_) => Err(wrong("there is a second letter")),
        };
        let jobs = lines.map(job).collect::<Result<Vec<_>, _>>()?;
        if jobs.len() != letter.jobs {
            return Err(wrong("there are more or fewer jobs than the letter says"));
        }
        if letter.courier != own {
            return Err(Broken::Misdirected { courier: letter.courier });
        }
        Ok(Self { letter, jobs })
    }
}

/// Bytes as base64.
mod bytes {
    use super::{Deserialize, Deserializer, Engine, Error, STANDARD, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use keys::FileKey;
    use time::macros::datetime;

    use super::*;
    use crate::{
        claim::ClaimCode,
        courier::seal::tests::{check_every_byte, key},
    };

    fn unit(id: &str) -> Announcement {
        let certificate = format!("certificate of {id}").into_bytes();
        Announcement {
            id: id.parse().unwrap(),
            thumbprint: hex::encode_upper(digest(&SHA256, &certificate)),
            certificate,
            provenance: Provenance {
                box_id: "abc".into(),
                generation: 1,
                epoch: 1,
                seq: 9,
                head: "00".into(),
                scrapped: false,
            },
            claim: ClaimRecord::new(1, &[1; 16], &ClaimCode::from_bits([7; 10])),
        }
    }

    /// A bundle for the courier with this key.
    pub(in crate::courier) fn bundle(courier: &str, ids: &[&str]) -> Bundle {
        let identity = Identity {
            box_id: "abc".into(),
            generation: 1,
            instance: String::new(),
            certificate: b"DER".to_vec(),
        };
        let made_at = datetime!(2026-11-28 12:00 UTC);
        let jobs = ids.iter().map(|id| Job::of(Work::Announce(unit(id))).unwrap()).collect();
        Bundle { letter: Letter::new(identity, 3, courier.to_owned(), ids.len(), made_at), jobs }
    }

    fn parties() -> (FileKey, String, String) {
        let (edge, trusted) = key();
        (edge, trusted, key().1)
    }

    #[test]
    fn every_byte_of_a_bundle_counts() {
        let (edge, trusted, courier) = parties();
        let text = bundle(&courier, &["a"]).seal(&edge).unwrap();
        check_every_byte(&text, |text| Bundle::open(text, &trusted, &courier).map(drop));
    }

    #[test]
    fn a_bundle_is_opened_as_it_was_sealed_by_the_courier_that_it_is_for() {
        let (edge, trusted, courier) = parties();
        let made = bundle(&courier, &["a", "b"]);
        let text = made.clone().seal(&edge).unwrap();
        assert_eq!(Bundle::open(&text, &trusted, &courier), Ok(made));
        let refused = |trusted: &str, own: &str| Bundle::open(&text, trusted, own).unwrap_err().code();
        assert_eq!(refused(&trusted, &trusted), "bundle-misdirected");
        assert_eq!(refused(&courier, &courier), "bundle-stranger");
    }

    #[test]
    fn a_bundle_has_one_letter_and_the_jobs_that_it_speaks_of() {
        let (edge, trusted, courier) = parties();
        let sealed = |lines: Vec<Line>| {
            let text = seal::close(Kind::Bundle, lines, &edge).unwrap();
            Bundle::open(&text, &trusted, &courier).map_err(|why| why.code())
        };
        let Bundle { letter, jobs } = bundle(&courier, &["a"]);
        let (first, job) = (|| Line::Bundle(letter.clone()), || Line::Job(Box::new(jobs[0].clone())));
        sealed(vec![first(), job()]).unwrap();
        for lines in [vec![first()], vec![first(), job(), job()], vec![first(), first()]] {
            assert_eq!(sealed(lines).unwrap_err(), "bundle-tampered");
        }
    }

    #[test]
    fn a_job_is_the_work_that_it_was_made_of() {
        let amendment = Amendment { unit: unit("a"), earlier: vec!["AB".into()] };
        let all = [Work::Announce(unit("a")), Work::Replace(amendment.clone()), Work::Withdraw(amendment)];
        for work in all {
            let told = format!("{work:?}");
            assert_eq!(format!("{:?}", Job::of(work).unwrap().work()), told);
        }
    }
}
