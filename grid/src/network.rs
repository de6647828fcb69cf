//! The network model: buses joined by lines and transformers, fed by sources, feeding usage points.
//!
//! Names follow CIM; electrical attributes follow the power-grid-model components of the same name. A
//! [`Network`] is checked when it is made, so whoever holds one can index it without asking again.
//! Radiality is *not* required here; solvers that need it say so.

use crate::id::{BranchId, BusId, UsagePointId};
use crate::phase::Phase;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// A bus (CIM `ConnectivityNode`).
#[derive(Debug, Clone, PartialEq)]
pub struct Bus {
    /// Its number.
    pub id: BusId,
    /// Rated phase-to-phase voltage, V.
    pub u_rated_v: f64,
    /// Plane coordinates, m, when known.
    pub position_m: Option<(f64, f64)>,
}

/// A line or cable section (CIM `ACLineSegment`), given by sequence impedances; the phases are coupled by
/// `Zs = (Z0 + 2 Z1) / 3` on the diagonal and `Zm = (Z0 − Z1) / 3` beside it.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its number, unique among lines and transformers.
    pub id: BranchId,
    /// The `from` terminal; flows are positive away from it.
    pub from: BusId,
    /// The `to` terminal.
    pub to: BusId,
    /// Positive-sequence resistance, Ω (whole section).
    pub r1_ohm: f64,
    /// Positive-sequence reactance, Ω.
    pub x1_ohm: f64,
    /// Zero-sequence resistance, Ω.
    pub r0_ohm: f64,
    /// Zero-sequence reactance, Ω.
    pub x0_ohm: f64,
    /// Positive-sequence shunt capacitance, F.
    pub c1_f: f64,
    /// Zero-sequence shunt capacitance, F.
    pub c0_f: f64,
    /// Rated current (ampacity), A; `None` when the data set does not give one.
    pub i_rated_a: Option<f64>,
}

/// Connection of a transformer winding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winding {
    /// Star without neutral connection.
    Wye,
    /// Star with grounded neutral.
    WyeN,
    /// Delta.
    Delta,
}

/// A two-winding transformer (CIM `PowerTransformer`).
#[derive(Debug, Clone, PartialEq)]
pub struct Transformer {
    /// Its number, unique among lines and transformers.
    pub id: BranchId,
    /// Terminal of winding 1 (usually the higher voltage).
    pub from: BusId,
    /// Terminal of winding 2.
    pub to: BusId,
    /// Rated phase-to-phase voltage of winding 1, V (tap position included).
    pub u1_v: f64,
    /// Rated phase-to-phase voltage of winding 2, V.
    pub u2_v: f64,
    /// Rated apparent power, VA.
    pub s_rated_va: f64,
    /// Relative short-circuit voltage, p.u.
    pub uk_pu: f64,
    /// Copper loss at rated current, W.
    pub pk_w: f64,
    /// Relative no-load current, p.u.
    pub i0_pu: f64,
    /// Iron loss, W.
    pub p0_w: f64,
    /// Connection of winding 1.
    pub winding_from: Winding,
    /// Connection of winding 2.
    pub winding_to: Winding,
    /// Clock number: winding 2 lags winding 1 by `clock` × 30°.
    pub clock: u8,
}

/// An infeed with a Thevenin impedance (CIM `EnergySource`).
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Where it feeds in.
    pub bus: BusId,
    /// Voltage magnitude behind the impedance, p.u. of the bus's rated voltage.
    pub u_ref_pu: f64,
    /// Short-circuit power, VA.
    pub sk_va: f64,
    /// R/X of the short-circuit impedance.
    pub rx_ratio: f64,
    /// Zero- to positive-sequence impedance ratio.
    pub z01_ratio: f64,
}

