//! Where the iteration of an estimate starts: voltages without load, walked from the sources through every ratio, and
//! where angles count from.

use super::stamp::{EARTH, Live, Stamp};
use crate::circuit::{Circuit, Readings};
use nalgebra::{DMatrix, DVector, SVD};
use num_complex::Complex64;
use std::collections::VecDeque;
use std::f64::consts::TAU;

/// Most steps of a decomposition of one element's admittance; tens are usual.
const SVD_STEPS_MAX: usize = 1000;

/// Voltages walked from the sources, and which wires are joined.
pub(super) struct Flat {
    /// Unknown → voltage.
    pub(super) voltages: Vec<Complex64>,
    /// Unknown → the number of its island.
    pub(super) island: Vec<u32>,
    pub(super) islands: u32,
}

/// Walks the stamps (those of series elements, then those of general ones) breadth first, bus by bus.
pub(super) fn walk(circuit: &Circuit, live: &Live, stamps: &[Option<Stamp>]) -> Flat {
    let mut at_wire: Vec<Vec<u32>> = vec![Vec::new(); live.len()];
    for (index, stamp) in stamps.iter().enumerate() {
        for &wire in stamp.iter().flat_map(|stamp| &stamp.wires).filter(|wire| **wire != EARTH) {
            at_wire[wire as usize].push(index as u32);
        }
    }
    let unset = Complex64::new(f64::NAN, 0.0);
    let mut flat = Flat { voltages: vec![unset; live.len()], island: vec![0; live.len()], islands: 0 };
    let mut waiting = VecDeque::new();
    let mut seeds: Vec<(u32, Vec<Complex64>)> =
        circuit.sources.iter().map(|source| (source.bus, source.emf.clone())).collect();
    // Whatever no source reaches begins with a plain system of its own.
    seeds.extend((0..circuit.buses.len() as u32).map(|bus| (bus, Vec::new())));
    for (bus, emf) in seeds {
        let wires = live.of_bus(circuit, bus);
        if wires.first().is_none_or(|&wire| wire == EARTH || flat.voltages[wire as usize].re.is_finite()) {
            continue;
        }
        for (k, &wire) in wires.iter().enumerate() {
            let plain = Complex64::from_polar(1.0, -TAU / 3.0 * k as f64);
            let given = emf.get(k).copied().filter(|emf| emf.norm() > 1e-3 && emf.is_finite());
            flat.voltages[wire as usize] = given.unwrap_or(plain);
            flat.island[wire as usize] = flat.islands;
            waiting.push_back(wire);
        }
        while let Some(wire) = waiting.pop_front() {
            for &index in &at_wire[wire as usize] {
                if let Some(stamp) = &stamps[index as usize] {
                    pass(stamp, &mut flat, &mut waiting);
                }
            }
        }
        flat.islands += 1;
    }
    flat
}

/// Gives the wires of an element that have no voltage yet the one they would have without load.
fn pass(stamp: &Stamp, flat: &mut Flat, waiting: &mut VecDeque<u32>) {
    let known = |flat: &Flat, wire: u32| wire == EARTH || flat.voltages[wire as usize].re.is_finite();
    let open: Vec<usize> = (0..stamp.wires.len()).filter(|&k| !known(flat, stamp.wires[k])).collect();
    if open.is_empty() {
        return;
    }
    let mut right = DVector::zeros(open.len());
    let mut island = 0;
    let mut nearby = Complex64::ZERO;
    for (column, &wire) in stamp.wires.iter().enumerate() {
        if wire != EARTH && !open.contains(&column) {
            let v = flat.voltages[wire as usize];
            island = flat.island[wire as usize];
            nearby += v;
            for (row, &at) in open.iter().enumerate() {
                right[row] -= stamp.y[(at, column)] * v;
            }
        }
    }
    let own = DMatrix::from_fn(open.len(), open.len(), |row, column| stamp.y[(open[row], open[column])]);
    // A winding without a way to earth leaves the mean open: the smallest solution has none.
    let found = match own.clone().try_inverse() {
        Some(inverse) if (inverse.norm() * own.norm()) < 1e9 => Some(inverse * &right),
        // Of what is no number a decomposition would never end.
        _ if !own.norm().is_finite() => None,
        _ => SVD::try_new(own.clone(), true, true, f64::EPSILON, SVD_STEPS_MAX)
            .and_then(|parts| parts.solve(&right, 1e-9 * own.norm()).ok()),
    };
    for (row, &at) in open.iter().enumerate() {
        let wire = stamp.wires[at];
        let v = found.as_ref().map_or(Complex64::ZERO, |found| found[row]);
        // A neutral may stand at zero; a derivative by the angle must not.
        let good = v.is_finite() && v.norm() > 1e-6;
        flat.voltages[wire as usize] = if good { v } else { Complex64::from(1e-3) };
        flat.island[wire as usize] = island;
        waiting.push_back(wire);
    }
}

