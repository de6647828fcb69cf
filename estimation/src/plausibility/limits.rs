//! Physical limits per measurement point, from the network and from what is registered in it.

use super::rule::{Implausible, Rule};
use grid::network::Network;
use grid::telemetry::Element;
use grid::{BranchId, BusId, DeviceId, Measurement, Phase, PointId, Quality, Quantity, Slot, UsagePointId};
use std::collections::BTreeMap;

/// Accepted phase voltage, as a share of the rated one.
const VOLTAGE_RANGE_PU: (f64, f64) = (0.5, 1.3);
/// A voltage moves less than this share of the rated one from one value to the next.
const VOLTAGE_STEP_PU: f64 = 0.15;
/// Accepted branch flow, as a multiple of the rating.
const BRANCH_FACTOR: f64 = 5.0;
/// Service fuse of a customer, A per phase.
const SERVICE_FUSE_A: f64 = 100.0;
/// What may exceed a fuse or a device rating for a while.
const OVERLOAD_FACTOR: f64 = 1.2;
/// What may be fed in beyond what is registered.
const FEED_IN_FACTOR: f64 = 1.1;
/// Share of a rating below which a sign says nothing: instruments err by so much around zero.
const SMALL_SHARE: f64 = 0.005;
/// Reactive power that is switched with an active power, as a share of it.
const REACTIVE_SHARE: f64 = 0.4;
/// Largest power assumed at a connection besides its devices when nobody says, W.
const HOUSEHOLD_MAX_W: f64 = 4_000.0;

/// What is registered in a network besides its equipment.
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// Controllable devices.
    pub devices: Vec<RegisteredDevice>,
    /// Largest feed-in of the generators behind each connection, W, when all of them are registered; `None`: anybody may feed
    /// in. Devices that feed in are not counted here.
    pub generators: Option<BTreeMap<UsagePointId, f64>>,
    /// Largest power of a connection besides its devices, W.
    pub p_household_max_w: f64,
}

impl Default for Register {
    fn default() -> Self {
        Self { devices: Vec::new(), generators: None, p_household_max_w: HOUSEHOLD_MAX_W }
    }
}

/// A device as far as its values are judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RegisteredDevice {
    /// Its number.
    pub id: DeviceId,
    /// Behind which connection.
    pub usage_point: UsagePointId,
    /// Largest power, W.
    pub p_max_w: f64,
    /// Whether it can feed in.
    pub feeds_in: bool,
}

/// What a branch can carry.
#[derive(Debug, Clone, Copy)]
struct Capability {
    /// Per phase, A.
    i_a: f64,
    /// All phases together, VA.
    s_va: f64,
    /// Where it is measured.
    from: BusId,
    /// What lies behind it, when the network is a tree there.
    behind: Option<Behind>,
}

/// What lies behind a branch, seen from the source.
#[derive(Debug, Clone, Copy)]
struct Behind {
    /// Whether `from` is the side of the source.
    is_downward: bool,
    below: Below,
}

/// What hangs below a bus.
#[derive(Debug, Clone, Copy, Default)]
struct Below {
    /// Most that can be fed in, W by phase; infinite where it is not known.
    feed_in_w: [f64; 3],
    /// Largest power that one switch turns on or off, W.
    switched_w: f64,
    /// Whether a transformer mixes the phases.
    is_transformed: bool,
}

impl Below {
    fn add(&mut self, other: &Below) {
        for (sum, more) in self.feed_in_w.iter_mut().zip(other.feed_in_w) {
            *sum += more;
        }
        self.switched_w = self.switched_w.max(other.switched_w);
        self.is_transformed |= other.is_transformed;
    }
}

/// A connection.
#[derive(Debug, Clone, Copy)]
struct Connection {
    phase: Option<Phase>,
    /// Rated phase-to-neutral voltage, V.
    u_v: f64,
    feed_in_w: f64,
    switched_w: f64,
}

/// What values of a point are held to, in its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// The rule of `low` and `high`.
    pub rule: Rule,
    pub low: f64,
    pub high: f64,
    /// Lowest and highest value by what can be fed in.
    pub direction: (f64, f64),
    /// Largest change that one switch makes.
    pub switched: f64,
    /// Largest change from one value to the next.
    pub rate: Option<f64>,
    /// Below it a sign says nothing.
    pub small: f64,
}

/// The limits of one network and what is registered in it.
#[derive(Debug, Clone)]
pub struct Plausibility {
    /// Rated phase-to-neutral voltage, V.
    buses: BTreeMap<BusId, f64>,
    branches: BTreeMap<BranchId, Capability>,
    usage_points: BTreeMap<UsagePointId, Connection>,
    devices: BTreeMap<DeviceId, RegisteredDevice>,
}

