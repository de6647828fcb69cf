//! The last sweeps of a block, in double precision: the exact equations, with the powers as they came in.
//!
//! ```text
//! up    J = Y V + conj(S / V) + Σ Tᴴ J of the children
//! down  V' = T V'parent − Z J
//! ```
//!
//! They begin within the rounding of single precision, so that one or two are enough, and cost half of what a sweep around
//! the reference costs. How much of an error a sweep leaves is bounded, see [`super::edges`].

use super::deviations::{Bus, HALF, LANES, Shared, fallen, times};
use super::plan::{Item, NONE, Plan};
use super::ports::current;
use super::reference::Reference;
use super::rows::{Lanewise, Row};
use crate::circuit::{GROUND, LoadPort};
use crate::simd::Arithmetic;
use num_complex::Complex64;

type Four = [f64; HALF];

/// A block while it is swept, four scenarios of it.
#[derive(Debug, Clone)]
pub(super) struct Block<const N: usize> {
    /// Voltages by position of the block.
    pub v: Vec<Bus<N, Four>>,
    /// Constant powers by load record of the block.
    pub s: Vec<Bus<N, Four>>,
    /// Currents by position of the block.
    j: Vec<Bus<N, Four>>,
    /// By depth: current of the children met so far.
    sums: Vec<Bus<N, Four>>,
    /// By depth: voltage of the last bus there.
    above: Vec<Bus<N, Four>>,
}

/// The part of an error that loads may leave: of each wire on itself more than on others, and of all on all.
type Leave = [Four; 4];

/// Where more than this of an error may stay, nothing is said about what is left.
const RATE_MAX: f64 = 0.9;
/// What is left then, in movements.
const UNKNOWN: f64 = 1e15;
/// So many times its size may the current of other ports answer to a voltage: it has a part that turns with it and one
/// that does not.
const OTHERS: f64 = 2.0;
/// Sweeps of a block at most.
const SWEEPS_MAX: usize = 4;

impl<const N: usize> Block<N> {
    pub(super) fn new(plan: &Plan, longest: usize, loads: usize) -> Self {
        let zeros = |count: usize| vec![Bus::ZERO; count];
        Self {
            v: zeros(longest),
            s: zeros(loads),
            j: zeros(longest),
            sums: zeros(plan.depth + 2),
            above: zeros(plan.depth + 2),
        }
    }

    /// Sweeps the block of an item below the voltage of the bus above it until what is left is below the goal, p.u.:
    /// the current that it takes, and by lane the square of what may be left.
    #[inline(always)]
    pub(super) fn settle<A: Arithmetic>(
        &mut self,
        a: A,
        shared: Shared<'_, N>,
        number: usize,
        above: &Bus<N, Four>,
        others: (&[[Complex64; LANES]], usize),
        goal: f64,
    ) -> (Bus<N, Four>, Four) {
        let (edge, mut sweep) = (&shared.reference.edges[number], 0);
        loop {
            let (taken, [x, y, z, all]) = self.up(a, shared, number, others);
            let mut left = self.down(a, shared, number, above);
            sweep += 1;
            let mut settled = true;
            for (lane, left) in left.iter_mut().enumerate() {
                let loads = all[lane] + x[lane].max(y[lane]).max(z[lane]);
                let rate = edge.gain * (edge.shunts + loads);
                let share = if rate < RATE_MAX { rate / (1.0 - rate) } else { UNKNOWN };
                *left *= share * share;
                settled &= *left <= goal * goal;
            }
            if settled || sweep == SWEEPS_MAX {
                return (taken, left);
            }
        }
    }

    /// Currents; what the block takes, and what its loads may leave.
    #[inline(always)]
    fn up<A: Arithmetic>(
        &mut self,
        a: A,
        shared: Shared<'_, N>,
        number: usize,
        (powers, offset): (&[[Complex64; LANES]], usize),
    ) -> (Bus<N, Four>, Leave) {
        let Shared { plan, reference } = shared;
        let Item { start, end, .. } = plan.items[number];
        let first_load = reference.first[number].1;
        let others = &reference.others;
        let mut left = others.partition_point(|other| (other.position as usize) < end);
        let (sums, mut leave) = (&mut self.sums[..], [Four::ZERO; 4]);
        let rows = plan.nodes[start..end].iter().zip(&plan.links[start..end]);
        for (at, (((node, link), v), kept)) in rows.zip(&self.v).zip(&mut self.j).enumerate().rev() {
            let depth = node.depth as usize;
            let mut j = sums[depth + 1].0;
            sums[depth + 1] = Bus::ZERO;
            if link.y != [0.0; 4] {
                let less = fallen(a, &apart(&link.y), &v.0);
                for part in 0..N {
                    j[part] = a.sub4(j[part], less[part]);
                }
            }
            if node.load > 0 {
                let answers;
                (j, answers) = drawn(a, &self.s[(node.load - first_load) as usize].0, &v.0, j);
                add_left(a, reference.paths[node.load as usize], &answers, &mut leave);
            }
            while left > 0 && others[left - 1].position as usize == start + at {
                left -= 1;
                j = with_other(reference, left, (&powers[left], offset), v, j, &mut leave);
            }
            let mut given = j;
            if node.extra != NONE {
                let unusual = &reference.unusual[node.extra as usize];
                j = times(a, &unusual.y, &v.0, j);
                given = times(a, &unusual.give, &j, [Four::ZERO; N]);
            }
            kept.0 = j;
            for part in 0..N {
                sums[depth].0[part] = a.add4(sums[depth].0[part], given[part]);
            }
        }
        let depth = plan.nodes[start].depth as usize;
        (std::mem::replace(&mut sums[depth], Bus::ZERO), leave)
    }

