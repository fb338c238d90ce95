//! Whether DPS still has what it was told about a unit, and what comes of it if not: one pure function.
//!
//! | told | DPS shows | drift | what comes of it |
//! | --- | --- | --- | --- |
//! | anything | nothing | `missing` | held, `missing` |
//! | anything | a certificate that is not of the unit, and no tombstone | `other-certificate` | held, `conflict` |
//! | unit | the unit's certificate, marked as scrapped | `tombstone` | held, `scrapped` |
//! | unit | an earlier certificate of the unit | `former-certificate` | told again; held, `activated` or `assigned` |
//! | scrap | no mark, or enabled | `revived` | told again; held, `activated` or `assigned` |
//!
//! It is told again only where nobody else has done anything with the record, and then by the conversation that told it
//! the first time, with all its guards. What somebody has deleted is not made again without a person.
//! Whether a record that carries the unit's certificate is enabled, its twin and its hubs are the portal's, and no drift.

use azure_iot::enrollment::IndividualEnrollment;
use serde::{Deserialize, Serialize};

use crate::{
    announce::generation,
    enrollment::{is_disabled, is_scrapped, is_unassigned},
    state::{Want, Why},
    work::{Amendment, Work},
};

/// How DPS differs from what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drift {
    /// There is no record.
    Missing,
    /// The record carries a certificate that this box never gave the unit, or none.
    OtherCertificate,
    /// The record carries one that the unit had before.
    FormerCertificate,
    /// The record says that the unit was scrapped, which it was not here.
    Tombstone,
    /// The unit was scrapped, and its record is no tombstone any more.
    Revived,
}

impl Drift {
    /// A stable word.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::OtherCertificate => "other-certificate",
            Self::FormerCertificate => "former-certificate",
            Self::Tombstone => "tombstone",
            Self::Revived => "revived",
        }
    }
}

/// What was told, and is settled.
#[derive(Debug, Clone)]
pub struct Told {
    want: Want,
    unit: Amendment,
}

impl Told {
    /// What `work` has told; `None` for what nobody reads back, because the record is somebody else's by then.
    #[must_use]
    pub fn of(work: Work) -> Option<Self> {
        let (want, unit) = match work {
            Work::Announce(unit) => (Want::Announce, Amendment { unit, earlier: Vec::new() }),
            Work::Replace(unit) => (Want::Replace, unit),
            Work::Withdraw(unit) => (Want::Withdraw, unit),
            Work::Activate(_) | Work::Deactivate(_) => return None,
        };
        Some(Self { want, unit })
    }
}

/// What a look at DPS has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It has what it was told.
    Same,
    /// It has something else.
    Drifted {
        /// What differs.
        what: Drift,
        /// Why a person has to decide; `None` where it is ours to tell again.
        why: Option<Why>,
    },
    /// A later self of this box has written the record: it is not ours to judge any more.
    Later {
        /// The generation that lives.
        generation: u8,
    },
}

