//! The network model: buses joined by lines and transformers, fed by sources, feeding usage points.
//!
//! Names follow CIM; electrical attributes follow the power-grid-model components of the same name. A
//! [`Network`] is checked when it is made, so whoever holds one can index it without asking again.
//! Radiality is *not* required here; solvers that need it say so.

mod check;
mod equipment;
mod merge;

pub use equipment::{
    Capacitor, CapacitorControl, CapacitorWatches, Compensation, CoupledLine, CoupledWinding, GenericBranch,
    Link, Load, Shunt, TapRegulator, Terminal, ThreeWindingTransformer, VoltageDependence, VoltageRegulator,
    WindingTransformer, Wire,
};
pub use merge::Merged;

use crate::id::{BranchId, BusId, UsagePointId};
use crate::phase::Phase;
use std::collections::BTreeMap;
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
    /// Dielectric loss angle of the positive sequence, tan δ.
    pub tan1: f64,
    /// Dielectric loss angle of the zero sequence, tan δ.
    pub tan0: f64,
    /// Rated current (ampacity), A; `None` when the data set does not give one.
    pub i_rated_a: Option<f64>,
    /// Whether the `from` end is connected.
    pub from_closed: bool,
    /// Whether the `to` end is connected.
    pub to_closed: bool,
}

impl Default for Line {
    /// A line of no length between bus 0 and itself, closed at both ends: the base for literals.
    fn default() -> Self {
        Self {
            id: BranchId(0),
            from: BusId(0),
            to: BusId(0),
            r1_ohm: 0.0,
            x1_ohm: 0.0,
            r0_ohm: 0.0,
            x0_ohm: 0.0,
            c1_f: 0.0,
            c0_f: 0.0,
            tan1: 0.0,
            tan0: 0.0,
            i_rated_a: None,
            from_closed: true,
            to_closed: true,
        }
    }
}

/// One side of a transformer or branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TransformerSide {
    /// Winding 1, the `from` side.
    #[default]
    From,
    /// Winding 2, the `to` side.
    To,
    /// Winding 3.
    Third,
}

/// A tap changer. The voltage of the tapped winding grows with the position when `max` lies above `min`, and falls
/// otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tap {
    /// The tapped winding.
    pub side: TransformerSide,
    /// Present position.
    pub position: i8,
    /// Lowest position.
    pub min: i8,
    /// Highest position.
    pub max: i8,
    /// Position of the rated voltage.
    pub nominal: i8,
    /// Voltage of one step, V.
    pub size_v: f64,
}

impl Tap {
    /// The present position, not beyond the ends of the range.
    pub fn limited(&self) -> i8 {
        self.position.clamp(self.min.min(self.max), self.min.max(self.max))
    }

    /// What the present position adds to the rated voltage of its winding, V.
    pub fn added_v(&self) -> f64 {
        let direction = if self.max > self.min { 1.0 } else { -1.0 };
        direction * f64::from(i16::from(self.limited()) - i16::from(self.nominal)) * self.size_v
    }
}

/// Connection of a transformer winding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Winding {
    /// Star without neutral connection.
    Wye,
    /// Star with grounded neutral.
    #[default]
    WyeN,
    /// Delta.
    Delta,
    /// Zigzag without neutral connection.
    Zigzag,
    /// Zigzag with grounded neutral.
    ZigzagN,
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
    /// Rated phase-to-phase voltage of winding 1, V (the tap position comes on top).
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
    /// The tap changer.
    pub tap: Option<Tap>,
    /// `uk_pu` at the lowest and the highest tap, where it depends on the tap.
    pub uk_at_limits_pu: Option<(f64, f64)>,
    /// `pk_w` at the lowest and the highest tap.
    pub pk_at_limits_w: Option<(f64, f64)>,
    /// No-load current of the zero sequence, p.u.; as the positive sequence when not given.
    pub i0_zero_pu: Option<f64>,
    /// Iron loss of the zero sequence, W; as the positive sequence when not given.
    pub p0_zero_w: Option<f64>,
    /// Impedance between the neutral of winding 1 and ground, Ω (r, x).
    pub grounding_from_ohm: (f64, f64),
    /// Impedance between the neutral of winding 2 and ground, Ω (r, x).
    pub grounding_to_ohm: (f64, f64),
    /// Whether winding 1 is connected.
    pub from_closed: bool,
    /// Whether winding 2 is connected.
    pub to_closed: bool,
}

impl Default for Transformer {
    /// A unit without ratings, closed at both sides: the base for literals.
    fn default() -> Self {
        Self {
            id: BranchId(0),
            from: BusId(0),
            to: BusId(0),
            u1_v: 0.0,
            u2_v: 0.0,
            s_rated_va: 0.0,
            uk_pu: 0.0,
            pk_w: 0.0,
            i0_pu: 0.0,
            p0_w: 0.0,
            winding_from: Winding::WyeN,
            winding_to: Winding::WyeN,
            clock: 0,
            tap: None,
            uk_at_limits_pu: None,
            pk_at_limits_w: None,
            i0_zero_pu: None,
            p0_zero_w: None,
            grounding_from_ohm: (0.0, 0.0),
            grounding_to_ohm: (0.0, 0.0),
            from_closed: true,
            to_closed: true,
        }
    }
}

impl Transformer {
    /// The rated voltages with the tap position applied, V.
    pub fn tapped_v(&self) -> (f64, f64) {
        let added = self.tap.map_or(0.0, |tap| tap.added_v());
        match self.tap.map(|tap| tap.side) {
            Some(TransformerSide::To) => (self.u1_v, self.u2_v + added),
            _ => (self.u1_v + added, self.u2_v),
        }
    }
}

