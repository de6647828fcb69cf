//! Small circuits for tests.

use crate::circuit::FlowPlace;
use crate::circuit::{Circuit, CircuitBus, CircuitShunt, CircuitSource, Coupling, GROUND, LoadPort, Series};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;
use proptest::prelude::*;

pub(crate) fn bus(wires: u8) -> CircuitBus {
    CircuitBus { first_wire: 0, wires, energized: true, u_base_v: 230.0 }
}

/// Numbers the wires and puts a source of 1 p.u. at the first bus.
pub(crate) fn circuit(mut buses: Vec<CircuitBus>) -> Circuit {
    let mut first = 0;
    for bus in &mut buses {
        bus.first_wire = first;
        first += u32::from(bus.wires);
    }
    let third = std::f64::consts::TAU / 3.0;
    let emf = (0..buses[0].wires).map(|k| Complex64::from_polar(1.0, -third * f64::from(k))).collect();
    let source = CircuitSource { bus: 0, emf, y: even(300.0, -900.0, 0.0, 0.0) };
    Circuit { s_base_va: 1e6 / 3.0, buses, sources: vec![source], ..Circuit::default() }
}

pub(crate) fn even(re: f64, im: f64, mutual_re: f64, mutual_im: f64) -> Coupling {
    Coupling::Even { own: Complex64::new(re, im), mutual: Complex64::new(mutual_re, mutual_im) }
}

pub(crate) fn line(from: u32, to: u32, z: Coupling) -> Series {
    Series { from, to, ratio: None, z, y_from: Coupling::Zero, y_to: Coupling::Zero }
}

pub(crate) fn wye(bus: u32, plus: u8, p: f64, q: f64) -> LoadPort {
    LoadPort {
        bus,
        plus,
        minus: GROUND,
        u_nominal: 1.0,
        power: Complex64::new(p, q),
        current: Complex64::ZERO,
        impedance: Complex64::ZERO,
        limits: None,
    }
}

/// Currents entering every linear element at every place, from the element equations; those of sources if asked for.
pub(crate) fn element_currents(
    circuit: &Circuit,
    voltages: &[Complex64],
    sources: bool,
) -> Vec<(FlowPlace, u32, DVector<Complex64>)> {
    let mut all = Vec::new();
    let at = |bus: u32| {
        DVector::from_iterator(circuit.wires(bus).len(), voltages[circuit.wires(bus)].iter().copied())
    };
    for (k, series) in (0..).zip(&circuit.series) {
        let wires = circuit.wires(series.to).len();
        let ratio = series.ratio.as_deref().cloned().unwrap_or_else(|| DMatrix::identity(wires, wires));
        let z = series.z.to_matrix(wires);
        let (from, to) = (at(series.from), at(series.to));
        let through = z.lu().solve(&(&ratio * &from - &to)).unwrap();
        let y_from = series.y_from.to_matrix(wires) * from;
        let y_to = series.y_to.to_matrix(wires) * to;
        all.push((FlowPlace::SeriesFrom(k), series.from, ratio.adjoint() * &through + y_from));
        all.push((FlowPlace::SeriesTo(k), series.to, y_to - through));
    }
    for (k, shunt) in (0..).zip(&circuit.shunts) {
        let here = at(shunt.bus);
        all.push((FlowPlace::Shunt(k), shunt.bus, shunt.y.to_matrix(here.len()) * here));
    }
    for source in circuit.sources.iter().filter(|_| sources) {
        let here = at(source.bus);
        let emf = DVector::from_vec(source.emf.clone());
        all.push((FlowPlace::Bus(source.bus), source.bus, source.y.to_matrix(here.len()) * (here - emf)));
    }
    all
}

/// Largest sum of currents at any wire, written independently of the stamps, p.u.
pub(crate) fn residual(circuit: &Circuit, voltages: &[Complex64]) -> f64 {
    let mut sum = vec![Complex64::ZERO; voltages.len()];
    for (_, bus, currents) in element_currents(circuit, voltages, true) {
        for (k, current) in currents.iter().enumerate() {
            sum[circuit.wires(bus).start + k] += current;
        }
    }
    for port in &circuit.ports {
        let wire = |local| circuit.wire(port.bus, local);
        let voltage = |local| wire(local).map_or(Complex64::ZERO, |wire| voltages[wire]);
        let across = voltage(port.plus) - voltage(port.minus);
        let current = (port.taken(across.norm() / port.u_nominal) / across).conj();
        for (local, sign) in [(port.plus, 1.0), (port.minus, -1.0)] {
            if let Some(wire) = wire(local) {
                sum[wire] += current * sign;
            }
        }
    }
    sum.iter().map(|current| current.norm()).fold(0.0, f64::max)
}

/// A random meshed circuit of 2 to 8 buses with one or three wires, shunts, some transformers, wye and delta loads.
pub(crate) fn mesh() -> impl Strategy<Value = Circuit> {
    (2..9_usize, any::<bool>()).prop_flat_map(|(count, three)| {
        let wires: u8 = if three { 3 } else { 1 };
        let parents = prop::collection::vec(0..100_usize, count - 1);
        let chords = prop::collection::vec((0..100_usize, 0..100_usize), 0..4);
        let z = prop::collection::vec((0.001..0.02_f64, 0.001..0.04_f64, -0.3..0.3_f64), count + 4);
        let loads = prop::collection::vec(
            (0..100_usize, 0..4_u8, -0.1..0.3_f64, -0.1..0.1_f64, 0..3_usize, any::<bool>()),
            1..8,
        );
        (Just(count), Just(wires), parents, chords, z, loads).prop_map(build)
    })
}

type Loads = Vec<(usize, u8, f64, f64, usize, bool)>;

fn build(
    (count, wires, parents, chords, z, loads): (
        usize,
        u8,
        Vec<usize>,
        Vec<(usize, usize)>,
        Vec<(f64, f64, f64)>,
        Loads,
    ),
) -> Circuit {
    let mut net = circuit(vec![bus(wires); count]);
    let mut pairs: Vec<(usize, usize)> =
        parents.iter().enumerate().map(|(k, &parent)| (parent % (k + 1), k + 1)).collect();
    pairs.extend(chords.iter().map(|&(a, b)| (a % count, b % count)).filter(|(a, b)| a != b));
    for (&(from, to), &(r, x, mutual)) in pairs.iter().zip(&z) {
        let mutual = if wires == 1 { 0.0 } else { mutual };
        let mut series = line(from as u32, to as u32, even(r, x, r * mutual, x * mutual));
        series.y_to = even(0.0, 1e-3, 0.0, 0.0);
        if mutual > 0.25 {
            let tap = nalgebra::DMatrix::from_diagonal_element(3, 3, Complex64::from(1.02));
            series.ratio = Some(Box::new(tap));
        }
        net.series.push(series);
    }
    net.shunts.push(CircuitShunt { bus: count as u32 - 1, y: even(1e-3, 2e-3, 0.0, 0.0) });
    for &(at, wire, p, q, kind, delta) in &loads {
        let mut port = wye((at % count) as u32, wire % wires, 0.0, 0.0);
        let delta = delta && wires == 3;
        if delta {
            port.minus = (port.plus + 1) % wires;
            port.u_nominal = 3.0_f64.sqrt();
        }
        let s = Complex64::new(p, q);
        *[&mut port.power, &mut port.current, &mut port.impedance][kind] = s;
        net.ports.push(port);
    }
    net
}
