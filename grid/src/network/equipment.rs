//! Equipment beyond plain three-phase lines and transformers: coupled and multi-wire lines, multi-winding
//! transformers, switches, shunts, loads with a voltage dependence, and the controls that move taps and capacitors.
//!
//! Attributes follow the power-grid-model component of the same name where there is one, the OpenDSS element otherwise.

use super::{Tap, TransformerSide, Winding};
use crate::id::{BranchId, BusId};
use num_complex::Complex64;

/// A conductor position at a bus: 1, 2, 3 are the phases a, b, c, 4 is an explicit neutral, higher numbers are further
/// conductors. [`Wire::GROUND`] is the earth, the reference of every voltage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wire(pub u8);

impl Wire {
    /// The earth.
    pub const GROUND: Wire = Wire(0);
    /// The three phases.
    pub const PHASES: [Wire; 3] = [Wire(1), Wire(2), Wire(3)];
}

/// Where an element touches a bus, conductor by conductor.
#[derive(Debug, Clone, PartialEq)]
pub struct Terminal {
    /// Which bus.
    pub bus: BusId,
    /// Its conductors in the element's own order; at most 8.
    pub wires: Vec<Wire>,
}

/// A line given by full matrices over its conductors (power-grid-model `asym_line`, OpenDSS `Line`): mutual coupling,
/// one- and two-phase laterals, an explicit neutral.
#[derive(Debug, Clone, PartialEq)]
pub struct CoupledLine {
    /// Its number, unique among branches.
    pub id: BranchId,
    /// The `from` terminal; flows are positive away from it.
    pub from: Terminal,
    /// The `to` terminal, as many wires.
    pub to: Terminal,
    /// Series impedance of the whole section, Ω, n × n by rows, symmetric.
    pub z_ohm: Vec<Complex64>,
    /// Shunt admittance of the whole section, S, n × n by rows; half of it stands at each end.
    pub y_s: Vec<Complex64>,
    /// Rated current, A.
    pub i_rated_a: Option<f64>,
    /// Whether the `from` end is connected.
    pub from_closed: bool,
    /// Whether the `to` end is connected.
    pub to_closed: bool,
}

/// A connection without impedance (switch, busbar coupler; power-grid-model `link`).
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Its number, unique among branches.
    pub id: BranchId,
    /// The `from` terminal.
    pub from: BusId,
    /// The `to` terminal.
    pub to: BusId,
    /// Whether the `from` end is connected.
    pub from_closed: bool,
    /// Whether the `to` end is connected.
    pub to_closed: bool,
}

/// A π-model with a ratio and a phase shift, given by its electrical values (power-grid-model `generic_branch`).
#[derive(Debug, Clone, PartialEq)]
pub struct GenericBranch {
    /// Its number, unique among branches.
    pub id: BranchId,
    /// The `from` terminal.
    pub from: BusId,
    /// The `to` terminal.
    pub to: BusId,
    /// Whether the `from` end is connected.
    pub from_closed: bool,
    /// Whether the `to` end is connected.
    pub to_closed: bool,
    /// Series resistance seen from the `to` side, Ω.
    pub r1_ohm: f64,
    /// Series reactance, Ω.
    pub x1_ohm: f64,
    /// Shunt conductance, S.
    pub g1_s: f64,
    /// Shunt susceptance, S.
    pub b1_s: f64,
    /// Off-nominal ratio.
    pub k: f64,
    /// Phase shift, rad.
    pub theta_rad: f64,
    /// Rated power, VA.
    pub s_rated_va: Option<f64>,
}

/// A three-winding transformer (power-grid-model `three_winding_transformer`). Index 0, 1, 2 is winding 1, 2, 3;
/// pairs are 12, 13, 23.
#[derive(Debug, Clone, PartialEq)]
pub struct ThreeWindingTransformer {
    /// Its number, unique among branches.
    pub id: BranchId,
    /// Where each winding is connected.
    pub buses: [BusId; 3],
    /// Whether each winding is connected.
    pub closed: [bool; 3],
    /// Rated phase-to-phase voltages, V.
    pub u_v: [f64; 3],
    /// Rated powers, VA.
    pub s_rated_va: [f64; 3],
    /// Short-circuit voltages of the pairs, p.u. of the smaller rated power of the pair.
    pub uk_pu: [f64; 3],
    /// The same at the lowest and the highest tap, where given.
    pub uk_at_limits_pu: Option<[(f64, f64); 3]>,
    /// Copper losses of the pairs, W.
    pub pk_w: [f64; 3],
    /// The same at the lowest and the highest tap, where given.
    pub pk_at_limits_w: Option<[(f64, f64); 3]>,
    /// No-load current, p.u. of winding 1.
    pub i0_pu: f64,
    /// Iron loss, W.
    pub p0_w: f64,
    /// Connections.
    pub windings: [Winding; 3],
    /// Clock numbers 12 and 13.
    pub clocks: [i8; 2],
    /// The tap changer.
    pub tap: Option<Tap>,
    /// Impedance between neutral and ground of each winding, Ω (r, x).
    pub grounding_ohm: [(f64, f64); 3],
}

