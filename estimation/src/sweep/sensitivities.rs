//! What a little more power taken at one place does to voltages and flows elsewhere: exact to first order, at a solved
//! point of a radial circuit, O(depth) for each pair of places.
//!
//! Complex quantities are pairs of reals, x = (Re, Im), because loads answer to the conjugate of a voltage. With A the
//! response of a subtree, ΔJ = A ΔV + c, c the current of what is added below,
//!
//! ```text
//! A = Y + Σ dI/dV of the ports + Σ Tᵀ (I + A Z)⁻¹ A T of the children
//! up    c → Tᵀ (I + A Z)⁻¹ c
//! down  ΔV = (I + Z A)⁻¹ (T ΔVparent − Z c)
//! ```

use super::phasors::Matrix;
use super::plan::{NONE, Plan};
use super::ports::current;
use crate::circuit::{Circuit, GROUND, LoadPort, NotATree, Tree};
use nalgebra::{DMatrix, SMatrix, SVector};
use num_complex::Complex64;

pub(super) type M6 = SMatrix<f64, 6, 6>;
type V6 = SVector<f64, 6>;

/// Power taken at a connection point: parts of one p.u. between wires of a bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Taking {
    /// Where.
    pub bus: u32,
    /// Local wire, wire of return (or [`GROUND`]), share of the power; shares add up to one.
    pub shares: Vec<(u8, u8, f64)>,
}

/// An end of a series element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its `from` side.
    From,
    /// Its `to` side.
    To,
}

/// The linear circuit around a solved point.
#[derive(Debug, Clone)]
pub struct Sensitivities<'a> {
    circuit: &'a Circuit,
    tree: &'a Tree,
    voltages: Vec<Complex64>,
    wires: usize,
    steps: Vec<Step>,
}

/// One position.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Ratio of the element above.
    pub t: M6,
    /// Its impedance.
    pub z: M6,
    /// The shunt at the bus.
    pub y: M6,
    /// The subtree's response.
    pub a: M6,
    /// (I + Z A)⁻¹.
    pub g: M6,
}

/// The effects of one p.u. taken at a connection point.
#[derive(Debug, Clone)]
pub struct Effects<'s, 'a> {
    at: &'s Sensitivities<'a>,
    /// From the connection point to the root: position, current that passes, movement of the voltage.
    path: Vec<(usize, V6, V6)>,
}

impl<'a> Sensitivities<'a> {
    /// Prepares: `voltages` by global wire solve the circuit with these port values.
    ///
    /// # Errors
    /// As [`super::Sweep::new`].
    pub fn new(
        circuit: &'a Circuit,
        tree: &'a Tree,
        ports: &[LoadPort],
        voltages: &[Complex64],
    ) -> Result<Self, NotATree> {
        let plan = Plan::new(circuit, tree)?;
        let mut steps = Vec::with_capacity(plan.nodes.len());
        linearize(&plan, ports, voltages, |_, step| steps.push(step));
        steps.reverse();
        Ok(Self { circuit, tree, voltages: voltages.to_vec(), wires: plan.wires, steps })
    }

    /// The effects of one p.u. of active power taken, and of one p.u. of reactive power; `None` at a dead bus.
    pub fn of(&self, taking: &Taking) -> Option<(Effects<'_, 'a>, Effects<'_, 'a>)> {
        let position = self.tree.position[taking.bus as usize];
        (position != NONE).then(|| {
            let active = self.walk(position as usize, taking, Complex64::ONE);
            (active, self.walk(position as usize, taking, Complex64::I))
        })
    }

    fn walk(&self, position: usize, taking: &Taking, power: Complex64) -> Effects<'_, 'a> {
        let v = &self.voltages[self.circuit.wires(taking.bus)];
        let mut c = V6::zeros();
        for &(plus, minus, share) in &taking.shares {
            let back = (minus != GROUND).then(|| usize::from(minus));
            let across = v[usize::from(plus)] - back.map_or(Complex64::ZERO, |wire| v[wire]);
            let current = (power * share / across).conj();
            add(&mut c, usize::from(plus), current);
            if let Some(wire) = back {
                add(&mut c, wire, -current);
            }
        }
        let mut path = vec![(position, c, V6::zeros())];
        let mut here = position;
        while here > 0 {
            let step = &self.steps[here];
            // (I + A Z)⁻¹ = I − A (I + Z A)⁻¹ Z.
            c = step.t.transpose() * (c - step.a * (step.g * (step.z * c)));
            here = self.tree.parent[here] as usize;
            path.push((here, c, V6::zeros()));
        }
        let mut above = V6::zeros();
        for (position, c, moved) in path.iter_mut().rev() {
            let step = &self.steps[*position];
            *moved = step.g * (step.t * above - step.z * *c);
            above = *moved;
        }
        Effects { at: self, path }
    }
}