/// A customer's connection (CIM `UsagePoint`).
#[derive(Debug, Clone, PartialEq)]
pub struct UsagePoint {
    /// Its number.
    pub id: UsagePointId,
    /// Where it is connected.
    pub bus: BusId,
    /// The phase of a single-phase connection; `None` is three-phase.
    pub phase: Option<Phase>,
    /// Active power assumed when nothing else is known, W (positive is taken from the grid).
    pub p_specified_w: f64,
    /// Reactive power assumed when nothing else is known, var.
    pub q_specified_var: f64,
}

/// The parts of a network before they are checked.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetworkParts {
    /// What people call it.
    pub name: String,
    /// Buses.
    pub buses: Vec<Bus>,
    /// Lines.
    pub lines: Vec<Line>,
    /// Transformers.
    pub transformers: Vec<Transformer>,
    /// Sources.
    pub sources: Vec<Source>,
    /// Usage points.
    pub usage_points: Vec<UsagePoint>,
}

/// What makes a set of parts no network.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NetworkError {
    /// Two components carry one number.
    #[error("{kind} {id} is given twice")]
    Duplicate {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
    },
    /// A component refers to a bus that is not there.
    #[error("{kind} {id} is connected to bus {bus}, which does not exist")]
    UnknownBus {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// The missing bus.
        bus: BusId,
    },
    /// A number that physics does not allow.
    #[error("{kind} {id}: {attribute} is {value}, {expected}")]
    Attribute {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// Which attribute, with unit.
        attribute: &'static str,
        /// As given.
        value: f64,
        /// What would be accepted.
        expected: &'static str,
    },
    /// A branch from a bus to itself.
    #[error("{kind} {id} begins and ends at bus {bus}")]
    Loop {
        /// Line or transformer.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// The bus.
        bus: BusId,
    },
    /// Nothing feeds the network.
    #[error("the network has no source")]
    NoSource,
    /// Buses without a way to a source.
    #[error("{count} buses have no connection to a source, bus {first} among them")]
    Island {
        /// How many.
        count: usize,
        /// One of them.
        first: BusId,
    },
}

/// A checked network. Components keep the order in which they were given.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    parts: NetworkParts,
    bus_index: BTreeMap<BusId, usize>,
}

impl Network {
    /// Checks the parts: unique numbers, known buses, finite and physical attributes, everything fed.
    pub fn new(parts: NetworkParts) -> Result<Self, NetworkError> {
        let bus_index = index_buses(&parts.buses)?;
        check_branches(&parts, &bus_index)?;
        check_terminals(&parts, &bus_index)?;
        check_islands(&parts, &bus_index)?;
        Ok(Self { parts, bus_index })
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.parts.name
    }

    /// All buses.
    pub fn buses(&self) -> &[Bus] {
        &self.parts.buses
    }

    /// All lines.
    pub fn lines(&self) -> &[Line] {
        &self.parts.lines
    }

    /// All transformers.
    pub fn transformers(&self) -> &[Transformer] {
        &self.parts.transformers
    }

    /// All sources; at least one.
    pub fn sources(&self) -> &[Source] {
        &self.parts.sources
    }

    /// All usage points.
    pub fn usage_points(&self) -> &[UsagePoint] {
        &self.parts.usage_points
    }

    /// The position of a bus in [`Network::buses`].
    pub fn bus_index(&self, bus: BusId) -> Option<usize> {
        self.bus_index.get(&bus).copied()
    }

    /// The parts, to change something and check again.
    pub fn into_parts(self) -> NetworkParts {
        self.parts
    }
}

fn index_buses(buses: &[Bus]) -> Result<BTreeMap<BusId, usize>, NetworkError> {
    let mut index = BTreeMap::new();
    for (position, bus) in buses.iter().enumerate() {
        positive("bus", bus.id.0, "rated voltage in V", bus.u_rated_v)?;
        if let Some((x, y)) = bus.position_m {
            finite("bus", bus.id.0, "x coordinate in m", x)?;
            finite("bus", bus.id.0, "y coordinate in m", y)?;
        }
        if index.insert(bus.id, position).is_some() {
            return Err(NetworkError::Duplicate { kind: "bus", id: bus.id.0 });
        }
    }
    Ok(index)
}