impl Plausibility {
    /// Derives the limits. Unrated lines are held to what the network's transformers (without any, its source)
    /// can deliver.
    pub fn new(network: &Network, register: &Register) -> Self {
        let phase_v = |bus: BusId| {
            network.bus_index(bus).map_or(0.0, |index| network.buses()[index].u_rated_v / 3.0_f64.sqrt())
        };
        let transformed: f64 = network.transformers().iter().map(|unit| unit.s_rated_va).sum();
        let delivered: f64 = network.sources().iter().map(|source| source.sk_va).sum();
        let supply_va = if transformed > 0.0 { transformed } else { delivered };
        let usage_points = connections(network, register, &phase_v);
        let behind = behind(network, &usage_points);
        let lines = network.lines().iter().map(|line| {
            let u = phase_v(line.from);
            let i_a = line.i_rated_a.unwrap_or(supply_va / (3.0 * u));
            (line.id, i_a, 3.0 * u * i_a, line.from)
        });
        let transformers = network.transformers().iter().map(|unit| {
            let i_a = unit.s_rated_va / (3.0_f64.sqrt() * unit.u1_v);
            (unit.id, i_a, unit.s_rated_va, unit.from)
        });
        let branches = lines.chain(transformers).map(|(id, i_a, s_va, from)| {
            (id, Capability { i_a, s_va, from, behind: behind.get(&id).copied() })
        });
        Self {
            buses: network.buses().iter().map(|bus| (bus.id, phase_v(bus.id))).collect(),
            branches: branches.collect(),
            usage_points,
            devices: register.devices.iter().map(|device| (device.id, *device)).collect(),
        }
    }

    /// Whether there is such a point.
    pub fn knows(&self, point: PointId) -> bool {
        self.bounds(point).is_some()
    }

    /// Why there is no such point: the part of its name that is wrong (`element`, `quantity` or `phase`), and what is possible.
    /// `None` when there is one.
    pub fn why_unknown(&self, point: PointId) -> Option<(&'static str, String)> {
        if self.knows(point) {
            return None;
        }
        let (is_there, what, has) = match point.element {
            Element::Bus(id) => (self.buses.contains_key(&id), format!("bus {id}"), "u"),
            Element::Branch(id) => (self.branches.contains_key(&id), format!("branch {id}"), "i, p and q"),
            Element::UsagePoint(id) => {
                (self.usage_points.contains_key(&id), format!("connection {id}"), "p, q and energy")
            }
            Element::Device(id) => {
                (self.devices.contains_key(&id), format!("device {id}"), "p, q and energy")
            }
        };
        let word = point.quantity.word();
        Some(match point.element {
            Element::Device(_) if !is_there => ("element", format!("{what} is not registered")),
            _ if !is_there => ("element", format!("the network has no {what}")),
            _ if !has.split([',', ' ']).any(|known| known == word) => {
                ("quantity", format!("{word} is not measured at {what}, {has} can be"))
            }
            Element::UsagePoint(_) => ("phase", format!("{what} is not on that phase")),
            Element::Device(_) => ("phase", format!("{word} of {what} has no phase; leave it empty")),
            _ => ("phase", format!("{word} of {what} is measured by phase; write a, b or c")),
        })
    }

    /// Where a branch is measured, and its rated phase-to-neutral voltage there, V.
    pub(super) fn measured_at(&self, branch: BranchId) -> Option<(BusId, f64)> {
        let from = self.branches.get(&branch)?.from;
        Some((from, *self.buses.get(&from)?))
    }

    /// Accepts a measurement that is finite, belongs to a known point and lies within its physical range.
    ///
    /// # Errors
    /// [`Implausible`] with the rule and the limit.
    pub fn check(&self, measurement: &Measurement) -> Result<(), Implausible> {
        self.judge(measurement).map(|_| ())
    }

    /// The same, with what the value is held to besides.
    pub(super) fn judge(&self, measurement: &Measurement) -> Result<Bounds, Implausible> {
        let value = measurement.value;
        let refuse = |rule, limit| {
            let measurement = Measurement { quality: Quality::Implausible, ..*measurement };
            Err(Implausible { measurement, rule, limit })
        };
        if !value.is_finite() {
            return refuse(Rule::Finite, None);
        }
        let Some(bounds) = self.bounds(measurement.point) else {
            return refuse(Rule::KnownPoint, None);
        };
        let (least, most) = bounds.direction;
        if value < bounds.low {
            refuse(bounds.rule, Some(bounds.low))
        } else if value > bounds.high {
            refuse(bounds.rule, Some(bounds.high))
        } else if value < least {
            refuse(Rule::Direction, Some(least))
        } else if value > most {
            refuse(Rule::Direction, Some(most))
        } else {
            Ok(bounds)
        }
    }

