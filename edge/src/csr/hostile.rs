//! What a request cannot do: some thousands of hostile ones, made here, case by case.
//!
//! Each is answered without a panic and within a bound of CPU time, and of those that are accepted nothing but the key
//! reaches the certificate: it is, byte for byte, the one that a plain request with the same key gets.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::{
    encoding::AsDer,
    rand::SystemRandom,
    rsa::{self, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair,
        RSA_PKCS1_SHA256,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use keys::Algorithm;
use rustix::time::{ClockId, clock_gettime};
use tempfile::TempDir;
use x509_parser::prelude::{FromDer, TbsCertificate, X509Certificate};

use super::Csr;
use crate::{
    der::{self, BIT_STRING, INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET},
    key::testing::{close_primes, ec_spki, ec_spki_with, modulus, p256_point, roca, rsa_spki},
    pki::{
        Issuer,
        testing::{NOW, issuer, pem, profile},
    },
};

/// The most that one request may cost.
const BOUND: Duration = Duration::from_millis(50);
const SERIAL: [u8; 17] = *b"\x01sixteen octets..";

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..=0x7F => vec![tag, u8::try_from(length).unwrap()],
        0x80..=0xFF => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82], &u16::try_from(length).unwrap().to_be_bytes()[..]].concat(),
    };
    [&head[..], content].concat()
}

fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(SEQUENCE, &parts.concat())
}

enum Key {
    Elliptic { pair: EcdsaKeyPair, algorithm: &'static [u8] },
    Rsa(rsa::KeyPair),
}

/// ecdsa-with-SHA256, ecdsa-with-SHA384, sha256WithRSAEncryption: the contents of their object identifiers.
const ECDSA_SHA256: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA384: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x03";
const RSA_SHA256: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";

impl Key {
    fn spki(&self) -> Vec<u8> {
        match self {
            Self::Elliptic { pair, .. } => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    fn algorithm(&self) -> Vec<u8> {
        match self {
            Self::Elliptic { algorithm, .. } => seq(&[&tlv(OID, algorithm)]),
            Self::Rsa(_) => seq(&[&tlv(OID, RSA_SHA256), &[NULL, 0]]),
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Elliptic { pair, .. } => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// A request, in parts.
struct Parts {
    version: Vec<u8>,
    subject: Vec<u8>,
    spki: Vec<u8>,
    /// What is inside the `[0]`.
    attributes: Vec<u8>,
}

impl Parts {
    fn of(key: &Key) -> Self {
        let subject = name(&[(3, 0x0C, b"unit-1")]);
        Self { version: vec![INTEGER, 1, 0], subject, spki: key.spki(), attributes: vec![] }
    }

    fn info(&self) -> Vec<u8> {
        seq(&[&self.version, &self.subject, &self.spki, &tlv(0xA0, &self.attributes)])
    }

    fn signed(&self, key: &Key) -> Vec<u8> {
        signed(&self.info(), key)
    }
}

fn signed(info: &[u8], key: &Key) -> Vec<u8> {
    framed(info, &key.algorithm(), &key.sign(info))
}

fn framed(info: &[u8], algorithm: &[u8], signature: &[u8]) -> Vec<u8> {
    seq(&[info, algorithm, &tlv(BIT_STRING, &[&[0], signature].concat())])
}

/// A name of attributes 2.5.4.arc, each with the tag of its string.
fn name(attributes: &[(u8, u8, &[u8])]) -> Vec<u8> {
    let parts: Vec<_> =
        attributes.iter().map(|(arc, tag, text)| tlv(SET, &attribute(*arc, *tag, text))).collect();
    tlv(SEQUENCE, &parts.concat())
}

fn attribute(arc: u8, tag: u8, text: &[u8]) -> Vec<u8> {
    seq(&[&[OID, 3, 0x55, 4, arc], &tlv(tag, text)])
}

/// extensionRequest (RFC 2985 5.4.2) with these extensions.
fn extension_request(extensions: &[Vec<u8>]) -> Vec<u8> {
    let oid = tlv(OID, b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e");
    seq(&[&oid, &tlv(SET, &tlv(SEQUENCE, &extensions.concat()))])
}

fn extension(oid: &[u8], critical: bool, content: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xFF] } else { &[] };
    seq(&[&tlv(OID, oid), flag, &tlv(OCTET_STRING, content)])
}

fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(vec![], |inside, _| tlv(SEQUENCE, &inside))
}

/// Where every value of a document begins, with the length of its head.
fn heads(document: &[u8], at: usize, found: &mut Vec<(usize, usize)>) {
    let mut rest = document;
    let mut at = at;
    while let Ok((value, behind)) = der::read(rest) {
        let head = value.raw.len() - value.value.len();
        found.push((at, head));
        if value.tag & 0x20 != 0 {
            heads(value.value, at + head, found);
        }
        at += value.raw.len();
        rest = behind;
    }
}

/// What happened to all of them.
#[derive(Default)]
struct Tally {
    cases: usize,
    accepted: usize,
    codes: BTreeMap<&'static str, usize>,
    slowest: (Duration, String),
}

struct Bench {
    issuer: Issuer,
    /// What a plain request with this key gets: the bytes that are signed.
    plain: BTreeMap<Vec<u8>, Vec<u8>>,
    tally: Tally,
}

fn cpu() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec.try_into().unwrap(), spent.tv_nsec.try_into().unwrap())
}

impl Bench {
    fn new(dir: &TempDir, keys: &[Key]) -> Self {
        let mut bench =
            Self { issuer: issuer(dir, Algorithm::P256), plain: BTreeMap::new(), tally: Tally::default() };
        for key in keys {
            let csr = Csr::parse(&pem(&Parts::of(key).signed(key))).expect("a plain request is good");
            assert_eq!(csr.spki, key.spki());
            let certificate = bench.certificate(&csr);
            bench.plain.insert(csr.spki, certificate);
        }
        bench
    }

