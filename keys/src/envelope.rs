//! PBES2 (RFC 8018): how a key at rest is locked with a passphrase.
//!
//! scrypt makes guessing expensive, AES-256-CBC hides the key; both as OpenSSL reads them.

use aws_lc_rs::cipher::{
    AES_256, DecryptionContext, PaddedBlockDecryptingKey, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use pkcs8::der::pem::PemLabel;
use pkcs8::der::{Decode, asn1::AnyRef};
use pkcs8::pkcs5::EncryptionScheme as Scheme;
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Parameters};
use pkcs8::{
    AlgorithmIdentifierRef, EncryptedPrivateKeyInfo, LineEnding, ObjectIdentifier, PrivateKeyInfo,
    SecretDocument,
};
use zeroize::Zeroizing;

use crate::derived::Derivation;
use crate::{KeyError, Passphrase};

/// What a secret that is not a key pair is marked with inside the envelope: hmacWithSHA256 (RFC 8018 appendix B.1.2).
const HMAC_SECRET: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.2.9");
const LABEL: &str = "PRIVATE KEY";
/// The block of AES, in bytes.
const BLOCK: usize = 16;

/// Writes PKCS#8 DER as `PRIVATE KEY` PEM.
pub(crate) fn to_pem(der: &[u8]) -> Option<Zeroizing<String>> {
    SecretDocument::try_from(der).ok()?.to_pem(LABEL, LineEnding::LF).ok()
}

/// Reads `PRIVATE KEY` PEM.
pub(crate) fn from_pem(pem: &[u8]) -> Option<SecretDocument> {
    let (label, document) = SecretDocument::from_pem(std::str::from_utf8(pem).ok()?).ok()?;
    (label == LABEL).then_some(document)
}

/// Locks PKCS#8 DER into `ENCRYPTED PRIVATE KEY` PEM.
pub(crate) fn seal(der: &[u8], passphrase: &Passphrase) -> Result<Zeroizing<String>, KeyError> {
    sealed(der, passphrase).ok_or(KeyError::Generate)
}

fn sealed(der: &[u8], passphrase: &Passphrase) -> Option<Zeroizing<String>> {
    PrivateKeyInfo::try_from(der).ok()?;
    let (derivation, key) = passphrase.own_key()?;
    // With room for the padding: growing would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(der.len() + BLOCK));
    bytes.extend_from_slice(der);
    let cipher = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &*key).ok()?).ok()?;
    let DecryptionContext::Iv128(iv) = cipher.encrypt(&mut *bytes).ok()? else { return None };
    let encryption = EncryptionScheme::Aes256Cbc { iv: iv.as_ref() };
    let parameters = Parameters { kdf: Kdf::Scrypt(derivation.parameters()), encryption };
    let envelope =
        EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &bytes };
    let document = SecretDocument::try_from(envelope).ok()?;
    document.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).ok()
}

/// Why an envelope did not open.
pub(crate) enum Unopened {
    NotAnEnvelope,
    WrongPassphrase,
}

/// Opens `ENCRYPTED PRIVATE KEY` PEM of ours or of OpenSSL's; the answer is PKCS#8 DER.
pub(crate) fn open(pem: &[u8], passphrase: &Passphrase) -> Result<SecretDocument, Unopened> {
    let pem = std::str::from_utf8(pem).map_err(|_| Unopened::NotAnEnvelope)?;
    let (label, document) = SecretDocument::from_pem(pem).map_err(|_| Unopened::NotAnEnvelope)?;
    EncryptedPrivateKeyInfo::validate_pem_label(label).map_err(|_| Unopened::NotAnEnvelope)?;
    let envelope =
        EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| Unopened::NotAnEnvelope)?;
    opened(&envelope, passphrase).ok_or(Unopened::WrongPassphrase)
}

fn opened(envelope: &EncryptedPrivateKeyInfo<'_>, passphrase: &Passphrase) -> Option<SecretDocument> {
    let (kdf, iv) = match &envelope.encryption_algorithm {
        Scheme::Pbes2(Parameters {
            kdf: Kdf::Scrypt(kdf),
            encryption: EncryptionScheme::Aes256Cbc { iv },
        }) => (kdf, *iv),
        // Whatever else OpenSSL has made.
        _ => return envelope.decrypt(passphrase.as_bytes()).ok(),
    };
    let key = passphrase.key(Derivation::of(kdf)?)?;
    let cipher = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &*key).ok()?).ok()?;
    let mut bytes = Zeroizing::new(envelope.encrypted_data.to_vec());
    let der = cipher.decrypt(&mut bytes, DecryptionContext::Iv128(iv.into())).ok()?;
    SecretDocument::try_from(&*der).ok()
}

