//! Everything but names and extensions: version, serial, algorithm, issuer, validity, key (RFC 5280 4.1.2).

use time::{Duration, OffsetDateTime};
use x509_parser::{prelude::X509Version, time::ASN1Time};

use super::{
    super::lint::{Rule, View, signature_algorithm},
    is_oid,
};
use crate::{
    key::KeyType,
    profile::{NO_END, Validity},
};

/// The tags of UTCTime and GeneralizedTime.
const UTC: u8 = 0x17;
const GENERALIZED: u8 = 0x18;
/// The first year that is not a UTCTime any more.
const GENERALIZED_FROM: i32 = 2050;

fn begin(view: &View<'_>) -> OffsetDateTime {
    view.tbs.validity.not_before.to_datetime()
}

fn end(view: &View<'_>) -> OffsetDateTime {
    view.tbs.validity.not_after.to_datetime()
}

fn serial<'a>(view: &View<'a>) -> &'a [u8] {
    let raw = view.tbs.raw_serial();
    raw.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(raw)
}

/// Whether both times are of the form that their years want.
fn forms(view: &View<'_>, right: fn(u8, i32, &[u8]) -> bool) -> bool {
    let year = |time: ASN1Time| time.to_datetime().year();
    let validity = &view.tbs.validity;
    view.times
        .iter()
        .zip([year(validity.not_before), year(validity.not_after)])
        .all(|(time, year)| right(time.tag, year, time.value))
}

/// Whole days that a profile may reach back: more hides when a certificate was made.
const LONGEST_BACKDATE: Duration = Duration::days(7);

#[rustfmt::skip] // one line each
pub(super) const RULES: &[Rule] = &[
    Rule { name: "version", says: "the version is v3", holds: |v| v.tbs.version == X509Version::V3 },
    Rule { name: "serial-positive", says: "the serial number is positive", holds: |v| v.tbs.raw_serial().first().is_some_and(|first| first & 0x80 == 0) && v.tbs.raw_serial().iter().any(|byte| *byte != 0) },
    Rule { name: "serial-length", says: "the serial number has at most 20 octets", holds: |v| v.tbs.raw_serial().len() <= 20 },
    Rule { name: "serial-entropy", says: "the serial number has 64 bits or more behind its first octet, and they are not all zero", holds: |v| serial(v).len() >= 9 && serial(v)[1..].iter().any(|byte| *byte != 0) },
    Rule { name: "serial-differs", says: "the serial number is the one that was drawn for it", holds: |v| serial(v) == strip(v.wanted.serial) },
    Rule { name: "signature-algorithm", says: "the signature algorithm is the issuing key's, without parameters", holds: |v| is_oid(&v.tbs.signature.algorithm, signature_algorithm(v.wanted.authority.algorithm)) && v.tbs.signature.parameters.is_none() },
    Rule { name: "issuer-empty", says: "the issuer has a name", holds: |v| v.tbs.issuer.iter_rdn().next().is_some() },
    Rule { name: "issuer-differs", says: "the issuer is the issuing CA's subject, byte for byte", holds: |v| v.tbs.issuer.as_raw() == v.wanted.authority.subject },
    Rule { name: "issuer-is-subject", says: "the subject is not the issuer", holds: |v| v.tbs.issuer.as_raw() != v.tbs.subject.as_raw() },
    Rule { name: "validity-order", says: "it begins before it ends", holds: |v| begin(v) < end(v) },
    Rule { name: "validity-begins-late", says: "it is valid already", holds: |v| begin(v) <= v.wanted.now },
    Rule { name: "validity-over", says: "it is still valid", holds: |v| end(v) > v.wanted.now },
    Rule { name: "validity-short", says: "it is good for a day or more", holds: |v| end(v) - v.wanted.now >= Duration::DAY },
    Rule { name: "validity-before-issuer", says: "it does not begin before the issuing CA does", holds: |v| begin(v) >= v.wanted.authority.not_before },
    Rule { name: "validity-outlives-issuer", says: "it ends with the issuing CA or earlier, or its profile has no defined end (validity = \"none\")", holds: |v| end(v) <= v.wanted.authority.not_after || v.wanted.profile.validity == Validity::NoEnd },
    Rule { name: "validity-no-end", says: "its end is 99991231235959Z where the profile has no defined end, and only there", holds: |v| (end(v) == NO_END) == (v.wanted.profile.validity == Validity::NoEnd) },
    Rule { name: "validity-end-differs", says: "it ends when the profile says", holds: |v| v.wanted.profile.not_after(v.wanted.now) == Some(end(v)) },
    Rule { name: "validity-begin-differs", says: "it begins when the profile says", holds: |v| v.wanted.profile.not_before(v.wanted.now, v.wanted.authority.not_before) == begin(v) },
    Rule { name: "validity-backdate", says: "it reaches back seven days at most (backdate)", holds: |v| Duration::try_from(v.wanted.profile.backdate).is_ok_and(|backdate| backdate <= LONGEST_BACKDATE) },
    Rule { name: "validity-form", says: "times are UTCTime through 2049 and GeneralizedTime from 2050", holds: |v| forms(v, |tag, year, _| tag == if year < GENERALIZED_FROM { UTC } else { GENERALIZED }) },
    Rule { name: "validity-zulu", says: "times are in whole seconds and end with Z", holds: |v| forms(v, |tag, _, text| text.len() == if tag == UTC { 13 } else { 15 } && text.ends_with(b"Z")) },
    Rule { name: "unique-id", says: "there is no issuerUniqueID and no subjectUniqueID", holds: |v| v.tbs.issuer_uid.is_none() && v.tbs.subject_uid.is_none() },
    Rule { name: "key-differs", says: "the key is the one of the request, byte for byte", holds: |v| v.tbs.subject_pki.raw == v.wanted.spki },
    Rule { name: "key-unsupported", says: "the key is P-256, P-384, RSA 2048 or RSA 3072, in its usual form", holds: |v| KeyType::of(v.tbs.subject_pki.raw).is_ok() },
    Rule { name: "key-not-in-profile", says: "the kind of key is one of the profile's (keys)", holds: |v| KeyType::of(v.tbs.subject_pki.raw).is_ok_and(|kind| v.wanted.profile.keys.contains(&kind)) },
    Rule { name: "key-none-in-profile", says: "the profile allows a kind of key, and each once (keys)", holds: |v| !v.wanted.profile.keys.is_empty() && (1..v.wanted.profile.keys.len()).all(|i| !v.wanted.profile.keys[..i].contains(&v.wanted.profile.keys[i])) },
];

fn strip(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros.min(serial.len().saturating_sub(1))..]
}
