//! A solved point of the circuit and how the circuit answers around it: what all scenarios of a batch share.
//!
//! With d the deviation of a voltage from the reference, the current of a bus is exactly `A d + a(d)`, A the response
//! of the reference and a(d) what it leaves:
//!
//! ```text
//! constant powers   a = conj((ΔS + S₀/V₀² d²) / (V₀ + d))          ΔS the deviation of the power
//! any other port    a = I(V₀ + d) − I(V₀) − dI/dV d
//! ```
//!
//! Shunts are linear and leave nothing. The tree then is solved exactly for given a: `J = M a` on the way up, M = (I +
//! A Z)⁻¹, and `d = G d_parent − Z J` on the way down, G = (I + Z A)⁻¹ T, A summed over the subtree. This is Newton's
//! method with the Jacobian of the reference: its fixed point is the solution, the error shrinks by about the drop of
//! voltage times the relative deviation of the loads, and one sweep solves what is linear, transformers and all.

use super::edges::{Edge, Survey, Unusual, paths, place};
use super::plan::{NONE, Plan};
use super::ports::{current, is_plain};
use super::rows::Number;
use super::sensitivities::{M6, Step, add_port, linearize};
use crate::circuit::{GROUND, LoadPort};
use num_complex::Complex64;

/// A real matrix over N parts: real parts of all wires, then imaginary ones; column by column.
pub(super) type Square<const N: usize, T> = [[T; N]; N];

/// What the way up needs of a position.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Up<const N: usize, T> {
    /// M.
    pub m: Square<N, T>,
    /// Z: own − mutual, mutual, re and im each. Not used where [`Tables::special`] has it.
    pub z: [T; 4],
}

/// What few elements have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Special<const N: usize, T> {
    /// Z.
    pub z: Square<N, T>,
    /// Tᴴ.
    pub give: Square<N, T>,
}

/// A bus with constant powers at the reference.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Point<const N: usize, T> {
    /// V₀.
    pub v: [T; N],
    /// 1 / conj V₀.
    pub u: [T; N],
    /// S₀ / V₀².
    pub p: [T; N],
}

/// The answers, in one precision.
#[derive(Debug, Clone)]
pub(super) struct Tables<const N: usize, T> {
    /// By position.
    pub up: Vec<Up<N, T>>,
    /// G by position.
    pub down: Vec<Square<N, T>>,
    /// By extra record of the plan.
    pub special: Vec<Special<N, T>>,
    /// By load record.
    pub points: Vec<Point<N, T>>,
}

/// A port that is no plain constant power.
#[derive(Debug, Clone)]
pub(super) struct Other<const N: usize> {
    /// Where.
    pub position: u32,
    /// Its shares, limits and wires.
    pub port: LoadPort,
    /// I(V₀).
    pub current: Complex64,
    /// dI/dV over the parts of its bus.
    pub slope: Square<N, f64>,
    /// Sizes of the impedance from the top of its block, own − mutual and mutual.
    pub path: [f64; 2],
}

/// How the powers of ports come in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Inlet {
    /// Number of the port, or of the first one.
    pub port: u32,
    /// Load record; for other ports their number.
    pub to: u32,
    /// What it is.
    pub way: Way,
    /// Power at the reference; of a single port the first.
    pub s: [Complex64; 3],
}

impl Inlet {
    /// The first of the wires that its powers are for, of all there are, and how many.
    #[inline(always)]
    pub(super) fn wires(&self, all: usize) -> (usize, usize) {
        match self.way {
            Way::Wires => (0, all),
            Way::First(wire) | Way::More(wire) => (usize::from(wire), 1),
            Way::Other => (0, 0),
        }
    }
}

/// Where powers of an [`Inlet`] go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Ports with consecutive numbers, one for each wire: the first of their load record.
    Wires,
    /// One port on this wire, the first of its load record.
    First(u8),
    /// One more port on this wire.
    More(u8),
    /// A port that is no plain constant power.
    Other,
}

/// A solved point.
#[derive(Debug, Clone)]
pub(super) struct Reference<const N: usize> {
    pub single: Tables<N, f32>,
    /// Of the trunk only: positions are numbers of items.
    pub double: Tables<N, f64>,
    /// By item.
    pub edges: Vec<Edge<N>>,
    /// By extra record.
    pub unusual: Vec<Unusual<N>>,
    /// By load record: sizes of the impedance from the top of its block, own − mutual and mutual.
    pub paths: Vec<[f64; 2]>,
    /// V₀ by position.
    pub v: Vec<[f64; N]>,
    /// S₀ by load record.
    pub powers: Vec<[f64; N]>,
    /// By position.
    pub others: Vec<Other<N>>,
    /// By position.
    pub inlets: Vec<Inlet>,
    /// By item of the plan: its first inlet and its first load record; one more at the end.
    pub first: Vec<(u32, u32)>,
}

