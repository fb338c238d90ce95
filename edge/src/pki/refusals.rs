//! Profiles and drafts with one thing wrong, each refused by the name of the rule, and no rule that nothing breaks.

use std::collections::BTreeSet;

use keys::Algorithm;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose as Purpose, IsCa, KeyIdMethod, KeyUsagePurpose as Usage, SanType, SerialNumber,
};
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::{
    Issuer, PkiError,
    draft::{Leaf, hardware_module, params, policies},
    lint::{Wanted, lint},
    rules,
    testing::{NOW, issuer, profile},
    throw_away,
    trial::Trial,
};
use crate::{
    der::{self, SEQUENCE, SET},
    key::KeyType,
    profile::{NO_END, ProfileConfig},
};

const SERIAL: [u8; 17] = *b"\x01sixteen octets..";
const MODULE: &str = "1.3.6.1.4.1.32473.7";
const POLICY: &str = "1.3.6.1.4.1.32473.8";
/// id-ce-… by their last arc, as RFC 5280 4.2.1 numbers them.
const SKI: u64 = 14;
const USAGE: u64 = 15;
const SAN: u64 = 17;
const BASIC: u64 = 19;
const POLICIES: u64 = 32;
const AKI: u64 = 35;
const EKU: u64 = 37;

struct Bench {
    issuer: Issuer,
    spki: Vec<u8>,
    broken: BTreeSet<&'static str>,
    cases: usize,
}

fn whole(now: OffsetDateTime) -> OffsetDateTime {
    now.replace_nanosecond(0).unwrap()
}

impl Bench {
    /// A profile that must not start.
    fn profile(&mut self, text: &str, rule: &'static str) {
        let refused = Trial::default().run(&self.issuer, &profile(text), NOW);
        self.expect(text, rule, refused.map_err(rules_of));
    }

    /// A draft in which something was changed.
    fn draft(&mut self, rule: &'static str, change: impl FnOnce(&mut CertificateParams)) {
        self.draft_of(&rich(), rule, change);
    }

    fn draft_of(
        &mut self,
        profile: &ProfileConfig,
        rule: &'static str,
        change: impl FnOnce(&mut CertificateParams),
    ) {
        let id = "gw-01".parse().unwrap();
        let now = whole(NOW);
        let leaf = Leaf {
            id: &id,
            spki: &self.spki,
            serial: SERIAL,
            not_before: now - Duration::HOUR,
            not_after: profile.not_after(now).unwrap(),
        };
        let mut params = params(profile, leaf);
        change(&mut params);
        let draft = self.issuer.draftsman.write(&params, &self.spki).unwrap();
        self.bytes(profile, draft, rule);
    }

    fn bytes(&mut self, profile: &ProfileConfig, draft: Vec<u8>, rule: &'static str) {
        let id = "gw-01".parse().unwrap();
        let wanted = Wanted {
            authority: &self.issuer.authority,
            profile,
            id: &id,
            spki: &self.spki,
            serial: &SERIAL,
            now: whole(NOW),
        };
        let refused = lint(draft, wanted).map(drop).map_err(|broken| broken.rules());
        self.expect(rule, rule, refused);
    }

    /// A draft of which one field was replaced by these bytes.
    fn field(&mut self, index: usize, with: &[u8], rule: &'static str) {
        let mut fields = self.fields();
        fields[index] = with.to_vec();
        self.bytes(&rich(), tlv(SEQUENCE, &fields.concat()), rule);
    }

    /// Version, serial, algorithm, issuer, validity, subject, key, extensions.
    fn fields(&self) -> Vec<Vec<u8>> {
        let (id, now) = ("gw-01".parse().unwrap(), whole(NOW));
        let (not_before, not_after) = (now - Duration::HOUR, rich().not_after(now).unwrap());
        let leaf = Leaf { id: &id, spki: &self.spki, serial: SERIAL, not_before, not_after };
        let draft = self.issuer.draftsman.draft(&rich(), leaf).unwrap();
        let mut rest = der::only(&draft, SEQUENCE).unwrap();
        let mut fields = vec![];
        while !rest.is_empty() {
            let (field, behind) = der::read(rest).unwrap();
            fields.push(field.raw.to_vec());
            rest = behind;
        }
        assert_eq!(fields.len(), 8);
        fields
    }

