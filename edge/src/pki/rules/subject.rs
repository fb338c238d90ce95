//! The subject: the id as its common name, and exactly what the profile adds (RFC 5280 4.1.2.6 and appendix A.1).

use x509_parser::{
    der_parser::Oid,
    oid_registry::{
        OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_LOCALITY_NAME, OID_X509_ORGANIZATION_NAME,
        OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER, OID_X509_STATE_OR_PROVINCE_NAME,
    },
    prelude::AttributeTypeAndValue,
};

use super::super::lint::{Rule, View};

const PRINTABLE: u32 = 19;
const UTF8: u32 = 12;

/// What a subject may hold, and how many characters of it (the upper bounds of RFC 5280, appendix A.1).
const KNOWN: &[(Oid<'static>, usize)] = &[
    (OID_X509_COUNTRY_NAME, 2),
    (OID_X509_STATE_OR_PROVINCE_NAME, 128),
    (OID_X509_LOCALITY_NAME, 128),
    (OID_X509_ORGANIZATION_NAME, 64),
    (OID_X509_ORGANIZATIONAL_UNIT, 64),
    (OID_X509_COMMON_NAME, 64),
    (OID_X509_SERIALNUMBER, 64),
];

fn attributes<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a AttributeTypeAndValue<'a>> {
    view.tbs.subject.iter_attributes()
}

fn of<'a>(view: &'a View<'_>, oid: &'a Oid<'_>) -> impl Iterator<Item = &'a AttributeTypeAndValue<'a>> {
    attributes(view).filter(move |attribute| attribute.attr_type() == oid)
}

fn texts<'a>(view: &'a View<'_>, oid: &'a Oid<'_>) -> impl Iterator<Item = &'a str> {
    of(view, oid).map(|attribute| attribute.as_str().unwrap_or_default())
}

fn every_text(view: &View<'_>, right: fn(&str) -> bool) -> bool {
    attributes(view).all(|attribute| attribute.as_str().is_ok_and(right))
}

fn printable(view: &View<'_>, oid: &Oid<'_>) -> bool {
    of(view, oid).all(|attribute| attribute.attr_value().tag().0 == PRINTABLE)
}

/// Whether the values of this kind are exactly this one, or none.
fn exactly(view: &View<'_>, oid: &Oid<'_>, wanted: Option<&str>) -> bool {
    texts(view, oid).eq(wanted)
}

/// Invisible characters, and those that turn the direction of writing: a name has to be what it looks like.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{AD}')
}

#[rustfmt::skip] // one line each
pub(super) const RULES: &[Rule] = &[
    Rule { name: "subject-empty", says: "the subject has a name", holds: |v| v.tbs.subject.iter_rdn().next().is_some() },
    Rule { name: "subject-multi-valued", says: "every part of the subject holds one attribute", holds: |v| v.tbs.subject.iter_rdn().all(|rdn| rdn.iter().count() == 1) },
    Rule { name: "subject-attribute-unknown", says: "the subject holds nothing that profiles do not know", holds: |v| attributes(v).all(|attribute| KNOWN.iter().any(|(oid, _)| oid == attribute.attr_type())) },
    Rule { name: "subject-attribute-twice", says: "no attribute of the subject is there twice", holds: |v| KNOWN.iter().all(|(oid, _)| of(v, oid).count() <= 1) },
    Rule { name: "subject-string-type", says: "names are PrintableString or UTF8String", holds: |v| attributes(v).all(|attribute| matches!(attribute.attr_value().tag().0, PRINTABLE | UTF8)) },
    Rule { name: "subject-string-length", says: "no name is longer than RFC 5280 allows (64; 128 for state and locality; 2 for country)", holds: |v| KNOWN.iter().all(|(oid, most)| texts(v, oid).all(|text| text.chars().count() <= *most)) },
    Rule { name: "subject-string-empty", says: "no name is empty", holds: |v| every_text(v, |text| !text.is_empty()) },
    Rule { name: "subject-string-blanks", says: "no name begins or ends with a blank, or has two in a row", holds: |v| every_text(v, |text| text.trim() == text && !text.contains("  ")) },
    Rule { name: "subject-string-deceives", says: "no name has control characters, invisible ones, or ones that turn the direction of writing", holds: |v| every_text(v, |text| !text.contains(deceives)) },
    Rule { name: "common-name-missing", says: "the subject has a common name", holds: |v| of(v, &OID_X509_COMMON_NAME).next().is_some() },
    Rule { name: "common-name-differs", says: "the common name is the id, as DPS wants it", holds: |v| exactly(v, &OID_X509_COMMON_NAME, Some(v.wanted.id.as_ref())) },
    Rule { name: "country-letters", says: "the country is two capital letters", holds: |v| texts(v, &OID_X509_COUNTRY_NAME).all(|text| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())) },
    Rule { name: "country-type", says: "the country is a PrintableString", holds: |v| printable(v, &OID_X509_COUNTRY_NAME) },
    Rule { name: "country-differs", says: "the country is the profile's", holds: |v| exactly(v, &OID_X509_COUNTRY_NAME, v.wanted.profile.country.as_deref()) },
    Rule { name: "state-differs", says: "the state is the profile's", holds: |v| exactly(v, &OID_X509_STATE_OR_PROVINCE_NAME, v.wanted.profile.state.as_deref()) },
    Rule { name: "locality-differs", says: "the locality is the profile's", holds: |v| exactly(v, &OID_X509_LOCALITY_NAME, v.wanted.profile.locality.as_deref()) },
    Rule { name: "organization-differs", says: "the organization is the profile's", holds: |v| exactly(v, &OID_X509_ORGANIZATION_NAME, v.wanted.profile.organization.as_deref()) },
    Rule { name: "organizational-unit-differs", says: "the organizational unit is the profile's", holds: |v| exactly(v, &OID_X509_ORGANIZATIONAL_UNIT, v.wanted.profile.organizational_unit.as_deref()) },
    Rule { name: "serial-number-type", says: "the subject's serialNumber is a PrintableString, which has no '_'", holds: |v| printable(v, &OID_X509_SERIALNUMBER) },
    Rule { name: "serial-number-differs", says: "the subject's serialNumber is the id where the profile wants one, and absent elsewhere", holds: |v| exactly(v, &OID_X509_SERIALNUMBER, v.wanted.profile.serial_number.then_some(v.wanted.id.as_ref())) },
];