impl<const N: usize> Reference<N> {
    /// Around voltages, by global wire, that solve the circuit with these ports.
    pub(super) fn new(plan: &Plan, ports: &[LoadPort], voltages: &[Complex64]) -> Self {
        let at = |position: usize| &voltages[plan.first_wire[position] as usize..][..N / 2];
        let mut powers = vec![[Complex64::ZERO; 3]; plan.loads];
        let (mut inlets, mut others) = (Vec::<Inlet>::new(), Vec::new());
        let reach = paths(plan);
        let (mut seen, mut last) = (0, 0);
        let mut first = Vec::with_capacity(plan.items.len() + 1);
        for place in &plan.ports {
            begin(plan, &mut first, place.position as usize, (inlets.len() as u32, seen + 1));
            seen = place.load;
            let Some(port) = ports.get(place.port as usize) else { continue };
            let port = LoadPort { plus: place.plus, minus: place.minus, ..*port };
            if !is_plain(&port) {
                let (to, s) = (others.len() as u32, [Complex64::ZERO; 3]);
                inlets.push(Inlet { port: place.port, to, way: Way::Other, s });
                let position = place.position as usize;
                others.push(Other::new(place.position, port, at(position), reach[position]));
                continue;
            }
            let (wire, opens) = (place.plus, place.load != last);
            last = place.load;
            powers[last as usize][usize::from(wire)] += port.power;
            let way = if opens { Way::First(wire) } else { Way::More(wire) };
            let s = [port.power, Complex64::ZERO, Complex64::ZERO];
            inlets.push(Inlet { port: place.port, to: last, way, s });
            merge(&mut inlets, N / 2);
        }
        begin(plan, &mut first, plan.nodes.len(), (inlets.len() as u32, plan.loads as u32));
        first.push((inlets.len() as u32, plan.loads as u32));
        let v = (0..plan.nodes.len()).map(|position| parts(at(position))).collect();
        let mut survey = Survey::new(plan, ports, voltages, &reach);
        let mut double = Tables::new(plan, ports, voltages, |position, step| survey.note(position, step));
        let mut paths = vec![[0.0; 2]; plan.loads];
        for (position, node) in plan.nodes.iter().enumerate().filter(|(_, node)| node.load > 0) {
            paths[node.load as usize] = reach[position];
            double.points[node.load as usize] = point(at(position), &powers[node.load as usize]);
        }
        let Survey { edges, unusual, .. } = survey;
        let (single, double) = (double.single(), double.of_trunk(plan));
        let powers = powers.iter().map(|powers| parts(powers)).collect();
        Self { single, double, edges, unusual, paths, v, powers, others, inlets, first }
    }
}

/// Notes first inlet and load record of the items up to the one with a position.
fn begin(plan: &Plan, first: &mut Vec<(u32, u32)>, position: usize, here: (u32, u32)) {
    while plan.items.get(first.len()).is_some_and(|item| item.start <= position) {
        first.push(here);
    }
}

/// The last inlets as one, if they are one port for each wire.
fn merge(inlets: &mut Vec<Inlet>, wires: usize) {
    let Some(start) = inlets.len().checked_sub(wires) else { return };
    let first = inlets[start];
    let one_each = inlets[start..].iter().zip(0..).all(|(inlet, wire)| {
        let way = if wire == 0 { Way::First(0) } else { Way::More(wire) };
        inlet.way == way && inlet.to == first.to && inlet.port == first.port + u32::from(wire)
    });
    if one_each {
        let mut s = first.s;
        for (s, inlet) in s.iter_mut().zip(&inlets[start..]) {
            *s = inlet.s[0];
        }
        inlets.truncate(start);
        inlets.push(Inlet { way: Way::Wires, s, ..first });
    }
}

