//! The network as equations: wires with a voltage each, linear elements between them, loads and sources on them.
//!
//! Everything here is **per unit** and dense: a bus is a position, its wires are consecutive numbers. The base is one
//! power per wire for the whole circuit ([`Circuit::s_base_va`]) and the rated wire-to-ground voltage of each bus, so
//! that currents and admittances need no further factor. Powers and currents are positive when they are taken from the
//! bus (load convention); a branch current is positive when it enters the branch.
//!
//! A symmetric calculation has one wire per bus (the positive sequence), an asymmetric one has three and more.
//! `crate::assembly` makes a circuit from a `grid::Network`; solvers know circuits only.

mod coupling;
pub mod flow;
mod opened;
mod readings;
mod tree;

pub use coupling::Coupling;
pub use opened::{Opened, Tie};
pub use readings::{CurrentReading, FlowPlace, InjectionReading, PowerReading, Readings, VoltageReading};
pub use tree::{NotATree, Tree};

use nalgebra::DMatrix;
use num_complex::Complex64;

/// Stands for "no wire": the earth, where a voltage is zero.
pub const GROUND: u8 = u8::MAX;

/// A bus: a group of wires.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitBus {
    /// Number of its first wire.
    pub first_wire: u32,
    /// How many wires.
    pub wires: u8,
    /// Whether a closed way leads to a source. Wires of dead buses have voltage zero and take part in nothing.
    pub energized: bool,
    /// Base voltage, wire to ground, V (for a symmetric circuit: phase to neutral as well).
    pub u_base_v: f64,
}

/// A two-terminal element that joins wire k of one bus with wire k of another, all wires of both:
/// shunts at both ends, an ideal ratio at the `from` side, a series impedance at the `to` side.
///
/// With J the current that leaves the series impedance towards `to` (the shunts not counted):
///
/// ```text
/// V_to = T V_from − Z J      I_from = Tᴴ J + Y_from V_from      I_to = −J + Y_to V_to
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Bus at the `from` side.
    pub from: u32,
    /// Bus at the `to` side.
    pub to: u32,
    /// T; `None` is the unit matrix. Its entries are real when there are three wires.
    pub ratio: Option<Box<DMatrix<Complex64>>>,
    /// Z, p.u. on the base of `to`.
    pub z: Coupling,
    /// Y at the `from` end, p.u.
    pub y_from: Coupling,
    /// Y at the `to` end, p.u.
    pub y_to: Coupling,
}

/// A linear element given by its admittance matrix over chosen wires of one or more buses: laterals, transformers with
/// floating or centre-tapped windings, branches open at one end.
#[derive(Debug, Clone, PartialEq)]
pub struct General {
    /// Its terminals: bus and wires (local numbers, or [`GROUND`]) in the order of the rows of `y`.
    pub terminals: Vec<(u32, Vec<u8>)>,
    /// I = Y V over all terminals' wires in order; currents enter the element. p.u. of each wire's own base.
    pub y: DMatrix<Complex64>,
}

/// A linear shunt at a bus.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitShunt {
    /// Where.
    pub bus: u32,
    /// Admittance over the bus's wires, p.u.
    pub y: Coupling,
}

/// One branch of a load, between two wires or a wire and ground. With `u = |V_plus − V_minus| / u_nominal` it takes
/// `S(u) = power + current · u + impedance · u²`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadPort {
    /// Where.
    pub bus: u32,
    /// Local number of the wire it is taken from.
    pub plus: u8,
    /// Local number of the wire it returns to, or [`GROUND`].
    pub minus: u8,
    /// Voltage across the port at which the shares were specified, p.u.
    pub u_nominal: f64,
    /// Constant-power share, p.u.
    pub power: Complex64,
    /// Constant-current share, p.u.
    pub current: Complex64,
    /// Constant-impedance share, p.u.
    pub impedance: Complex64,
    /// Outside these values of `u` the port follows the law of [`LoadPort::over_square`].
    pub limits: Option<(f64, f64)>,
}

/// A voltage behind an admittance.
#[derive(Debug, Clone, PartialEq)]
pub struct CircuitSource {
    /// Where.
    pub bus: u32,
    /// Voltage of each wire behind the impedance, p.u.
    pub emf: Vec<Complex64>,
    /// Admittance of the impedance, p.u.
    pub y: Coupling,
}

/// A bus whose voltage magnitude is held by reactive power.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldBus {
    /// Where.
    pub bus: u32,
    /// Magnitude held (symmetric: of the wire; asymmetric: of the positive sequence), p.u.
    pub u_pu: f64,
    /// The load ports whose reactive power is free.
    pub ports: Vec<u32>,
    /// Limits of the reactive power taken, p.u., all ports together.
    pub q_range: (f64, f64),
}

/// A network ready to be solved.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Circuit {
    /// Base power of one wire, VA (a third of 1 MVA with three wires, 1 MVA symmetric).
    pub s_base_va: f64,
    /// Buses.
    pub buses: Vec<CircuitBus>,
    /// Two-terminal elements over all wires of their buses.
    pub series: Vec<Series>,
    /// Every other linear element.
    pub general: Vec<General>,
    /// Shunts.
    pub shunts: Vec<CircuitShunt>,
    /// Loads, port by port.
    pub ports: Vec<LoadPort>,
    /// Sources.
    pub sources: Vec<CircuitSource>,
    /// Buses that hold their voltage.
    pub held: Vec<HeldBus>,
}

impl Circuit {
    /// How many wires there are.
    pub fn wire_count(&self) -> usize {
        self.buses.last().map_or(0, |bus| bus.first_wire as usize + usize::from(bus.wires))
    }

