//! The rules by name, and a value that one of them stopped.

use grid::Measurement;
use std::fmt;
use thiserror::Error;

/// Why a value is not used as measured. The first that fires is the one that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// It is no number.
    Finite,
    /// There is no such point.
    KnownPoint,
    /// A voltage far from the rated one.
    VoltageRange,
    /// More than the line or transformer can carry for a moment.
    BranchCapability,
    /// More than the fuses of a connection let through.
    ServiceFuse,
    /// More than the device can take.
    DeviceRating,
    /// It is fed in where nobody can feed in, or more than can.
    Direction,
    /// A thousand times too large or too small: the unit is another one than it says.
    UnitSlip,
    /// Power, current and voltage of one phase, measured together, contradict each other.
    PowerTriangle,
    /// The mirror image of what it was: the sign is another one than before.
    SignFlip,
    /// It jumped further than the equipment's rating in one step; the next value confirms or belies it.
    Rate,
    /// The same number again and again where it used to move.
    Stuck,
    /// It took too long to come.
    Late,
    /// It came before.
    Duplicate,
    /// A newer one came before it.
    Overtaken,
    /// A source that is preferred says the same point.
    LessPreferred,
    /// A source that is preferred is known to say the same point, and has not had the time to.
    BetterListed,
}

impl Rule {
    /// All, in the order in which they are asked.
    pub const ALL: [Rule; 17] = [
        Rule::Finite,
        Rule::KnownPoint,
        Rule::VoltageRange,
        Rule::BranchCapability,
        Rule::ServiceFuse,
        Rule::DeviceRating,
        Rule::Direction,
        Rule::UnitSlip,
        Rule::PowerTriangle,
        Rule::SignFlip,
        Rule::Rate,
        Rule::Stuck,
        Rule::Late,
        Rule::Duplicate,
        Rule::Overtaken,
        Rule::LessPreferred,
        Rule::BetterListed,
    ];

    /// As written on the page, in the interface and in figures; stable across versions.
    pub const fn name(self) -> &'static str {
        match self {
            Rule::Finite => "finite",
            Rule::KnownPoint => "known-point",
            Rule::VoltageRange => "voltage-range",
            Rule::BranchCapability => "branch-capability",
            Rule::ServiceFuse => "service-fuse",
            Rule::DeviceRating => "device-rating",
            Rule::Direction => "direction",
            Rule::UnitSlip => "unit-slip",
            Rule::PowerTriangle => "power-triangle",
            Rule::SignFlip => "sign-flip",
            Rule::Rate => "rate",
            Rule::Stuck => "stuck",
            Rule::Late => "late",
            Rule::Duplicate => "duplicate",
            Rule::Overtaken => "overtaken",
            Rule::LessPreferred => "less-preferred",
            Rule::BetterListed => "better-listed",
        }
    }

    /// Whether it says that the value is wrong; otherwise only that there is a better one.
    pub const fn doubts(self) -> bool {
        !matches!(
            self,
            Rule::Late | Rule::Duplicate | Rule::Overtaken | Rule::LessPreferred | Rule::BetterListed
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value that is not used, and the rule that says so.
#[derive(Debug, Clone, Copy, PartialEq, Error)]
#[error("{} is {} {}: rule {rule}{}", measurement.point, measurement.value, measurement.point.quantity.unit(), words(*limit))]
pub struct Implausible {
    /// As received; of quality [`grid::Quality::Implausible`] when the rule [doubts](Rule::doubts) it.
    pub measurement: Measurement,
    /// Which rule.
    pub rule: Rule,
    /// The limit that was passed, in the point's unit; `None` when the rule has none.
    pub limit: Option<f64>,
}

fn words(limit: Option<f64>) -> String {
    limit.map_or_else(String::new, |limit| format!(" allows {limit:.1}"))
}