    /// What values of a point are held to; `None` for a point that does not exist.
    pub(super) fn bounds(&self, point: PointId) -> Option<Bounds> {
        match point.element {
            Element::Bus(id) => self.bus(id, point),
            Element::Branch(id) => self.branch(id, point),
            Element::UsagePoint(id) => self.usage_point(id, point),
            Element::Device(id) => self.device(id, point),
        }
    }

    fn bus(&self, id: BusId, point: PointId) -> Option<Bounds> {
        let rated = *self.buses.get(&id)?;
        (point.quantity == Quantity::VoltageMagnitude && point.phase.is_some()).then_some(Bounds {
            rule: Rule::VoltageRange,
            low: rated * VOLTAGE_RANGE_PU.0,
            high: rated * VOLTAGE_RANGE_PU.1,
            direction: ANY,
            switched: f64::INFINITY,
            rate: Some(rated * VOLTAGE_STEP_PU),
            small: 0.0,
        })
    }

    fn branch(&self, id: BranchId, point: PointId) -> Option<Bounds> {
        let branch = self.branches.get(&id)?;
        let share = if point.phase.is_some() { 1.0 / 3.0 } else { 1.0 };
        let s_va = branch.s_va * share;
        let switched_w = branch.behind.map_or(f64::INFINITY, |behind| behind.below.switched_w);
        let power = |direction, switched| Bounds {
            rule: Rule::BranchCapability,
            low: -BRANCH_FACTOR * s_va,
            high: BRANCH_FACTOR * s_va,
            direction,
            switched,
            rate: Some(s_va),
            small: 20.0 + SMALL_SHARE * s_va,
        };
        match (point.quantity, point.phase) {
            (Quantity::CurrentMagnitude, Some(_)) => Some(Bounds {
                low: 0.0,
                high: BRANCH_FACTOR * branch.i_a,
                rate: Some(branch.i_a),
                small: SMALL_SHARE * branch.i_a,
                ..power(ANY, f64::INFINITY)
            }),
            (Quantity::ActivePower, phase) => {
                let direction = branch.behind.map_or(ANY, |behind| behind.direction(phase, s_va));
                Some(power(direction, switched_w))
            }
            (Quantity::ReactivePower, _) => Some(power(ANY, REACTIVE_SHARE * switched_w)),
            _ => None,
        }
    }

    fn usage_point(&self, id: UsagePointId, point: PointId) -> Option<Bounds> {
        let connection = self.usage_points.get(&id)?;
        let phases = match (connection.phase, point.phase) {
            (None, None) => 3.0,
            (None, Some(_)) | (Some(_), None) => 1.0,
            (Some(own), Some(asked)) if own == asked => 1.0,
            _ => return None,
        };
        let limit = phases * SERVICE_FUSE_A * connection.u_v * OVERLOAD_FACTOR;
        let least_w = -FEED_IN_FACTOR * connection.feed_in_w - 20.0;
        let (share, switched_w) = match point.quantity {
            Quantity::ReactivePower => (REACTIVE_SHARE, connection.switched_w),
            _ => (1.0, connection.switched_w),
        };
        symmetric(Rule::ServiceFuse, point.quantity, limit, least_w, share * switched_w)
    }

    /// Money is settled with the energy of a device, and one phase of it is not that.
    fn device(&self, id: DeviceId, point: PointId) -> Option<Bounds> {
        let is_part = point.quantity == Quantity::SlotEnergy && point.phase.is_some();
        let device = self.devices.get(&id).filter(|_| !is_part)?;
        let limit = OVERLOAD_FACTOR * device.p_max_w;
        let least_w = if device.feeds_in { f64::NEG_INFINITY } else { -20.0 - 0.01 * device.p_max_w };
        symmetric(Rule::DeviceRating, point.quantity, limit, least_w, f64::INFINITY)
    }
}

/// No direction is excluded.
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