/// An infeed with a Thevenin impedance (CIM `EnergySource`).
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its number, unique among appliances.
    pub id: u32,
    /// Whether it is connected.
    pub closed: bool,
    /// Voltage angle behind the impedance, rad.
    pub u_ref_angle_rad: f64,
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
    /// Positive- and zero-sequence impedance, Ω (r1, x1, r0, x0), where it is known directly; replaces the three above.
    pub z_ohm: Option<(f64, f64, f64, f64)>,
}

impl Default for Source {
    /// 1.0 p.u. behind power-grid-model's default impedance, at bus 0.
    fn default() -> Self {
        Self {
            id: 0,
            closed: true,
            u_ref_angle_rad: 0.0,
            bus: BusId(0),
            u_ref_pu: 1.0,
            sk_va: 1e10,
            rx_ratio: 0.1,
            z01_ratio: 1.0,
            z_ohm: None,
        }
    }
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
    /// Lines given by matrices.
    pub coupled_lines: Vec<CoupledLine>,
    /// Switches and couplers.
    pub links: Vec<Link>,
    /// π-models.
    pub generic_branches: Vec<GenericBranch>,
    /// Three-winding transformers.
    pub three_winding_transformers: Vec<ThreeWindingTransformer>,
    /// Transformers coupled winding by winding.
    pub winding_transformers: Vec<WindingTransformer>,
    /// Shunts.
    pub shunts: Vec<Shunt>,
    /// Capacitor banks.
    pub capacitors: Vec<Capacitor>,
    /// Loads and generators.
    pub loads: Vec<Load>,
    /// Generators that hold a voltage.
    pub voltage_regulators: Vec<VoltageRegulator>,
    /// Tap controls.
    pub tap_regulators: Vec<TapRegulator>,
    /// Capacitor controls.
    pub capacitor_controls: Vec<CapacitorControl>,
    /// Whether buses without a way to a source are accepted (they are then without voltage).
    pub dead_islands: bool,
    /// System frequency, Hz.
    pub frequency_hz: Option<f64>,
    /// Names from the file, by number.
    pub names: BTreeMap<u32, String>,
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
    /// A terminal whose conductors do not fit its element.
    #[error("{kind} {id}: {problem}")]
    Wires {
        /// Which kind of component.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// What does not fit.
        problem: &'static str,
    },
    /// A control refers to a component that is not there.
    #[error("{kind} {id} belongs to {target_kind} {target}, which does not exist")]
    UnknownComponent {
        /// Which kind of control.
        kind: &'static str,
        /// Its number.
        id: u32,
        /// Which kind of component is missing.
        target_kind: &'static str,
        /// The missing component.
        target: u32,
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
    /// Checks the parts: unique numbers, known buses, finite and physical attributes, everything fed (unless
    /// [`NetworkParts::dead_islands`] says otherwise).
    ///
    /// Numbers are unique among buses, among branches and among appliances. A usage point may carry the number of a
    /// load: it is then that load as its customer knows it.
    ///
    /// # Errors
    /// [`NetworkError`] names the component and what is wrong with it.
    pub fn new(parts: NetworkParts) -> Result<Self, NetworkError> {
        let bus_index = check::index_buses(&parts.buses)?;
        check::check_frequency(&parts)?;
        check::check_branches(&parts, &bus_index)?;
        check::check_appliances(&parts, &bus_index)?;
        check::check_controls(&parts)?;
        if !parts.dead_islands {
            check::check_islands(&parts, &bus_index)?;
        }
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

    /// Lines given by matrices.
    pub fn coupled_lines(&self) -> &[CoupledLine] {
        &self.parts.coupled_lines
    }

    /// Switches and couplers.
    pub fn links(&self) -> &[Link] {
        &self.parts.links
    }

    /// π-models.
    pub fn generic_branches(&self) -> &[GenericBranch] {
        &self.parts.generic_branches
    }

    /// Three-winding transformers.
    pub fn three_winding_transformers(&self) -> &[ThreeWindingTransformer] {
        &self.parts.three_winding_transformers
    }

    /// Transformers coupled winding by winding.
    pub fn winding_transformers(&self) -> &[WindingTransformer] {
        &self.parts.winding_transformers
    }

    /// Shunts.
    pub fn shunts(&self) -> &[Shunt] {
        &self.parts.shunts
    }

    /// Capacitor banks.
    pub fn capacitors(&self) -> &[Capacitor] {
        &self.parts.capacitors
    }

    /// Loads and generators.
    pub fn loads(&self) -> &[Load] {
        &self.parts.loads
    }

    /// Generators that hold a voltage.
    pub fn voltage_regulators(&self) -> &[VoltageRegulator] {
        &self.parts.voltage_regulators
    }

    /// Tap controls.
    pub fn tap_regulators(&self) -> &[TapRegulator] {
        &self.parts.tap_regulators
    }

    /// Capacitor controls.
    pub fn capacitor_controls(&self) -> &[CapacitorControl] {
        &self.parts.capacitor_controls
    }

    /// System frequency, Hz; 50 when the file does not say.
    pub fn frequency_hz(&self) -> f64 {
        self.parts.frequency_hz.unwrap_or(50.0)
    }

    /// The name of a component in the file it came from.
    pub fn name_of(&self, id: u32) -> Option<&str> {
        self.parts.names.get(&id).map(String::as_str)
    }

    /// The parts, to look at.
    pub fn parts(&self) -> &NetworkParts {
        &self.parts
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

#[cfg(test)]
mod tests;