/// An angle given to a wire because nothing else does.
pub(super) struct Tie {
    pub(super) wire: u32,
    pub(super) angle: f64,
    pub(super) variance: f64,
}

impl Flat {
    /// Turns the start to where measured angles point, and ties islands without any.
    ///
    /// As in power-grid-model, an untied island gets angles at the bus of its first source if its voltage is measured,
    /// otherwise at the first bus that is: 0, −120°, 120° for three wires, each with the variance of the magnitude.
    pub(super) fn refer(&mut self, circuit: &Circuit, live: &Live, readings: &Readings) -> Vec<Tie> {
        let mut turn = vec![Complex64::ZERO; self.islands as usize];
        let mut known = vec![false; self.islands as usize];
        for reading in &readings.voltages {
            let wire = live.at(circuit, reading.bus, reading.wire);
            if let (Some(angle), true) = (reading.angle, wire != EARTH && reading.variance_across.is_finite())
            {
                let island = self.island[wire as usize] as usize;
                let start = self.voltages[wire as usize];
                turn[island] += Complex64::from_polar(1.0, angle) * start.conj() / start.norm();
                known[island] = true;
            }
        }
        let mut ties = Vec::new();
        for island in 0..self.islands {
            if known[island as usize] {
                continue;
            }
            let there = |bus: u32| {
                let first = live.of_bus(circuit, bus)[0];
                first != EARTH && self.island[first as usize] == island
            };
            let slack = circuit.sources.iter().map(|source| source.bus).find(|&bus| there(bus));
            let finite = || readings.voltages.iter().filter(|reading| reading.variance.is_finite());
            let measured = |bus: u32| finite().any(|reading| reading.bus == bus);
            let first = finite().map(|reading| reading.bus).filter(|&bus| there(bus)).min();
            let bus = slack.filter(|&bus| measured(bus)).or(first).or(slack);
            let bus = bus.or_else(|| live.bus.iter().copied().find(|&bus| there(bus)));
            let Some(bus) = bus else { continue };
            for (k, wire) in live.of_bus(circuit, bus).into_iter().enumerate() {
                // A measured bus ties its measured wires, another one all of them.
                let own = finite().find(|reading| reading.bus == bus && usize::from(reading.wire) == k);
                let Some(variance) = own.map(|r| r.variance).or((!measured(bus)).then_some(1e-6)) else {
                    continue;
                };
                let angle = readings.reference_angle - TAU / 3.0 * k as f64;
                let start = self.voltages[wire as usize];
                turn[island as usize] += Complex64::from_polar(1.0, angle) * start.conj() / start.norm();
                ties.push(Tie { wire, angle, variance });
            }
        }
        for (voltage, &island) in self.voltages.iter_mut().zip(&self.island) {
            let by = turn[island as usize];
            if by.norm() > 1e-9 {
                *voltage *= by / by.norm();
            }
        }
        ties
    }
}