fn check_branches(parts: &NetworkParts, buses: &BTreeMap<BusId, usize>) -> Result<(), NetworkError> {
    let mut seen = BTreeSet::new();
    let ends = (parts.lines.iter().map(|l| ("line", l.id, l.from, l.to)))
        .chain(parts.transformers.iter().map(|t| ("transformer", t.id, t.from, t.to)));
    for (kind, id, from, to) in ends {
        if !seen.insert(id) {
            return Err(NetworkError::Duplicate { kind, id: id.0 });
        }
        for bus in [from, to] {
            known_bus(buses, kind, id.0, bus)?;
        }
        if from == to {
            return Err(NetworkError::Loop { kind, id: id.0, bus: from });
        }
    }
    for line in &parts.lines {
        let id = line.id.0;
        not_negative("line", id, "r1 in ohm", line.r1_ohm)?;
        not_negative("line", id, "x1 in ohm", line.x1_ohm)?;
        not_negative("line", id, "r0 in ohm", line.r0_ohm)?;
        not_negative("line", id, "x0 in ohm", line.x0_ohm)?;
        not_negative("line", id, "c1 in F", line.c1_f)?;
        not_negative("line", id, "c0 in F", line.c0_f)?;
        positive("line", id, "impedance r1 + x1 in ohm", line.r1_ohm + line.x1_ohm)?;
        if let Some(rated) = line.i_rated_a {
            positive("line", id, "rated current in A", rated)?;
        }
    }
    for transformer in &parts.transformers {
        let id = transformer.id.0;
        positive("transformer", id, "u1 in V", transformer.u1_v)?;
        positive("transformer", id, "u2 in V", transformer.u2_v)?;
        positive("transformer", id, "sn in VA", transformer.s_rated_va)?;
        positive("transformer", id, "uk in p.u.", transformer.uk_pu)?;
        not_negative("transformer", id, "pk in W", transformer.pk_w)?;
        not_negative("transformer", id, "i0 in p.u.", transformer.i0_pu)?;
        not_negative("transformer", id, "p0 in W", transformer.p0_w)?;
        if transformer.clock > 11 {
            return Err(NetworkError::Attribute {
                kind: "transformer",
                id,
                attribute: "clock",
                value: f64::from(transformer.clock),
                expected: "0 to 11 is possible",
            });
        }
    }
    Ok(())
}

fn check_terminals(parts: &NetworkParts, buses: &BTreeMap<BusId, usize>) -> Result<(), NetworkError> {
    if parts.sources.is_empty() {
        return Err(NetworkError::NoSource);
    }
    for source in &parts.sources {
        let id = source.bus.0;
        known_bus(buses, "source at bus", id, source.bus)?;
        positive("source at bus", id, "u_ref in p.u.", source.u_ref_pu)?;
        positive("source at bus", id, "sk in VA", source.sk_va)?;
        not_negative("source at bus", id, "rx_ratio", source.rx_ratio)?;
        positive("source at bus", id, "z01_ratio", source.z01_ratio)?;
    }
    let mut seen = BTreeSet::new();
    for point in &parts.usage_points {
        let id = point.id.0;
        known_bus(buses, "usage point", id, point.bus)?;
        finite("usage point", id, "p_specified in W", point.p_specified_w)?;
        finite("usage point", id, "q_specified in var", point.q_specified_var)?;
        if !seen.insert(point.id) {
            return Err(NetworkError::Duplicate { kind: "usage point", id });
        }
    }
    Ok(())
}

