//! Passwords of people, as Argon2id hashes; secrets of programs, which are random and need no slow hash.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// The hash of a password with the parameters OWASP gives (19 MiB, two passes), as a PHC string. `None` when the
/// operating system has no random numbers.
pub(crate) fn hash_password(password: &str) -> Option<String> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).ok()?;
    Some(hash.to_string())
}

/// Whether a PHC string can be read.
pub(crate) fn is_password_hash(text: &str) -> bool {
    PasswordHash::new(text)
        .is_ok_and(|hash| hash.algorithm.as_str() == "argon2id" && hash.salt.is_some() && hash.hash.is_some())
}

/// Whether this is the password of a hash. Takes tens of milliseconds and 19 MiB, on purpose.
pub(crate) fn is_password(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// 256 random bits as text; `None` when the operating system has none.
pub(crate) fn random() -> Option<String> {
    let mut bytes = [0_u8; 32];
    fill(&mut bytes)?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Random bytes; `None` when the operating system has none.
pub(crate) fn fill(bytes: &mut [u8]) -> Option<()> {
    SystemRandom::new().fill(bytes).ok()
}

/// What is kept of a random secret.
pub(crate) fn fingerprint(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret.as_bytes()))
}

/// What is kept of a token with which a first account is made.
#[derive(Debug)]
pub struct SetupSecret(String);

impl SetupSecret {
    /// A new one, and the token to be shown once; `None` when the operating system has no random numbers.
    pub fn new() -> Option<(Self, String)> {
        let shown = random()?;
        Some((Self(fingerprint(&shown)), shown))
    }

    /// Whether somebody shows that token. How long it takes says nothing of it: hashes are compared.
    pub fn is(&self, shown: &str) -> bool {
        fingerprint(shown.trim()) == self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash_only() {
        let hash = hash_password("correct horse battery").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
        assert!(is_password_hash(&hash));
        assert!(is_password(&hash, "correct horse battery"));
        assert!(!is_password(&hash, "correct horse batter"));
        assert_ne!(hash, hash_password("correct horse battery").unwrap(), "no salt");
        for broken in ["", "secret", "$argon2id$v=19$m=1", "$7$101$K5qHx669KwOueakL$K537"] {
            assert!(!is_password_hash(broken) && !is_password(broken, "secret"), "{broken}");
        }
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
        assert_eq!(fingerprint("x").len(), 43);
    }
}