impl Behind {
    /// Lowest and highest active power by what can be fed in below, W.
    fn direction(&self, phase: Option<Phase>, s_va: f64) -> (f64, f64) {
        let feed_in_w = match phase {
            // Behind a transformer a phase is a mixture of phases.
            Some(_) if self.below.is_transformed => return ANY,
            Some(phase) => self.below.feed_in_w[phase.index()],
            None => self.below.feed_in_w.iter().sum(),
        };
        let most_w = FEED_IN_FACTOR * feed_in_w + 20.0 + SMALL_SHARE * s_va;
        if self.is_downward { (-most_w, f64::INFINITY) } else { (f64::NEG_INFINITY, most_w) }
    }
}

/// Bounds of a power or an energy of a slot from those in W; `None` for quantities that are neither.
fn symmetric(rule: Rule, quantity: Quantity, limit_w: f64, least_w: f64, switched_w: f64) -> Option<Bounds> {
    let factor = match quantity {
        Quantity::ActivePower | Quantity::ReactivePower => 1.0,
        Quantity::SlotEnergy => Slot::HOURS,
        Quantity::VoltageMagnitude | Quantity::CurrentMagnitude => return None,
    };
    let direction = match quantity {
        Quantity::ReactivePower => ANY,
        _ => (least_w * factor, f64::INFINITY),
    };
    Some(Bounds {
        rule,
        low: -limit_w * factor,
        high: limit_w * factor,
        direction,
        switched: switched_w * factor,
        rate: None,
        small: 50.0 * factor,
    })
}

/// What is registered, by connection.
fn connections(
    network: &Network,
    register: &Register,
    phase_v: &impl Fn(BusId) -> f64,
) -> BTreeMap<UsagePointId, Connection> {
    let mut found: BTreeMap<_, _> = network
        .usage_points()
        .iter()
        .map(|point| {
            // A connection that is assumed to feed in is a generator's own.
            let known = register.generators.as_ref().filter(|_| point.p_specified_w >= 0.0);
            let feed_in_w = known.map_or(f64::INFINITY, |all| all.get(&point.id).copied().unwrap_or(0.0));
            let connection = Connection {
                phase: point.phase,
                u_v: phase_v(point.bus),
                feed_in_w,
                switched_w: register.p_household_max_w,
            };
            (point.id, connection)
        })
        .collect();
    for device in &register.devices {
        if let Some(connection) = found.get_mut(&device.usage_point) {
            connection.switched_w = connection.switched_w.max(device.p_max_w);
            connection.feed_in_w += if device.feeds_in { device.p_max_w } else { 0.0 };
        }
    }
    found
}

