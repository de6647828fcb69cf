//! Why somebody is not signed in, in words for people and one word for counts.

use crate::problem::Problem;
use access::oidc::{NoGrant, Refused};
use actix_web::http::StatusCode;
use std::fmt;

/// Why somebody is not signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The provider does not answer.
    Unreachable(String),
    /// It answers something that is no answer.
    Answer(String),
    /// It refuses what it was asked to redeem, with its own word for it.
    Redeemed(String),
    /// The ID token proves nothing.
    Token(Refused),
    /// Nothing says what groups the person is in.
    Groups(String),
    /// The person's groups give no role.
    Grant {
        /// Whose.
        subject: String,
        /// What people call it.
        label: String,
        /// Why not.
        why: NoGrant,
    },
    /// The provider sent the browser back with an error, in its own words.
    SentBack(String),
    /// No such sign-in is under way in this browser.
    State,
    /// Another provider sent the browser back (RFC 9207).
    OtherIssuer,
    /// The browser came back without a code.
    NoCode,
    /// Too many are asking at the same time.
    Busy,
    /// The machine has no random numbers.
    Random,
}

impl Trouble {
    /// All words of [`code`](Self::code) but those of tokens.
    pub const CODES: [&'static str; 12] = [
        "provider_unreachable",
        "provider_answer",
        "code_refused",
        "no_groups",
        "no_role",
        "role_conflict",
        "sent_back",
        "state_unknown",
        "other_issuer",
        "no_code",
        "busy",
        "no_random",
    ];

    /// One word for each.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "provider_unreachable",
            Self::Answer(_) => "provider_answer",
            Self::Redeemed(_) => "code_refused",
            Self::Token(refused) => refused.code(),
            Self::Groups(_) => "no_groups",
            Self::Grant { why, .. } => why.code(),
            Self::SentBack(_) => "sent_back",
            Self::State => "state_unknown",
            Self::OtherIssuer => "other_issuer",
            Self::NoCode => "no_code",
            Self::Busy => "busy",
            Self::Random => "no_random",
        }
    }

    /// Whether it says something of the person, and not only of the way to the provider.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Unreachable(_) | Self::Answer(_) | Self::Busy | Self::Random)
    }

    /// As it is answered; `name` is what people call the provider.
    pub fn problem(&self, name: &str) -> Problem {
        let status = match self {
            Self::Unreachable(_) | Self::Answer(_) | Self::Busy | Self::Random => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Redeemed(_) | Self::Token(_) | Self::SentBack(_) => StatusCode::UNAUTHORIZED,
            Self::Groups(_) | Self::Grant { .. } => StatusCode::FORBIDDEN,
            Self::State | Self::OtherIssuer | Self::NoCode => StatusCode::BAD_REQUEST,
        };
        let detail = match self {
            Self::Unreachable(_) | Self::Answer(_) => {
                format!(
                    "{self}: {name} cannot be used now. Local accounts work as ever, and so does whoever is logged in"
                )
            }
            Self::Grant { label, .. } => {
                format!("{name} knows you as {label}, but {self}; ask whoever runs this system")
            }
            _ => self.to_string(),
        };
        Problem::new(status, self.code(), detail)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => write!(f, "the provider does not answer ({reason})"),
            Self::Answer(reason) => write!(f, "the provider's answer is none ({reason})"),
            Self::Redeemed(word) => write!(f, "the provider does not redeem what it gave out ({word}); begin again"),
            Self::Token(refused) => write!(f, "the provider's token proves nothing: {refused}"),
            Self::Groups(claim) => write!(f, "the provider does not say what groups you are in (claim {claim:?})"),
            Self::Grant { why, .. } => write!(f, "{why}"),
            Self::SentBack(word) => write!(f, "the provider sent you back: {word}"),
            Self::State => f.write_str(
                "no such sign-in is under way in this browser: it took too long, was finished already, or began elsewhere; begin again",
            ),
            Self::OtherIssuer => f.write_str("another provider than the one you were sent to sent you back"),
            Self::NoCode => f.write_str("the provider sent you back without a code; begin again"),
            Self::Busy => f.write_str("too many people are signing in; try again in a moment"),
            Self::Random => f.write_str("the machine has no random numbers"),
        }
    }
}
