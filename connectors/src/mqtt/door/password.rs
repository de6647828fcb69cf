//! Passwords as `mosquitto_passwd` writes them: `$7$iterations$salt$hash`, PBKDF2 with HMAC-SHA-512.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::pbkdf2;
use std::num::NonZeroU32;

/// Most iterations; a larger number would only slow the door down.
const ITERATIONS_MAX: u32 = 1_000_000;

/// A salted hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PasswordHash").finish_non_exhaustive()
    }
}

impl PasswordHash {
    /// Reads `$7$iterations$salt$hash`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$7$")?.split('$');
        let iterations: u32 = parts.next()?.parse().ok()?;
        let mut decoded = || STANDARD.decode(parts.next()?).ok();
        let (salt, hash) = (decoded()?, decoded()?);
        let well_formed = iterations <= ITERATIONS_MAX && salt.len() >= 8 && hash.len() >= 32;
        (well_formed && parts.next().is_none()).then_some(Self {
            iterations: NonZeroU32::new(iterations)?,
            salt,
            hash,
        })
    }

    /// Whether this is the password. Takes milliseconds, on purpose; the comparison does not depend on the place
    /// of the first difference.
    pub(super) fn is_of(&self, password: &str) -> bool {
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA512;
        pbkdf2::verify(algorithm, self.iterations, &self.salt, password.as_bytes(), &self.hash).is_ok()
    }

    /// How often the function is applied.
    pub(super) fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// Is of no password, and takes as long to check as `like`, so that an unknown name takes as long as a wrong password.
    pub(super) fn decoy(like: Option<&Self>) -> Self {
        let iterations = like.map_or(NonZeroU32::MIN.saturating_add(100), |hash| hash.iterations);
        Self { iterations, salt: vec![0; 12], hash: vec![0; 64] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by mosquitto_passwd 2.0.11 for the password `gridflex`.
    const BY_MOSQUITTO: &str = "$7$101$K5qHx669KwOueakL$K537IRAdgmUfDxe/7CQimTltkC4ZOoB+KVDkq/6T32+zZxlbq+Xc4WYquMtjeFwf6JAlsXPBUpRTw7dUsuE+kQ==";

    #[test]
    fn a_hash_of_mosquitto_passwd_is_understood() {
        let hash = PasswordHash::parse(BY_MOSQUITTO).unwrap();
        assert!(hash.is_of("gridflex"));
        for wrong in ["", "Gridflex", "gridflex ", "gridfle"] {
            assert!(!hash.is_of(wrong), "{wrong:?}");
        }
        let decoy = PasswordHash::decoy(Some(&hash));
        assert!(!decoy.is_of("") && decoy.iterations() == 101);
        assert!(!format!("{hash:?}").contains("Vec"));
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let short = "$7$101$AAAA$AAAA";
        for bad in ["", "gridflex", "$6$x$y", "$7$0$AAAAAAAAAAAAAAAA$AAAA", short, "$7$x$y$z", "$7$101$==$=="]
        {
            assert_eq!(PasswordHash::parse(bad), None, "{bad}");
        }
        assert_eq!(PasswordHash::parse(&BY_MOSQUITTO.replace("$101$", "$4000000000$")), None);
        assert_eq!(PasswordHash::parse(&format!("{BY_MOSQUITTO}$more")), None);
    }
}
