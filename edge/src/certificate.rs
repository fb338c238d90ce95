//! A certificate for a key, under a profile: what the profile takes, and the signature.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use azure_iot::RegistrationId;
use serde_json::json;
use tracing::{error, warn};
use web::Problem;
use zeroize::Zeroizing;

use crate::{
    clock::Moment,
    csr::Csr,
    event::{IssuedBy, KeyOrigin},
    fingerprint::sha256,
    issuance::unprocessable,
    key::KeyType,
    pki::{Issued, Issuer, PkiError},
    profile::{DEFAULT, ProfileConfig},
};

/// A profile, and the issuing CA that signs under it.
pub(crate) struct Profile<'a> {
    name: &'a str,
    config: &'a ProfileConfig,
    issuer: &'a Issuer,
}

/// A key and its certificate; nothing of it is on disk yet.
pub(crate) struct Certified {
    /// SHA-256 of the public key, hex.
    pub(crate) key_sha256: String,
    pub(crate) key_origin: KeyOrigin,
    /// PKCS#8 DER, where the appliance made the key.
    pub(crate) private_key: Option<Zeroizing<Vec<u8>>>,
    pub(crate) leaf: Issued,
    /// SHA-256 of the certificate of the CA that signed it, hex.
    pub(crate) issuer_sha256: String,
}

impl<'a> Profile<'a> {
    /// The profile of this name.
    pub(crate) fn find(issuer: &'a Issuer, name: &str) -> Result<Self, Problem> {
        let (name, config) = issuer.profile(name).ok_or_else(|| {
            let known: Vec<_> = issuer.profiles().collect();
            let detail = format!(
                "there is no profile '{name}' here, only {}; see [profile.NAME] in the configuration",
                known.join(", ")
            );
            unprocessable("profile-unknown", detail)
        })?;
        Ok(Self { name, config, issuer })
    }

    /// Signs a certificate for `id` and the key of `csr`, or for one that is made here.
    pub(crate) fn certify(
        &self,
        this_box: &IssuedBy,
        id: &RegistrationId,
        csr: Option<Csr>,
        moment: Moment,
    ) -> Result<Certified, Problem> {
        let (spki, key_origin, private_key) = match csr {
            Some(csr) => {
                self.takes(csr.kind)?;
                (csr.spki, KeyOrigin::Csr, None)
            }
            None => {
                self.takes_keys_made_here()?;
                let (spki, key) = make_key()?;
                (spki, KeyOrigin::Edge, Some(key))
            }
        };
        let leaf = self.sign(this_box, id, &spki, moment)?;
        let issuer_sha256 = self.issuer.sha256().to_owned();
        Ok(Certified { key_sha256: sha256(&spki), key_origin, private_key, leaf, issuer_sha256 })
    }

    /// The name as an event has it: absent for the one that is called `default`.
    pub(crate) fn recorded(&self) -> Option<String> {
        (self.name != DEFAULT).then(|| self.name.to_owned())
    }

    /// Refuses a key of a kind that it does not take.
    fn takes(&self, kind: KeyType) -> Result<(), Problem> {
        if self.config.keys.contains(&kind) {
            return Ok(());
        }
        let detail = format!(
            "the csr's key is {kind}; profile '{0}' takes {1} only: make the key anew, or allow it with keys in [profile.{0}]",
            self.name,
            self.kinds()
        );
        Err(unprocessable("csr-key-unsupported", detail).with("rule", "key-not-in-profile"))
    }

    /// Refuses to make a key where it takes none of the kind that is made here.
    fn takes_keys_made_here(&self) -> Result<(), Problem> {
        if self.config.keys.contains(&KeyType::P256) {
            return Ok(());
        }
        let detail = format!(
            "this appliance makes keys on P-256 only, and profile '{}' takes {} only: send a csr",
            self.name,
            self.kinds()
        );
        Err(unprocessable("csr-required", detail).with("rule", "key-not-in-profile"))
    }

    fn kinds(&self) -> String {
        let kinds: Vec<_> = self.config.keys.iter().map(KeyType::to_string).collect();
        kinds.join(", ")
    }

    /// Signs a certificate for the public key `spki` (DER), with a serial number of its own.
    fn sign(
        &self,
        this_box: &IssuedBy,
        id: &RegistrationId,
        spki: &[u8],
        moment: Moment,
    ) -> Result<Issued, Problem> {
        let mut serial = [0; 17];
        aws_lc_rs::rand::fill(&mut serial[1..]).map_err(|_| Problem::internal())?;
        serial[0] = this_box.generation;
        let dated = if moment.believed { moment.at } else { self.issuer.not_before() };
        let leaf = self.issuer.issue(self.config, id, spki, dated, serial);
        leaf.map_err(|error| self.unsigned(&error, id))
    }

    /// Why there is no certificate. What broke a rule of the lint is told by the rule's name.
    fn unsigned(&self, error: &PkiError, id: &RegistrationId) -> Problem {
        let profile = self.name;
        match error {
            PkiError::Lint(broken) => {
                warn!(%id, profile, %broken, "refused by the lint");
                let detail = format!(
                    "under profile '{profile}' the certificate of {id} would break a rule: {broken}; use another id, or change [profile.{profile}]"
                );
                unprocessable("certificate-refused", detail).with("rules", json!(broken.rules()))
            }
            error => {
                error!(%error, "a certificate could not be signed");
                Problem::internal()
            }
        }
    }
}

/// Makes a key for a device that cannot. It exists in the answer and nowhere else.
fn make_key() -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), Problem> {
    let internal = |_| Problem::internal();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(internal)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref())
        .map_err(|_| Problem::internal())?;
    // SubjectPublicKeyInfo of a P-256 key (RFC 5480): a fixed head and the uncompressed point.
    const HEAD: [u8; 26] = [
        0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
        0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
    ];
    let spki = [&HEAD[..], pair.public_key().as_ref()].concat();
    Ok((spki, Zeroizing::new(document.as_ref().to_vec())))
}