/// Compares what was `told` with what is `found`; `own` is the generation of the box that looks.
#[must_use]
pub fn compare(told: &Told, own: u8, found: Option<&IndividualEnrollment>) -> Seen {
    let Told { want, unit: Amendment { unit, earlier } } = told;
    let held = |what, code: &str, detail: String| {
        let why = Some(Why { code: code.to_owned(), detail });
        Seen::Drifted { what, why }
    };
    let Some(found) = found else {
        let detail = "DPS has no enrollment for this unit any more; somebody has deleted it".to_owned();
        return held(Drift::Missing, "missing", detail);
    };
    if let Some(generation) = generation(unit, found).filter(|seen| *seen > own) {
        return Seen::Later { generation };
    }
    let (scrapped, disabled) = (is_scrapped(found), is_disabled(found));
    // With any certificate: a person may have had somebody else's record withdrawn.
    if *want == Want::Withdraw && scrapped && disabled {
        return Seen::Same;
    }
    let carries =
        |thumbprint: &String| found.thumbprint().is_some_and(|found| found.eq_ignore_ascii_case(thumbprint));
    let current = carries(&unit.thumbprint);
    if !current && !earlier.iter().any(carries) {
        let theirs = found.thumbprint().unwrap_or("no certificate");
        let detail =
            format!("DPS has another certificate for this id by now ({theirs}); ours is {}", unit.thumbprint);
        return held(Drift::OtherCertificate, "conflict", detail);
    }
    let (what, now) = match want {
        Want::Withdraw => (Drift::Revived, "the unit was scrapped, and its record is no tombstone any more"),
        _ if scrapped => {
            let detail = "DPS says that this unit was scrapped; here it was not";
            return held(Drift::Tombstone, "scrapped", detail.to_owned());
        }
        _ if current => return Seen::Same,
        _ => (Drift::FormerCertificate, "the record carries a former certificate of the unit again"),
    };
    if !disabled {
        return held(what, "activated", format!("{now}, and it is enabled"));
    }
    if !is_unassigned(found) {
        return held(what, "assigned", format!("{now}, and the device has registered with it"));
    }
    Seen::Drifted { what, why: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        claim::{ClaimCode, ClaimRecord},
        work::{Announcement, Provenance},
    };

    const OURS: &str = "AA";
    const FORMER: &str = "BB";
    const THEIRS: &str = "CC";
    /// The box that looks.
    const OWN: u8 = 2;

    fn told(want: Want) -> Told {
        let provenance = Provenance {
            box_id: "box-1".into(),
            generation: 1,
            epoch: 2,
            seq: 9,
            head: "00".into(),
            scrapped: false,
        };
        let unit = Announcement {
            id: "a".parse().unwrap(),
            certificate: b"a certificate".to_vec(),
            thumbprint: OURS.into(),
            provenance,
            claim: ClaimRecord::new(1, &[1; 16], &ClaimCode::from_bits([7; 10])),
        };
        Told { want, unit: Amendment { unit, earlier: vec![FORMER.into()] } }
    }

    /// A record with this thumbprint; its words say how else it differs from a new one.
    fn record(thumbprint: &str, words: &str) -> IndividualEnrollment {
        let is = |word: &str| words.split(' ').any(|other| other == word);
        let status = if is("enabled") { "enabled" } else { "disabled" };
        let registered = if is("assigned") { "assigned" } else { "unassigned" };
        let generation = if is("later") { OWN + 1 } else { OWN };
        let by = if is("stranger") { "box-2" } else { "box-1" };
        let mut edge = json!({ "box": by, "generation": generation });
        if is("scrapped") {
            edge["scrapped"] = true.into();
        }
        serde_json::from_value(json!({
            "registrationId": "a", "etag": "e", "provisioningStatus": status,
            "attestation": { "type": "x509", "x509": { "clientCertificates": { "primary": { "info": {
                "subjectName": "CN=a", "sha1Thumbprint": "00", "sha256Thumbprint": thumbprint,
                "issuerName": "CN=ca", "notBeforeUtc": "2026-01-01T00:00:00Z",
                "notAfterUtc": "2046-01-01T00:00:00Z", "serialNumber": "01", "version": 3,
            } } } } },
            "optionalDeviceInformation": { "edge": edge },
            "initialTwin": { "tags": { "site": is("twin") } },
            "registrationState": { "registrationId": "a", "status": registered },
        }))
        .unwrap()
    }

    fn check(want: Want, thumbprint: &str, words: &str, expected: &str) {
        let found = record(thumbprint, words);
        assert_eq!(said(want, Some(&found)), expected, "{want:?}, {thumbprint} {words}");
    }

    fn said(want: Want, found: Option<&IndividualEnrollment>) -> String {
        match compare(&told(want), OWN, found) {
            Seen::Same => "same".into(),
            Seen::Later { generation } => format!("later {generation}"),
            Seen::Drifted { what, why } => {
                format!("{} {}", what.code(), why.map_or("again".into(), |why| why.code))
            }
        }
    }

    #[test]
    fn what_is_the_portals_is_no_drift() {
        for want in [Want::Announce, Want::Replace] {
            for words in ["", "enabled", "enabled assigned twin", "twin", "stranger"] {
                check(want, OURS, words, "same");
            }
            check(want, &OURS.to_lowercase(), "", "same");
        }
    }

    #[test]
    fn what_somebody_has_deleted_is_never_made_again_by_itself() {
        for want in [Want::Announce, Want::Replace, Want::Withdraw] {
            assert_eq!(said(want, None), "missing missing");
        }
    }

    #[test]
    fn a_certificate_of_somebody_else_is_a_persons_business_whatever_else_it_says() {
        for want in [Want::Announce, Want::Replace, Want::Withdraw] {
            for words in ["", "enabled", "assigned", "scrapped enabled"] {
                check(want, THEIRS, words, "other-certificate conflict");
            }
        }
        for want in [Want::Announce, Want::Replace] {
            check(want, THEIRS, "scrapped", "other-certificate conflict");
        }
    }

    #[test]
    fn a_former_certificate_is_replaced_again_where_nobody_else_has_acted() {
        check(Want::Replace, FORMER, "", "former-certificate again");
        check(Want::Replace, FORMER, "twin", "former-certificate again");
        check(Want::Replace, FORMER, "enabled", "former-certificate activated");
        check(Want::Replace, FORMER, "enabled assigned", "former-certificate activated");
        check(Want::Replace, FORMER, "assigned", "former-certificate assigned");
    }

    #[test]
    fn a_unit_that_is_no_tombstone_here_is_none_there() {
        check(Want::Announce, OURS, "scrapped", "tombstone scrapped");
        check(Want::Replace, FORMER, "scrapped", "tombstone scrapped");
    }

    #[test]
    fn a_tombstone_is_one_with_any_certificate() {
        for thumbprint in [OURS, FORMER, THEIRS] {
            check(Want::Withdraw, thumbprint, "scrapped", "same");
            check(Want::Withdraw, thumbprint, "scrapped assigned", "same");
        }
        for thumbprint in [OURS, FORMER] {
            check(Want::Withdraw, thumbprint, "", "revived again");
            check(Want::Withdraw, thumbprint, "assigned", "revived assigned");
            check(Want::Withdraw, thumbprint, "enabled", "revived activated");
            check(Want::Withdraw, thumbprint, "scrapped enabled", "revived activated");
        }
    }

    #[test]
    fn what_a_later_self_has_written_is_not_judged() {
        for thumbprint in [OURS, FORMER, THEIRS] {
            check(Want::Replace, thumbprint, "later", "later 3");
        }
        check(Want::Replace, THEIRS, "later stranger", "other-certificate conflict");
    }

    #[test]
    fn what_is_stored_keeps_its_name() {
        let all = [
            Drift::Missing,
            Drift::OtherCertificate,
            Drift::FormerCertificate,
            Drift::Tombstone,
            Drift::Revived,
        ];
        for drift in all {
            assert_eq!(serde_json::to_value(drift).unwrap(), drift.code());
        }
    }
}