impl ThreeWindingTransformer {
    /// The rated voltages with the tap position applied, V.
    pub fn tapped_v(&self) -> [f64; 3] {
        let mut u_v = self.u_v;
        if let Some(tap) = self.tap {
            u_v[tap.side as usize] += tap.added_v();
        }
        u_v
    }
}

/// One winding of a [`WindingTransformer`].
#[derive(Debug, Clone, PartialEq)]
pub struct CoupledWinding {
    /// Its conductors. Wye: one per phase and then the neutral ([`Wire::GROUND`] when solidly grounded). Delta: one per
    /// phase (for a single-phase unit the two between which it lies).
    pub terminal: Terminal,
    /// Delta, or wye.
    pub delta: bool,
    /// Rated voltage, V: phase to phase for two- and three-phase units and for delta, across the winding otherwise.
    pub u_rated_v: f64,
    /// Rated power of the whole unit, VA.
    pub s_rated_va: f64,
    /// Winding resistance, p.u. on the rated power of winding 1 (OpenDSS `%R`).
    pub r_pu: f64,
    /// Tap, p.u. of the rated voltage.
    pub tap_pu: f64,
    /// Lowest and highest tap, p.u.
    pub tap_range_pu: (f64, f64),
    /// Steps between them.
    pub tap_steps: u32,
    /// Impedance between the star point and ground, Ω (r, x); `None` when the neutral wire says it all.
    pub neutral_ohm: Option<(f64, f64)>,
}

/// A transformer of 1 to 3 phases and 2 or more windings, coupled as in OpenDSS `Transformer`: centre-tapped,
/// open delta, per-phase regulators.
#[derive(Debug, Clone, PartialEq)]
pub struct WindingTransformer {
    /// Its number, unique among branches.
    pub id: BranchId,
    /// Phases, 1 to 3.
    pub phases: u8,
    /// The windings.
    pub windings: Vec<CoupledWinding>,
    /// Short-circuit reactances of the pairs 12, 13, 23 …, p.u. on the power of winding 1.
    pub x_pu: Vec<f64>,
    /// No-load loss, p.u. of the power of winding 1.
    pub no_load_loss_pu: f64,
    /// Magnetising current, p.u.
    pub magnetising_pu: f64,
    /// Small shunt that ties floating windings to ground, p.u. of rated power (OpenDSS `ppm_antifloat` · 1e-6).
    pub antifloat_pu: f64,
    /// Whether a delta secondary leads (OpenDSS `LeadLag=Lead`); the default is lagging.
    pub leads: bool,
}

/// A shunt (power-grid-model `shunt`).
#[derive(Debug, Clone, PartialEq)]
pub struct Shunt {
    /// Its number, unique among appliances.
    pub id: u32,
    /// Where.
    pub bus: BusId,
    /// Whether it is connected.
    pub closed: bool,
    /// Positive-sequence admittance, S (g, b).
    pub y1_s: (f64, f64),
    /// Zero-sequence admittance, S (g, b).
    pub y0_s: (f64, f64),
}

/// A capacitor bank over chosen conductors.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacitor {
    /// Its number, unique among appliances.
    pub id: u32,
    /// Wye: one wire per phase, the other side grounded. Delta: between consecutive wires.
    pub terminal: Terminal,
    /// Delta, or grounded wye.
    pub delta: bool,
    /// Reactive power delivered at rated voltage, var, all phases.
    pub q_var: f64,
    /// Rated voltage, V: phase to phase for more than one phase, across the unit otherwise.
    pub u_rated_v: f64,
    /// Whether it is switched in.
    pub closed: bool,
}

/// How a load's power follows its voltage: `S(u) = S₀ (z u² + i u + p)` with `u` in p.u. of its rated voltage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoltageDependence {
    /// Constant-impedance share of the active power.
    pub z_p: f64,
    /// Constant-current share of the active power.
    pub i_p: f64,
    /// Constant-impedance share of the reactive power.
    pub z_q: f64,
    /// Constant-current share of the reactive power.
    pub i_q: f64,
    /// Below and above these voltages, p.u., the load goes over into an impedance (OpenDSS `Vminpu`, `Vmaxpu`, with its
    /// `Vlowpu` of 0.5; the law stands at `estimation::circuit::LoadPort`); `None`: never.
    pub limits_pu: Option<(f64, f64)>,
}

impl VoltageDependence {
    /// Constant power everywhere.
    pub const POWER: Self = Self { z_p: 0.0, i_p: 0.0, z_q: 0.0, i_q: 0.0, limits_pu: None };
    /// Constant current.
    pub const CURRENT: Self = Self { z_p: 0.0, i_p: 1.0, z_q: 0.0, i_q: 1.0, limits_pu: None };
    /// Constant impedance.
    pub const IMPEDANCE: Self = Self { z_p: 1.0, i_p: 0.0, z_q: 1.0, i_q: 0.0, limits_pu: None };
}

