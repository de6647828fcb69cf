//! Newton–Raphson on the nodal current balance in rectangular voltages: `F = Y V + I(ports) − I(sources)`, 2n real
//! equations (da Costa, Martins & Pereira 1999, "Developments in the Newton Raphson power flow formulation based on
//! current injections"), with the exact derivative of every port.
//!
//! A bus that holds its voltage adds one unknown, the reactive power its ports take, and one equation: its magnitude,
//! or, when the reactive power has met a limit, that limit. So the pattern never changes.

use super::factor::Factor;
use super::nodal::{Nodal, ROUNDING};
use super::port;
use super::stamp::EARTH;
use super::symbolic::Symbolic;
use crate::circuit::{Circuit, LoadPort};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// How often a step is halved before the best one is taken.
const HALVINGS: usize = 6;
/// How often all limits of reactive power are looked at.
const SWITCHES_MAX: usize = 30;

/// What a bus that holds its voltage does at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Voltage,
    Lowest,
    Highest,
}

struct Held {
    /// The unknowns and weights of the voltage it holds: `u = |Σ weight · V|`.
    wires: Vec<(u32, Complex64)>,
    target: f64,
    ports: Vec<u32>,
    range: (f64, f64),
    hold: Hold,
    q: f64,
}

struct Newton<'a> {
    nodal: &'a Nodal,
    ports: Vec<LoadPort>,
    held: Vec<Held>,
    /// Values of the nodal matrix that count (without ties they are shorter).
    linear: usize,
    plan: Symbolic,
    values: Vec<f64>,
    factor: Factor<f64>,
}

/// Ports with the reactive power of holding ports taken out.
pub(super) fn without_held(circuit: &Circuit) -> Vec<LoadPort> {
    let mut ports = circuit.ports.clone();
    for held in circuit.held.iter().filter(|held| circuit.buses[held.bus as usize].energized) {
        for &port in &held.ports {
            let port = &mut ports[port as usize];
            port.power.im = 0.0;
            port.current.im = 0.0;
            port.impedance.im = 0.0;
        }
    }
    ports
}

/// Solves from a start; gives voltages of live wires and iterations. The nodal matrix must have been made for `ports`.
pub(super) fn solve(
    circuit: &Circuit,
    nodal: &Nodal,
    ports: Vec<LoadPort>,
    start: Vec<Complex64>,
    tolerance: &Tolerance,
) -> Result<(Vec<Complex64>, usize), NoSolution> {
    let mut newton = Newton::new(circuit, nodal, ports, nodal.values.len());
    let (voltages, iterations) = newton.run(start, tolerance)?;
    if nodal.tie_currents(&voltages) <= 1e-6 {
        return Ok((voltages, iterations));
    }
    // Loads between wires and earth hold the floating part: the tie has to go.
    let Newton { ports, .. } = newton;
    let mut newton = Newton::new(circuit, nodal, ports, nodal.ties_from);
    let (voltages, more) = newton.run(voltages, tolerance)?;
    Ok((voltages, iterations + more))
}

impl<'a> Newton<'a> {
    fn new(circuit: &Circuit, nodal: &'a Nodal, ports: Vec<LoadPort>, linear: usize) -> Self {
        let third = std::f64::consts::TAU / 3.0;
        let held: Vec<Held> = circuit
            .held
            .iter()
            .filter(|held| circuit.buses[held.bus as usize].energized)
            .map(|held| {
                let mut wires: Vec<(u32, Complex64)> = nodal
                    .live
                    .of_bus(circuit, held.bus)
                    .into_iter()
                    .enumerate()
                    .map(|(k, wire)| (wire, Complex64::from_polar(1.0 / 3.0, third * k as f64)))
                    .collect();
                if wires.len() < 3 {
                    wires.truncate(1);
                    wires[0].1 = Complex64::ONE;
                }
                wires.truncate(3);
                let ports = held.ports.clone();
                Held { wires, target: held.u_pu, ports, range: held.q_range, hold: Hold::Voltage, q: 0.0 }
            })
            .collect();
        let wires = nodal.live.len() as u32;
        let blocks = super::nodal::compact(&nodal.live.bus);
        let mut block_of: Vec<u32> = blocks.iter().flat_map(|&block| [block, block]).collect();
        let mut positions = Vec::new();
        let mut square = |row: u32, column: u32| {
            for (r, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                positions.push((2 * row + r, 2 * column + c));
            }
        };
        for &(row, column) in &nodal.plan.positions()[..linear] {
            square(row, column);
        }
        for ends in nodal.ends.iter().flatten() {
            for (row, _) in ends.signed() {
                for (column, _) in ends.signed() {
                    square(row, column);
                }
            }
        }
        for (index, held) in held.iter().enumerate() {
            let own = 2 * wires + index as u32;
            block_of.push(blocks[held.wires[0].0 as usize]);
            for ends in held.ports.iter().filter_map(|&port| nodal.ends[port as usize]) {
                for (wire, _) in ends.signed() {
                    positions.extend([(2 * wire, own), (2 * wire + 1, own)]);
                }
            }
            for &(wire, _) in &held.wires {
                positions.extend([(own, 2 * wire), (own, 2 * wire + 1)]);
            }
            positions.push((own, own));
        }
        let plan = Symbolic::new(&block_of, positions);
        Self { nodal, ports, held, linear, plan, values: Vec::new(), factor: Factor::default() }
    }

