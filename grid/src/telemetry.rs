//! What a meter or monitor says: one value of one quantity at one place, with its quality and two times.

use crate::id::{BranchId, BusId, DeviceId, UsagePointId};
use crate::phase::Phase;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What is measured, with its unit inside gridflex. Branch values are seen at the branch's `from` side,
/// positive from `from` to `to`; values at a usage point or device are positive when taken from the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// Phase-to-neutral voltage magnitude, V.
    VoltageMagnitude,
    /// Current magnitude, A.
    CurrentMagnitude,
    /// Active power, W.
    ActivePower,
    /// Reactive power, var.
    ReactivePower,
    /// Active energy over one market slot, Wh; `measured_at` is the end of the slot.
    SlotEnergy,
}

impl Quantity {
    /// The word used in point names.
    pub const fn word(self) -> &'static str {
        match self {
            Quantity::VoltageMagnitude => "u",
            Quantity::CurrentMagnitude => "i",
            Quantity::ActivePower => "p",
            Quantity::ReactivePower => "q",
            Quantity::SlotEnergy => "energy",
        }
    }

    /// The unit of the value inside gridflex.
    pub const fn unit(self) -> &'static str {
        match self {
            Quantity::VoltageMagnitude => "V",
            Quantity::CurrentMagnitude => "A",
            Quantity::ActivePower => "W",
            Quantity::ReactivePower => "var",
            Quantity::SlotEnergy => "Wh",
        }
    }
}

/// The thing a measurement belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// A bus.
    Bus(BusId),
    /// A line or transformer, seen from its `from` side.
    Branch(BranchId),
    /// A customer's connection.
    UsagePoint(UsagePointId),
    /// The sub-meter of a device.
    Device(DeviceId),
}

/// Names a measurement point: element, quantity and, when it is per phase, the phase.
///
/// Its text form is `bus.34.u.a`, `branch.907.p.b`, `meter.12.energy`, `device.121.energy`: an element word
/// (`bus`, `branch`, `meter` for a usage point, `device`), the element's number, the quantity
/// (`u i p q energy`) and the phase (`a b c`) when the value belongs to one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PointId {
    /// Where.
    pub element: Element,
    /// What.
    pub quantity: Quantity,
    /// On which phase; `None` is the total (or, for a single-phase customer, its own phase).
    pub phase: Option<Phase>,
}

/// Why a text names no measurement point.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{text:?} names no measurement point: {reason}; write for example bus.34.u.a, branch.907.p.b or meter.12.energy"
)]
pub struct PointError {
    /// The text as given, shortened.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for PointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, number) = match self.element {
            Element::Bus(id) => ("bus", id.0),
            Element::Branch(id) => ("branch", id.0),
            Element::UsagePoint(id) => ("meter", id.0),
            Element::Device(id) => ("device", id.0),
        };
        write!(f, "{word}.{number}.{}", self.quantity.word())?;
        match self.phase {
            Some(phase) => write!(f, ".{}", phase.letter()),
            None => Ok(()),
        }
    }
}

impl FromStr for PointId {
    type Err = PointError;

    fn from_str(text: &str) -> Result<Self, PointError> {
        let refuse = |reason| PointError { text: text.chars().take(64).collect(), reason };
        let mut parts = text.split('.');
        let word = parts.next().unwrap_or_default();
        let number = parts.next().ok_or_else(|| refuse("the element's number is missing"))?;
        if number.is_empty() || number.len() > 10 || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refuse("the element's number is not a number"));
        }
        let number: u32 = number.parse().map_err(|_| refuse("the element's number is too large"))?;
        let element = match word {
            "bus" => Element::Bus(BusId(number)),
            "branch" => Element::Branch(BranchId(number)),
            "meter" => Element::UsagePoint(UsagePointId(number)),
            "device" => Element::Device(DeviceId(number)),
            _ => return Err(refuse("the element is none of bus, branch, meter, device")),
        };
        let quantity = match parts.next() {
            Some("u") => Quantity::VoltageMagnitude,
            Some("i") => Quantity::CurrentMagnitude,
            Some("p") => Quantity::ActivePower,
            Some("q") => Quantity::ReactivePower,
            Some("energy") => Quantity::SlotEnergy,
            _ => return Err(refuse("the quantity is none of u, i, p, q, energy")),
        };
        let phase = match parts.next() {
            None => None,
            Some("a") => Some(Phase::A),
            Some("b") => Some(Phase::B),
            Some("c") => Some(Phase::C),
            Some(_) => return Err(refuse("the phase is none of a, b, c")),
        };
        if parts.next().is_some() {
            return Err(refuse("there is something after the phase"));
        }
        Ok(PointId { element, quantity, phase })
    }
}

impl Serialize for PointId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PointId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// How far a value can be trusted, and why. It travels with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    /// Read by an instrument and found plausible.
    Measured,
    /// Calculated by state estimation.
    Estimated,
    /// Put in place of a missing or implausible value, by a named rule.
    Substituted,
    /// Expected, not yet happened.
    Forecast,
    /// Not known.
    Missing,
    /// Reported, and stopped by a rule: it is never used as measured.
    Implausible,
}

crate::packed!(enum Quality {
    0 = Measured,
    1 = Estimated,
    2 = Substituted,
    3 = Forecast,
    4 = Missing,
    5 = Implausible,
});

/// One value of one point. Finite by construction at every door.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Which point.
    pub point: PointId,
    /// In the unit of [`Quantity::unit`], load sign convention.
    pub value: f64,
    /// How far it can be trusted.
    pub quality: Quality,
    /// When the instrument took it.
    pub measured_at: Timestamp,
    /// When gridflex received it.
    pub received_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_round_trip() {
        for name in
            ["bus.34.u.a", "branch.907.p.b", "meter.12.energy", "device.4294967295.energy", "meter.1.q"]
        {
            assert_eq!(name.parse::<PointId>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn names_of_nothing_are_refused_with_the_reason() {
        for (name, reason) in [
            ("", "missing"),
            ("bus", "missing"),
            ("bus.x.u", "not a number"),
            ("bus.99999999999.u", "not a number"),
            ("bus.4294967296.u", "too large"),
            ("tree.1.u", "none of bus"),
            ("bus.1.volt", "quantity"),
            ("bus.1.u.d", "phase"),
            ("bus.1.u.a.b", "after the phase"),
        ] {
            let error = name.parse::<PointId>().unwrap_err().to_string();
            assert!(error.contains(reason), "{name}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in ".{0,80}") {
            let _ = text.parse::<PointId>();
        }
    }
}