    /// The wires of a bus.
    pub fn wires(&self, bus: u32) -> std::ops::Range<usize> {
        let bus = &self.buses[bus as usize];
        let first = bus.first_wire as usize;
        first..first + usize::from(bus.wires)
    }

    /// The global number of a local wire; `None` for [`GROUND`].
    pub fn wire(&self, bus: u32, local: u8) -> Option<usize> {
        (local != GROUND).then(|| self.buses[bus as usize].first_wire as usize + usize::from(local))
    }

    /// The bus at which a flow is measured.
    pub fn bus_at(&self, place: FlowPlace) -> u32 {
        match place {
            FlowPlace::SeriesFrom(element) => self.series[element as usize].from,
            FlowPlace::SeriesTo(element) => self.series[element as usize].to,
            FlowPlace::General { element, terminal } => {
                self.general[element as usize].terminals[usize::from(terminal)].0
            }
            FlowPlace::Shunt(shunt) => self.shunts[shunt as usize].bus,
            FlowPlace::Bus(bus) => bus,
        }
    }

    /// The wires per bus when every bus has the same number.
    pub fn uniform_wires(&self) -> Option<usize> {
        let first = self.buses.first()?.wires;
        self.buses.iter().all(|bus| bus.wires == first).then_some(usize::from(first))
    }
}

/// Below this voltage, p.u., a port with limits is the impedance that takes its nominal power at nominal voltage
/// (the default of OpenDSS `Vlowpu`).
const LIMITED_FLOOR: f64 = 0.5;

impl LoadPort {
    /// The complex power taken at a voltage of `u` times nominal, p.u.
    pub fn taken(&self, u: f64) -> Complex64 {
        self.over_square(u).0 * (u * u)
    }

    /// `S(u) / u²`, which stays finite at zero with limits, and its derivative by `u`. The admittance across the port is
    /// its conjugate over `u_nominal²`.
    ///
    /// Between the limits it is `power / u² + current / u + impedance`. Outside it is what OpenDSS does (DSS C-API 0.14,
    /// `Load.pas`): above the upper limit the impedance that takes, at the limit, the nominal power (nominal current for
    /// a pure constant-current port); below the lower limit a current that falls in a straight line to the one of the
    /// nominal impedance at half of the nominal voltage, and that impedance below.
    pub fn over_square(&self, u: f64) -> (Complex64, Complex64) {
        match self.limits {
            Some((low, high)) if !(u > low && u <= high) => self.beyond(u, low, high),
            _ => {
                let value = self.power / (u * u) + self.current / u + self.impedance;
                (value, -(self.power * (2.0 / u) + self.current) / (u * u))
            }
        }
    }

    #[cold]
    fn beyond(&self, u: f64, low: f64, high: f64) -> (Complex64, Complex64) {
        let nominal = self.power + self.current + self.impedance;
        let only_current = self.power == Complex64::ZERO && self.impedance == Complex64::ZERO;
        // Current taken at a limit, in units of the nominal voltage.
        let current_at = |limit: f64| if only_current { nominal } else { nominal / limit };
        if u > high {
            return (current_at(high) / high, Complex64::ZERO);
        }
        if u <= LIMITED_FLOOR {
            return (nominal, Complex64::ZERO);
        }
        let at_floor = nominal * LIMITED_FLOOR;
        let slope = (current_at(low) - at_floor) / (low - LIMITED_FLOOR);
        let current = at_floor + slope * (u - LIMITED_FLOOR);
        (current / u, (slope - current / u) / u)
    }
}

#[cfg(test)]
mod load_port_tests {
    use super::{GROUND, LoadPort};
    use num_complex::Complex64;
    use proptest::prelude::*;

    fn port(shares: [f64; 3], limits: (f64, f64)) -> LoadPort {
        let [power, current, impedance] = shares.map(|share| Complex64::new(share, 0.5 * share));
        LoadPort {
            bus: 0,
            plus: 0,
            minus: GROUND,
            u_nominal: 1.0,
            power,
            current,
            impedance,
            limits: Some(limits),
        }
    }

    #[test]
    fn outside_its_limits_a_load_takes_what_opendss_says() {
        let limits = (0.9, 1.1);
        let constant = port([1.0, 0.0, 0.0], limits);
        assert!((constant.taken(1.21).re - 1.21).abs() < 1e-12, "an impedance from the limit on");
        // The current at 0.9 is 1 / 0.9; at 0.5 it is 0.5; at 0.7 the mean of both.
        assert!((constant.taken(0.7).re - 0.7 * 0.5 * (1.0 / 0.9 + 0.5)).abs() < 1e-12);
        assert!((constant.taken(0.4).re - 0.16).abs() < 1e-12);
        let current = port([0.0, 1.0, 0.0], limits);
        assert!((current.taken(1.21).re - 1.21 * 1.1).abs() < 1e-12);
        assert!((current.taken(0.7).re - 0.7 * 0.75).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn the_derivative_is_that_of_the_law(
            shares in prop::array::uniform3(-1.0..1.0_f64), u in 0.1..1.5_f64, kind in 0..2_usize,
        ) {
            let mut port = port(shares, (0.9, 1.1));
            if kind == 0 {
                port.limits = None;
            }
            let step = 1e-6;
            // Not across a corner.
            prop_assume!([0.5, 0.9, 1.1].iter().all(|corner| (u - corner).abs() > 2.0 * step));
            let difference = (port.over_square(u + step).0 - port.over_square(u - step).0) / (2.0 * step);
            let slope = port.over_square(u).1;
            prop_assert!((difference - slope).norm() < 1e-5 * (1.0 + slope.norm() / (u * u)), "{difference} {slope}");
        }
    }
}
