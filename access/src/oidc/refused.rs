//! Why an ID token proves nothing.

use thiserror::Error;

/// Why an ID token proves nothing. What it says of itself is quoted shortly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// It is none.
    #[error("it is no signed token: {0}")]
    Malformed(&'static str),
    /// Its algorithm is none of those that are taken.
    #[error("its algorithm is {0:?}; RS256, PS256, ES256, ES384 and EdDSA are taken")]
    Algorithm(String),
    /// Nobody knows the key.
    #[error("the provider publishes no key {0:?} of its kind")]
    UnknownKey(String),
    /// Somebody else signed it, or it was changed.
    #[error("its signature is wrong")]
    Signature,
    /// It is of somebody else.
    #[error("its issuer is {0:?}")]
    Issuer(String),
    /// It is for somebody else, or not for us alone.
    #[error("it is for {0:?}, not for us alone")]
    Audience(String),
    /// It was given to somebody else.
    #[error("it was given to {0:?}")]
    Party(String),
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// Its time has not come.
    #[error("it is of a later time; are the clocks right?")]
    Early,
    /// It was issued long ago.
    #[error("it was not issued just now")]
    Old,
    /// It answers another sign-in.
    #[error("it answers another sign-in")]
    Nonce,
    /// It is of another person.
    #[error("it is of another person")]
    Subject,
    /// Something that it must say is missing or of another kind.
    #[error("it does not say {0} as it must")]
    Claim(&'static str),
}

impl Refused {
    /// One word for each, for counts and the log.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Algorithm(_) => "token_algorithm",
            Self::UnknownKey(_) => "token_unknown_key",
            Self::Signature => "token_signature",
            Self::Issuer(_) => "token_issuer",
            Self::Audience(_) => "token_audience",
            Self::Party(_) => "token_party",
            Self::Expired => "token_expired",
            Self::Early => "token_early",
            Self::Old => "token_old",
            Self::Nonce => "token_nonce",
            Self::Subject => "token_subject",
            Self::Claim(_) => "token_claim",
        }
    }

    /// All words of [`code`](Self::code).
    pub const CODES: [&'static str; 13] = [
        "token_malformed",
        "token_algorithm",
        "token_unknown_key",
        "token_signature",
        "token_issuer",
        "token_audience",
        "token_party",
        "token_expired",
        "token_early",
        "token_old",
        "token_nonce",
        "token_subject",
        "token_claim",
    ];
}

/// What a stranger wrote, short enough to be repeated.
pub(super) fn quoted(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
