//! A key that lives in a PKCS#11 token and never leaves it. The one door to `cryptoki`.
//!
//! A module is loaded once in a process and stays: PKCS#11 counts its initialisation per process. Tokens differ in which
//! hashes they know, so we hash and the token signs the digest (`CKM_ECDSA`), as every token can.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest::{SHA256, SHA384, digest};
use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::Mechanism,
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    types::AuthPin,
};

use crate::{Algorithm, Passphrase, SignError, SigningKey, TokenUri, asn1};

/// Why the key in a token cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// Nobody says which library speaks to the token.
    #[error("no PKCS#11 module is named; add module-path=FILE to the URI, or say ca.module")]
    NoModule,
    /// The library cannot be used.
    #[error(
        "{path} cannot be used as a PKCS#11 module: {why}; install the token's own package, or correct module-path"
    )]
    Module {
        /// The library.
        path: PathBuf,
        /// The refusal.
        why: String,
    },
    /// No token fits.
    #[error("no token '{wanted}' is there, only {found}; insert it, and check that this user may use it")]
    NoToken {
        /// The label that was looked for.
        wanted: String,
        /// The labels that are there.
        found: String,
    },
    /// Nobody says the PIN.
    #[error("the PIN of token '{token}' is missing; add pin-source=FILE to the URI, or say ca.pin")]
    NoPin {
        /// The token's label.
        token: String,
    },
    /// The token refuses the PIN.
    #[error(
        "token '{token}' refuses the PIN ({why}); correct it before trying again: tokens lock themselves"
    )]
    Pin {
        /// The token's label.
        token: String,
        /// In which way.
        why: &'static str,
    },
    /// No key fits.
    #[error(
        "there is no private EC key '{object}' in token '{token}'; make one with edge ca init or edge ca request, or correct object"
    )]
    NoKey {
        /// The token's label.
        token: String,
        /// The key's label.
        object: String,
    },
    /// Keys of that name are there, but not the one that is wanted.
    #[error(
        "token '{token}' has no key '{object}' that belongs to the certificate; insert the token that the CA was made with"
    )]
    OtherKey {
        /// The token's label.
        token: String,
        /// The key's label.
        object: String,
    },
    /// The key is no safer there than in a file.
    #[error(
        "key '{object}' in token '{token}' can be taken out of it; make it sensitive and not extractable"
    )]
    Extractable {
        /// The token's label.
        token: String,
        /// The key's label.
        object: String,
    },
    /// Something else.
    #[error("token '{token}' cannot {what}: {why}")]
    Failed {
        /// The token's label.
        token: String,
        /// What was asked of it.
        what: &'static str,
        /// The refusal.
        why: String,
    },
}

/// A key in a token. If the token is taken out and put back, the next signature opens it anew.
pub struct TokenKey {
    place: Place,
    public: Public,
    open: Mutex<Option<Open>>,
}

/// Which token, and how it is opened.
struct Place {
    uri: TokenUri,
    module: PathBuf,
    pin: Passphrase,
}

/// A session that is logged in, and the key in it.
struct Open {
    session: Session,
    key: ObjectHandle,
}

struct Public {
    algorithm: Algorithm,
    spki: Vec<u8>,
    point: Vec<u8>,
}

impl TokenKey {
    /// Makes a P-256 key in the token: sensitive, not extractable. Others of its name may be there; they stay.
    ///
    /// `module` is the library of the token, `pin` what it asks for.
    ///
    /// # Errors
    /// When module, token or PIN are wrong or missing, or the token does not make keys.
    pub fn create(uri: TokenUri, module: &Path, pin: Passphrase) -> Result<Self, TokenError> {
        let place = Place { uri, module: module.to_owned(), pin };
        let session = place.login(true)?;
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id)
            .map_err(|_| place.failed("make a key", "the operating system gives no randomness"))?;
        let label = Attribute::Label(place.uri.object.clone().into_bytes());
        let id = Attribute::Id(place.uri.id.clone().unwrap_or_else(|| id.to_vec()));
        let public = [
            Attribute::Token(true),
            Attribute::Private(false),
            Attribute::Verify(true),
            Attribute::EcParams(asn1::parameters(Algorithm::P256)),
            label.clone(),
            id.clone(),
        ];
        let private = [
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
            label,
            id,
        ];
        let (_, key) = session
            .generate_key_pair(&Mechanism::EccKeyPairGen, &public, &private)
            .map_err(|error| place.failed("make a key", error))?;
        let public = place.public(&session, key)?;
        place.check_guarded(&session, key)?;
        Ok(Self { place, public, open: Mutex::new(Some(Open { session, key })) })
    }

    /// Opens the key of this name whose public half is `spki` (DER `SubjectPublicKeyInfo`).
    ///
    /// # Errors
    /// When module, token, PIN or key are wrong or missing, or the key could be taken out of the token.
    pub fn open(uri: TokenUri, module: &Path, pin: Passphrase, spki: &[u8]) -> Result<Self, TokenError> {
        let place = Place { uri, module: module.to_owned(), pin };
        let (open, public) = place.open(spki)?;
        Ok(Self { place, public, open: Mutex::new(Some(open)) })
    }
}