    fn expect(&mut self, case: &str, rule: &'static str, refused: Result<(), Vec<&'static str>>) {
        let found = refused.expect_err(case);
        assert!(found.contains(&rule), "{case}: {found:?}, not {rule}");
        self.broken.insert(rule);
        self.cases += 1;
    }
}

fn rules_of(error: PkiError) -> Vec<&'static str> {
    match error {
        PkiError::Lint(broken) => broken.rules(),
        other => panic!("not by the lint: {other}"),
    }
}

/// A profile with everything.
fn rich() -> ProfileConfig {
    profile(&format!("hardware_module = '{MODULE}'\npolicy = '{POLICY}'"))
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7F => vec![u8::try_from(short).unwrap()],
        long => [&[0x82], &u16::try_from(long).unwrap().to_be_bytes()[..]].concat(),
    };
    // Between 128 and 255 a second octet would be one too many.
    let length = if (0x80..0x100).contains(&content.len()) { vec![0x81, length[2]] } else { length };
    [&[tag], &length[..], content].concat()
}

fn extension(arc: u64, critical: bool, content: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, arc], content.to_vec());
    extension.set_criticality(critical);
    extension
}

/// Replaces the extension that the profile has put there.
fn replace(params: &mut CertificateParams, arc: u64, critical: bool, content: &[u8]) {
    params.custom_extensions.retain(|extension| extension.oid_components().last() != Some(arc));
    params.custom_extensions.push(extension(arc, critical, content));
}

fn common_name(value: DnValue) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, value);
    name
}

/// An attribute of a name: `SET { SEQUENCE { 2.5.4.arc, UTF8String } }`, without the set.
fn attribute(arc: u8, text: &str) -> Vec<u8> {
    tlv(SEQUENCE, &[&[6, 3, 0x55, 4, arc], &tlv(0x0C, text.as_bytes())[..]].concat())
}

#[test]
fn everything_that_is_wrong_is_refused_by_name_and_every_rule_refuses_something() {
    let dir = TempDir::new().unwrap();
    let issuer = issuer(&dir, Algorithm::P256);
    let spki = throw_away(KeyType::P256).unwrap();
    let mut bench = Bench { issuer, spki, broken: BTreeSet::new(), cases: 0 };
    bad_profiles(&mut bench);
    bad_bodies(&mut bench);
    bad_subjects(&mut bench);
    bad_extensions(&mut bench);
    bad_bytes(&mut bench);
    let all: BTreeSet<_> = rules::all().map(|rule| rule.name).chain(["der", "tbs-malformed"]).collect();
    let never: Vec<_> = all.difference(&bench.broken).collect();
    assert!(never.is_empty(), "no case breaks {never:?}");
    eprintln!("{} bad profiles and drafts, {} rules", bench.cases, all.len());
    assert!(bench.cases >= 60, "{}", bench.cases);
}

fn bad_profiles(bench: &mut Bench) {
    let (long, longer) = ("x".repeat(65), "x".repeat(129));
    for (text, rule) in [
        ("validity = '60y'", "validity-outlives-issuer"),
        ("validity = '12000y'", "validity-outlives-issuer"),
        ("validity = '12000y'", "validity-end-differs"),
        ("validity = '23h'", "validity-short"),
        ("backdate = '8d'", "validity-backdate"),
        ("keys = []", "key-none-in-profile"),
        ("keys = []", "key-not-in-profile"),
        ("keys = ['p256', 'p256']", "key-none-in-profile"),
        ("organization = ''", "subject-string-empty"),
        ("organization = ' Plant'", "subject-string-blanks"),
        ("organization = 'Plant  GmbH'", "subject-string-blanks"),
        ("organization = \"Plant\\u0000GmbH\"", "subject-string-deceives"),
        ("organization = \"Plant\\r\\nGmbH\"", "subject-string-deceives"),
        ("organization = \"Pl\\u202Etna\"", "subject-string-deceives"),
        ("organizational_unit = \"Ha\\u200Bll\"", "subject-string-deceives"),
        ("organizational_unit = ''", "subject-string-empty"),
        ("country = 'Deutschland'", "country-letters"),
        ("country = 'Deutschland'", "subject-string-length"),
        ("country = 'de'", "country-letters"),
        ("country = 'Ä'", "country-type"),
    ] {
        bench.profile(text, rule);
    }
    for key in ["organization", "organizational_unit"] {
        bench.profile(&format!("{key} = '{long}'"), "subject-string-length");
    }
    for key in ["state", "locality"] {
        bench.profile(&format!("{key} = '{longer}'"), "subject-string-length");
    }
    bench.profile("policy = '2.5.29.32.0'", "policy-any");
}

