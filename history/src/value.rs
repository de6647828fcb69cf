//! One value of the history.

use grid::telemetry::Element;
use grid::{Measurement, Phase, PointId, Quality, Quantity, Timestamp};
use serde::{Deserialize, Serialize};

/// What kind of value it is: each is kept for its own time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What instruments say of the moment.
    Telemetry,
    /// Energies of quarter-hours.
    Energy,
    /// What was estimated.
    Estimate,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [Kind::Telemetry, Kind::Energy, Kind::Estimate];

    /// The word in names of files.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Telemetry => "telemetry",
            Kind::Energy => "energy",
            Kind::Estimate => "estimate",
        }
    }
}

/// One value of one point at one instant, in one version.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Value {
    /// Which kind.
    pub kind: Kind,
    /// Which point.
    pub point: PointId,
    /// In the unit of the point's quantity, load sign convention.
    pub value: f64,
    /// Standard deviation, in the same unit; of estimates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<f64>,
    /// How far it can be trusted.
    pub quality: Quality,
    /// The instant it describes, to the microsecond.
    pub measured_at: Timestamp,
    /// When it was received or made, to the microsecond: its version.
    pub received_at: Timestamp,
}

/// Instants are kept to the microsecond, later parts are cut off.
fn whole_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_nanos(at.nanos().div_euclid(1000) * 1000)
}

impl Value {
    /// A value to be kept.
    pub fn new(kind: Kind, measurement: &Measurement, std: Option<f64>) -> Self {
        Self {
            kind,
            point: measurement.point,
            value: measurement.value,
            std: std.filter(|std| std.is_finite()),
            quality: measurement.quality,
            measured_at: whole_micros(measurement.measured_at),
            received_at: whole_micros(measurement.received_at),
        }
    }

    /// What a meter or an instrument said.
    pub fn measured(measurement: &Measurement) -> Self {
        let kind = match measurement.point.quantity {
            Quantity::SlotEnergy => Kind::Energy,
            _ => Kind::Telemetry,
        };
        Self::new(kind, measurement, None)
    }

    /// Place in a sealed file: by point, instant, version.
    pub(crate) fn order(&self) -> (u64, i64, i64) {
        (code(self.point), self.measured_at.nanos(), self.received_at.nanos())
    }
}

/// A number of its own for every point, ascending like points are.
pub(crate) fn code(point: PointId) -> u64 {
    let (element, number) = match point.element {
        Element::Bus(id) => (0, id.0),
        Element::Branch(id) => (1, id.0),
        Element::UsagePoint(id) => (2, id.0),
        Element::Device(id) => (3, id.0),
    };
    let phase = point.phase.map_or(0, |phase| 1 + phase.index() as u64);
    (element << 40) | (u64::from(number) << 8) | ((point.quantity as u64) << 2) | phase
}

/// The point of a number; nothing when there is none.
pub(crate) fn decode(code: u64) -> Option<PointId> {
    let number = u32::try_from((code >> 8) & 0xffff_ffff).ok()?;
    let element = match code >> 40 {
        0 => Element::Bus(grid::BusId(number)),
        1 => Element::Branch(grid::BranchId(number)),
        2 => Element::UsagePoint(grid::UsagePointId(number)),
        3 => Element::Device(grid::DeviceId(number)),
        _ => return None,
    };
    let quantity = match (code >> 2) & 0x3f {
        0 => Quantity::VoltageMagnitude,
        1 => Quantity::CurrentMagnitude,
        2 => Quantity::ActivePower,
        3 => Quantity::ReactivePower,
        4 => Quantity::SlotEnergy,
        _ => return None,
    };
    let phase = match code & 3 {
        0 => None,
        1 => Some(Phase::A),
        2 => Some(Phase::B),
        _ => Some(Phase::C),
    };
    Some(PointId { element, quantity, phase })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_its_number() {
        let mut last = None;
        for name in [
            "bus.1.u",
            "bus.1.u.a",
            "bus.1.u.c",
            "bus.2.u",
            "branch.1.p.b",
            "meter.12.energy",
            "device.4294967295.energy",
        ] {
            let point: PointId = name.parse().unwrap();
            assert_eq!(decode(code(point)), Some(point));
            assert!(last < Some(code(point)), "{name}");
            last = Some(code(point));
        }
        assert_eq!(decode(4 << 40), None);
        assert_eq!(decode(5 << 2), None);
    }
}
