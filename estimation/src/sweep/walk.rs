//! The sweep itself: down the tree with voltages, up with currents.
//!
//! ```text
//! up    J = (Y V + conj(S / V) + Σ Tᴴ J of the children) ∘ (1 + e Re g − conj g)
//! down  V' = T V'parent − Z J ∘ (1 + e Re r − conj r)
//! ```
//!
//! (D. Shirmohammadi et al., "A compensation-based power flow method for weakly meshed distribution and transmission
//! networks", IEEE Trans. Power Systems 3(2), 1988.) The factors are ours: a subtree is taken to move with its head as a
//! whole, and constant powers (e = 0) then take 1 − conj r times the current, r the movement relative to the voltage.
//! On the way up g is what the head will move against its parent, (T Vparent − Z J − V) / V; on the way down r is how
//! the parent moved. That is Newton's method with a coarse Jacobian: the factors are 1 when nothing moves, so the
//! solution is the same, and far fewer sweeps are needed when the drop is large.
//!
//! Positions are depth-first, so that what a bus needs of its parent is at `depth − 1` of a short stack. A block is a
//! subtree of some hundred buses: it is walked down and, while it is in the cache, up again for the next step.

use super::phasors::{Matrix, Phasors};
use super::plan::{Extra, Item, Link, NONE, Node, Plan};
use super::ports::{Port, with_port};
use crate::simd::Arithmetic;
use crate::solve::Tolerance;

/// Values of one solve, or of one scenario per lane.
#[derive(Debug, Clone)]
pub(super) struct Values<P> {
    /// Voltage by position.
    pub v: Vec<P>,
    /// By position: the drop in the element above; where it has an extra record, its current.
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
    /// By extra record: the response of subtrees that mix wires.
    pub responses: Vec<Response<P>>,
    /// By item: current of a block.
    pub totals: Vec<P>,
}

/// The next movement is foreseen from the last two, times this.
const MARGIN: f64 = 3.0;
/// A sweep is spared when what it would move is foreseen below this part of the tolerance.
const FORESEEN: f64 = 0.1;
/// Elements with a large drop of their own (transformers, all above such) look this often what their new current
/// does to it.
const REFINED: usize = 2;

/// How a subtree's current answers to its voltage: by −D conj(movement).
#[derive(Debug, Clone)]
pub(super) struct Response<P> {
    /// D, column by column.
    d: [P; 3],
    /// What the children met so far add.
    below: [P; 3],
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
            responses: vec![Response { d: [P::ZERO; 3], below: [P::ZERO; 3] }; plan.extras.len()],
            totals: vec![P::ZERO; plan.items.len()],
        }
    }
}

/// Sweeps until no voltage moves more than the tolerance, or by far would not in the next sweep: how many were needed,
/// or the last movement.
#[inline(always)]
pub(super) fn settle<A: Arithmetic, P: Phasors>(
    a: A,
    plan: &Plan,
    values: &mut Values<P>,
    tolerance: &Tolerance,
    start: Start,
) -> Result<usize, f64> {
    if start == Start::Flat {
        for (u, v) in values.zone_u.iter_mut().zip(&values.zone_v) {
            *u = v.inverse(a);
        }
        for (v, node) in values.v.iter_mut().zip(&plan.nodes) {
            *v = values.zone_v[node.zone as usize];
        }
    }
    // What an earlier solve left behind, possibly no numbers.
    values.sums.fill(P::ZERO);
    for response in &mut values.responses {
        response.below = [P::ZERO; 3];
    }
    let (mut moved, mut rate, mut sweep) = (f64::INFINITY, f64::INFINITY, 0);
    let enough = |moved: f64, rate: f64| {
        let foreseen = if rate < 0.1 { MARGIN * moved * rate } else { moved };
        moved <= tolerance.voltage_pu || foreseen <= FORESEEN * tolerance.voltage_pu
    };
    // One place where the tree is walked, so that its code exists once.
    let mut pass = Pass::BlocksUp;
    loop {
        let squared = walk(a, plan, values, pass);
        match pass {
            Pass::BlocksUp if sweep == tolerance.iterations_max => return Err(moved),
            Pass::BlocksUp => pass = Pass::RestUp,
            // The last sweep needs no currents after it.
            Pass::RestUp => pass = Pass::Down { and_up: !enough(moved * rate, rate) },
            Pass::Down { and_up } => {
                sweep += 1;
                let before = moved;
                moved = squared.sqrt();
                rate = if before.is_finite() { moved / before } else { f64::INFINITY };
                if enough(moved, rate) {
                    return Ok(sweep);
                }
                if !moved.is_finite() || sweep >= tolerance.iterations_max {
                    return Err(moved);
                }
                pass = if and_up { Pass::RestUp } else { Pass::BlocksUp };
            }
        }
    }
}