fn bad_bodies(bench: &mut Bench) {
    let now = whole(NOW);
    let serial = |bytes: &[u8]| Some(SerialNumber::from_slice(bytes));
    bench.draft("serial-positive", |draft| draft.serial_number = serial(&[0; 17]));
    bench.draft("serial-length", |draft| draft.serial_number = serial(&[7; 21]));
    bench.draft("serial-entropy", |draft| draft.serial_number = serial(&[7; 8]));
    let prefix: Vec<u8> = [&[1][..], &[0; 16]].concat();
    bench.draft("serial-entropy", |draft| draft.serial_number = serial(&prefix));
    bench.draft("serial-differs", |draft| draft.serial_number = serial(&[7; 17]));
    bench.draft("validity-order", |draft| draft.not_after = now - Duration::DAY);
    bench.draft("validity-over", |draft| draft.not_after = now);
    bench.draft("validity-short", |draft| draft.not_after = now + Duration::HOUR);
    bench.draft("validity-begins-late", |draft| draft.not_before = now + Duration::SECOND);
    bench.draft("validity-before-issuer", |draft| draft.not_before = datetime!(1975-01-01 00:00 UTC));
    bench.draft("validity-begin-differs", |draft| draft.not_before = now);
    bench.draft("validity-end-differs", |draft| draft.not_after += Duration::SECOND);
    bench.draft("validity-outlives-issuer", |draft| draft.not_after = datetime!(4096-01-01 00:00 UTC));
    bench.draft("validity-no-end", |draft| draft.not_after = NO_END);
    let endless = profile("validity = 'none'");
    bench.draft_of(&endless, "validity-no-end", |draft| draft.not_after = now + Duration::days(7300));
}

fn bad_subjects(bench: &mut Bench) {
    let id = || DnValue::Utf8String("gw-01".to_owned());
    let with = |kind: DnType, value: &str| {
        let value = value.to_owned();
        move |draft: &mut CertificateParams| draft.distinguished_name.push(kind, value)
    };
    let serial = || DnType::CustomDnType(vec![2, 5, 4, 5]);
    bench.draft("subject-empty", |draft| draft.distinguished_name = DistinguishedName::new());
    bench.draft("common-name-missing", |draft| draft.distinguished_name = DistinguishedName::new());
    for name in ["gw-02", "GW-01", "gw-01 ", "gw-01\0", "\u{261}w-01", ""] {
        bench.draft("common-name-differs", |draft| draft.distinguished_name = common_name(name.into()));
    }
    let teletex = DnValue::TeletexString("gw-01".try_into().unwrap());
    bench.draft("subject-string-type", |draft| draft.distinguished_name = common_name(teletex));
    let bmp = DnValue::BmpString("gw-01".try_into().unwrap());
    bench.draft("subject-string-type", |draft| draft.distinguished_name = common_name(bmp));
    let mail = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
    bench.draft("subject-attribute-unknown", with(mail, "a@plant.example"));
    bench.draft("country-differs", with(DnType::CountryName, "DE"));
    bench.draft("country-type", with(DnType::CountryName, "DE"));
    bench.draft("state-differs", with(DnType::StateOrProvinceName, "x"));
    bench.draft("locality-differs", with(DnType::LocalityName, "x"));
    bench.draft("organization-differs", with(DnType::OrganizationName, "x"));
    bench.draft("organizational-unit-differs", with(DnType::OrganizationalUnitName, "x"));
    bench.draft("serial-number-differs", with(serial(), "gw-01"));
    let wanted = profile("serial_number = true");
    bench.draft_of(&wanted, "serial-number-differs", |draft| draft.distinguished_name = common_name(id()));
    bench.draft_of(&wanted, "serial-number-differs", with(serial(), "gw-02"));
    bench.draft_of(&wanted, "serial-number-type", with(serial(), "gw-01"));
}

