//! The second factor of a person: codes of six digits that an app makes anew every 30 s from a secret that both sides have
//! (RFC 6238 over HMAC-SHA-1, which is what the apps know).

use crate::secret;
use grid::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use totp_rs::{Builder, Secret, Totp};

/// Bytes of a secret, as RFC 4226, section 4 recommends.
const SECRET_BYTES: usize = 20;

/// What a person's app and this system make codes from. In its file it is the secret in base 32; nothing else shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecondFactor {
    secret: Secret,
}

impl fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecondFactor")
    }
}

impl TryFrom<String> for SecondFactor {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let secret = Secret::try_from_base32(&text).map_err(|_| "the second factor is not base 32")?;
        match secret.as_bytes().len() {
            SECRET_BYTES => Ok(Self { secret }),
            _ => Err("the secret of the second factor has not 20 bytes"),
        }
    }
}

impl From<SecondFactor> for String {
    fn from(factor: SecondFactor) -> Self {
        factor.base_32()
    }
}

impl SecondFactor {
    /// A new one; `None` when the operating system has no random numbers.
    pub fn new() -> Option<Self> {
        let mut bytes = [0; SECRET_BYTES];
        secret::fill(&mut bytes)?;
        Some(Self { secret: Secret::new_stack(bytes) })
    }

    /// The secret in base 32, to be typed into an app.
    pub fn base_32(&self) -> String {
        self.secret.to_base32()
    }

    /// What an app reads from a picture, for a name of a directory (which needs no escapes).
    pub fn address(&self, name: &str) -> String {
        let secret = self.base_32();
        format!(
            "otpauth://totp/gridflex:{name}?secret={secret}&issuer=gridflex&algorithm=SHA1&digits=6&period=30"
        )
    }

    /// Which step of 30 s a code is of: the one of now, or the one before or after it, for clocks that differ. `None` for another
    /// code.
    pub fn step(&self, code: &str, now: Timestamp) -> Option<u64> {
        let seconds = u64::try_from(now.seconds()).ok()?;
        self.codes().check(code, seconds)
    }

    fn codes(&self) -> Totp {
        // Six digits, steps of 30 s, SHA-1, one step to either side; its checks are of the secret's length, which is known.
        Builder::new().with_secret(self.secret.clone()).build_noncompliant()
    }
}

/// The newest step of each person whose code was taken: none is good twice (RFC 6238, section 5.2). In memory, as sessions are.
#[derive(Debug, Default)]
pub struct UsedCodes {
    newest: BTreeMap<String, u64>,
}

impl UsedCodes {
    /// Takes the code of a step from a person; false when that one, or a later one, was taken already.
    pub fn take(&mut self, name: &str, step: u64) -> bool {
        let newest = self.newest.get(name);
        if newest.is_some_and(|newest| *newest >= step) {
            return false;
        }
        self.newest.insert(name.to_owned(), step);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret of RFC 6238, appendix B, for HMAC-SHA-1.
    fn published() -> SecondFactor {
        SecondFactor::try_from("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ".to_owned()).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn the_codes_are_those_of_the_standard() {
        // Its codes of eight digits end with those of six. The last row, of the year 2603, is beyond our timestamps.
        let table = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ];
        for (seconds, code) in table {
            assert_eq!(published().step(code, at(seconds)), Some(seconds as u64 / 30), "{code}");
        }
    }

    #[test]
    fn a_code_is_good_from_a_step_before_its_own_to_a_step_after_and_nothing_else_is() {
        let (factor, own) = (published(), 37_037_036);
        let judged = |code: &str, seconds: i64| factor.step(code, at(seconds));
        // 1,111,111,109 s is the last but one second of the step that begins at 1,111,111,080 s.
        for (seconds, found) in [
            (1_111_111_049, None),
            (1_111_111_050, Some(own)),
            (1_111_111_109, Some(own)),
            (1_111_111_139, Some(own)),
            (1_111_111_140, None),
        ] {
            assert_eq!(judged("081804", seconds), found, "{seconds}");
        }
        for wrong in ["", "81804", "081805", "0081804", "+81804", " 81804", "08180４", "081 804"] {
            assert_eq!(judged(wrong, 1_111_111_109), None, "{wrong:?}");
        }
        assert_eq!(judged("081804", -5), None);
    }

    #[test]
    fn no_code_is_good_twice_nor_after_a_later_one() {
        let mut used = UsedCodes::default();
        assert!(used.take("ada", 7) && used.take("eve", 7));
        assert!(!used.take("ada", 7) && !used.take("ada", 6));
        assert!(used.take("ada", 8));
    }

    #[test]
    fn a_secret_comes_back_from_its_file_and_is_shown_nowhere_else() {
        let factor = SecondFactor::new().unwrap();
        assert_ne!(factor, SecondFactor::new().unwrap());
        let written = serde_json::to_string(&factor).unwrap();
        assert_eq!(serde_json::from_str::<SecondFactor>(&written).unwrap(), factor);
        let secret = factor.base_32();
        assert_eq!((secret.len(), written), (32, format!("{secret:?}")));
        assert!(factor.address("ada").contains(&format!("secret={secret}&")));
        assert!(!format!("{factor:?}").contains(&secret));
        for broken in ["", "GEZDGNBVGY3TQOJQ", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "ä"] {
            assert!(serde_json::from_value::<SecondFactor>(broken.into()).is_err(), "{broken}");
        }
    }
}