fn check_islands(parts: &NetworkParts, buses: &BTreeMap<BusId, usize>) -> Result<(), NetworkError> {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); parts.buses.len()];
    let ends =
        (parts.lines.iter().map(|l| (l.from, l.to))).chain(parts.transformers.iter().map(|t| (t.from, t.to)));
    for (from, to) in ends {
        if let (Some(&from), Some(&to)) = (buses.get(&from), buses.get(&to)) {
            neighbours[from].push(to);
            neighbours[to].push(from);
        }
    }
    let mut fed = vec![false; parts.buses.len()];
    let mut waiting: Vec<usize> =
        parts.sources.iter().filter_map(|source| buses.get(&source.bus).copied()).collect();
    while let Some(bus) = waiting.pop() {
        if !std::mem::replace(&mut fed[bus], true) {
            waiting.extend(neighbours[bus].iter().copied().filter(|&next| !fed[next]));
        }
    }
    match fed.iter().position(|fed| !fed) {
        None => Ok(()),
        Some(first) => Err(NetworkError::Island {
            count: fed.iter().filter(|fed| !**fed).count(),
            first: parts.buses[first].id,
        }),
    }
}

fn known_bus(
    buses: &BTreeMap<BusId, usize>,
    kind: &'static str,
    id: u32,
    bus: BusId,
) -> Result<(), NetworkError> {
    if buses.contains_key(&bus) { Ok(()) } else { Err(NetworkError::UnknownBus { kind, id, bus }) }
}

fn finite(kind: &'static str, id: u32, attribute: &'static str, value: f64) -> Result<(), NetworkError> {
    accept(value.is_finite() && value.abs() < 1e15, kind, id, attribute, value, "a finite number is needed")
}

fn positive(kind: &'static str, id: u32, attribute: &'static str, value: f64) -> Result<(), NetworkError> {
    accept(value > 0.0 && value < 1e15, kind, id, attribute, value, "a positive finite number is needed")
}

fn not_negative(
    kind: &'static str,
    id: u32,
    attribute: &'static str,
    value: f64,
) -> Result<(), NetworkError> {
    let expected = "zero or a positive finite number is needed";
    accept((0.0..1e15).contains(&value), kind, id, attribute, value, expected)
}

fn accept(
    good: bool,
    kind: &'static str,
    id: u32,
    attribute: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), NetworkError> {
    if good { Ok(()) } else { Err(NetworkError::Attribute { kind, id, attribute, value, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_buses() -> NetworkParts {
        let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
        NetworkParts {
            name: "two buses".into(),
            buses: vec![bus(1), bus(2)],
            lines: vec![Line {
                id: BranchId(1),
                from: BusId(1),
                to: BusId(2),
                r1_ohm: 0.1,
                x1_ohm: 0.1,
                r0_ohm: 0.1,
                x0_ohm: 0.1,
                c1_f: 0.0,
                c0_f: 0.0,
                i_rated_a: Some(100.0),
            }],
            sources: vec![Source { bus: BusId(1), u_ref_pu: 1.0, sk_va: 1e9, rx_ratio: 0.1, z01_ratio: 1.0 }],
            ..NetworkParts::default()
        }
    }

    fn refusal(change: impl FnOnce(&mut NetworkParts)) -> String {
        let mut parts = two_buses();
        change(&mut parts);
        Network::new(parts).unwrap_err().to_string()
    }

    #[test]
    fn each_defect_is_named() {
        assert!(Network::new(two_buses()).is_ok());
        assert!(refusal(|p| p.buses[1].id = BusId(1)).contains("bus 1 is given twice"));
        assert!(refusal(|p| p.lines[0].to = BusId(9)).contains("bus 9, which does not exist"));
        assert!(refusal(|p| p.lines[0].to = BusId(1)).contains("begins and ends"));
        assert!(refusal(|p| p.lines[0].r1_ohm = f64::NAN).contains("r1 in ohm is NaN"));
        assert!(refusal(|p| p.lines[0].x1_ohm = -1.0).contains("x1 in ohm is -1"));
        assert!(refusal(|p| p.lines[0].r1_ohm = 1e308).contains("r1 in ohm"));
        assert!(refusal(|p| p.sources.clear()).contains("no source"));
        assert!(refusal(|p| p.lines.clear()).contains("1 buses have no connection"));
    }
}