    fn certificate(&self, csr: &Csr) -> Vec<u8> {
        let profile = profile("keys = ['p256', 'p384', 'rsa2048', 'rsa3072']");
        let id = "unit-1".parse().unwrap();
        let issued = self.issuer.issue(&profile, &id, &csr.spki, NOW, SERIAL).unwrap();
        TbsCertificate::as_ref(&X509Certificate::from_der(&issued.der).unwrap().1).to_vec()
    }

    /// Hands in a request in DER; `code` is how it has to be refused, `None` where it may be accepted.
    fn der(&mut self, what: &str, request: &[u8], code: Option<&str>) {
        self.text(what, &pem(request), code);
    }

    fn text(&mut self, what: &str, request: &str, code: Option<&str>) {
        let before = cpu();
        let answer = Csr::parse(request);
        let certificate = answer.as_ref().map(|csr| self.certificate(csr));
        let spent = cpu() - before;
        self.tally.cases += 1;
        if spent > self.tally.slowest.0 {
            self.tally.slowest = (spent, what.to_owned());
        }
        assert!(spent <= BOUND, "{what} took {spent:?}");
        match (&answer, certificate) {
            (Ok(csr), Ok(certificate)) => {
                assert_eq!(code, None, "{what} was accepted");
                let plain =
                    self.plain.get(&csr.spki).unwrap_or_else(|| panic!("{what} brought a key of its own"));
                assert!(certificate == *plain, "{what} reached the certificate");
                self.tally.accepted += 1;
            }
            (Err(why), _) => {
                assert!(code.is_none_or(|code| code == why.code()), "{what}: {why:?}, not {code:?}");
                assert!(why.to_string().len() > 30, "{what} is told what to do: {why}");
                *self.tally.codes.entry(why.code()).or_default() += 1;
            }
            (Ok(_), Err(_)) => unreachable!("made from the same answer"),
        }
    }
}

#[test]
fn nothing_of_a_request_but_its_key_reaches_a_certificate() {
    let dir = TempDir::new().unwrap();
    let keys = [
        Key::Elliptic {
            pair: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            algorithm: ECDSA_SHA256,
        },
        Key::Elliptic {
            pair: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_ASN1_SIGNING).unwrap(),
            algorithm: ECDSA_SHA384,
        },
        Key::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).unwrap()),
    ];
    let mut bench = Bench::new(&dir, &keys);
    for key in &keys {
        cut_and_bent(&mut bench, key);
        versions_and_signatures(&mut bench, key, &keys);
        names(&mut bench, key);
        wishes(&mut bench, key);
    }
    bent_and_signed(&mut bench, &keys[0]);
    bad_keys(&mut bench, &keys[0]);
    texts(&mut bench, &keys[0]);
    let Tally { cases, accepted, codes, slowest: (spent, what) } = &bench.tally;
    eprintln!("{cases} hostile requests: {accepted} accepted for their key alone, refused {codes:?}");
    eprintln!("the most CPU time of one: {spent:?} ({what})");
    assert!(*cases >= 2_000, "{cases}");
    assert!(*accepted >= 200, "{accepted}: a bench that accepts nothing shows nothing");
}

