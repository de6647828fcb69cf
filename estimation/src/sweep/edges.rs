//! What blocks are for the trunk above them, at the reference, and what bounds how fast exact sweeps of them settle.
//!
//! A voltage that is off by e moves the current of a constant power S by at most `|S| / |V|² |e|`, and that the voltages
//! of the block by at most the impedance from the top of the block down to there times as much, signs as they add up
//! most. The sum over all loads is the part of an error that may stay after a sweep, at whatever powers. Loads of one
//! line add up so to what they really leave at its end; of branches they count as if they were one.

use super::phasors::Matrix;
use super::plan::{Extra, Item, NONE, Plan};
use super::ports::current;
use super::reference::{Square, parts, square};
use super::sensitivities::Step;
use crate::circuit::{GROUND, LoadPort};
use nalgebra::SVector;
use num_complex::Complex64;

type V6 = SVector<f64, 6>;

/// What few elements have, exactly.
#[derive(Debug, Clone)]
pub(super) struct Unusual<const N: usize> {
    /// T.
    pub t: Square<N, f64>,
    /// Tᴴ.
    pub give: Square<N, f64>,
    /// What is not in the link of Z.
    pub z: Square<N, f64>,
    /// What is not in the link of Y.
    pub y: Square<N, f64>,
}

/// A block as the trunk sees it.
#[derive(Debug, Clone)]
pub(super) struct Edge<const N: usize> {
    /// The current that it takes.
    pub current: [f64; N],
    /// How that answers to the voltage above.
    pub response: Square<N, f64>,
    /// Transformers in it may make an error so many times as large.
    pub gain: f64,
    /// Its shunts leave at most so much of an error.
    pub shunts: f64,
}

/// Collects edges, position by position from the last to the root.
pub(super) struct Survey<'a, const N: usize> {
    plan: &'a Plan,
    voltages: &'a [Complex64],
    /// By position: what ports and children take.
    currents: Vec<V6>,
    /// By item.
    pub edges: Vec<Edge<N>>,
    /// By extra record.
    pub unusual: Vec<Unusual<N>>,
    /// The item that was met last.
    number: usize,
}

impl<'a, const N: usize> Survey<'a, N> {
    pub(super) fn new(
        plan: &'a Plan,
        ports: &[LoadPort],
        voltages: &'a [Complex64],
        paths: &[[f64; 2]],
    ) -> Self {
        let mut currents = vec![V6::zeros(); plan.nodes.len()];
        for place in &plan.ports {
            let Some(port) = ports.get(place.port as usize) else { continue };
            let taken = current(port, across(plan, place.position as usize, port, voltages));
            let sum = &mut currents[place.position as usize];
            add(sum, usize::from(place.plus), taken);
            if place.minus != GROUND {
                add(sum, usize::from(place.minus), -taken);
            }
        }
        let none = [[0.0; N]; N];
        let edge = |item| {
            let (gain, shunts) = gain(plan, item, paths);
            Edge { current: [0.0; N], response: none, gain, shunts }
        };
        let unusual = Unusual { t: none, give: none, z: none, y: none };
        Self {
            plan,
            voltages,
            currents,
            edges: plan.items.iter().map(edge).collect(),
            unusual: vec![unusual; plan.extras.len()],
            number: plan.items.len(),
        }
    }

    pub(super) fn note(&mut self, position: usize, step: &Step) {
        let plan = self.plan;
        let v: [f64; N] = parts(&self.voltages[plan.first_wire[position] as usize..][..N / 2]);
        let mut all = V6::zeros();
        for (at, v) in v.into_iter().enumerate() {
            all[place::<N>(at)] = v;
        }
        let taken = step.t.transpose() * (self.currents[position] + step.y * all);
        if position > 0 {
            self.currents[plan.nodes[position].parent as usize] += taken;
        }
        if self.number > 0 && plan.items[self.number - 1].start == position {
            self.number -= 1;
            let edge = &mut self.edges[self.number];
            edge.current = std::array::from_fn(|at| taken[place::<N>(at)]);
            edge.response = square(&(step.t.transpose() * step.a * step.g * step.t));
        }
        let node = &plan.nodes[position];
        if node.extra != NONE {
            let extra = &plan.extras[node.extra as usize];
            let unless = |is: bool, m| if is { square(m) } else { [[0.0; N]; N] };
            self.unusual[node.extra as usize] = Unusual {
                t: square(&step.t),
                give: square(&step.t.transpose()),
                z: unless(extra.z.is_some(), &step.z),
                y: unless(extra.y.is_some(), &step.y),
            };
        }
    }
}

/// Of three wires the place of a part of those that there are.
pub(super) fn place<const N: usize>(at: usize) -> usize {
    if at < N / 2 { at } else { 3 + at - N / 2 }
}

fn add(sum: &mut V6, wire: usize, by: Complex64) {
    sum[wire] += by.re;
    sum[3 + wire] += by.im;
}

/// The voltage across a port.
fn across(plan: &Plan, position: usize, port: &LoadPort, voltages: &[Complex64]) -> Complex64 {
    let v = &voltages[plan.first_wire[position] as usize..];
    let back = if port.minus == GROUND { Complex64::ZERO } else { v[usize::from(port.minus)] };
    v[usize::from(port.plus)] - back
}

/// Sizes of impedances from the top of a block down to each position: own − mutual, and mutual.
pub(super) fn paths(plan: &Plan) -> Vec<[f64; 2]> {
    let mut paths = vec![[0.0; 2]; plan.nodes.len()];
    for item in plan.items.iter().filter(|item| item.block) {
        for position in item.start..item.end {
            let (node, z) = (&plan.nodes[position], &plan.links[position].z);
            let (mut own, mut mutual) = (norm(&z[..2]), norm(&z[2..]));
            if position > item.start {
                let [apart, above] = paths[node.parent as usize];
                (own, mutual) = (own + apart + above, mutual + above);
            }
            if node.extra != NONE {
                let Extra { ratio, z, .. } = &plan.extras[node.extra as usize];
                let full = z.as_ref().map_or(0.0, rows);
                (own, mutual) = (own + full, mutual + full);
                if ratio.is_some() {
                    (own, mutual) = (own.max(mutual), own.max(mutual));
                }
            }
            paths[position] = [own - mutual, mutual];
        }
    }
    paths
}

/// Of a block: by how much transformers in it may make an error larger, and what shunts leave of one.
fn gain(plan: &Plan, item: &Item, paths: &[[f64; 2]]) -> (f64, f64) {
    let (mut gain, mut shunts) = (1.0, 0.0);
    for position in item.start..item.end {
        let node = &plan.nodes[position];
        let mut y = even(&plan.links[position].y);
        if node.extra != NONE {
            let extra = &plan.extras[node.extra as usize];
            y += extra.y.as_ref().map_or(0.0, rows);
            if let Some((ratio, adjoint)) = &extra.ratio {
                gain *= (rows(ratio) * rows(adjoint)).max(1.0);
            }
        }
        let [apart, mutual] = paths[position];
        shunts += (apart + mutual).max(mutual) * y;
    }
    (gain, shunts)
}

fn norm(c: &[f64]) -> f64 {
    c[0].hypot(c[1])
}

/// The largest sum of a row of one value on and one beside the diagonal.
fn even(c: &[f64; 4]) -> f64 {
    norm(&c[..2]) + 2.0 * norm(&c[2..])
}

/// The largest sum of a row.
fn rows(m: &Matrix) -> f64 {
    (0..3).map(|row| (0..3).map(|column| m.at(row, column).norm()).sum()).fold(0.0, f64::max)
}
