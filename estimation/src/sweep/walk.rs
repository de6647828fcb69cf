//! The sweep itself: down the tree with voltages, up with currents.
//!
//! ```text
//! up    J = Y V + conj(S / V) + Σ Tᴴ J of the children
//! down  V' = T V'parent − Z J ∘ (1 + e Re r − conj r)
//! ```
//!
//! (D. Shirmohammadi et al., "A compensation-based power flow method for weakly meshed distribution and transmission
//! networks", IEEE Trans. Power Systems 3(2), 1988.) The factor behind J is ours: a subtree whose head moved by r,
//! relative to its no-load voltage, is taken to move with it as a whole; constant powers (e = 0) then take 1 − conj r
//! times the current. It is 1 when nothing moves, so the solution is the same; far fewer sweeps are needed when the
//! voltage drop of a whole area is large.
//!
//! Positions are depth-first, so that what a bus needs of its parent is at `depth − 1` of a short stack. A block is a
//! subtree of some hundred buses: it is walked down and, while it is in the cache, up again for the next step.

use super::phasors::Phasors;
use super::plan::{Item, NONE, Plan};
use super::ports::{Port, add_current};
use crate::simd::Arithmetic;
use crate::solve::Tolerance;

/// Values of one solve, or of one scenario per lane.
#[derive(Debug, Clone)]
pub(super) struct Values<P> {
    /// Voltage by position.
    pub v: Vec<P>,
    /// Current that leaves the element above, by position.
    pub j: Vec<P>,
    /// Constant powers by load record; the first is zero.
    pub s: Vec<P>,
    /// Other ports, by position.
    pub ports: Vec<Port>,
    /// Exponent of the taken power over the voltage magnitude, on average.
    pub exponent: f64,
    /// No-load voltage by zone.
    pub zone_v: Vec<P>,
    /// 1 / conj of it.
    pub zone_u: Vec<P>,
    /// By depth: voltage of the last bus there, and by how much it moved.
    pub stack: Vec<(P, P)>,
    /// By depth: currents of the children met so far.
    pub sums: Vec<P>,
    /// By item: current of a block.
    pub totals: Vec<P>,
}

/// Where the voltages start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// At the no-load voltages.
    Flat,
    /// Where they are.
    Warm,
}

impl<P: Phasors> Values<P> {
    pub(super) fn new(plan: &Plan) -> Self {
        let zone = |value: &dyn Fn(num_complex::Complex64) -> num_complex::Complex64| -> Vec<P> {
            let fill = |zone: &[num_complex::Complex64; 3]| {
                let mut filled = P::ZERO;
                for wire in 0..plan.wires {
                    for lane in 0..P::LANES {
                        filled.put(wire, lane, value(zone[wire]));
                    }
                }
                filled
            };
            plan.zones.iter().map(fill).collect()
        };
        let zone_v = zone(&|v| v);
        let inverse = |v: num_complex::Complex64| if v.norm() > 1e-3 { v / v.norm_sqr() } else { v * 0.0 };
        let mut stack = vec![(P::ZERO, P::ZERO); plan.depth + 2];
        stack[0].0 = zone_v[0];
        Self {
            v: plan.nodes.iter().map(|node| zone_v[node.zone as usize]).collect(),
            j: vec![P::ZERO; plan.nodes.len()],
            s: vec![P::ZERO; plan.loads],
            ports: Vec::new(),
            exponent: 0.0,
            zone_u: zone(&inverse),
            zone_v,
            stack,
            sums: vec![P::ZERO; plan.depth + 2],
            totals: vec![P::ZERO; plan.items.len()],
        }
    }
}

/// Sweeps until no voltage moves more than the tolerance: how many were needed, or the last movement.
#[inline(always)]
pub(super) fn settle<A: Arithmetic, P: Phasors>(
    plan: &Plan,
    values: &mut Values<P>,
    tolerance: &Tolerance,
    start: Start,
) -> Result<usize, f64> {
    if start == Start::Flat {
        for (v, node) in values.v.iter_mut().zip(&plan.nodes) {
            *v = values.zone_v[node.zone as usize];
        }
    }
    blocks_up::<A, P>(plan, values);
    let (mut before, mut moved) = (f64::INFINITY, f64::INFINITY);
    for sweep in 1..=tolerance.iterations_max {
        rest_up::<A, P>(plan, values);
        // The last sweep needs no currents after it.
        let last = moved * (moved / before) < tolerance.voltage_pu;
        before = moved;
        moved = all_down::<A, P>(plan, values, !last).sqrt();
        if moved <= tolerance.voltage_pu {
            return Ok(sweep);
        }
        if !moved.is_finite() {
            return Err(moved);
        }
        if last {
            blocks_up::<A, P>(plan, values);
        }
    }
    Err(moved)
}