/// Hands out the linear circuit around a solved point, position by position from the last to the root.
pub(super) fn linearize(
    plan: &Plan,
    ports: &[LoadPort],
    voltages: &[Complex64],
    mut step: impl FnMut(usize, Step),
) {
    let mut response = vec![M6::zeros(); plan.nodes.len()];
    for place in &plan.ports {
        let Some(port) = ports.get(place.port as usize) else { continue };
        let v = &voltages[plan.first_wire[place.position as usize] as usize..];
        let port = LoadPort { plus: place.plus, minus: place.minus, ..*port };
        add_port(&mut response[place.position as usize], &port, v);
    }
    for position in (0..plan.nodes.len()).rev() {
        let node = &plan.nodes[position];
        let extra = (node.extra != NONE).then(|| &plan.extras[node.extra as usize]);
        let link = &plan.links[position];
        let y = coupled(&link.y, plan.wires) + real(extra.and_then(|extra| extra.y.as_ref()));
        let z = coupled(&link.z, plan.wires) + real(extra.and_then(|extra| extra.z.as_ref()));
        let ratio = extra.and_then(|extra| extra.ratio.as_ref());
        let t = ratio.map_or_else(M6::identity, |(ratio, _)| real(Some(ratio)));
        let a = response[position] + y;
        // Singular only where the power flow itself has no solution nearby.
        let g = (M6::identity() + z * a).try_inverse().unwrap_or_else(M6::zeros);
        if position > 0 {
            response[node.parent as usize] += t.transpose() * a * g * t;
        }
        step(position, Step { t, z, y, a, g });
    }
}

impl Effects<'_, '_> {
    /// By how much the voltages of a bus's wires move, p.u. per p.u.; zero at dead buses.
    pub fn voltage(&self, bus: u32) -> Vec<Complex64> {
        let position = self.at.tree.position[bus as usize];
        if position == NONE {
            return vec![Complex64::ZERO; self.at.wires];
        }
        self.pack(&self.moved(position as usize))
    }

    /// By how much the voltage magnitude of a local wire moves, p.u. per p.u.
    pub fn magnitude(&self, bus: u32, wire: u8) -> f64 {
        let v = self.at.voltages[self.at.circuit.wires(bus)][usize::from(wire)];
        along(v, self.voltage(bus)[usize::from(wire)])
    }

    /// Currents that enter a series element at an end, and by how much they move, p.u. per p.u.; `None` when it is
    /// not alive, or has no impedance from which its current could be told.
    pub fn currents(&self, element: u32, end: End) -> Option<(Vec<Complex64>, Vec<Complex64>)> {
        let at = self.at;
        let series = &at.circuit.series[element as usize];
        let (from, to) = (at.tree.position[series.from as usize], at.tree.position[series.to as usize]);
        if from == NONE || to == NONE {
            return None;
        }
        let below = from.max(to) as usize;
        let step = &at.steps[below];
        let (bus, shunt) = match end {
            End::From => (series.from, &series.y_from),
            End::To => (series.to, &series.y_to),
        };
        let place = at.tree.position[bus as usize] as usize;
        // J from the voltages: what the impedance leaves, or (without one) what is not known here.
        let full = |k: usize| -> V6 { self.at.unpack(self.at.tree.order[k]) };
        let parent = at.tree.parent[below] as usize;
        let mut z = step.z;
        for unused in at.wires..3 {
            z[(unused, unused)] = 1.0;
            z[(3 + unused, 3 + unused)] = 1.0;
        }
        let z = z.try_inverse()?;
        let j = z * (step.t * full(parent) - full(below));
        let moved_j = z * (step.t * self.moved(parent) - self.moved(below));
        let turn = |j: V6| if place == below { -j } else { step.t.transpose() * j };
        let y = real_of(&shunt.to_matrix(at.wires));
        let now = turn(j) + y * full(place);
        let moved = turn(moved_j) + y * self.moved(place);
        Some((self.pack(&now), self.pack(&moved)))
    }

    /// By how much the current magnitude of each wire moves at an end of an element, p.u. per p.u.
    pub fn current_magnitudes(&self, element: u32, end: End) -> Option<Vec<f64>> {
        let (now, moved) = self.currents(element, end)?;
        Some(now.iter().zip(&moved).map(|(now, moved)| along(*now, *moved)).collect())
    }