/// Cut anywhere; every tag and length bent, without a new signature.
fn cut_and_bent(bench: &mut Bench, key: &Key) {
    let good = Parts::of(key).signed(key);
    for end in (0..good.len()).step_by(3) {
        bench.der(&format!("cut at {end}"), &good[..end], Some("csr-malformed"));
    }
    for behind in [&[0][..], &[0x30, 0], &[0xFF; 100]] {
        bench.der("bytes behind it", &[&good[..], behind].concat(), Some("csr-malformed"));
    }
    let mut found = vec![];
    heads(&good, 0, &mut found);
    for (at, head) in found {
        for tag in [0x00, 0x05, 0x0C, 0x10, 0x1F, 0x24, 0x31, 0x70, 0xA0, 0xA3, 0xBF] {
            let mut bad = good.clone();
            if bad[at] != tag {
                bad[at] = tag;
                bench.der(&format!("tag {tag:#x} at {at}"), &bad, None);
            }
        }
        for length in [
            &[0x00][..],
            &[0x7F],
            &[0x80],
            &[0x81, 0x00],
            &[0x82, 0xFF, 0xFF],
            &[0x84, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0x88, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
            &[0xFF],
        ] {
            let bad = [&good[..=at], length, &good[at + head..]].concat();
            if bad != good {
                bench.der(&format!("length {length:x?} at {at}"), &bad, None);
            }
        }
    }
}

/// Every byte of what is signed bent, and signed again: the proof of possession holds.
fn bent_and_signed(bench: &mut Bench, key: &Key) {
    let info = Parts::of(key).info();
    for at in 0..info.len() {
        for bit in [0x01, 0x20, 0x80, 0xFF] {
            let mut bad = info.clone();
            bad[at] ^= bit;
            bench.der(&format!("byte {at} ^ {bit:#x}, signed"), &signed(&bad, key), None);
        }
    }
}

fn versions_and_signatures(bench: &mut Bench, key: &Key, keys: &[Key]) {
    let huge = tlv(INTEGER, &[&[1][..], &[0; 4000]].concat());
    for version in
        [&[2, 1, 1][..], &[2, 1, 2], &[2, 1, 0xFF], &[2, 0], &[2, 2, 0, 0], &[5, 0], &[4, 1, 0], &huge]
    {
        let parts = Parts { version: version.to_vec(), ..Parts::of(key) };
        bench.der(&format!("version {:x?}", &version[..2]), &parts.signed(key), Some("csr-malformed"));
    }
    let info = Parts::of(key).info();
    for (i, other) in keys.iter().enumerate().filter(|(_, other)| other.spki() != key.spki()) {
        bench.der(
            "a signature by another key",
            &framed(&info, &key.algorithm(), &other.sign(&info)),
            Some("csr-signature"),
        );
        bench.der(
            &format!("all of it by key {i}"),
            &framed(&info, &other.algorithm(), &other.sign(&info)),
            Some("csr-signature"),
        );
    }
    let zeros = seq(&[&[INTEGER, 1, 0], &[INTEGER, 1, 0]]);
    let ones = seq(&[&[INTEGER, 1, 1], &[INTEGER, 1, 1]]);
    let long = seq(&[&tlv(INTEGER, &[0x7F; 2000]), &tlv(INTEGER, &[0x7F; 2000])]);
    for signature in [&[][..], &[0], &[0xFF; 256], &zeros, &ones, &long, &[0; 8000], &nested(500)] {
        bench.der(
            "a signature that is none",
            &framed(&info, &key.algorithm(), signature),
            Some("csr-signature"),
        );
    }
    let good = key.sign(&info);
    // MD5, SHA-1 and SHA-224 with RSA; ECDSA with SHA-1, SHA-224 and SHA-512; DSA; Ed25519; SHA-256 alone; nonsense.
    for oid in [
        &b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04"[..],
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05",
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0e",
        b"\x2a\x86\x48\xce\x3d\x04\x01",
        b"\x2a\x86\x48\xce\x3d\x04\x03\x01",
        b"\x2a\x86\x48\xce\x3d\x04\x03\x04",
        b"\x2a\x86\x48\xce\x38\x04\x03",
        b"\x2b\x65\x70",
        b"\x60\x86\x48\x01\x65\x03\x04\x02\x01",
        b"\x2a\x03\x04",
    ] {
        for parameters in [&[][..], &[NULL, 0], &[SEQUENCE, 0]] {
            let algorithm = seq(&[&tlv(OID, oid), parameters]);
            bench.der(
                "an algorithm that proves nothing",
                &framed(&info, &algorithm, &good),
                Some("csr-signature-algorithm"),
            );
        }
    }
    // RSASSA-PSS with parameters of every kind, over a PKCS#1 or ECDSA signature.
    for parameters in [&[][..], &[NULL, 0], &[SEQUENCE, 0], &seq(&[&[0xA0, 2, 5, 0]]), &nested(20)] {
        let algorithm = seq(&[&tlv(OID, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"), parameters]);
        bench.der("PSS that is none", &framed(&info, &algorithm, &good), Some("csr-signature"));
    }
}

/// Names: what they look like, how they are written, how many there are.
fn names(bench: &mut Bench, key: &Key) {
    let long = "x".repeat(65);
    let texts: [&[u8]; 16] = [
        b"",
        b"unit-1",
        b"UNIT-1",
        b"unit-1\0",
        b"\0unit-1",
        b"unit-1\r\nX: y",
        b"../../etc/passwd",
        b"unit-1 ",
        b"'; DROP TABLE units; --",
        b"<script>alert(1)</script>",
        "\u{202e}1-tinu".as_bytes(),
        "un\u{456}t-1".as_bytes(),
        "unit\u{200b}-1".as_bytes(),
        long.as_bytes(),
        b"\xFF\xFE\xFD",
        b"%n%s%x",
    ];
    for tag in [12, 18, 19, 20, 22, 26, 28, 30, 4, 2] {
        for text in texts {
            let parts = Parts { subject: name(&[(3, tag, text)]), ..Parts::of(key) };
            bench.der(&format!("CN {text:x?} with tag {tag}"), &parts.signed(key), None);
        }
    }
    // Everything else that a name may hold (2.5.4.x), beside a common name: accepted, and gone.
    for arc in (4..=20).chain([41, 42, 43, 44, 45, 46, 65, 72, 97]) {
        let parts = Parts { subject: name(&[(3, 12, b"unit-1"), (arc, 12, b"Evil Inc")]), ..Parts::of(key) };
        bench.der(&format!("an attribute 2.5.4.{arc}"), &parts.signed(key), None);
    }
    let twice = name(&[(3, 12, b"unit-1"), (3, 12, b"unit-2")]);
    let in_one =
        tlv(SEQUENCE, &tlv(SET, &[attribute(3, 12, b"unit-1"), attribute(3, 12, b"unit-2")].concat()));
    for subject in [twice, in_one] {
        let parts = Parts { subject, ..Parts::of(key) };
        bench.der("two common names", &parts.signed(key), Some("csr-malformed"));
    }
    for subject in [
        tlv(SEQUENCE, &[]),
        tlv(SEQUENCE, &tlv(SET, &[])),
        tlv(SET, &[]),
        tlv(SEQUENCE, &nested(40)),
        nested(20),
        name(&[(10, 12, &b"x"[..]); 400]),
        name(&[(10, 12, &[b'x'; 9000])]),
        name(&[(3, 12, &[b'x'; 9000])]),
        tlv(SEQUENCE, &tlv(SET, &attribute(10, 12, b"x").repeat(300))),
    ] {
        let parts = Parts { subject, ..Parts::of(key) };
        bench.der("an odd name", &parts.signed(key), None);
    }
}

/// Extensions and attributes of every kind.
fn wishes(bench: &mut Bench, key: &Key) {
    let mut wish = |what: &str, attributes: Vec<u8>, code: Option<&str>| {
        let parts = Parts { attributes, ..Parts::of(key) };
        bench.der(what, &parts.signed(key), code);
    };
    let ce = |arc: u8| vec![0x55, 0x1D, arc];
    let mut oids: Vec<Vec<u8>> =
        [9, 14, 15, 16, 17, 18, 19, 20, 21, 30, 31, 32, 33, 35, 36, 37, 46, 54].map(ce).into();
    // Authority information access, TLS features, Netscape certificate type, SCT list, poison, one that nobody knows.
    for oid in [
        &b"\x2b\x06\x01\x05\x05\x07\x01\x01"[..],
        b"\x2b\x06\x01\x05\x05\x07\x01\x18",
        b"\x60\x86\x48\x01\x86\xf8\x42\x01\x01",
        b"\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02",
        b"\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03",
        b"\x2a\x03\x04\x05",
    ] {
        oids.push(oid.to_vec());
    }
    let deep = nested(200);
    let contents: [&[u8]; 9] = [
        &[],
        &[NULL, 0],
        &[SEQUENCE, 0],
        &[SEQUENCE, 0x80, 0, 0],
        &[BIT_STRING, 2, 7, 0x80],
        &[OCTET_STRING, 1, 7],
        b"\x30\x0f\x82\x0dadmin.example",
        &[0xFF; 60],
        &deep,
    ];
    for oid in &oids {
        for content in contents {
            for critical in [false, true] {
                let request = extension_request(&[extension(oid, critical, content)]);
                wish(&format!("extension {oid:x?} {content:x?} {critical}"), request, None);
            }
        }
    }
    let ca = [SEQUENCE, 3, 1, 1, 0xFF];
    let ca_of_depth = [SEQUENCE, 6, 1, 1, 0xFF, INTEGER, 1, 0];
    let (sign, crl) = ([BIT_STRING, 2, 2, 0x04], [BIT_STRING, 2, 1, 0x02]);
    for critical in [false, true] {
        for (oid, content) in [(19, &ca[..]), (19, &ca_of_depth), (15, &sign), (15, &crl)] {
            let asked = extension(&ce(oid), critical, content);
            wish("to be an authority", extension_request(std::slice::from_ref(&asked)), Some("csr-wants-ca"));
            let plain = extension(&ce(17), false, b"\x30\x0f\x82\x0dadmin.example");
            wish(
                "to be one, behind another",
                extension_request(&[plain, asked.clone()]),
                Some("csr-wants-ca"),
            );
            let first = extension_request(&[extension(&ce(14), false, &[OCTET_STRING, 1, 7])]);
            let second = extension_request(&[asked]);
            wish("to be one, in a second request", [first, second].concat(), Some("csr-malformed"));
        }
        let both = [extension(&ce(19), critical, &[SEQUENCE, 0]), extension(&ce(19), critical, &ca)];
        wish("basic constraints twice", extension_request(&both), Some("csr-wants-ca"));
    }
    let many: Vec<_> = (0..200).map(|_| extension(&ce(17), true, b"\x30\x0f\x82\x0dadmin.example")).collect();
    wish("two hundred names", extension_request(&many), None);
    let names = b"\x82\x0dadmin.example".repeat(500);
    wish(
        "a name of five hundred",
        extension_request(&[extension(&ce(17), false, &tlv(SEQUENCE, &names))]),
        None,
    );
    // challengePassword, unstructuredName, and attributes that nobody knows.
    for oid in [
        &b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07"[..],
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02",
        b"\x2a\x03\x04",
    ] {
        for value in [
            vec![],
            tlv(12, b"secret"),
            tlv(19, b"secret"),
            tlv(30, b"\0s"),
            tlv(12, &[b'x'; 9000]),
            tlv(12, b"\xFF"),
            tlv(INTEGER, &[0x7F; 4000]),
            [tlv(12, b"a"), tlv(12, b"b")].concat(),
        ] {
            let attribute = seq(&[&tlv(OID, oid), &tlv(SET, &value)]);
            wish("an attribute", attribute.clone(), None);
            wish("an attribute twice", [attribute.clone(), attribute].concat(), Some("csr-malformed"));
        }
        for depth in [1, 10, 26, 27, 28, 33, 100, 1000, 2500] {
            let code = (depth > 28).then_some("csr-malformed");
            wish(&format!("{depth} deep"), seq(&[&tlv(OID, oid), &tlv(SET, &nested(depth))]), code);
        }
    }
    for attributes in [vec![NULL, 0], vec![SEQUENCE, 0], vec![0; 100], tlv(SET, &[]), vec![0xFF]] {
        wish("attributes that are none", attributes, None);
    }
}

/// Keys that are refused, whoever signs for them.
fn bad_keys(bench: &mut Bench, key: &Key) {
    let mut asks = |what: &str, spki: Vec<u8>, code: &str| {
        let parts = Parts { spki, ..Parts::of(key) };
        bench.der(what, &parts.signed(key), Some(code));
    };
    let (weak, unsupported) = ("csr-key-weak", "csr-key-unsupported");
    let e = || 65537_u32.into();
    for (bits, code) in [
        (16, weak),
        (512, weak),
        (1024, weak),
        (2040, weak),
        (2056, unsupported),
        (4096, unsupported),
        (8192, unsupported),
        (16384, unsupported),
    ] {
        asks(&format!("RSA {bits}"), rsa_spki(&modulus(bits, bits), &e()), code);
    }
    for bits in [2048, 3072] {
        let good = modulus(bits, 11);
        for exponent in [0_u64, 1, 2, 3, 17, 257, 65535, 65536, 65538, (1 << 33) + 1, u64::MAX] {
            asks(&format!("RSA with e = {exponent}"), rsa_spki(&good, &exponent.into()), weak);
        }
        asks("RSA with e = n", rsa_spki(&good, &good), weak);
        asks("RSA with an even modulus", rsa_spki(&(&good + 1_u8), &e()), weak);
        asks("ROCA", rsa_spki(&roca(bits), &e()), weak);
        for apart in [0, 2, 1000, 1_000_000] {
            asks("close primes", rsa_spki(&close_primes(bits, apart), &e()), weak);
        }
        for prime in [3_u32, 7, 31, 751, 4093] {
            let small = &good / prime * prime;
            let small = if small.bit(0) { small } else { small + prime };
            asks("a small factor", rsa_spki(&small, &e()), weak);
        }
    }
    let (point, p256, p384) = (p256_point(), b"\x2a\x86\x48\xce\x3d\x03\x01\x07", b"\x2b\x81\x04\x00\x22");
    for at in (1..65).step_by(4) {
        let mut off = point.clone();
        off[at] ^= 0x10;
        asks("a point off its curve", ec_spki(p256, &off), weak);
    }
    for (what, spki, code) in [
        ("a point at infinity", ec_spki(p256, &[0]), weak),
        ("no point", ec_spki(p256, &[]), weak),
        ("half a point", ec_spki(p256, &point[..33]), weak),
        ("a point of zeros", ec_spki(p256, &[&[4][..], &[0; 64]].concat()), weak),
        ("a point of another curve", ec_spki(p384, &point), weak),
        ("coordinates beyond the field", ec_spki(p384, &[&[4][..], &[0xFF; 96]].concat()), weak),
        ("a compressed point", ec_spki(p256, &[&[2], &point[1..33]].concat()), unsupported),
        ("a hybrid point", ec_spki(p256, &[&[7], &point[1..]].concat()), unsupported),
        ("P-192", ec_spki(b"\x2a\x86\x48\xce\x3d\x03\x01\x01", &[4; 49]), unsupported),
        ("P-224", ec_spki(b"\x2b\x81\x04\x00\x21", &[4; 57]), unsupported),
        ("P-521", ec_spki(b"\x2b\x81\x04\x00\x23", &[4; 133]), unsupported),
        ("secp256k1", ec_spki(b"\x2b\x81\x04\x00\x0a", &point), unsupported),
        ("an unknown curve", ec_spki(b"\x2a\x03", &point), unsupported),
        ("explicit parameters", ec_spki_with(&seq(&[&[INTEGER, 1, 1]]), &point), unsupported),
        ("deep parameters", ec_spki_with(&nested(20), &point), unsupported),
        ("a NULL for a curve", ec_spki_with(&[NULL, 0], &point), unsupported),
        ("no curve", ec_spki_with(&[], &point), unsupported),
        ("two curves", ec_spki_with(&[tlv(OID, p256), tlv(OID, p256)].concat(), &point), "csr-malformed"),
    ] {
        asks(what, spki, code);
    }
    for (oid, length) in [
        (&b"\x2b\x65\x70"[..], 32),
        (b"\x2b\x65\x71", 57),
        (b"\x2b\x65\x6e", 32),
        (b"\x2a\x86\x48\xce\x38\x04\x01", 128),
        (b"\x60\x86\x48\x01\x65\x03\x04\x03\x11", 1312),
        (b"\x60\x86\x48\x01\x65\x03\x04\x03\x12", 1952),
        (b"\x60\x86\x48\x01\x65\x03\x04\x03\x13", 2592),
        (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a", 270),
        (b"\x2a\x03", 1),
    ] {
        let bits = tlv(BIT_STRING, &[&[0][..], &vec![7; length]].concat());
        asks("another kind of key", seq(&[&seq(&[&tlv(OID, oid)]), &bits]), unsupported);
    }
}

/// What is around the DER.
fn texts(bench: &mut Bench, key: &Key) {
    let good = pem(&Parts::of(key).signed(key));
    let base64 = STANDARD.encode(Parts::of(key).signed(key));
    for (what, text) in [
        ("two requests", format!("{good}{good}")),
        ("no PEM", base64.clone()),
        ("another label", good.replace("CERTIFICATE REQUEST", "CERTIFICATE")),
        ("a private key's label", good.replace("CERTIFICATE REQUEST", "PRIVATE KEY")),
        ("a begin without an end", good.replace("-----END", "-----BEGIN")),
        ("base64 that is none", good.replace('M', "*")),
        ("too long a text", format!("{good}{}", " ".repeat(20_000))),
        ("a megabyte", format!("-----BEGIN CERTIFICATE REQUEST-----\n{}", "A".repeat(1 << 20))),
        ("nothing", String::new()),
        ("a NUL", "\0".to_owned()),
    ] {
        bench.text(what, &text, Some("csr-malformed"));
    }
    for (what, text) in [
        ("headers", good.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nSubject: CN=admin\n\n", 1)),
        ("a text before it", format!("Subject: CN=admin\n{good}")),
        ("a text behind it", format!("{good}Subject: CN=admin\n")),
        ("the old label", good.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST")),
        ("carriage returns", good.replace('\n', "\r\n")),
    ] {
        bench.text(what, &text, None);
    }
}