/// A walk over the whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The currents of all blocks.
    BlocksUp,
    /// The currents of the buses above the blocks.
    RestUp,
    /// All voltages, and the currents of each block right after them.
    Down {
        /// Whether the currents are needed.
        and_up: bool,
    },
}

/// Walks; the largest squared movement of a voltage.
#[inline(always)]
fn walk<A: Arithmetic, P: Phasors>(a: A, plan: &Plan, values: &mut Values<P>, pass: Pass) -> f64 {
    let mut squares = P::Squares::default();
    let count = plan.items.len();
    for at in 0..count {
        let number = if pass == Pass::RestUp { count - 1 - at } else { at };
        let item = plan.items[number];
        let depth = plan.nodes[item.start].depth as usize;
        if matches!(pass, Pass::Down { .. }) {
            down(a, plan, values, item, &mut squares);
        }
        let blocks = matches!(pass, Pass::BlocksUp | Pass::Down { and_up: true });
        if item.block && pass == Pass::RestUp {
            values.sums[depth] = values.sums[depth].plus(a, values.totals[number]);
        } else if item.block == blocks && (blocks || pass == Pass::RestUp) {
            up(a, plan, values, item);
            if item.block {
                values.totals[number] = values.sums[depth];
                values.sums[depth] = P::ZERO;
            }
        }
    }
    if pass == Pass::RestUp {
        values.sums[1] = P::ZERO;
    }
    P::largest(squares)
}

#[inline(always)]
fn up<A: Arithmetic, P: Phasors>(a: A, plan: &Plan, values: &mut Values<P>, item: Item) {
    let Values { v, j, s, ports, sums, zone_u, stack, exponent, responses, .. } = values;
    let mut left = if ports.is_empty() { 0 } else { behind(ports, item.end) };
    let range = item.start..item.end;
    let (nodes, links, j) = (&plan.nodes[range.clone()], &plan.links[range.clone()], &mut j[range]);
    for (at, ((node, link), kept)) in nodes.iter().zip(links).zip(j).enumerate().rev() {
        let (position, depth, own) = (item.start + at, node.depth as usize, v[item.start + at]);
        // What does not wait for the children first.
        let mut sum = P::ZERO.plus_coupled(a, &link.y, own).plus_load(a, own, s[node.load as usize]);
        while left > 0 && ports[left - 1].position as usize == position {
            left -= 1;
            // Copies, so that the values of all other buses stay in registers.
            sum = with_port(&ports[left], sum, own);
        }
        sum = sum.plus(a, sums[depth + 1]);
        sums[depth + 1] = P::ZERO;
        let above = if position == 0 { stack[0].0 } else { v[node.parent as usize] };
        let zone = zone_u[node.zone as usize];
        if node.extra == NONE {
            let moving = above.minus(a, own).minus_coupled(a, &link.z, sum);
            let eased = sum.eased(a, moving, zone, *exponent);
            sums[depth] = sums[depth].plus(a, eased);
            *kept = P::ZERO.plus_coupled(a, &link.z, eased);
        } else {
            let loads = P::ZERO.plus_load(a, own, s[node.load as usize]);
            let bus = Bus { node, link, own, above, sum, loads, zone, exponent: *exponent };
            let (sum, given) = special_up(a, plan, &bus, responses);
            *kept = sum;
            sums[depth] = sums[depth].plus(a, given);
        }
    }
}

/// What a bus with an extra record knows on the way up.
struct Bus<'a, P> {
    node: &'a Node,
    link: &'a Link,
    own: P,
    above: P,
    sum: P,
    loads: P,
    zone: P,
    exponent: f64,
}