/// Something that takes power (CIM `EnergyConsumer`) or, with the sign turned, gives it. In load convention: a
/// generator has negative power here.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// Its number, unique among appliances.
    pub id: u32,
    /// Whether it is a generator in the source it came from (only for results to be written in that sign).
    pub generates: bool,
    /// Wye: one wire per branch, returning through the last entry if there is one more wire than powers, through ground
    /// otherwise. Delta: branch k between wires k and k + 1 (cyclic; two wires and one power is one branch).
    pub terminal: Terminal,
    /// Delta, or wye.
    pub delta: bool,
    /// Rated voltage of one branch, V: where the power is as specified.
    pub u_branch_v: f64,
    /// Active power per branch, W, positive is taken from the grid.
    pub p_w: Vec<f64>,
    /// Reactive power per branch, var.
    pub q_var: Vec<f64>,
    /// Whether the powers are equal by nature (power-grid-model `sym_load`), not by chance.
    pub symmetric: bool,
    /// Voltage dependence.
    pub dependence: VoltageDependence,
    /// Whether it is connected.
    pub closed: bool,
}

/// A generator that holds the voltage of its bus (power-grid-model `voltage_regulator`).
#[derive(Debug, Clone, PartialEq)]
pub struct VoltageRegulator {
    /// Its number.
    pub id: u32,
    /// The load or generator it belongs to.
    pub appliance: u32,
    /// Voltage held, p.u.
    pub u_ref_pu: f64,
    /// Reactive limits, var, injected into the grid; infinite when not given.
    pub q_range_var: (f64, f64),
    /// Whether it is active.
    pub active: bool,
}

/// Line-drop compensation of a regulator, in either convention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Compensation {
    /// None.
    None,
    /// Ω on the primary side of the line.
    Ohm {
        /// Resistance.
        r_ohm: f64,
        /// Reactance.
        x_ohm: f64,
    },
    /// Volts on the control circuit at the rated current of the transformer's instrument (OpenDSS R, X, CTprim, PTratio).
    Dial {
        /// Resistive setting, V.
        r_v: f64,
        /// Reactive setting, V.
        x_v: f64,
        /// Primary current rating, A.
        ct_a: f64,
        /// Voltage ratio of the instrument.
        pt_ratio: f64,
    },
}

/// A control that moves a tap changer.
#[derive(Debug, Clone, PartialEq)]
pub struct TapRegulator {
    /// Its number.
    pub id: u32,
    /// The transformer (any kind).
    pub transformer: BranchId,
    /// Which winding is held: 0, 1, 2 …
    pub controlled: usize,
    /// Which winding's taps move (the same in OpenDSS; for power-grid-model the one of the tap changer).
    pub tapped: usize,
    /// Which phase's voltage is measured (1-based, on the controlled winding); `None`: the mean over phases.
    pub phase: Option<u8>,
    /// Voltage held, V across the controlled winding's rating (phase to phase for power-grid-model; already multiplied by
    /// the instrument's ratio otherwise).
    pub u_set_v: f64,
    /// Full band width, V.
    pub band_v: f64,
    /// Line-drop compensation.
    pub compensation: Compensation,
    /// Waits so long before it moves, s: among several the quicker ones act first (OpenDSS `delay`).
    pub delay_s: f64,
    /// Most steps in one move; 0 locks the tap (OpenDSS `maxtapchange`).
    pub steps_max: u32,
    /// Whether it is active.
    pub active: bool,
}

impl Default for TapRegulator {
    /// Holds nothing yet: the base for literals. Delay and steps as in OpenDSS.
    fn default() -> Self {
        Self {
            id: 0,
            transformer: BranchId(0),
            controlled: 0,
            tapped: 0,
            phase: None,
            u_set_v: 0.0,
            band_v: 0.0,
            compensation: Compensation::None,
            delay_s: 15.0,
            steps_max: 16,
            active: true,
        }
    }
}

/// What a capacitor control watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapacitorWatches {
    /// Voltage, V on the control circuit.
    Voltage,
    /// Current, A on the control circuit.
    Current,
    /// Reactive power, kvar.
    ReactivePower,
    /// Nothing that a snapshot has (time): left as it is.
    Nothing,
}

/// A control that switches a capacitor.
#[derive(Debug, Clone, PartialEq)]
pub struct CapacitorControl {
    /// Its number.
    pub id: u32,
    /// The capacitor.
    pub capacitor: u32,
    /// The branch that is watched.
    pub branch: BranchId,
    /// Which end of it.
    pub side: TransformerSide,
    /// Which phase, 1-based; `None`: the mean.
    pub phase: Option<u8>,
    /// What is watched.
    pub watches: CapacitorWatches,
    /// Switches in at this value.
    pub on_setting: f64,
    /// Switches out at this value.
    pub off_setting: f64,
    /// Voltage-transformer ratio.
    pub pt_ratio: f64,
    /// Current-transformer ratio.
    pub ct_ratio: f64,
    /// Voltage override: switch in below, out above, V on the control circuit.
    pub voltage_override: Option<(f64, f64)>,
    /// Waits so long before it switches in, and out, s: among several the quicker ones act first.
    pub delay_s: (f64, f64),
    /// After it switched out, it does not switch in again for so long, s.
    pub dead_time_s: f64,
    /// Whether it is active.
    pub active: bool,
}