fn bad_extensions(bench: &mut Bench) {
    let authority = |constraints| move |draft: &mut CertificateParams| draft.is_ca = IsCa::Ca(constraints);
    bench.draft("basic-constraints-missing", |draft| draft.is_ca = IsCa::NoCa);
    bench.draft("basic-constraints-ca", authority(BasicConstraints::Unconstrained));
    bench.draft("basic-constraints-path-length", authority(BasicConstraints::Constrained(0)));
    let custom = |arc, critical, content: &'static [u8]| {
        move |draft: &mut CertificateParams| {
            draft.is_ca = IsCa::NoCa;
            draft.custom_extensions.push(extension(arc, critical, content));
        }
    };
    bench.draft("basic-constraints-not-critical", custom(BASIC, false, &[0x30, 0]));
    bench.draft("basic-constraints-ca", custom(BASIC, true, &[0x30, 3, 1, 1, 0xFF]));
    bench.draft("subject-key-id-missing", |draft| draft.is_ca = IsCa::NoCa);
    bench.draft("subject-key-id-critical", custom(SKI, true, &[4, 1, 0]));
    bench.draft("subject-key-id-differs", |draft| {
        draft.key_identifier_method = KeyIdMethod::PreSpecified(vec![7; 20]);
    });
    bench.draft("subject-key-id-differs", |draft| draft.key_identifier_method = KeyIdMethod::Sha384);

    let usage = |usages: &[Usage]| {
        let usages = usages.to_vec();
        move |draft: &mut CertificateParams| draft.key_usages = usages
    };
    bench.draft("key-usage-missing", usage(&[]));
    bench.draft("key-usage-signature", usage(&[Usage::KeyAgreement]));
    bench.draft("key-usage-authority", usage(&[Usage::DigitalSignature, Usage::KeyCertSign]));
    bench.draft("key-usage-authority", usage(&[Usage::DigitalSignature, Usage::CrlSign]));
    bench.draft("key-usage-other", usage(&[Usage::DigitalSignature, Usage::KeyEncipherment]));
    bench.draft("key-usage-other", usage(&[Usage::DigitalSignature, Usage::ContentCommitment]));
    bench.draft("key-usage-not-critical", |draft| {
        draft.key_usages.clear();
        draft.custom_extensions.push(extension(USAGE, false, &[3, 2, 7, 0x80]));
    });
    bench.draft("extension-malformed", |draft| {
        draft.key_usages.clear();
        draft.custom_extensions.push(extension(USAGE, true, &[0x30, 0]));
    });
    bench.draft("extension-twice", |draft| {
        draft.custom_extensions.push(extension(USAGE, true, &[3, 2, 7, 0x80]));
    });

    let purposes = |purposes: &[Purpose]| {
        let purposes = purposes.to_vec();
        move |draft: &mut CertificateParams| draft.extended_key_usages = purposes
    };
    bench.draft("extended-key-usage-missing", purposes(&[]));
    bench.draft("extended-key-usage-client", purposes(&[Purpose::ServerAuth]));
    bench.draft("extended-key-usage-any", purposes(&[Purpose::ClientAuth, Purpose::Any]));
    bench.draft("extended-key-usage-other", purposes(&[Purpose::ClientAuth, Purpose::ServerAuth]));
    bench.draft("extended-key-usage-other", purposes(&[Purpose::ClientAuth, Purpose::OcspSigning]));
    bench.draft("extended-key-usage-other", purposes(&[Purpose::ClientAuth, Purpose::Other(vec![1, 2, 3])]));
    bench.draft("extended-key-usage-critical", |draft| {
        draft.extended_key_usages.clear();
        let client = [0x30, 10, 6, 8, 0x2B, 6, 1, 5, 5, 7, 3, 2];
        draft.custom_extensions.push(extension(EKU, true, &client));
    });

    bench.draft("authority-key-id-missing", |draft| draft.use_authority_key_identifier_extension = false);
    let aki = |critical, content: Vec<u8>| {
        move |draft: &mut CertificateParams| {
            draft.use_authority_key_identifier_extension = false;
            draft.custom_extensions.push(extension(AKI, critical, &content));
        }
    };
    let other = tlv(SEQUENCE, &tlv(0x80, &[7; 20]));
    bench.draft("authority-key-id-differs", aki(false, other.clone()));
    bench.draft("authority-key-id-differs", aki(false, tlv(SEQUENCE, &[])));
    bench.draft("authority-key-id-critical", aki(true, other));

    let plain = ProfileConfig::default();
    let host = || SanType::DnsName("admin.example".try_into().unwrap());
    for (rule, name) in [
        ("san-unwished", host()),
        ("san-host", host()),
        ("san-host", SanType::IpAddress([10, 0, 0, 1].into())),
        ("san-host", SanType::Rfc822Name("a@plant.example".try_into().unwrap())),
        ("san-uri", SanType::URI("urn:plant:gw-01".try_into().unwrap())),
        ("san-other", SanType::OtherName((vec![1, 2, 3], "x".into()))),
    ] {
        bench.draft_of(&plain, rule, |draft| draft.subject_alt_names.push(name));
    }
    let id = "gw-01".parse().unwrap();
    let module = [1, 3, 6, 1, 4, 1, 32473, 7];
    let good = hardware_module(&module, &id);
    bench.draft("san-missing", |draft| {
        draft.custom_extensions.retain(|extension| extension.oid_components().last() != Some(SAN));
    });
    bench.draft("san-empty", |draft| replace(draft, SAN, false, &[0x30, 0]));
    bench.draft("san-critical", |draft| replace(draft, SAN, true, &good));
    let one = der::only(&good, SEQUENCE).unwrap();
    bench.draft("san-other", |draft| replace(draft, SAN, false, &tlv(SEQUENCE, &[one, one].concat())));
    let kind = hardware_module(&[1, 3, 6, 1, 4, 1, 32473, 9], &id);
    bench.draft("hardware-module-type", |draft| replace(draft, SAN, false, &kind));
    let serial = hardware_module(&module, &"gw-02".parse().unwrap());
    bench.draft("hardware-module-serial", |draft| replace(draft, SAN, false, &serial));
    // The octet string of the serial number becomes a UTF8String.
    let at = good.windows(2).rposition(|at| at == [4, 5]).unwrap();
    let mut malformed = good.clone();
    malformed[at] = 0x0C;
    bench.draft("hardware-module-malformed", |draft| replace(draft, SAN, false, &malformed));

    let policy = policies(&[1, 3, 6, 1, 4, 1, 32473, 8]);
    bench.draft("policy-missing", |draft| {
        draft.custom_extensions.retain(|extension| extension.oid_components().last() != Some(POLICIES));
    });
    bench.draft_of(&plain, "policy-unwished", |draft| replace(draft, POLICIES, false, &policy));
    bench.draft("policy-critical", |draft| replace(draft, POLICIES, true, &policy));
    let other = policies(&[1, 3, 6, 1, 4, 1, 32473, 9]);
    bench.draft("policy-differs", |draft| replace(draft, POLICIES, false, &other));
    bench.draft("policy-any", |draft| replace(draft, POLICIES, false, &policies(&[2, 5, 29, 32, 0])));
    let cps = tlv(SEQUENCE, &[&[6, 8, 0x2B, 6, 1, 5, 5, 7, 2, 1][..], &tlv(0x16, b"http://x")].concat());
    let oid = der::only(der::only(&policy, SEQUENCE).unwrap(), SEQUENCE).unwrap();
    let qualified = tlv(SEQUENCE, &tlv(SEQUENCE, &[oid, &tlv(SEQUENCE, &cps)].concat()));
    bench.draft("policy-qualifier", |draft| replace(draft, POLICIES, false, &qualified));

    // Name constraints, CRL distribution points, authority information access, and one that nobody knows.
    for oid in [&[2, 5, 29, 30][..], &[2, 5, 29, 31], &[1, 3, 6, 1, 5, 5, 7, 1, 1], &[1, 2, 3, 4]] {
        let unknown = |critical| {
            let mut unknown = CustomExtension::from_oid_content(oid, vec![0x30, 0]);
            unknown.set_criticality(critical);
            move |draft: &mut CertificateParams| draft.custom_extensions.push(unknown)
        };
        bench.draft("extension-unknown", unknown(false));
        bench.draft("extension-unknown-critical", unknown(true));
    }
    let ber = CustomExtension::from_oid_content(&[1, 2, 3, 4], vec![0x30, 0x81, 0]);
    bench.draft("extension-der", |draft| draft.custom_extensions.push(ber));
}

