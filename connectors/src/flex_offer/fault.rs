//! Why a FlexOffer message, or one offer in it, was refused.

use market::FlexOfferError;
use thiserror::Error;

/// Longest foreign text repeated in a sentence, in characters.
const TEXT_CHARS_MAX: usize = 60;

/// A refusal: where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{path}: {fault}")]
pub struct ReadError {
    /// Path in the message, such as `flexOffer[3].startBeforeTime`.
    pub path: String,
    /// What is wrong there.
    pub fault: ReadFault,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadFault {
    /// Neither JSON nor XML of the kind that is read.
    #[error("not readable: {0}")]
    Syntax(String),
    /// More bytes than are read.
    #[error("the message has {bytes} bytes, at most {max} are read")]
    TooLarge {
        /// As given.
        bytes: usize,
        /// The most that is read.
        max: usize,
    },
    /// More offers, slices or rows than are read.
    #[error("{count} entries, at most {max} are read: split them")]
    TooMany {
        /// As given.
        count: usize,
        /// The most that is read.
        max: usize,
    },
    /// A mandatory field is not there.
    #[error("a mandatory field is missing")]
    Missing,
    /// Something of another kind.
    #[error("{wanted} is wanted here")]
    Kind {
        /// What should be there.
        wanted: &'static str,
    },
    /// A number that cannot be meant.
    #[error("{text} is not a number within ±{limit:e}", limit = *.limit as f64)]
    Number {
        /// As given.
        text: String,
        /// The largest magnitude accepted.
        limit: u64,
    },
    /// More decimals than whole mWh or micro-units have, where that is not rounded.
    #[error("{text} is no whole number of mWh or micro-units; at most six decimals are taken")]
    NotWhole {
        /// As given.
        text: String,
    },
    /// No time that is read.
    #[error(
        "{text:?} is no time; 2026-01-15T17:30:00Z, 2026-01-15T17:30:00.000+0000 or an interval number is read"
    )]
    Time {
        /// As given.
        text: String,
    },
    /// A word outside a fixed list.
    #[error("{text:?} is unknown; known are {known}")]
    Word {
        /// As given.
        text: String,
        /// The list.
        known: &'static str,
    },
    /// A name that is not accepted.
    #[error("{text:?} is no accepted name: {reason}")]
    Name {
        /// As given.
        text: String,
        /// Why.
        reason: String,
    },
    /// Bounds of both spellings, which have opposite signs.
    #[error("lower/upper (positive is taken) and lowerBound/upperBound (positive is fed in) in one offer")]
    MixedSigns,
    /// A slice that may last shorter or longer.
    #[error("a slice of {min} to {max} intervals; only slices of a fixed duration are traded")]
    Duration {
        /// Least duration.
        min: i64,
        /// Most duration.
        max: i64,
    },
    /// An interval of another length than a market slot.
    #[error("an interval of {seconds} s; the slots of the market have 900 s")]
    Interval {
        /// As given.
        seconds: i64,
    },
    /// A place that is not part of the market.
    #[error("{text:?} is no place of this market")]
    Location {
        /// As given.
        text: String,
    },
    /// The same name with another content.
    #[error("FlexOffer {id} was given before with another content")]
    OtherContent {
        /// Which.
        id: String,
    },
    /// The offer breaks a rule of the market.
    #[error(transparent)]
    Rule(#[from] FlexOfferError),
}

impl ReadError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match &self.fault {
            ReadFault::Syntax(_) => "syntax",
            ReadFault::TooLarge { .. } => "too-large",
            ReadFault::TooMany { .. } => "too-many",
            ReadFault::Missing => "missing-field",
            ReadFault::Kind { .. } => "wrong-kind",
            ReadFault::Number { .. } => "number-out-of-range",
            ReadFault::NotWhole { .. } => "not-whole",
            ReadFault::Time { .. } => "unreadable-time",
            ReadFault::Word { .. } => "unknown-word",
            ReadFault::Name { .. } => "bad-name",
            ReadFault::MixedSigns => "mixed-signs",
            ReadFault::Duration { .. } => "variable-duration",
            ReadFault::Interval { .. } => "interval-length",
            ReadFault::Location { .. } => "unknown-location",
            ReadFault::OtherContent { .. } => "other-content",
            ReadFault::Rule(error) => error.code(),
        }
    }
}

/// A foreign text as it may appear in a sentence: shortened, without control characters.
pub(crate) fn shown(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    printable.take(TEXT_CHARS_MAX).collect()
}