    fn run(
        &mut self,
        start: Vec<Complex64>,
        tolerance: &Tolerance,
    ) -> Result<(Vec<Complex64>, usize), NoSolution> {
        let mut voltages = start;
        let (mut switches, mut last, mut earlier) = (0, (f64::NAN, 0), f64::INFINITY);
        for iteration in 1..=tolerance.iterations_max {
            self.linearize(&voltages);
            let mut step = self.mismatch(&voltages);
            let before = size(&step);
            match self.factor.factorize(&self.plan, &self.values).map(<[u32]>::first) {
                None => return Err(NoSolution::NotFinite { bus: last.1 }),
                Some(Some(&lost)) => {
                    return Err(NoSolution::Singular { bus: self.bus_of(lost) });
                }
                Some(None) => self.factor.solve(&mut step),
            }
            let (moved, place) = largest(&step[..2 * voltages.len()]);
            last = (moved, self.bus_of(place as u32));
            if !moved.is_finite() {
                return Err(NoSolution::NotFinite { bus: last.1 });
            }
            self.search(&mut voltages, &step, before);
            // Newton–Raphson squares what is left: a small step that does not even halve is rounding.
            let most = voltages.iter().map(|v| v.norm()).fold(0.0, f64::max);
            let rounding = moved > 0.5 * earlier && moved <= ROUNDING * most;
            earlier = moved;
            if moved <= tolerance.voltage_pu || rounding {
                if switches >= SWITCHES_MAX || !self.switch(&voltages) {
                    return Ok((voltages, iteration));
                }
                switches += 1;
            }
        }
        Err(NoSolution::NotSettled { iterations: tolerance.iterations_max, step_pu: last.0, bus: last.1 })
    }

    fn bus_of(&self, unknown: u32) -> usize {
        let wires = self.nodal.live.len();
        let wire = (unknown as usize)
            .checked_sub(2 * wires)
            .map_or(unknown as usize / 2, |held| self.held[held].wires[0].0 as usize);
        self.nodal.live.bus.get(wire).map_or(0, |&bus| bus as usize)
    }

    /// Goes along the step as far as it helps.
    fn search(&mut self, voltages: &mut [Complex64], step: &[f64], before: f64) {
        let from = voltages.to_vec();
        let from_q: Vec<f64> = self.held.iter().map(|held| held.q).collect();
        let (mut best, mut best_size) = (1.0, f64::INFINITY);
        let mut length = 1.0;
        for _ in 0..=HALVINGS {
            self.go(voltages, &from, &from_q, step, length);
            let now = size(&self.mismatch(voltages));
            if now < best_size {
                (best, best_size) = (length, now);
            }
            if now <= before || now < 1e-9 {
                return;
            }
            length *= 0.5;
        }
        self.go(voltages, &from, &from_q, step, best);
    }

    fn go(&mut self, to: &mut [Complex64], from: &[Complex64], from_q: &[f64], step: &[f64], length: f64) {
        for (wire, (to, from)) in to.iter_mut().zip(from).enumerate() {
            *to = from - Complex64::new(step[2 * wire], step[2 * wire + 1]) * length;
        }
        for (index, held) in self.held.iter_mut().enumerate() {
            held.q = from_q[index] - step[2 * from.len() + index] * length;
        }
    }

