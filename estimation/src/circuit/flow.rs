//! Currents and powers of the elements at given voltages.

use super::{Circuit, Coupling, FlowPlace, GROUND, General, Series};
use nalgebra::DVector;
use num_complex::Complex64;
use smallvec::SmallVec;

/// A value per wire of one end. Asked for in every estimate, element by element: without a heap up to four wires.
pub(crate) type PerWire = SmallVec<[Complex64; 4]>;

/// How well what a wire takes is known: variances of active and reactive power, and their covariances with each other and
/// with the voltage magnitude (U) there, p.u.²; NaN where nobody can tell.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TakenVariance {
    /// Of the active power.
    pub p: f64,
    /// Of the reactive power.
    pub q: f64,
    /// Of both together.
    pub pq: f64,
    /// Of active power and voltage.
    pub pu: f64,
    /// Of reactive power and voltage.
    pub qu: f64,
}

impl TakenVariance {
    /// Nobody can tell.
    pub const UNKNOWN: Self = Self { p: f64::NAN, q: f64::NAN, pq: f64::NAN, pu: f64::NAN, qu: f64::NAN };
}

/// Currents that enter an element at a place, p.u., with their local wires.
pub fn currents(circuit: &Circuit, place: FlowPlace, v: &[Complex64]) -> Vec<(u8, Complex64)> {
    let all = |currents: PerWire| (0_u8..).zip(currents).collect();
    match place {
        FlowPlace::SeriesFrom(k) => all(series(circuit, &circuit.series[k as usize], v).0),
        FlowPlace::SeriesTo(k) => all(series(circuit, &circuit.series[k as usize], v).1),
        FlowPlace::Shunt(k) => {
            let shunt = &circuit.shunts[k as usize];
            all(times(&shunt.y, &v[circuit.wires(shunt.bus)]))
        }
        FlowPlace::General { element, terminal } => {
            let element = &circuit.general[element as usize];
            let currents = general(circuit, element, v);
            let before: usize =
                element.terminals[..usize::from(terminal)].iter().map(|(_, wires)| wires.len()).sum();
            let wires = &element.terminals[usize::from(terminal)].1;
            wires
                .iter()
                .copied()
                .zip(currents[before..].iter().copied())
                .filter(|(w, _)| *w != GROUND)
                .collect()
        }
        FlowPlace::Bus(bus) => {
            let wires = circuit.wires(bus);
            all(branch_currents(circuit, v)[wires].iter().map(|current| -current).collect())
        }
    }
}

/// What the appliances take at each wire, p.u.: what the elements and shunts leave over.
pub fn taken(circuit: &Circuit, v: &[Complex64]) -> Vec<Complex64> {
    let mut drawn = branch_currents(circuit, v);
    for shunt in &circuit.shunts {
        let wires = circuit.wires(shunt.bus);
        for (wire, current) in wires.clone().zip(times(&shunt.y, &v[wires])) {
            drawn[wire] += current;
        }
    }
    drawn.iter().zip(v).map(|(current, v)| -v * current.conj()).collect()
}

/// Currents that enter series and general elements at each wire.
fn branch_currents(circuit: &Circuit, v: &[Complex64]) -> Vec<Complex64> {
    let mut drawn = vec![Complex64::ZERO; v.len()];
    for element in &circuit.series {
        let (from, to) = series(circuit, element, v);
        for (bus, currents) in [(element.from, from), (element.to, to)] {
            for (wire, current) in circuit.wires(bus).zip(currents) {
                drawn[wire] += current;
            }
        }
    }
    for element in &circuit.general {
        let wires = element.terminals.iter().flat_map(|(bus, wires)| wires.iter().map(|wire| (*bus, *wire)));
        for ((bus, wire), current) in wires.zip(general(circuit, element, v)) {
            if let Some(wire) = circuit.wire(bus, wire) {
                drawn[wire] += current;
            }
        }
    }
    drawn
}

/// Currents into a general element, terminal by terminal, conductor by conductor (the earth's included).
pub(crate) fn general(circuit: &Circuit, element: &General, v: &[Complex64]) -> Vec<Complex64> {
    let wires = element.terminals.iter().flat_map(|(bus, wires)| wires.iter().map(|wire| (*bus, *wire)));
    let at: Vec<Complex64> =
        wires.map(|(bus, wire)| circuit.wire(bus, wire).map_or(Complex64::ZERO, |wire| v[wire])).collect();
    (&element.y * DVector::from_vec(at)).iter().copied().collect()
}

/// Currents into a series element at both ends; see [`Series`] for the equations.
pub(crate) fn series(circuit: &Circuit, element: &Series, v: &[Complex64]) -> (PerWire, PerWire) {
    let (from, to) = (&v[circuit.wires(element.from)], &v[circuit.wires(element.to)]);
    let seen: PerWire = match &element.ratio {
        Some(ratio) => (&**ratio * DVector::from_column_slice(from)).iter().copied().collect(),
        None => PerWire::from_slice(from),
    };
    let drop: PerWire = seen.iter().zip(to).map(|(seen, to)| seen - to).collect();
    let through = solve(&element.z, &drop);
    let given: PerWire = match &element.ratio {
        Some(ratio) => (ratio.adjoint() * DVector::from_column_slice(&through)).iter().copied().collect(),
        None => through.clone(),
    };
    let add = |a: PerWire, b: PerWire, sign: f64| -> PerWire {
        a.iter().zip(b).map(|(a, b)| a * sign + b).collect()
    };
    (add(given, times(&element.y_from, from), 1.0), add(through, times(&element.y_to, to), -1.0))
}

/// Y v.
pub(crate) fn times(y: &Coupling, v: &[Complex64]) -> PerWire {
    match y {
        Coupling::Zero => PerWire::from_elem(Complex64::ZERO, v.len()),
        Coupling::Even { own, mutual } => {
            let sum: Complex64 = v.iter().sum();
            v.iter().map(|v| (own - mutual) * v + mutual * sum).collect()
        }
        Coupling::Full(y) => (&**y * DVector::from_column_slice(v)).iter().copied().collect(),
    }
}

/// Z⁻¹ u; nothing where Z is singular.
fn solve(z: &Coupling, u: &[Complex64]) -> PerWire {
    let none = || PerWire::from_elem(Complex64::ZERO, u.len());
    match z {
        Coupling::Zero => none(),
        Coupling::Even { own, mutual } => {
            let count = u.len() as f64;
            let mean = u.iter().sum::<Complex64>() / count;
            let common = own + mutual * (count - 1.0);
            if u.len() == 1 {
                return u.iter().map(|u| u / own).collect();
            }
            u.iter().map(|u| (u - mean) / (own - mutual) + mean / common).collect()
        }
        Coupling::Full(z) => {
            let solved = z.clone().lu().solve(&DVector::from_column_slice(u));
            solved.map_or_else(none, |solved| solved.iter().copied().collect())
        }
    }
}
