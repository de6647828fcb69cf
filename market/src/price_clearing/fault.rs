//! Why a clearing problem cannot be what it was given as. Every reason has a stable code and makes its own sentence.

use thiserror::Error;

/// Why a part of a clearing problem was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences name the fields
pub enum ProblemFault {
    #[error(
        "a horizon of {intervals} intervals; at least one and at most {} are cleared",
        super::problem::INTERVALS_MAX
    )]
    Horizon { intervals: usize },
    #[error("{count} {what}; at most {limit} are accepted")]
    TooMany { what: &'static str, count: usize, limit: usize },
    #[error("{what} {number} is not known")]
    Unknown { what: &'static str, number: u64 },
    #[error("{what}: {count} values, {expected} are needed")]
    Length { what: &'static str, count: usize, expected: usize },
    #[error("{what} is named twice")]
    Repeated { what: &'static str },
    #[error("{what} is {value}; it has to lie between {least} and {most}")]
    OutOfRange { what: &'static str, value: i64, least: i64, most: i64 },
    #[error("{count} slices; an offer has between one and {limit}")]
    Slices { count: usize, limit: usize },
    #[error("starts between {first} and {last} with {slices} slices do not lie within the horizon")]
    Window { first: u16, last: u16, slices: usize },
    #[error("slice {slice} may take at least {lower} and at most {upper} mWh")]
    Inverted { slice: usize, lower: i64, upper: i64 },
    #[error(
        "a total between {lower} and {upper} mWh cannot be met by slices that sum to {least} to {most} mWh"
    )]
    Total { lower: i64, upper: i64, least: i64, most: i64 },
    #[error("running sums between {lower} and {upper} mWh cannot be kept with these slices and this total")]
    Running { lower: i64, upper: i64 },
    #[error("bounds on running sums beside an option or a least deviation, which are not cleared together")]
    RunningBeside,
    #[error("a least factor of {factor} millionths; it has to be above 0 and at most a million")]
    Factor { factor: u32 },
    #[error("a least deviation beside an option; the option's least factor says how much is taken at least")]
    LeastOfOption,
    #[error("the default schedule breaks the offer's own window, slices, total or running sums")]
    DefaultOutside,
    #[error("offer {offer} has another number of slices or another kind")]
    OtherShape { offer: usize },
    #[error("energies times prices come to more than {limit} of the currency; a unit must be wrong")]
    TooMuchInAll { limit: u64 },
    #[error("a commitment of offer {offer} lies outside of what it offered")]
    Commitment { offer: usize },
}

impl ProblemFault {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Horizon { .. } => "horizon",
            Self::TooMany { .. } => "too-many",
            Self::Unknown { .. } => "unknown-reference",
            Self::Length { .. } => "wrong-length",
            Self::Repeated { .. } => "named-twice",
            Self::OutOfRange { .. } => "out-of-range",
            Self::Slices { .. } => "slice-count",
            Self::Window { .. } => "window-outside-horizon",
            Self::Inverted { .. } => "inverted-bounds",
            Self::Total { .. } => "total-unreachable",
            Self::Running { .. } => "running-unreachable",
            Self::RunningBeside => "running-beside",
            Self::Factor { .. } => "factor",
            Self::LeastOfOption => "least-of-option",
            Self::DefaultOutside => "default-outside-offer",
            Self::OtherShape { .. } => "other-shape",
            Self::TooMuchInAll { .. } => "too-much-in-all",
            Self::Commitment { .. } => "commitment-outside-offer",
        }
    }
}