impl Place {
    fn failed(&self, what: &'static str, why: impl fmt::Display) -> TokenError {
        TokenError::Failed { token: self.uri.token.clone(), what, why: why.to_string() }
    }

    fn login(&self, write: bool) -> Result<Session, TokenError> {
        let module = module(&self.module)?;
        let slots = module.get_slots_with_token().map_err(|error| self.failed("be looked for", error))?;
        let mut found = Vec::new();
        for slot in slots {
            // A slot that does not tell about its token has none that we could use.
            let Ok(info) = module.get_token_info(slot) else { continue };
            let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|it| it == found);
            if info.label() == self.uri.token
                && fits(&self.uri.serial, info.serial_number())
                && fits(&self.uri.manufacturer, info.manufacturer_id())
                && fits(&self.uri.model, info.model())
            {
                let session = if write { module.open_rw_session(slot) } else { module.open_ro_session(slot) };
                let session = session.map_err(|error| self.failed("open a session", error))?;
                self.give_pin(&session)?;
                return Ok(session);
            }
            if !info.label().is_empty() {
                found.push(format!("'{}'", info.label()));
            }
        }
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        Err(TokenError::NoToken { wanted: self.uri.token.clone(), found })
    }

    fn give_pin(&self, session: &Session) -> Result<(), TokenError> {
        let refused = |why| Err(TokenError::Pin { token: self.uri.token.clone(), why });
        let pin = std::str::from_utf8(self.pin.as_bytes())
            .map_err(|_| TokenError::Pin { token: self.uri.token.clone(), why: "it is no text" })?;
        match session.login(UserType::User, Some(&AuthPin::new(pin.into()))) {
            // Sessions of one process share the login.
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                refused("it is wrong")
            }
            Err(Error::Pkcs11(RvError::PinLocked, _)) => {
                refused("it is locked; only its security officer can unlock it")
            }
            Err(error) => Err(self.failed("take the PIN", error)),
        }
    }

    fn open(&self, spki: &[u8]) -> Result<(Open, Public), TokenError> {
        let session = self.login(false)?;
        let mut wanted = vec![
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::Label(self.uri.object.clone().into_bytes()),
        ];
        wanted.extend(self.uri.id.clone().map(Attribute::Id));
        let found = session.find_objects(&wanted).map_err(|error| self.failed("be searched", error))?;
        let (token, object) = (self.uri.token.clone(), self.uri.object.clone());
        if found.is_empty() {
            return Err(TokenError::NoKey { token, object });
        }
        for key in found {
            let public = self.public(&session, key)?;
            if public.spki == spki {
                self.check_guarded(&session, key)?;
                return Ok((Open { session, key }, public));
            }
        }
        Err(TokenError::OtherKey { token, object })
    }

    /// The public half of a private key: the object of the same id.
    fn public(&self, session: &Session, key: ObjectHandle) -> Result<Public, TokenError> {
        let attributes = |object, kinds: &[AttributeType]| {
            session.get_attributes(object, kinds).map_err(|error| self.failed("show the public key", error))
        };
        let id = attributes(key, &[AttributeType::Id])?;
        let twin = [vec![Attribute::Class(ObjectClass::PUBLIC_KEY)], id].concat();
        let twin = session.find_objects(&twin).map_err(|error| self.failed("be searched", error))?;
        let twin = twin.first().ok_or_else(|| self.failed("show the public key", "it does not hold it"))?;
        let (mut algorithm, mut point) = (None, None);
        for attribute in attributes(*twin, &[AttributeType::EcParams, AttributeType::EcPoint])? {
            match attribute {
                Attribute::EcParams(der) => algorithm = asn1::algorithm(&der),
                Attribute::EcPoint(der) => point = asn1::octets(&der),
                _ => {}
            }
        }
        let (algorithm, point) = algorithm
            .zip(point)
            .ok_or_else(|| self.failed("show the public key", "it is neither P-256 nor P-384"))?;
        let spki = asn1::spki(algorithm, &point);
        Ok(Public { algorithm, spki, point })
    }

    fn check_guarded(&self, session: &Session, key: ObjectHandle) -> Result<(), TokenError> {
        let guards = [AttributeType::Sensitive, AttributeType::Extractable];
        let found =
            session.get_attributes(key, &guards).map_err(|error| self.failed("show the key", error))?;
        if found.contains(&Attribute::Sensitive(true)) && found.contains(&Attribute::Extractable(false)) {
            return Ok(());
        }
        let (token, object) = (self.uri.token.clone(), self.uri.object.clone());
        Err(TokenError::Extractable { token, object })
    }
}