fn bad_bytes(bench: &mut Bench) {
    let fields = bench.fields();
    let good = tlv(SEQUENCE, &fields.concat());
    bench.bytes(&rich(), [&good[..], &[0]].concat(), "der");
    bench.bytes(&rich(), good[..good.len() - 1].to_vec(), "der");
    bench.bytes(&rich(), vec![0x30, 0x80, 0, 0], "der");
    bench.bytes(&rich(), tlv(SEQUENCE, &[]), "tbs-malformed");
    bench.bytes(&rich(), tlv(SEQUENCE, &fields[..5].concat()), "tbs-malformed");
    bench.bytes(&rich(), tlv(SEQUENCE, &fields[1..].concat()), "version");
    bench.field(0, &[0xA0, 3, 2, 1, 1], "version");
    bench.field(1, &[&[2, 17, 0x81][..], &[7; 16]].concat(), "serial-positive");
    let sha384 = [0x30, 10, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 3];
    bench.field(2, &sha384, "signature-algorithm");
    let with_null = [0x30, 12, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2, 5, 0];
    bench.field(2, &with_null, "signature-algorithm");
    let name = |inside: &[u8]| tlv(SEQUENCE, inside);
    let common = attribute(3, "gw-01");
    bench.field(3, &name(&[]), "issuer-empty");
    bench.field(3, &name(&tlv(SET, &common)), "issuer-differs");
    bench.field(5, &fields[3], "issuer-is-subject");
    bench.field(
        5,
        &name(&tlv(SET, &[&attribute(3, "gw-01")[..], &attribute(10, "x")].concat())),
        "subject-multi-valued",
    );
    bench.field(5, &name(&[tlv(SET, &common), tlv(SET, &common)].concat()), "subject-attribute-twice");
    let validity = |begin: Vec<u8>, end: Vec<u8>| tlv(SEQUENCE, &[begin, end].concat());
    let (utc, generalized) =
        (|text: &str| tlv(0x17, text.as_bytes()), |text: &str| tlv(0x18, text.as_bytes()));
    let early = generalized("20261123110000Z");
    bench.field(4, &validity(early, utc("461118120000Z")), "validity-form");
    bench.field(4, &validity(utc("2611231100Z"), utc("461118120000Z")), "validity-zulu");
    let (before, after) = (fields[..7].concat(), &fields[7]);
    for uid in [0x81, 0x82] {
        let draft = tlv(SEQUENCE, &[&before[..], &tlv(uid, &[0, 7]), after].concat());
        bench.bytes(&rich(), draft, "unique-id");
    }
    for (kind, rule) in [(KeyType::P256, "key-differs"), (KeyType::P384, "key-not-in-profile")] {
        bench.field(6, &throw_away(kind).unwrap(), rule);
    }
    // Ed25519 (RFC 8410).
    let edwards = tlv(SEQUENCE, &[&tlv(SEQUENCE, &[6, 3, 0x2B, 0x65, 0x70])[..], &tlv(3, &[0; 33])].concat());
    bench.field(6, &edwards, "key-unsupported");
}
