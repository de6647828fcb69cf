//! Physical limits per measurement point: the layer before the estimator. Residuals alone name the wrong meter
//! in most unit slips, so a value that physics does not allow is stopped here, with the rule that stopped it.

use grid::network::Network;
use grid::telemetry::Element;
use grid::{BranchId, BusId, DeviceId, Measurement, Phase, PointId, Quantity, Slot, UsagePointId};
use std::collections::BTreeMap;
use thiserror::Error;

/// Accepted phase voltage, as a share of the rated one.
const VOLTAGE_RANGE_PU: (f64, f64) = (0.5, 1.3);
/// Accepted branch flow, as a multiple of the rating.
const BRANCH_FACTOR: f64 = 5.0;
/// Service fuse of a customer, A per phase.
const SERVICE_FUSE_A: f64 = 100.0;
/// What may exceed a fuse or a device rating for a while.
const OVERLOAD_FACTOR: f64 = 1.2;

/// A value that cannot be true, and the rule that says so.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{point} is {value} {}: rule {rule}{}", point.quantity.unit(), words(*limit))]
pub struct Implausible {
    /// Which point.
    pub point: PointId,
    /// Name of the rule: `known-point`, `finite`, `voltage-range`, `branch-capability`, `service-fuse` or
    /// `device-rating`.
    pub rule: &'static str,
    /// The limit that was passed, in the point's unit; `None` when the rule has none.
    pub limit: Option<f64>,
    /// As received, in the point's unit.
    pub value: f64,
}

fn words(limit: Option<f64>) -> String {
    limit.map_or_else(String::new, |limit| format!(" allows {limit:.1}"))
}

/// What a branch can carry.
#[derive(Debug, Clone, Copy)]
struct Capability {
    /// Per phase, A.
    i_a: f64,
    /// All phases together, VA.
    s_va: f64,
}

/// The rules for one network and its devices.
#[derive(Debug, Clone)]
pub struct Plausibility {
    /// Rated phase-to-neutral voltage, V.
    buses: BTreeMap<BusId, f64>,
    branches: BTreeMap<BranchId, Capability>,
    /// Connected phase, and rated phase-to-neutral voltage, V.
    usage_points: BTreeMap<UsagePointId, (Option<Phase>, f64)>,
    /// Largest power, W.
    devices: BTreeMap<DeviceId, f64>,
}

impl Plausibility {
    /// Derives the limits. Unrated lines are held to what the network's transformers (without any, its source)
    /// can deliver; `devices` come with their largest power, W.
    pub fn new(network: &Network, devices: &[(DeviceId, f64)]) -> Self {
        let phase_v = |bus: BusId| {
            network.bus_index(bus).map_or(0.0, |index| network.buses()[index].u_rated_v / 3.0_f64.sqrt())
        };
        let transformed: f64 = network.transformers().iter().map(|unit| unit.s_rated_va).sum();
        let delivered: f64 = network.sources().iter().map(|source| source.sk_va).sum();
        let supply_va = if transformed > 0.0 { transformed } else { delivered };
        let lines = network.lines().iter().map(|line| {
            let u = phase_v(line.from);
            let i_a = line.i_rated_a.unwrap_or(supply_va / (3.0 * u));
            (line.id, Capability { i_a, s_va: 3.0 * u * i_a })
        });
        let transformers = network.transformers().iter().map(|unit| {
            let i_a = unit.s_rated_va / (3.0_f64.sqrt() * unit.u1_v);
            (unit.id, Capability { i_a, s_va: unit.s_rated_va })
        });
        Self {
            buses: network.buses().iter().map(|bus| (bus.id, phase_v(bus.id))).collect(),
            branches: lines.chain(transformers).collect(),
            usage_points: network
                .usage_points()
                .iter()
                .map(|point| (point.id, (point.phase, phase_v(point.bus))))
                .collect(),
            devices: devices.iter().copied().collect(),
        }
    }

    /// Whether there is such a point.
    pub fn knows(&self, point: PointId) -> bool {
        self.range(point).is_some()
    }

    /// Accepts a measurement that is finite, belongs to a known point and lies within its physical range.
    pub fn check(&self, measurement: &Measurement) -> Result<(), Implausible> {
        let (point, value) = (measurement.point, measurement.value);
        let refuse = |rule, limit| Err(Implausible { point, rule, limit, value });
        if !value.is_finite() {
            return refuse("finite", None);
        }
        let Some((rule, low, high)) = self.range(point) else {
            return refuse("known-point", None);
        };
        if value < low {
            refuse(rule, Some(low))
        } else if value > high {
            refuse(rule, Some(high))
        } else {
            Ok(())
        }
    }