/// Its current, and what the parent gives.
#[inline(always)]
fn special_up<A: Arithmetic, P: Phasors>(
    a: A,
    plan: &Plan,
    bus: &Bus<'_, P>,
    responses: &mut [Response<P>],
) -> (P, P) {
    let extra = &plan.extras[bus.node.extra as usize];
    let (mut sum, mut above) = (bus.sum, bus.above);
    if let Some(y) = &extra.y {
        sum = sum.plus(a, P::times(a, y, bus.own));
    }
    if let Some((ratio, _)) = &extra.ratio {
        above = P::times(a, ratio, above);
    }
    let response = &mut responses[bus.node.extra as usize];
    if extra.mixed {
        let own = response.scaled(a, bus.loads, bus.zone, bus.exponent);
        for n in 0..3 {
            response.d[n] = response.below[n].plus(a, own[n]);
            response.below[n] = P::ZERO;
        }
    }
    let mut eased = sum;
    for _ in 0..=REFINED {
        let moving = drop(a, above, bus.link, extra.z.as_ref(), eased).minus(a, bus.own);
        eased = response.eased(a, extra, sum, moving, bus.zone, bus.exponent);
    }
    let mut columns = response.d;
    if extra.under && !extra.mixed {
        columns = response.scaled(a, sum, bus.zone, bus.exponent);
    }
    let mut given = eased;
    if let Some((ratio, adjoint)) = &extra.ratio {
        given = P::times(a, adjoint, eased);
        columns = seen_through(a, ratio, adjoint, &columns);
    }
    if extra.under {
        let parent = &mut responses[plan.nodes[bus.node.parent as usize].extra as usize];
        for n in 0..3 {
            parent.below[n] = parent.below[n].plus(a, columns[n]);
        }
    }
    (eased, given)
}

/// Tᴴ D conj(T).
#[inline(always)]
fn seen_through<A: Arithmetic, P: Phasors>(a: A, ratio: &Matrix, adjoint: &Matrix, d: &[P; 3]) -> [P; 3] {
    let mut seen = [P::ZERO; 3];
    for (n, column) in seen.iter_mut().enumerate() {
        let mut mixed = P::ZERO;
        for (m, part) in d.iter().enumerate() {
            mixed = mixed.plus_coupled(a, &[ratio.re[n][m], -ratio.im[n][m], 0.0, 0.0], *part);
        }
        *column = P::times(a, adjoint, mixed);
    }
    seen
}

impl<P: Phasors> Response<P> {
    /// The response of constant powers that take these currents.
    #[inline(always)]
    fn scaled<A: Arithmetic>(&self, a: A, currents: P, zone: P, exponent: f64) -> [P; 3] {
        let share = P::ZERO.plus_coupled(a, &[1.0 - exponent / 2.0, 0.0, 0.0, 0.0], zone);
        currents.diagonal(a, share)
    }

    /// The current after the voltage moved.
    #[inline(always)]
    fn eased<A: Arithmetic>(&self, a: A, extra: &Extra, j: P, moved: P, zone: P, exponent: f64) -> P {
        if extra.mixed { j.minus_turned(a, &self.d, moved) } else { j.eased(a, moved, zone, exponent) }
    }
}

/// How many ports stand before a position.
fn behind(ports: &[Port], end: usize) -> usize {
    ports.partition_point(|port| (port.position as usize) < end)
}

#[inline(always)]
fn down<A: Arithmetic, P: Phasors>(
    a: A,
    plan: &Plan,
    values: &mut Values<P>,
    item: Item,
    squares: &mut P::Squares,
) {
    let Values { v, j, zone_u, stack, exponent, responses, .. } = values;
    let (range, exponent) = (item.start..item.end, *exponent);
    let (nodes, links) = (&plan.nodes[range.clone()], &plan.links[range.clone()]);
    let (v, j) = (&mut v[range.clone()], &j[range]);
    let mut largest = *squares;
    for (((node, link), v), j) in nodes.iter().zip(links).zip(v).zip(j) {
        let depth = node.depth as usize;
        let (above, moved) = stack[depth - 1];
        let zone = &mut zone_u[node.zone as usize];
        let next = if node.extra == NONE {
            above.minus(a, j.eased(a, moved, *zone, exponent))
        } else {
            *zone = v.inverse(a);
            let extra = &plan.extras[node.extra as usize];
            let (mut above, mut moved) = (above, moved);
            if let Some((ratio, _)) = &extra.ratio {
                (above, moved) = (P::times(a, ratio, above), P::times(a, ratio, moved));
            }
            let eased = responses[node.extra as usize].eased(a, extra, *j, moved, *zone, exponent);
            drop(a, above, link, extra.z.as_ref(), eased)
        };
        let moved = next.minus(a, *v);
        *v = next;
        stack[depth] = (next, moved);
        moved.raise(a, &mut largest);
    }
    *squares = largest;
}

/// T V above − Z J.
#[inline(always)]
fn drop<A: Arithmetic, P: Phasors>(a: A, above: P, link: &Link, full_z: Option<&Matrix>, j: P) -> P {
    let next = above.minus_coupled(a, &link.z, j);
    match full_z {
        Some(z) => next.minus(a, P::times(a, z, j)),
        None => next,
    }
}
