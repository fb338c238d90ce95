//! The extensions: exactly those of the profile, each in its one form (RFC 5280 4.2.1).

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::{
    der_parser::Oid,
    oid_registry::{
        OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER as AKI, OID_X509_EXT_BASIC_CONSTRAINTS as BASIC,
        OID_X509_EXT_CERTIFICATE_POLICIES as POLICIES, OID_X509_EXT_EXTENDED_KEY_USAGE as EKU,
        OID_X509_EXT_KEY_USAGE as USAGE, OID_X509_EXT_SUBJECT_ALT_NAME as SAN,
        OID_X509_EXT_SUBJECT_KEY_IDENTIFIER as SKI,
    },
    prelude::{GeneralName, ParsedExtension},
};

use super::{
    super::lint::{Rule, View},
    extensions, is_oid,
};
use crate::der::{self, OCTET_STRING, OID, SEQUENCE};

/// What a leaf may have, and whether it is critical.
const KNOWN: &[(Oid<'static>, bool)] = &[
    (AKI, false),
    (SKI, false),
    (BASIC, true),
    (USAGE, true),
    (EKU, false),
    (SAN, false),
    (POLICIES, false),
];

/// id-on-hardwareModuleName (RFC 4108 5).
const HARDWARE_MODULE_NAME: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 8, 4];
/// The tag `[0]` around the value of an otherName.
const VALUE: u8 = 0xA0;

fn parsed<'a>(view: &'a View<'_>, oid: Oid<'static>) -> Option<&'a ParsedExtension<'a>> {
    extensions(view, oid).next().map(|extension| extension.parsed_extension())
}

fn there(view: &View<'_>, oid: Oid<'static>) -> bool {
    extensions(view, oid).next().is_some()
}

fn critical(view: &View<'_>, oid: Oid<'static>, wanted: bool) -> bool {
    extensions(view, oid).all(|extension| extension.critical == wanted)
}

fn names<'a>(view: &'a View<'_>) -> &'a [GeneralName<'a>] {
    match parsed(view, SAN) {
        Some(ParsedExtension::SubjectAlternativeName(names)) => &names.general_names,
        _ => &[],
    }
}

/// The type and serial number of every hardwareModuleName; `None` for one that is not in its form.
fn modules<'a>(view: &'a View<'_>) -> impl Iterator<Item = Option<(&'a [u8], &'a [u8])>> {
    let of = |value: &'a [u8]| -> Result<(&'a [u8], &'a [u8]), der::NotDer> {
        let (kind, rest) = der::expect(der::only(der::only(value, VALUE)?, SEQUENCE)?, OID)?;
        Ok((kind, der::only(rest, OCTET_STRING)?))
    };
    names(view).iter().filter_map(move |name| match name {
        GeneralName::OtherName(oid, value) if is_oid(oid, HARDWARE_MODULE_NAME) => Some(of(value).ok()),
        _ => None,
    })
}

/// Every policy, and whether it has a qualifier.
fn policies<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Oid<'a>, bool)> {
    let policies = match parsed(view, POLICIES) {
        Some(ParsedExtension::CertificatePolicies(policies)) => policies.as_slice(),
        _ => &[],
    };
    policies.iter().map(|policy| (&policy.policy_id, policy.policy_qualifiers.is_some()))
}

fn usage(view: &View<'_>, right: fn(u16) -> bool) -> bool {
    match parsed(view, USAGE) {
        Some(ParsedExtension::KeyUsage(usage)) => right(usage.flags),
        _ => true,
    }
}