/// The currents of all blocks.
#[inline(always)]
fn blocks_up<A: Arithmetic, P: Phasors>(plan: &Plan, values: &mut Values<P>) {
    for (number, item) in plan.items.iter().enumerate().filter(|(_, item)| item.block) {
        block_up::<A, P>(plan, values, number, *item);
    }
}

#[inline(always)]
fn block_up<A: Arithmetic, P: Phasors>(plan: &Plan, values: &mut Values<P>, number: usize, item: Item) {
    let depth = plan.nodes[item.start].depth as usize;
    up::<A, P>(plan, values, item);
    values.totals[number] = values.sums[depth];
    values.sums[depth] = P::ZERO;
}

/// The currents of the buses above the blocks.
#[inline(always)]
fn rest_up<A: Arithmetic, P: Phasors>(plan: &Plan, values: &mut Values<P>) {
    for (number, item) in plan.items.iter().enumerate().rev() {
        if item.block {
            let depth = plan.nodes[item.start].depth as usize;
            values.sums[depth] = values.sums[depth].plus(values.totals[number]);
        } else {
            up::<A, P>(plan, values, *item);
        }
    }
    values.sums[1] = P::ZERO;
}

/// All voltages; with `and_up` the currents of each block right after. The largest squared movement.
#[inline(always)]
fn all_down<A: Arithmetic, P: Phasors>(plan: &Plan, values: &mut Values<P>, and_up: bool) -> f64 {
    let mut squares = P::Squares::default();
    for (number, item) in plan.items.iter().enumerate() {
        down::<A, P>(plan, values, *item, &mut squares);
        if and_up && item.block {
            block_up::<A, P>(plan, values, number, *item);
        }
    }
    P::largest(squares)
}

#[inline(always)]
fn up<A: Arithmetic, P: Phasors>(plan: &Plan, values: &mut Values<P>, item: Item) {
    let Values { v, j, s, ports, sums, .. } = values;
    let mut left = if ports.is_empty() { 0 } else { behind(ports, item.end) };
    let range = item.start..item.end;
    let (nodes, links) = (&plan.nodes[range.clone()], &plan.links[range.clone()]);
    let (v, j) = (&v[range.clone()], &mut j[range]);
    for (at, (((node, link), v), kept)) in nodes.iter().zip(links).zip(v).zip(j).enumerate().rev() {
        let depth = node.depth as usize;
        let mut sum = sums[depth + 1].plus_coupled::<A>(&link.y, *v);
        sums[depth + 1] = P::ZERO;
        sum = sum.plus_load::<A>(*v, s[node.load as usize]);
        while left > 0 && ports[left - 1].position as usize == item.start + at {
            left -= 1;
            add_current(&ports[left].port, &mut sum, v);
        }
        let mut given = sum;
        if node.extra != NONE {
            let extra = &plan.extras[node.extra as usize];
            if let Some(y) = &extra.y {
                sum = sum.plus(P::times::<A>(y, *v));
            }
            given = sum;
            if let Some((_, adjoint)) = &extra.ratio {
                given = P::times::<A>(adjoint, sum);
            }
        }
        *kept = sum;
        sums[depth] = sums[depth].plus(given);
    }
}

/// How many ports stand before a position.
fn behind(ports: &[Port], end: usize) -> usize {
    ports.partition_point(|port| (port.position as usize) < end)
}

#[inline(always)]
fn down<A: Arithmetic, P: Phasors>(
    plan: &Plan,
    values: &mut Values<P>,
    item: Item,
    squares: &mut P::Squares,
) {
    let Values { v, j, zone_u, stack, exponent, .. } = values;
    let (range, exponent) = (item.start..item.end, *exponent);
    let (nodes, links) = (&plan.nodes[range.clone()], &plan.links[range.clone()]);
    let (v, j) = (&mut v[range.clone()], &j[range]);
    let mut largest = *squares;
    for (((node, link), v), j) in nodes.iter().zip(links).zip(v).zip(j) {
        let depth = node.depth as usize;
        let (mut above, mut moved) = stack[depth - 1];
        let mut full_z = None;
        if node.extra != NONE {
            let extra = &plan.extras[node.extra as usize];
            full_z = extra.z.as_ref();
            if let Some((ratio, _)) = &extra.ratio {
                above = P::times::<A>(ratio, above);
                moved = P::times::<A>(ratio, moved);
            }
        }
        let j = j.eased::<A>(moved, zone_u[node.zone as usize], exponent);
        let mut next = above.plus_coupled::<A>(&link.z.map(|part| -part), j);
        if let Some(z) = full_z {
            next = next.minus(P::times::<A>(z, j));
        }
        let moved = next.minus(*v);
        *v = next;
        stack[depth] = (next, moved);
        moved.raise::<A>(&mut largest);
    }
    *squares = largest;
}
