//! Passwords: argon2id, few at a time, and the same time for an account that does not exist.

use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use keys::Zeroizing;
use tokio::sync::Semaphore;

/// The shortest password that an account may have.
pub const SHORTEST: usize = 10;
/// The longest password that is looked at; hashing is not a way to keep us busy.
const LONGEST: usize = 1024;
/// How many hashes are computed at a time: each takes 19 MiB and a core.
const AT_A_TIME: usize = 2;

/// A password that cannot be used for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too easy to guess.
    #[error("a password has at least {SHORTEST} characters")]
    Short,
    /// Longer than anybody types.
    #[error("a password has at most {LONGEST} bytes")]
    Long,
    /// The library refused.
    #[error("the password could not be hashed")]
    Hash,
}

/// Hashes a new password with `salt`; the answer is a PHC string, which carries its parameters.
///
/// # Errors
/// When the password is too short or too long.
pub fn hash(password: &[u8], salt: &[u8; 16]) -> Result<String, PasswordError> {
    if String::from_utf8_lossy(password).chars().count() < SHORTEST {
        return Err(PasswordError::Short);
    }
    if password.len() > LONGEST {
        return Err(PasswordError::Long);
    }
    let salt = SaltString::encode_b64(salt).map_err(|_| PasswordError::Hash)?;
    argon2().hash_password(password, &salt).map(|hash| hash.to_string()).map_err(|_| PasswordError::Hash)
}

/// OWASP's least for argon2id: 19 MiB, two passes, one lane.
fn argon2() -> Argon2<'static> {
    let params = Params::new(19 * 1024, 2, 1, None).expect("the parameters are within the limits of argon2");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Checks passwords, a few at a time.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    places: Arc<Semaphore>,
    /// What is compared with when there is no such account.
    nobody: Arc<str>,
}

impl Doorkeeper {
    /// A doorkeeper; `salt` is for the hash of nobody.
    ///
    /// # Errors
    /// When the library refuses to hash.
    pub fn new(salt: &[u8; 16]) -> Result<Self, PasswordError> {
        let nobody = hash(b"nobody has this password", salt)?.into();
        Ok(Self { places: Arc::new(Semaphore::new(AT_A_TIME)), nobody })
    }

    /// Whether `password` is the one behind `hash`. Takes as long without a hash as with one.
    pub async fn admits(&self, password: Zeroizing<String>, hash: Option<String>) -> bool {
        let Ok(place) = self.places.clone().acquire_owned().await else { return false };
        let nobody = self.nobody.clone();
        let checking = tokio::task::spawn_blocking(move || {
            let _place = place;
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| nobody.to_string());
            let fits = password.len() <= LONGEST
                && PasswordHash::new(&hash)
                    .is_ok_and(|hash| argon2().verify_password(password.as_bytes(), &hash).is_ok());
            fits && known
        });
        checking.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[test]
    fn a_hash_says_how_it_was_made_and_not_of_what() {
        let hash = hash(b"correct horse", &[7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(!hash.contains("horse"));
    }

    #[test]
    fn a_password_that_is_easy_to_guess_is_refused() {
        assert_eq!(hash(b"short", &[7; 16]), Err(PasswordError::Short));
        assert_eq!(hash(&[b'x'; 1025], &[7; 16]), Err(PasswordError::Long));
    }

    #[tokio::test]
    async fn only_the_right_password_of_an_account_that_exists_is_admitted() {
        let doorkeeper = Doorkeeper::new(&[1; 16]).unwrap();
        let known = Some(hash(b"correct horse", &[7; 16]).unwrap());
        assert!(doorkeeper.admits(typed("correct horse"), known.clone()).await);
        assert!(!doorkeeper.admits(typed("correct hors"), known).await);
        assert!(!doorkeeper.admits(typed("correct horse"), None).await);
        assert!(
            !doorkeeper.admits(typed("nobody has this password"), None).await,
            "nobody is never admitted"
        );
    }
}