    /// Rule, lowest and highest accepted value of a point; `None` for a point that does not exist.
    fn range(&self, point: PointId) -> Option<(&'static str, f64, f64)> {
        let symmetric = |rule, limit: f64| Some((rule, -limit, limit));
        match (point.element, point.quantity, point.phase) {
            (Element::Bus(id), Quantity::VoltageMagnitude, Some(_)) => {
                let rated = self.buses.get(&id)?;
                Some(("voltage-range", rated * VOLTAGE_RANGE_PU.0, rated * VOLTAGE_RANGE_PU.1))
            }
            (Element::Branch(id), Quantity::CurrentMagnitude, Some(_)) => {
                Some(("branch-capability", 0.0, BRANCH_FACTOR * self.branches.get(&id)?.i_a))
            }
            (Element::Branch(id), Quantity::ActivePower | Quantity::ReactivePower, phase) => {
                let share = if phase.is_some() { 1.0 / 3.0 } else { 1.0 };
                symmetric("branch-capability", BRANCH_FACTOR * self.branches.get(&id)?.s_va * share)
            }
            (Element::UsagePoint(id), quantity, phase) => {
                let &(connected, u_v) = self.usage_points.get(&id)?;
                let phases = match (connected, phase) {
                    (None, None) => 3.0,
                    (None, Some(_)) | (Some(_), None) => 1.0,
                    (Some(own), Some(asked)) if own == asked => 1.0,
                    _ => return None,
                };
                let limit = phases * SERVICE_FUSE_A * u_v * OVERLOAD_FACTOR;
                symmetric("service-fuse", over(quantity, limit)?)
            }
            (Element::Device(id), quantity, _) => {
                symmetric("device-rating", over(quantity, OVERLOAD_FACTOR * self.devices.get(&id)?)?)
            }
            _ => None,
        }
    }
}

/// A power limit in terms of a quantity: as it is, or over a slot; `None` for quantities that are no power.
fn over(quantity: Quantity, limit_w: f64) -> Option<f64> {
    match quantity {
        Quantity::ActivePower | Quantity::ReactivePower => Some(limit_w),
        Quantity::SlotEnergy => Some(limit_w * Slot::HOURS),
        Quantity::VoltageMagnitude | Quantity::CurrentMagnitude => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{network, read};
    use grid::{Quality, Timestamp};
    use proptest::prelude::*;

    fn rules() -> Plausibility {
        Plausibility::new(&network(&read("cases/dyn11/input.json")), &[(DeviceId(7), 7400.0)])
    }

    fn check(point: &str, value: f64) -> Result<(), Implausible> {
        let at = Timestamp::default();
        let point = point.parse().unwrap();
        rules().check(&Measurement {
            point,
            value,
            quality: Quality::Measured,
            measured_at: at,
            received_at: at,
        })
    }

    #[test]
    fn ordinary_values_pass() {
        for (point, value) in [
            ("bus.2.u.a", 238.0),
            ("bus.1.u.c", 6400.0),
            ("branch.10.i.a", 180.0),
            ("branch.10.p.a", -20_000.0),
            ("branch.20.p", 250_000.0),
            ("meter.41.energy", 1800.0),
            ("meter.43.p.a", 20_000.0),
            ("device.7.energy", 1850.0),
        ] {
            assert_eq!(check(point, value), Ok(()));
        }
    }

    #[test]
    fn a_meter_that_lies_by_a_thousand_is_stopped_and_the_rule_named() {
        for (point, value, rule) in [
            ("bus.2.u.a", 238_000.0, "voltage-range"),
            ("bus.2.u.a", 0.238, "voltage-range"),
            ("branch.10.i.a", 180_000.0, "branch-capability"),
            ("branch.10.i.a", -1.0, "branch-capability"),
            ("branch.20.p", -250_000_000.0, "branch-capability"),
            ("meter.41.energy", 300_000.0, "service-fuse"),
            ("meter.41.p", -80_000.0, "service-fuse"),
            ("device.7.energy", 1_850_000.0, "device-rating"),
        ] {
            let refusal = check(point, value).unwrap_err();
            assert_eq!((refusal.rule, refusal.value), (rule, value));
            assert!(refusal.limit.is_some() && refusal.to_string().contains(point));
        }
    }

    #[test]
    fn points_that_do_not_exist_are_refused() {
        for point in [
            "bus.99.u.a",
            "bus.2.u",
            "bus.2.p.a",
            "branch.99.p",
            "branch.10.i",
            "meter.99.p",
            "meter.41.u.b",
            "meter.41.p.c",
            "device.8.p",
        ] {
            assert_eq!(check(point, 1.0).unwrap_err().rule, "known-point", "{point}");
        }
    }

    proptest! {
        #[test]
        fn what_is_not_finite_never_passes(value in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-f64::INFINITY)]) {
            prop_assert_eq!(check("bus.2.u.a", value).unwrap_err().rule, "finite");
        }

        #[test]
        fn any_value_is_answered(value in any::<f64>()) {
            prop_assert_eq!(check("meter.41.energy", value).is_ok(), value.abs() <= 7205.4);
        }
    }
}