    /// By how much the apparent power (of the sum of all wires) that enters at an end moves, p.u. per p.u.
    pub fn apparent_power(&self, element: u32, end: End) -> Option<f64> {
        let (now, moved) = self.currents(element, end)?;
        let series = &self.at.circuit.series[element as usize];
        let bus = if end == End::From { series.from } else { series.to };
        let v = &self.at.voltages[self.at.circuit.wires(bus)];
        let (mut s, mut ds) = (Complex64::ZERO, Complex64::ZERO);
        for (wire, dv) in self.voltage(bus).into_iter().enumerate() {
            s += v[wire] * now[wire].conj();
            ds += dv * now[wire].conj() + v[wire] * moved[wire].conj();
        }
        Some(along(s, ds))
    }

    /// Climbs to the path of the connection point and comes down again.
    fn moved(&self, position: usize) -> V6 {
        let mut climbed = Vec::new();
        let mut here = position;
        let mut moved = loop {
            // The path runs from the connection point up: positions fall.
            match self.path.binary_search_by(|step| here.cmp(&step.0)) {
                Ok(found) => break self.path[found].2,
                Err(_) => climbed.push(here),
            }
            here = self.at.tree.parent[here] as usize;
        };
        for &below in climbed.iter().rev() {
            let step = &self.at.steps[below];
            moved = step.g * (step.t * moved);
        }
        moved
    }

    fn pack(&self, x: &V6) -> Vec<Complex64> {
        (0..self.at.wires).map(|wire| Complex64::new(x[wire], x[3 + wire])).collect()
    }
}

impl Sensitivities<'_> {
    fn unpack(&self, bus: u32) -> V6 {
        let mut x = V6::zeros();
        for (wire, v) in self.voltages[self.circuit.wires(bus)].iter().enumerate() {
            add(&mut x, wire, *v);
        }
        x
    }
}

/// The change of a magnitude; its largest when there is nothing yet.
fn along(now: Complex64, moved: Complex64) -> f64 {
    let size = now.norm();
    if size > 0.0 { (now.conj() * moved).re / size } else { moved.norm() }
}

fn add(x: &mut V6, wire: usize, value: Complex64) {
    x[wire] += value.re;
    x[3 + wire] += value.im;
}

fn set(m: &mut M6, row: usize, column: usize, value: Complex64) {
    m[(row, column)] += value.re;
    m[(row, 3 + column)] -= value.im;
    m[(3 + row, column)] += value.im;
    m[(3 + row, 3 + column)] += value.re;
}

fn real_of(matrix: &DMatrix<Complex64>) -> M6 {
    let mut m = M6::zeros();
    for row in 0..matrix.nrows() {
        for column in 0..matrix.ncols() {
            set(&mut m, row, column, matrix[(row, column)]);
        }
    }
    m
}

fn real(matrix: Option<&Matrix>) -> M6 {
    let mut m = M6::zeros();
    if let Some(matrix) = matrix {
        for row in 0..3 {
            for column in 0..3 {
                set(&mut m, row, column, matrix.at(row, column));
            }
        }
    }
    m
}

fn coupled(c: &[f64; 4], wires: usize) -> M6 {
    let (own, mutual) = (Complex64::new(c[0], c[1]), Complex64::new(c[2], c[3]));
    real_of(&DMatrix::from_fn(wires, wires, |row, column| if row == column { own } else { mutual }))
}

/// dI/dV of a port. With m = |U| and I = g(m) U: dI = g dU + g'(m) U Re(conj(U) dU) / m.
pub(super) fn add_port(response: &mut M6, port: &LoadPort, v: &[Complex64]) {
    let (plus, back) = (usize::from(port.plus), (port.minus != GROUND).then(|| usize::from(port.minus)));
    let across = v[plus] - back.map_or(Complex64::ZERO, |wire| v[wire]);
    let m = across.norm();
    let u = m / port.u_nominal;
    let g = current(port, across) / across;
    let constant = port.limits.is_some_and(|(low, high)| u < low || u > high);
    let slope = if constant {
        Complex64::ZERO
    } else {
        let ds = port.current + port.impedance * (2.0 * u);
        ds.conj() / (port.u_nominal * m * m) - 2.0 * g / m
    };
    let wires = [(plus, 1.0)].into_iter().chain(back.map(|wire| (wire, -1.0)));
    for (row, sign) in wires.clone() {
        for (column, by) in wires.clone() {
            for (part, unit) in [(0, Complex64::ONE), (3, Complex64::I)] {
                let du = unit * by;
                let di = (g * du + slope * across * ((across.conj() * du).re / m)) * sign;
                response[(row, part + column)] += di.re;
                response[(3 + row, part + column)] += di.im;
            }
        }
    }
}
