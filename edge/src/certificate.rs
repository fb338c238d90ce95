//! A certificate for a key, under a profile: what the profile takes, and the signature.

use azure_iot::RegistrationId;
use serde_json::json;
use tracing::{error, warn};
use web::Problem;

use crate::{
    clock::Moment,
    event::IssuedBy,
    fingerprint::sha256,
    issuance::unprocessable,
    key::KeyType,
    pki::{Issued, Issuer, PkiError},
    profile::ProfileConfig,
};

/// A profile, and the issuing CA that signs under it.
pub(crate) struct Profile<'a> {
    pub(crate) name: &'a str,
    config: &'a ProfileConfig,
    issuer: &'a Issuer,
}

/// A certificate, and whose it is.
pub(crate) struct Signed {
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

    /// Refuses a key of a kind that it does not take.
    pub(crate) fn takes(&self, kind: KeyType) -> Result<(), Problem> {
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
    pub(crate) fn takes_keys_made_here(&self) -> Result<(), Problem> {
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
    pub(crate) fn sign(
        &self,
        this_box: &IssuedBy,
        id: &RegistrationId,
        spki: &[u8],
        moment: Moment,
    ) -> Result<Signed, Problem> {
        let mut serial = [0; 17];
        aws_lc_rs::rand::fill(&mut serial[1..]).map_err(|_| Problem::internal())?;
        serial[0] = this_box.generation;
        let dated = if moment.believed { moment.at } else { self.issuer.not_before() };
        let leaf = self.issuer.issue(self.config, id, spki, dated, serial);
        let leaf = leaf.map_err(|error| self.unsigned(&error, id))?;
        Ok(Signed { leaf, issuer_sha256: sha256(self.issuer.certificate()) })
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