impl SigningKey for TokenKey {
    fn algorithm(&self) -> Algorithm {
        self.public.algorithm
    }

    fn public_key_der(&self) -> &[u8] {
        &self.public.spki
    }

    fn public_point(&self) -> &[u8] {
        &self.public.point
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let hash = match self.public.algorithm {
            Algorithm::P256 => digest(&SHA256, message),
            Algorithm::P384 => digest(&SHA384, message),
        };
        // A panic elsewhere leaves a session as it was.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let raw = match sign_once(&mut open, hash.as_ref()) {
            Some(Ok(raw)) => raw,
            Some(Err(error)) if !is_over(&error) => return Err(SignError(error.to_string())),
            // The token was taken out, or its session ended: once more, from the start.
            _ => {
                *open = None;
                let again =
                    self.place.open(&self.public.spki).map_err(|error| SignError(error.to_string()))?;
                *open = Some(again.0);
                let signed = sign_once(&mut open, hash.as_ref());
                signed
                    .ok_or_else(|| SignError("the token is closed".to_owned()))?
                    .map_err(|error| SignError(error.to_string()))?
            }
        };
        asn1::signature(&raw)
            .ok_or_else(|| SignError("the token's signature is no ECDSA signature".to_owned()))
    }
}

fn sign_once(open: &mut MutexGuard<'_, Option<Open>>, hash: &[u8]) -> Option<Result<Vec<u8>, Error>> {
    open.as_ref().map(|Open { session, key }| session.sign(&Mechanism::Ecdsa, *key, hash))
}

/// Whether an error says that the session, and not the key, is the trouble.
fn is_over(error: &Error) -> bool {
    use RvError::{
        DeviceError, DeviceRemoved, KeyHandleInvalid, ObjectHandleInvalid, SessionClosed,
        SessionHandleInvalid, SlotIdInvalid, TokenNotPresent, TokenNotRecognized, UserNotLoggedIn,
    };
    matches!(
        error,
        Error::Pkcs11(
            SessionHandleInvalid
                | SessionClosed
                | DeviceRemoved
                | DeviceError
                | TokenNotPresent
                | TokenNotRecognized
                | UserNotLoggedIn
                | KeyHandleInvalid
                | ObjectHandleInvalid
                | SlotIdInvalid,
            _
        )
    )
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("uri", &self.place.uri).finish_non_exhaustive()
    }
}

/// The module, loaded and initialised once for all.
fn module(path: &Path) -> Result<Pkcs11, TokenError> {
    static LOADED: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(module) = loaded.get(path) {
        return Ok(module.clone());
    }
    let error = |error: Error| TokenError::Module { path: path.to_owned(), why: error.to_string() };
    let module = Pkcs11::new(path).map_err(error)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(why) => return Err(error(why)),
    }
    loaded.insert(path.to_owned(), module.clone());
    Ok(module)
}