    /// F at the present voltages and reactive powers.
    fn mismatch(&self, voltages: &[Complex64]) -> Vec<f64> {
        let mut sum: Vec<Complex64> = self.nodal.feed.iter().map(|feed| -feed).collect();
        for (&(row, column), value) in
            self.nodal.plan.positions()[..self.linear].iter().zip(&self.nodal.values)
        {
            sum[row as usize] += value * voltages[column as usize];
        }
        for ((port, ends), &inside) in self.ports.iter().zip(&self.nodal.ends).zip(&self.nodal.inside) {
            let Some(ends) = ends else { continue };
            let across = ends.across(voltages);
            ends.add(port::current(port, across) - inside * across, &mut sum);
        }
        for held in &self.held {
            let share = held.q / held.ports.len().max(1) as f64;
            for ends in held.ports.iter().filter_map(|&port| self.nodal.ends[port as usize]) {
                ends.add((Complex64::new(0.0, share) / ends.across(voltages)).conj(), &mut sum);
            }
        }
        let mut all: Vec<f64> = sum.iter().flat_map(|value| [value.re, value.im]).collect();
        all.extend(self.held.iter().map(|held| match held.hold {
            Hold::Voltage => held.voltage(voltages).norm() - held.target,
            Hold::Lowest => held.q - held.range.0,
            Hold::Highest => held.q - held.range.1,
        }));
        all
    }

    /// The derivative of F, in the order of the plan's positions.
    fn linearize(&mut self, voltages: &[Complex64]) {
        let values = &mut self.values;
        values.clear();
        for y in &self.nodal.values[..self.linear] {
            values.extend([y.re, -y.im, y.im, y.re]);
        }
        let reactive = self.held.iter().flat_map(|held| {
            let share = held.q / held.ports.len().max(1) as f64;
            held.ports.iter().map(move |&port| (port as usize, share))
        });
        let mut extra = vec![0.0; self.ports.len()];
        for (port, share) in reactive {
            extra[port] += share;
        }
        for (index, port) in self.ports.iter().enumerate() {
            let Some(ends) = self.nodal.ends[index] else { continue };
            let across = ends.across(voltages);
            let (mut direct, mut conjugate) = port::derivative(port, across);
            direct -= self.nodal.inside[index];
            if extra[index] != 0.0 {
                // I = conj(S) / conj(V)
                conjugate += Complex64::new(0.0, extra[index]) / (across.conj() * across.conj());
            }
            for (_, a) in ends.signed() {
                for (_, b) in ends.signed() {
                    let (d, c) = (direct * (a * b), conjugate * (a * b));
                    values.extend([d.re + c.re, c.im - d.im, d.im + c.im, d.re - c.re]);
                }
            }
        }
        for held in &self.held {
            let share = 1.0 / held.ports.len().max(1) as f64;
            for ends in held.ports.iter().filter_map(|&port| self.nodal.ends[port as usize]) {
                let slope = (Complex64::new(0.0, share) / ends.across(voltages)).conj();
                values.extend(ends.signed().flat_map(|(_, sign)| [slope.re * sign, slope.im * sign]));
            }
            let unit = held.voltage(voltages);
            let unit = unit.conj() / unit.norm();
            let at_voltage = held.hold == Hold::Voltage;
            for &(_, weight) in &held.wires {
                let slope = if at_voltage { unit * weight } else { Complex64::ZERO };
                values.extend([slope.re, -slope.im]);
            }
            values.push(if at_voltage { 0.0 } else { 1.0 });
        }
    }

    /// Looks whether reactive powers are where they may be; true when something changed.
    fn switch(&mut self, voltages: &[Complex64]) -> bool {
        let mut changed = false;
        for held in &mut self.held {
            let u = held.voltage(voltages).norm();
            let next = match held.hold {
                Hold::Voltage if held.q < held.range.0 => Hold::Lowest,
                Hold::Voltage if held.q > held.range.1 => Hold::Highest,
                // What is taken lowers the voltage: too high a voltage with the least taken asks for more.
                Hold::Lowest if u > held.target => Hold::Voltage,
                Hold::Highest if u < held.target => Hold::Voltage,
                same => same,
            };
            changed |= next != held.hold;
            held.hold = next;
        }
        changed
    }
}

impl Held {
    fn voltage(&self, voltages: &[Complex64]) -> Complex64 {
        debug_assert!(self.wires.iter().all(|&(wire, _)| wire != EARTH));
        self.wires.iter().map(|&(wire, weight)| voltages[wire as usize] * weight).sum()
    }
}

fn size(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// The largest change of a voltage and its unknown; NaN when one is not finite.
fn largest(step: &[f64]) -> (f64, usize) {
    let mut most = (0.0, 0);
    for (at, value) in step.iter().enumerate() {
        if !value.is_finite() {
            return (f64::NAN, at);
        }
        if value.abs() > most.0 {
            most = (value.abs(), at);
        }
    }
    most
}
