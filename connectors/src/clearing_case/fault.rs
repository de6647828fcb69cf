//! Why a case, or one offer of it, could not be read. Every reason has a stable code and a sentence.

use crate::flex_offer::{ReadError, ReadFault};
use market::price_clearing::ProblemFault;
use thiserror::Error;

/// Largest case that is read, bytes.
pub const CASE_BYTES_MAX: usize = crate::flex_offer::MESSAGE_BYTES_MAX;
/// Largest result that is read, bytes: it may carry its case.
pub const RESULT_BYTES_MAX: usize = 2 * CASE_BYTES_MAX;
/// Most offers of a case.
pub const OFFERS_MAX: usize = crate::flex_offer::OFFERS_MAX;

/// Why a case could not be read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum CaseError {
    /// No JSON, or not the fields of a case.
    #[error("no market case: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Another form, or a unit we do not know.
    #[error("{what} is {found:?}; {expected} is read")]
    Form {
        /// Which field.
        what: &'static str,
        /// As given.
        found: String,
        /// What would be read.
        expected: &'static str,
    },
    /// More than is read.
    #[error("{count} {what}; at most {limit} are read: split the case or aggregate its offers")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// As given.
        count: usize,
        /// The most that is read.
        limit: usize,
    },
    /// A part that all offers depend on is wrong.
    #[error("{place}: {reason}")]
    Part {
        /// Which part.
        place: String,
        /// The stable code of the reason.
        code: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl CaseError {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Json { .. } => "syntax",
            Self::Form { .. } => "unknown-form",
            Self::TooMuch { what: "bytes", .. } => "too-large",
            Self::TooMuch { .. } => "too-many",
            Self::Part { code, .. } => code,
        }
    }
}

/// An offer that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedOffer {
    /// Its id, or its place in the list when it has none.
    pub id: String,
    /// The stable code of the reason.
    pub code: &'static str,
    /// The reason in words.
    pub sentence: String,
}

/// A reason on its way to a sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: &'static str,
    pub sentence: String,
}

impl Refusal {
    /// A reason of this code.
    pub fn new(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into() }
    }

    /// A term that the clearing does not look at: an offer cleared without it would be sold against its owner's will.
    pub fn not_cleared(term: &str, why: &str) -> Self {
        Self::new("term-not-cleared", format!("{term}: {why}"))
    }
}

impl From<ProblemFault> for Refusal {
    fn from(fault: ProblemFault) -> Self {
        Self::new(fault.code(), fault.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        let code = match &error.fault {
            ReadFault::Number { .. } => "out-of-range",
            ReadFault::Time { .. } => "time",
            ReadFault::Duration { .. } => "slice-duration",
            ReadFault::TooMany { .. } => "slice-count",
            _ => error.code(),
        };
        Self::new(code, error.to_string())
    }
}