impl<const N: usize> Tables<N, f64> {
    fn new(
        plan: &Plan,
        ports: &[LoadPort],
        voltages: &[Complex64],
        mut met: impl FnMut(usize, &Step),
    ) -> Self {
        let count = plan.nodes.len();
        let point = Point { v: [1.0; N], u: [1.0; N], p: [0.0; N] };
        let mut tables = Self {
            up: vec![Up { m: [[0.0; N]; N], z: [0.0; 4] }; count],
            down: vec![[[0.0; N]; N]; count],
            special: vec![Special { z: [[0.0; N]; N], give: [[0.0; N]; N] }; plan.extras.len()],
            points: vec![point; plan.loads],
        };
        linearize(plan, ports, voltages, |position, step| {
            met(position, &step);
            let m = M6::identity() - step.a * step.g * step.z;
            let [own, own_im, mutual, mutual_im] = plan.links[position].z;
            let z = [own - mutual, own_im - mutual_im, mutual, mutual_im];
            tables.up[position] = Up { m: square(&m), z };
            tables.down[position] = square(&(step.g * step.t));
            let extra = plan.nodes[position].extra;
            if extra != NONE {
                tables.special[extra as usize] =
                    Special { z: square(&step.z), give: square(&step.t.transpose()) };
            }
        });
        tables
    }

    /// What begins an item, by its number.
    fn of_trunk(self, plan: &Plan) -> Self {
        let starts = || plan.items.iter().map(|item| item.start);
        Self {
            up: starts().map(|start| self.up[start]).collect(),
            down: starts().map(|start| self.down[start]).collect(),
            ..self
        }
    }

    /// The same in single precision.
    fn single(&self) -> Tables<N, f32> {
        Tables {
            up: self.up.iter().map(|up| Up { m: rounded(&up.m), z: up.z.map(f32::of) }).collect(),
            down: self.down.iter().map(rounded).collect(),
            special: self
                .special
                .iter()
                .map(|special| Special { z: rounded(&special.z), give: rounded(&special.give) })
                .collect(),
            points: self
                .points
                .iter()
                .map(|point| Point {
                    v: point.v.map(f32::of),
                    u: point.u.map(f32::of),
                    p: point.p.map(f32::of),
                })
                .collect(),
        }
    }
}

fn rounded<const N: usize>(m: &Square<N, f64>) -> Square<N, f32> {
    m.map(|column| column.map(f32::of))
}

fn point<const N: usize>(v: &[Complex64], powers: &[Complex64; 3]) -> Point<N, f64> {
    let u: Vec<Complex64> = v.iter().map(|v| v.conj().inv()).collect();
    let p: Vec<Complex64> = v.iter().zip(powers).map(|(v, s)| s / (v * v)).collect();
    Point { v: parts(v), u: parts(&u), p: parts(&p) }
}

/// Real parts, then imaginary parts.
pub(super) fn parts<const N: usize>(values: &[Complex64]) -> [f64; N] {
    let wires = N / 2;
    std::array::from_fn(|at| if at < wires { values[at].re } else { values[at - wires].im })
}

/// Of three wires those that there are.
pub(super) fn square<const N: usize>(m: &M6) -> Square<N, f64> {
    std::array::from_fn(|column| std::array::from_fn(|row| m[(place::<N>(row), place::<N>(column))]))
}

impl<const N: usize> Other<N> {
    fn new(position: u32, port: LoadPort, v: &[Complex64], path: [f64; 2]) -> Self {
        let mut slope = M6::zeros();
        add_port(&mut slope, &port, v);
        let mut other = Self { position, port, current: Complex64::ZERO, slope: square(&slope), path };
        other.current = current(&port, other.across(|wire| v[wire]));
        other
    }

    /// The voltage across it.
    pub(super) fn across(&self, v: impl Fn(usize) -> Complex64) -> Complex64 {
        let plus = v(usize::from(self.port.plus));
        if self.port.minus == GROUND { plus } else { plus - v(usize::from(self.port.minus)) }
    }

    /// Hands out a current through it, by part of its bus.
    pub(super) fn add(&self, taken: Complex64, mut to: impl FnMut(usize, f64)) {
        let mut put = |wire: u8, by: Complex64| {
            to(usize::from(wire), by.re);
            to(N / 2 + usize::from(wire), by.im);
        };
        put(self.port.plus, taken);
        if self.port.minus != GROUND {
            put(self.port.minus, -taken);
        }
    }

    /// What the response of the reference leaves of its current at a deviation, by part of its bus.
    #[inline(never)]
    pub(super) fn left(&self, power: Complex64, v: &[f64; N], d: &[f64; N]) -> [f64; N] {
        let wires = N / 2;
        let across = self.across(|wire| Complex64::new(v[wire] + d[wire], v[wires + wire] + d[wires + wire]));
        let more = current(&LoadPort { power, ..self.port }, across) - self.current;
        let mut left = [0.0; N];
        self.add(more, |part, by| left[part] += by);
        for (column, by) in self.slope.iter().zip(d) {
            for (left, slope) in left.iter_mut().zip(column) {
                *left -= slope * by;
            }
        }
        left
    }
}