/// What lies behind each branch of the tree that grows from the sources; branches that close a loop are left out, and so are
/// those of the loop.
fn behind(network: &Network, connections: &BTreeMap<UsagePointId, Connection>) -> BTreeMap<BranchId, Behind> {
    let mut neighbours: Vec<Vec<(BranchId, usize, bool, bool)>> = vec![Vec::new(); network.buses().len()];
    let lines = network.lines().iter().map(|line| (line.id, line.from, line.to, false));
    let transformers = network.transformers().iter().map(|unit| (unit.id, unit.from, unit.to, true));
    for (id, from, to, transforms) in lines.chain(transformers) {
        let (Some(from), Some(to)) = (network.bus_index(from), network.bus_index(to)) else { continue };
        neighbours[from].push((id, to, true, transforms));
        neighbours[to].push((id, from, false, transforms));
    }
    let mut below = vec![Below::default(); network.buses().len()];
    for point in network.usage_points() {
        let (Some(bus), Some(connection)) = (network.bus_index(point.bus), connections.get(&point.id)) else {
            continue;
        };
        for phase in Phase::ALL {
            let share = match connection.phase {
                None => 1.0 / 3.0,
                Some(own) if own == phase => 1.0,
                Some(_) => continue,
            };
            below[bus].feed_in_w[phase.index()] += share * connection.feed_in_w;
        }
        below[bus].switched_w = below[bus].switched_w.max(connection.switched_w);
    }
    // From the sources outwards; `above` is the branch by which a bus was reached.
    let mut order: Vec<usize> = network.sources().iter().filter_map(|at| network.bus_index(at.bus)).collect();
    order.sort_unstable();
    order.dedup();
    let mut above: Vec<Option<(BranchId, usize, bool, bool)>> = vec![None; below.len()];
    let mut reached = vec![false; below.len()];
    order.iter().for_each(|&bus| reached[bus] = true);
    let (mut next, mut is_tree) = (0, order.len() == 1);
    while let Some(&bus) = order.get(next) {
        next += 1;
        for &(id, other, is_downward, transforms) in &neighbours[bus] {
            if above[bus].is_some_and(|(own, ..)| own == id) {
                continue;
            }
            if std::mem::replace(&mut reached[other], true) {
                is_tree = false;
                continue;
            }
            above[other] = Some((id, bus, is_downward, transforms));
            order.push(other);
        }
    }
    let mut found = BTreeMap::new();
    for &bus in order.iter().rev().filter(|_| is_tree) {
        let Some((id, parent, is_downward, transforms)) = above[bus] else { continue };
        let mut here = below[bus];
        here.is_transformed |= transforms;
        found.insert(id, Behind { is_downward, below: here });
        below[parent].add(&here);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{network, read};
    use grid::Timestamp;
    use proptest::prelude::*;

    fn rules() -> Plausibility {
        let device = RegisteredDevice {
            id: DeviceId(7),
            usage_point: UsagePointId(41),
            p_max_w: 7400.0,
            feeds_in: false,
        };
        let register = Register { devices: vec![device], ..Register::default() };
        Plausibility::new(&network(&read("cases/dyn11/input.json")), &register)
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
            assert_eq!((refusal.rule.name(), refusal.measurement.value), (rule, value));
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
            "device.7.energy.a",
        ] {
            assert_eq!(check(point, 1.0).unwrap_err().rule, Rule::KnownPoint, "{point}");
        }
    }

    #[test]
    fn what_nobody_there_can_feed_in_has_the_wrong_sign() {
        let network = network(&read("cases/dyn11/input.json"));
        let generators = Some([(UsagePointId(43), 3_000.0)].into());
        let rules = Plausibility::new(&network, &Register { generators, ..Register::default() });
        let rule = |point: &str, value| {
            let at = Timestamp::default();
            let point = point.parse().unwrap();
            let quality = Quality::Measured;
            let value = Measurement { point, value, quality, measured_at: at, received_at: at };
            rules.check(&value).err().map(|refusal| refusal.rule)
        };
        assert_eq!(rule("meter.41.energy", -200.0), Some(Rule::Direction));
        assert_eq!(rule("meter.43.energy", -700.0), None, "it has a roof");
        assert_eq!(rule("meter.43.energy", -1_000.0), Some(Rule::Direction), "more than its roof gives");
        assert_eq!(rule("branch.10.p.a", -12_000.0), Some(Rule::Direction));
        assert_eq!(rule("branch.11.p.b", -7_000.0), None, "measured at its far side");
        assert_eq!(rule("branch.11.p.b", 7_000.0), Some(Rule::Direction));
        assert_eq!(rule("branch.10.q.a", -12_000.0), None, "nothing says where reactive power goes");
        assert_eq!(rule("branch.10.p.c", -12_000.0), None, "behind it is one that is assumed to feed in");
        assert_eq!(rule("branch.20.p", -250_000.0), None);
        // Without a register anybody may.
        assert_eq!(check("meter.41.energy", -200.0), Ok(()));
        assert_eq!(check("branch.10.p.a", -12_000.0), Ok(()));
        assert_eq!(
            check("device.7.energy", -1_800.0).unwrap_err().rule,
            Rule::Direction,
            "a charger only takes"
        );
    }

    #[test]
    fn what_is_wrong_with_an_unknown_point_is_said() {
        for (point, part, says) in [
            ("bus.99.u.a", "element", "the network has no bus 99"),
            ("device.8.p", "element", "device 8 is not registered"),
            ("bus.2.p.a", "quantity", "p is not measured at bus 2, u can be"),
            ("branch.10.energy", "quantity", "i, p and q can be"),
            ("meter.41.u.b", "quantity", "p, q and energy can be"),
            ("branch.10.i", "phase", "i of branch 10 is measured by phase"),
            ("bus.2.u", "phase", "write a, b or c"),
            ("meter.41.p.c", "phase", "connection 41 is not on that phase"),
            ("device.7.energy.b", "phase", "energy of device 7 has no phase; leave it empty"),
        ] {
            let (found, reason) = rules().why_unknown(point.parse().unwrap()).unwrap();
            assert!(found == part && reason.contains(says), "{point}: {found}: {reason}");
        }
        assert_eq!(rules().why_unknown("bus.2.u.a".parse().unwrap()), None);
    }

    proptest! {
        #[test]
        fn what_is_not_finite_never_passes(value in prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-f64::INFINITY)]) {
            prop_assert_eq!(check("bus.2.u.a", value).unwrap_err().rule, Rule::Finite);
        }

        #[test]
        fn any_value_is_answered(value in any::<f64>()) {
            prop_assert_eq!(check("meter.41.energy", value).is_ok(), value.abs() <= 7205.4);
        }
    }
}