/// Dresses a raw secret as PKCS#8, so that it fits the same envelope.
pub(crate) fn wrap_secret(secret: &[u8]) -> Option<SecretDocument> {
    let algorithm = AlgorithmIdentifierRef { oid: HMAC_SECRET, parameters: Some(AnyRef::NULL) };
    SecretDocument::try_from(PrivateKeyInfo::new(algorithm, secret)).ok()
}

/// Takes a raw secret out of its PKCS#8 dress.
pub(crate) fn unwrap_secret(document: &SecretDocument) -> Option<Zeroizing<Vec<u8>>> {
    let key = PrivateKeyInfo::try_from(document.as_bytes()).ok()?;
    (key.algorithm.oid == HMAC_SECRET).then(|| Zeroizing::new(key.private_key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Algorithm;
    use crate::pair::Pair;

    fn words(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned()).unwrap()
    }

    fn is(document: &SecretDocument, der: &[u8]) -> bool {
        document.as_bytes() == der
    }

    #[test]
    fn the_library_opens_what_is_sealed_here_and_what_it_seals_opens_here() {
        let der = Pair::generate(Algorithm::P256).unwrap().to_pkcs8().unwrap();
        let sealed = seal(&der, &words("right")).unwrap();
        let (_, document) = SecretDocument::from_pem(&sealed).unwrap();
        let envelope = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).unwrap();
        assert!(is(&envelope.decrypt("right").unwrap(), &der));

        let key = PrivateKeyInfo::try_from(der.as_slice()).unwrap();
        let (salt, iv) = ([5; 16], [6; 16]);
        for parameters in [
            Parameters::pbkdf2_sha256_aes128cbc(1000, &salt, &iv).unwrap(),
            Parameters::pbkdf2_sha256_aes256cbc(1000, &salt, &iv).unwrap(),
            Parameters::scrypt_aes128cbc(Default::default(), &salt, &iv).unwrap(),
            Parameters::scrypt_aes256cbc(Default::default(), &salt, &iv).unwrap(),
        ] {
            let theirs = key.encrypt_with_params(parameters, "right").unwrap();
            let theirs = theirs.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).unwrap();
            assert!(open(theirs.as_bytes(), &words("right")).is_ok_and(|opened| is(&opened, &der)));
            assert!(!open(theirs.as_bytes(), &words("wrong")).is_ok_and(|opened| is(&opened, &der)));
        }
    }

    #[test]
    fn what_is_locked_with_one_passphrase_shares_a_salt_and_nothing_else() {
        let passphrase = words("right");
        let der = Pair::generate(Algorithm::P256).unwrap().to_pkcs8().unwrap();
        let read = |pem: &str| SecretDocument::from_pem(pem).unwrap().1;
        let (one, two) =
            (read(&seal(&der, &passphrase).unwrap()), read(&seal(&der, &passphrase.clone()).unwrap()));
        let parts = |document: &SecretDocument| {
            let envelope = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).unwrap();
            let Scheme::Pbes2(parameters) = envelope.encryption_algorithm else { panic!("not PBES2") };
            let EncryptionScheme::Aes256Cbc { iv } = parameters.encryption else { panic!("not AES-256") };
            (parameters.kdf.scrypt().unwrap().salt.to_vec(), iv.to_vec(), envelope.encrypted_data.to_vec())
        };
        let (one, two) = (parts(&one), parts(&two));
        assert_eq!(one.0, two.0);
        assert!(one.1 != two.1 && one.2 != two.2, "the same key twice is not to be seen");
        let other = parts(&read(&seal(&der, &words("right")).unwrap()));
        assert_ne!(one.0, other.0, "another box has another salt");
    }

    #[test]
    fn a_key_of_another_length_than_the_cipher_wants_opens_nothing() {
        let passphrase = words("right");
        let der = Pair::generate(Algorithm::P256).unwrap().to_pkcs8().unwrap();
        let (_, document) = SecretDocument::from_pem(&seal(&der, &passphrase).unwrap()).unwrap();
        let saying = |length| {
            let mut envelope = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).unwrap();
            let Scheme::Pbes2(parameters) = &mut envelope.encryption_algorithm else { panic!("not PBES2") };
            let Kdf::Scrypt(kdf) = &mut parameters.kdf else { panic!("not scrypt") };
            kdf.key_length = Some(length);
            let document = SecretDocument::try_from(envelope).unwrap();
            document.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).unwrap()
        };
        assert!(open(saying(32).as_bytes(), &passphrase).is_ok_and(|opened| is(&opened, &der)));
        assert!(matches!(open(saying(16).as_bytes(), &passphrase), Err(Unopened::WrongPassphrase)));
    }
}