    /// Voltages; by lane the square of the largest movement.
    #[inline(always)]
    fn down<A: Arithmetic>(
        &mut self,
        a: A,
        shared: Shared<'_, N>,
        number: usize,
        top: &Bus<N, Four>,
    ) -> Four {
        let Shared { plan, reference } = shared;
        let Item { start, end, .. } = plan.items[number];
        self.above[plan.nodes[start].depth as usize - 1] = *top;
        let (mut largest, above) = (Four::ZERO, &mut self.above[..]);
        let rows = plan.nodes[start..end].iter().zip(&plan.links[start..end]);
        for (((node, link), v), j) in rows.zip(&mut self.v).zip(&self.j) {
            let depth = node.depth as usize;
            let rise = fallen(a, &apart(&link.z), &j.0);
            let mut next = above[depth - 1].0;
            if node.extra != NONE {
                let unusual = &reference.unusual[node.extra as usize];
                let drop = times(a, &unusual.z, &j.0, [Four::ZERO; N]);
                next = times(a, &unusual.t, &next, [Four::ZERO; N]);
                for part in 0..N {
                    next[part] = a.sub4(next[part], drop[part]);
                }
            }
            for part in 0..N {
                next[part] = a.add4(next[part], rise[part]);
            }
            for re in 0..N / 2 {
                let im = N / 2 + re;
                let (x, y) = (a.sub4(next[re], v.0[re]), a.sub4(next[im], v.0[im]));
                largest = a.max4(largest, a.fma4(x, x, a.mul4(y, y)));
            }
            v.0 = next;
            above[depth].0 = next;
        }
        largest
    }
}

/// Own − mutual and mutual, of own and mutual.
#[inline(always)]
fn apart(c: &[f64; 4]) -> [f64; 4] {
    [c[0] - c[2], c[1] - c[3], c[2], c[3]]
}

/// j + conj(s / v), wire by wire, and by how much it answers at most to a voltage: |s| / |v|².
#[inline(always)]
fn drawn<A: Arithmetic, const N: usize>(
    a: A,
    s: &[Four; N],
    v: &[Four; N],
    mut j: [Four; N],
) -> ([Four; N], [Four; 3]) {
    let mut answers = [Four::ZERO; 3];
    for re in 0..N / 2 {
        let im = N / 2 + re;
        let (x, y) = (v[re], v[im]);
        let by = a.div4(<Four as Lanewise>::all(a, 1.0), a.fma4(x, x, a.mul4(y, y)));
        j[re] = a.fma4(a.fma4(s[im], y, a.mul4(s[re], x)), by, j[re]);
        j[im] = a.fma4(a.fnma4(s[im], x, a.mul4(s[re], y)), by, j[im]);
        answers[re] = a.mul4(a.add4(a.abs4(s[re]), a.abs4(s[im])), by);
    }
    (j, answers)
}

/// Adds what the loads of a bus may leave of an error.
#[inline(always)]
fn add_left<A: Arithmetic>(a: A, [apart, mutual]: [f64; 2], answers: &[Four; 3], leave: &mut Leave) {
    for wire in 0..3 {
        leave[wire] = a.fma4(a.splat4(apart), answers[wire], leave[wire]);
    }
    let all = a.add4(a.add4(answers[0], answers[1]), answers[2]);
    leave[3] = a.fma4(a.splat4(mutual), all, leave[3]);
}

/// j + the current of another port, lane by lane.
#[inline(never)]
fn with_other<const N: usize>(
    reference: &Reference<N>,
    number: usize,
    (powers, offset): (&[Complex64; LANES], usize),
    v: &Bus<N, Four>,
    mut j: [Four; N],
    leave: &mut Leave,
) -> [Four; N] {
    let (other, wires) = (&reference.others[number], N / 2);
    for lane in 0..HALF {
        let across = other.across(|wire| Complex64::new(v.0[wire][lane], v.0[wires + wire][lane]));
        let taken = current(&LoadPort { power: powers[offset + lane], ..other.port }, across);
        other.add(taken, |part, by| j[part][lane] += by);
        // Between two wires both errors count, at both.
        let times = if other.port.minus == GROUND { 1.0 } else { 4.0 };
        let by = OTHERS * times * (other.path[0] + other.path[1]) * (taken / across).norm();
        leave[3][lane] += by;
    }
    j
}