fn purposes(view: &View<'_>) -> impl Iterator<Item = &'static str> {
    let usage = match parsed(view, EKU) {
        Some(ParsedExtension::ExtendedKeyUsage(usage)) => Some(usage),
        _ => None,
    };
    let named = usage.map(|usage| {
        [
            (usage.any, "any"),
            (usage.server_auth, "server"),
            (usage.client_auth, "client"),
            (usage.code_signing, "code"),
            (usage.email_protection, "mail"),
            (usage.time_stamping, "time"),
            (usage.ocsp_signing, "ocsp"),
            (!usage.other.is_empty(), "other"),
        ]
    });
    named.into_iter().flatten().filter(|(there, _)| *there).map(|(_, name)| name)
}

/// digitalSignature, the first bit.
const SIGNATURE: u16 = 1;

#[rustfmt::skip] // one line each
pub(super) const RULES: &[Rule] = &[
    Rule { name: "extension-twice", says: "no extension is there twice", holds: |v| v.tbs.extensions().iter().enumerate().all(|(i, one)| v.tbs.extensions()[..i].iter().all(|other| other.oid != one.oid)) },
    Rule { name: "extension-unknown", says: "there is no extension that profiles do not know", holds: |v| v.tbs.extensions().iter().all(|extension| KNOWN.iter().any(|(oid, _)| *oid == extension.oid)) },
    Rule { name: "extension-unknown-critical", says: "no extension that verifiers may not know is critical", holds: |v| v.tbs.extensions().iter().all(|extension| !extension.critical || KNOWN.iter().any(|(oid, _)| *oid == extension.oid)) },
    Rule { name: "extension-malformed", says: "every extension reads as its standard has it", holds: |v| v.tbs.extensions().iter().all(|extension| !matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. })) },
    Rule { name: "extension-der", says: "the content of every extension is one value in DER", holds: |v| v.tbs.extensions().iter().all(|extension| der::check(extension.value).is_ok()) },
    Rule { name: "basic-constraints-missing", says: "there are basic constraints", holds: |v| there(v, BASIC) },
    Rule { name: "basic-constraints-not-critical", says: "the basic constraints are critical", holds: |v| critical(v, BASIC, true) },
    Rule { name: "basic-constraints-ca", says: "it is no certificate authority", holds: |v| !matches!(parsed(v, BASIC), Some(ParsedExtension::BasicConstraints(basic)) if basic.ca) },
    Rule { name: "basic-constraints-path-length", says: "there is no path length, which is for authorities", holds: |v| !matches!(parsed(v, BASIC), Some(ParsedExtension::BasicConstraints(basic)) if basic.path_len_constraint.is_some()) },
    Rule { name: "key-usage-missing", says: "there is a key usage", holds: |v| there(v, USAGE) },
    Rule { name: "key-usage-not-critical", says: "the key usage is critical", holds: |v| critical(v, USAGE, true) },
    Rule { name: "key-usage-signature", says: "the key usage has digitalSignature", holds: |v| usage(v, |flags| flags & SIGNATURE != 0) },
    Rule { name: "key-usage-authority", says: "the key signs no certificates and no CRLs", holds: |v| usage(v, |flags| flags & 0b110_0000 == 0) },
    Rule { name: "key-usage-other", says: "the key usage has nothing but digitalSignature", holds: |v| usage(v, |flags| flags & !SIGNATURE == 0) },
    Rule { name: "extended-key-usage-missing", says: "there is an extended key usage", holds: |v| there(v, EKU) },
    Rule { name: "extended-key-usage-critical", says: "the extended key usage is not critical", holds: |v| critical(v, EKU, false) },
    Rule { name: "extended-key-usage-client", says: "the extended key usage has clientAuth", holds: |v| !there(v, EKU) || purposes(v).any(|purpose| purpose == "client") },
    Rule { name: "extended-key-usage-any", says: "the extended key usage is not any", holds: |v| purposes(v).all(|purpose| purpose != "any") },
    Rule { name: "extended-key-usage-other", says: "the extended key usage has nothing but clientAuth", holds: |v| purposes(v).all(|purpose| purpose == "client") },
    Rule { name: "authority-key-id-missing", says: "there is an authority key identifier", holds: |v| there(v, AKI) },
    Rule { name: "authority-key-id-critical", says: "the authority key identifier is not critical", holds: |v| critical(v, AKI, false) },
    Rule { name: "authority-key-id-differs", says: "the authority key identifier is the issuing CA's, and nothing else", holds: |v| match parsed(v, AKI) {
        Some(ParsedExtension::AuthorityKeyIdentifier(aki)) => aki.key_identifier.as_ref().is_some_and(|id| id.0 == v.wanted.authority.key_id) && aki.authority_cert_issuer.is_none() && aki.authority_cert_serial.is_none(),
        _ => true,
    } },
    Rule { name: "subject-key-id-missing", says: "there is a subject key identifier", holds: |v| there(v, SKI) },
    Rule { name: "subject-key-id-critical", says: "the subject key identifier is not critical", holds: |v| critical(v, SKI, false) },
    Rule { name: "subject-key-id-differs", says: "the subject key identifier is the first 160 bits of the key's SHA-256", holds: |v| match parsed(v, SKI) {
        Some(ParsedExtension::SubjectKeyIdentifier(id)) => id.0 == &digest(&SHA256, v.tbs.subject_pki.raw).as_ref()[..20],
        _ => true,
    } },
    Rule { name: "san-missing", says: "there is a subject alternative name where the profile has a hardware_module", holds: |v| v.wanted.profile.hardware_module.is_none() || there(v, SAN) },
    Rule { name: "san-unwished", says: "there is no subject alternative name where the profile has no hardware_module", holds: |v| v.wanted.profile.hardware_module.is_some() || !there(v, SAN) },
    Rule { name: "san-critical", says: "the subject alternative name is not critical, because there is a subject", holds: |v| critical(v, SAN, false) },
    Rule { name: "san-empty", says: "the subject alternative name holds a name", holds: |v| !there(v, SAN) || !names(v).is_empty() },
    Rule { name: "san-uri", says: "the subject alternative name is no URI", holds: |v| !names(v).iter().any(|name| matches!(name, GeneralName::URI(_))) },
    Rule { name: "san-host", says: "the subject alternative name is no DNS name and no address", holds: |v| !names(v).iter().any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_) | GeneralName::RFC822Name(_))) },
    Rule { name: "san-other", says: "the subject alternative name is a hardwareModuleName, and one", holds: |v| names(v).len() <= 1 && modules(v).count() == names(v).len() },
    Rule { name: "hardware-module-malformed", says: "the hardwareModuleName is a type and a serial number", holds: |v| modules(v).all(|module| module.is_some()) },
    Rule { name: "hardware-module-type", says: "the type of the hardwareModuleName is the profile's", holds: |v| v.wanted.profile.hardware_module.as_ref().is_none_or(|wanted| modules(v).flatten().all(|(kind, _)| is_oid(&Oid::new(kind.into()), wanted.arcs()))) },
    Rule { name: "hardware-module-serial", says: "the serial number of the hardwareModuleName is the id", holds: |v| modules(v).flatten().all(|(_, serial)| serial == v.wanted.id.as_ref().as_bytes()) },
    Rule { name: "policy-missing", says: "there is a certificate policy where the profile has one", holds: |v| v.wanted.profile.policy.is_none() || there(v, POLICIES) },
    Rule { name: "policy-unwished", says: "there is no certificate policy where the profile has none", holds: |v| v.wanted.profile.policy.is_some() || !there(v, POLICIES) },
    Rule { name: "policy-critical", says: "the certificate policies are not critical", holds: |v| critical(v, POLICIES, false) },
    Rule { name: "policy-differs", says: "the certificate policy is the profile's, and one", holds: |v| v.wanted.profile.policy.as_ref().is_none_or(|wanted| !there(v, POLICIES) || (policies(v).count() == 1 && policies(v).all(|(found, _)| is_oid(found, wanted.arcs())))) },
    Rule { name: "policy-any", says: "the certificate policy is not anyPolicy", holds: |v| !policies(v).any(|(found, _)| is_oid(found, &[2, 5, 29, 32, 0])) },
    Rule { name: "policy-qualifier", says: "the certificate policy has no qualifier", holds: |v| policies(v).all(|(_, qualified)| !qualified) },
];
