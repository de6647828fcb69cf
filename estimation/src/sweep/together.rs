//! Eight scenarios at a time, as deviations from a [`Reference`].
//!
//! Blocks (subtrees that fit into the cache) and the trunk above them take turns:
//!
//! ```text
//! single precision   up blocks, up trunk | down trunk, down blocks, up blocks, up trunk | …
//! double precision   down trunk and blocks; each block: exact sweeps below the trunk's voltages, result | up and down trunk
//! ```
//!
//! Single precision only finds where the last sweeps, in double precision, start. Those solve the exact equations
//! from the powers as they came in, and by how much they move the voltages decides whether they are accepted. When the
//! trunk moves, the blocks follow it by the response of the reference.

use super::deviations::{Bus, HALF, LANES, Luggage, Shared, Stretch, deviating, down, times, up};
use super::exact::Block;
use super::plan::{Item, Plan};
use super::reference::{Inlet, Reference, Way};
use super::rows::Row;
use crate::simd::{Arithmetic, Kernel};
use crate::solve::Tolerance;
use num_complex::Complex64;

type Eight = [f32; LANES];
type Four = [f64; HALF];

/// A group of scenarios.
#[derive(Debug, Clone)]
pub(super) struct Group<const N: usize> {
    single: Single<N>,
    double: [Double<N>; 2],
    /// Powers of other ports, by lane.
    powers: Vec<[Complex64; LANES]>,
    /// Voltages by lane and global wire, p.u.; dead wires are zero.
    pub voltages: Vec<Vec<Complex64>>,
}

/// All deviations, by position and load record.
#[derive(Debug, Clone)]
struct Single<const N: usize> {
    d: Vec<Bus<N, Eight>>,
    rise: Vec<Bus<N, Eight>>,
    s: Vec<Bus<N, Eight>>,
    /// What rounding left away of `s`: both together are double precision.
    rest: Vec<Bus<N, Eight>>,
    luggage: Luggage<N, Eight>,
    /// By item: current of a block; movement of a bus of the trunk.
    totals: Vec<Bus<N, Eight>>,
}

/// One block, and by item the deviations of the buses of the trunk.
#[derive(Debug, Clone)]
struct Double<const N: usize> {
    block: Block<N>,
    trunk: [Vec<Bus<N, Four>>; 2],
    /// Of the powers at one bus of the trunk.
    s: [Bus<N, Four>; 1],
    luggage: Luggage<N, Four>,
    /// By item: deviation of the current of a block, were it not for that of the voltage above.
    totals: Vec<Bus<N, Four>>,
    /// Squares of what may be left within blocks.
    left: Four,
}

impl<const N: usize> Group<N> {
    pub(super) fn new(plan: &Plan, reference: &Reference<N>) -> Self {
        let (count, items) = (plan.nodes.len(), plan.items.len());
        let longest = plan.items.iter().map(|item| item.end - item.start).max().unwrap_or(0);
        let loads =
            reference.first.windows(2).map(|pair| (pair[1].1 - pair[0].1) as usize).max().unwrap_or(0);
        let single = Single {
            d: vec![Bus::ZERO; count],
            rise: vec![Bus::ZERO; count],
            s: vec![Bus::ZERO; plan.loads],
            rest: vec![Bus::ZERO; plan.loads],
            luggage: Luggage::new(plan, 0),
            totals: vec![Bus::ZERO; items],
        };
        let double = |offset: usize| Double {
            block: Block::new(plan, longest, loads),
            trunk: std::array::from_fn(|_| vec![Bus::ZERO; items]),
            s: [Bus::ZERO],
            luggage: Luggage::new(plan, offset),
            totals: vec![Bus::ZERO; items],
            left: [0.0; HALF],
        };
        Self {
            single,
            double: [double(0), double(HALF)],
            powers: vec![[Complex64::ZERO; LANES]; reference.others.len()],
            voltages: vec![vec![Complex64::ZERO; plan.wire_count]; LANES],
        }
    }
}

/// Solves a group.
pub(super) struct Together<'a, const N: usize> {
    pub shared: Shared<'a, N>,
    pub group: &'a mut Group<N>,
    /// Constant powers by lane and port.
    pub powers: [&'a [Complex64]; LANES],
    pub tolerance: &'a Tolerance,
    /// Lanes in use.
    pub lanes: usize,
    /// Sweeps in single precision.
    pub coarse: usize,
}

/// What became of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Lanes whose voltages solve the equations.
    pub settled: [bool; LANES],
    /// Sweeps in all.
    pub sweeps: usize,
}

/// Sweeps in double precision at most; a scenario that has not settled by then is solved alone.
const FINE_MAX: usize = 4;
/// Movements below this part of the first one are the noise of single precision.
const NOISE: f64 = 3e-6;
/// What is left after the last movement is foreseen from the rate of earlier ones, times this.
const MARGIN: f64 = 3.0;
/// Part of the tolerance that may be left.
pub(super) const LEFT: f64 = 0.1;
/// A movement of the trunk by this part of the tolerance moves the blocks, too.
const SHIFT: f64 = 0.03;

/// A walk over the whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Walk {
    /// Powers in, currents of the blocks at the reference's voltages.
    Begin,
    /// Currents of the trunk.
    Trunk,
    /// Voltages, and the currents of the blocks after it.
    Down,
    /// Currents of the blocks.
    Blocks,
    /// Voltages, and the blocks again in double precision.
    Fine,
}

/// How a lane's voltages moved.
#[derive(Debug, Clone, Copy)]
struct Course {
    first: f64,
    last: f64,
    /// By how much movements shrink from one to the next.
    rate: f64,
}

impl Course {
    const START: Self = Self { first: f64::INFINITY, last: f64::INFINITY, rate: 1.0 };

    #[inline(always)]
    fn moves(&mut self, by: f64) {
        if self.first == f64::INFINITY {
            self.first = by;
        } else if self.last > NOISE * self.first {
            self.rate = by.max(NOISE * self.first) / self.last;
        }
        self.last = by;
    }

    /// Whether a last movement by an exact sweep leaves less than a tenth of the tolerance.
    #[inline(always)]
    fn settles(&self, by: f64, tolerance: f64) -> bool {
        let rate = if by > NOISE * self.first { self.rate.max(by / self.last) } else { self.rate };
        let left = if rate < 0.5 { by * rate / (1.0 - rate) } else { by };
        by <= tolerance && left <= LEFT * tolerance || MARGIN * left <= LEFT * tolerance
    }
}

impl<const N: usize> Kernel for Together<'_, N> {
    type Output = Outcome;
    const MANY_NUMBERS: bool = true;

    #[inline(always)]
    fn run<A: Arithmetic>(mut self, a: A) -> Outcome {
        let mut outcome = Outcome { settled: [false; LANES], sweeps: 0 };
        let (mut courses, mut walk, mut fine) = ([Course::START; LANES], Walk::Begin, 0);
        loop {
            self.walk(a, walk, outcome.sweeps == 0);
            if matches!(walk, Walk::Down | Walk::Fine) {
                outcome.sweeps += 1;
                let squares = std::mem::replace(&mut self.group.single.luggage.squares, Row::ZERO);
                for (course, square) in courses.iter_mut().zip(squares) {
                    course.moves(f64::from(square).sqrt());
                }
            }
            walk = match walk {
                Walk::Begin | Walk::Down | Walk::Blocks => Walk::Trunk,
                Walk::Trunk if outcome.sweeps + 1 < self.coarse => Walk::Down,
                Walk::Trunk => Walk::Fine,
                Walk::Fine => {
                    outcome.sweeps += 1;
                    fine += 1;
                    let (moved, left) = self.finish(a);
                    let voltage_pu = self.tolerance.voltage_pu;
                    for lane in 0..LANES {
                        outcome.settled[lane] =
                            courses[lane].settles(moved[lane], voltage_pu) && left[lane] <= LEFT * voltage_pu;
                    }
                    if fine == FINE_MAX || outcome.settled[..self.lanes].iter().all(|settled| *settled) {
                        return outcome;
                    }
                    Walk::Blocks
                }
            };
        }
    }
}

impl<const N: usize> Together<'_, N> {
    /// Single precision; a block in double precision while it is at hand.
    #[inline(always)]
    fn walk<A: Arithmetic>(&mut self, a: A, walk: Walk, fresh: bool) {
        let (Shared { plan, reference }, count) = (self.shared, self.shared.plan.items.len());
        for at in 0..count {
            let number = if walk == Walk::Trunk { count - 1 - at } else { at };
            let Item { start, end, block } = plan.items[number];
            if walk == Walk::Begin {
                self.take(a, number);
            }
            let Group { single, powers, .. } = &mut *self.group;
            let Single { d, rise, s, luggage, totals, .. } = single;
            let loads = reference.first[number].1 as usize..reference.first[number + 1].1 as usize;
            let (d, rise, s) = (&mut d[start..end], &mut rise[start..end], &s[loads]);
            if matches!(walk, Walk::Down | Walk::Fine) {
                let stretch = Stretch { number, row: start, d: &mut *d, rise: &mut *rise, s, fresh };
                down(a, self.shared, &reference.single, stretch, luggage);
            }
            let depth = plan.nodes[start].depth as usize;
            if block && walk == Walk::Trunk {
                luggage.sums[depth] = luggage.sums[depth].plus(a, &totals[number]);
            } else if block != (walk == Walk::Trunk) && walk != Walk::Fine {
                let fresh = fresh && walk != Walk::Down;
                let stretch = Stretch { number, row: start, d, rise, s, fresh };
                up(a, self.shared, &reference.single, stretch, luggage, powers);
                if block {
                    totals[number] = luggage.sums[depth];
                }
                if block || depth == 1 {
                    luggage.sums[depth] = Bus::ZERO;
                }
            }
            if walk == Walk::Fine {
                self.fine(a, number);
            }
        }
    }

    /// Takes in the powers of an item as deviations, in single precision and what that leaves away.
    #[inline(always)]
    fn take<A: Arithmetic>(&mut self, a: A, number: usize) {
        let reference = self.shared.reference;
        let Group { single, powers, .. } = &mut *self.group;
        let (from, to) = (reference.first[number].0 as usize, reference.first[number + 1].0 as usize);
        for (at, inlet) in (from..).zip(&reference.inlets[from..to]) {
            fetch_powers(a, &reference.inlets, at, &self.powers);
            if inlet.way == Way::Other {
                let port = inlet.port as usize;
                powers[inlet.to as usize] =
                    self.powers.map(|powers| powers.get(port).copied().unwrap_or_default());
                continue;
            }
            let taken: [_; N] = deviating(a, inlet, &self.powers);
            let (s, rest) = (&mut single.s[inlet.to as usize].0, &mut single.rest[inlet.to as usize].0);
            let more = matches!(inlet.way, Way::More(_));
            for part in 0..N {
                let [mut low, mut high] = taken[part];
                if more {
                    let before = both(a, s[part], rest[part]);
                    (low, high) = (a.add4(low, before[0]), a.add4(high, before[1]));
                }
                s[part] = a.narrow8(low, high);
                let rounded = a.widen8(s[part]);
                rest[part] = a.narrow8(a.sub4(low, rounded.0), a.sub4(high, rounded.1));
            }
        }
    }

    /// The powers of an item in double precision: whole ones of a block, deviations of the trunk.
    #[inline(always)]
    fn take_double<A: Arithmetic>(&mut self, a: A, number: usize) {
        let Shared { plan, reference } = self.shared;
        let loads = reference.first[number].1 as usize..reference.first[number + 1].1 as usize;
        let block = plan.items[number].block;
        let Group { single, double: [early, late], .. } = &mut *self.group;
        for (at, load) in loads.enumerate() {
            let (s, rest) = (&single.s[load].0, &single.rest[load].0);
            let (early, late) = if block {
                (&mut early.block.s[at].0, &mut late.block.s[at].0)
            } else {
                (&mut early.s[at].0, &mut late.s[at].0)
            };
            for part in 0..N {
                [early[part], late[part]] = both(a, s[part], rest[part]);
                if block {
                    let standing = a.splat4(reference.powers[load][part]);
                    (early[part], late[part]) = (a.add4(early[part], standing), a.add4(late[part], standing));
                }
            }
        }
    }

    /// An item in double precision: a block as a whole, below a voltage that stays; of the trunk where it starts.
    #[inline(always)]
    fn fine<A: Arithmetic>(&mut self, a: A, number: usize) {
        let (Shared { plan, reference }, halves) = (self.shared, self.lanes.div_ceil(HALF));
        let Item { start, end, block } = plan.items[number];
        if block {
            self.take_double(a, number);
        }
        let (depth, goal) = (plan.nodes[start].depth as usize, LEFT * self.tolerance.voltage_pu);
        let parent = plan.nodes[start].parent as usize;
        let Group { single, double, powers, voltages } = &mut *self.group;
        for (half, double) in double.iter_mut().enumerate().take(halves) {
            let Double { block: swept, trunk, totals, left, .. } = double;
            if !block {
                trunk[0][number] = wide(&single.d[start], half);
                continue;
            }
            for ((v, single), standing) in
                swept.v.iter_mut().zip(&single.d[start..end]).zip(&reference.v[start..])
            {
                *v = wide(single, half).plus(a, &everywhere(a, standing));
            }
            let moved = wide(&single.luggage.above[depth - 1], half);
            let above = moved.plus(a, &everywhere(a, &reference.v[parent]));
            let others = (&powers[..], half * HALF);
            let (taken, within) = swept.settle(a, self.shared, number, &above, others, goal);
            *left = a.max4(*left, within);
            let edge = &reference.edges[number];
            let by_voltage = times(a, &edge.response, &moved.0, everywhere(a, &edge.current).0);
            for part in 0..N {
                totals[number].0[part] = a.sub4(taken.0[part], by_voltage[part]);
            }
            write(a, plan, start, swept.v[..end - start].iter(), &mut voltages[half * HALF..][..HALF]);
        }
    }

    /// The trunk in double precision, and the blocks after it where that matters. By lane the largest movements of the
    /// trunk, and what may be left within blocks.
    #[inline(always)]
    fn finish<A: Arithmetic>(&mut self, a: A) -> ([f64; LANES], [f64; LANES]) {
        let (Shared { plan, reference }, halves) = (self.shared, self.lanes.div_ceil(HALF));
        let (mut moved, mut left, mut shift) = ([0.0; LANES], [0.0; LANES], false);
        let count = plan.items.len();
        for at in 0..2 * count {
            let climbing = at < count;
            let number = if climbing { count - 1 - at } else { at - count };
            let Item { start, block, .. } = plan.items[number];
            if climbing && !block {
                self.take_double(a, number);
            }
            let depth = plan.nodes[start].depth as usize;
            let Group { single, double, powers, voltages } = &mut *self.group;
            for (half, double) in double.iter_mut().enumerate().take(halves) {
                let Double { trunk: [d, rise], s, luggage, totals, .. } = double;
                let (d, rise) = (&mut d[number..=number], &mut rise[number..=number]);
                let before = d[0];
                let stretch = Stretch { number, row: number, d: &mut *d, rise, s, fresh: false };
                if block {
                    if climbing {
                        luggage.sums[depth] = luggage.sums[depth].plus(a, &totals[number]);
                    }
                } else if climbing {
                    up(a, self.shared, &reference.double, stretch, luggage, powers);
                    if depth == 1 {
                        luggage.sums[1] = Bus::ZERO;
                    }
                } else {
                    down(a, self.shared, &reference.double, stretch, luggage);
                    let v = d[0].plus(a, &everywhere(a, &reference.v[start]));
                    write(a, plan, start, [v].iter(), &mut voltages[half * HALF..][..HALF]);
                    for part in 0..N {
                        let by = a.sub4(d[0].0[part], before.0[part]);
                        for lane in 0..HALF {
                            single.totals[number].0[part][half * HALF + lane] = by[lane] as f32;
                        }
                    }
                }
            }
        }
        for half in 0..halves {
            let double = &mut self.group.double[half];
            let trunk = std::mem::replace(&mut double.luggage.squares, Row::ZERO);
            let within = std::mem::replace(&mut double.left, Row::ZERO);
            for lane in 0..HALF {
                let trunk = trunk[lane].sqrt();
                (moved[half * HALF + lane], left[half * HALF + lane]) = (trunk, within[lane].sqrt());
                shift |= trunk > SHIFT * self.tolerance.voltage_pu;
            }
        }
        if shift {
            self.shift(a);
        }
        (moved, left)
    }

    /// Moves the blocks with the trunk, by the response of the reference.
    #[inline(always)]
    fn shift<A: Arithmetic>(&mut self, a: A) {
        let Shared { plan, reference } = self.shared;
        let Group { single, voltages, .. } = &mut *self.group;
        let above = &mut single.luggage.above;
        for (number, &Item { start, end, block }) in plan.items.iter().enumerate() {
            if !block {
                above[plan.nodes[start].depth as usize] = single.totals[number];
                continue;
            }
            for position in start..end {
                let (depth, first) =
                    (plan.nodes[position].depth as usize, plan.first_wire[position] as usize);
                let by = times(a, &reference.single.down[position], &above[depth - 1].0, [Row::ZERO; N]);
                above[depth] = Bus(by);
                for wire in 0..N / 2 {
                    for (lane, voltages) in voltages.iter_mut().enumerate() {
                        let (re, im) = (by[wire][lane], by[N / 2 + wire][lane]);
                        voltages[first + wire] += Complex64::new(f64::from(re), f64::from(im));
                    }
                }
            }
        }
    }
}

/// A number of single precision with what it leaves away, of the first and of the last lanes.
#[inline(always)]
fn both<A: Arithmetic>(a: A, number: Eight, rest: Eight) -> [Four; 2] {
    let (number, rest) = (a.widen8(number), a.widen8(rest));
    [a.add4(number.0, rest.0), a.add4(number.1, rest.1)]
}

/// Half of the lanes in double precision.
#[inline(always)]
fn wide<const N: usize>(single: &Bus<N, Eight>, half: usize) -> Bus<N, Four> {
    let mut wide = Bus::<N, Four>::ZERO;
    for part in 0..N {
        let [p, q, r, s, t, u, v, w] = single.0[part];
        let four = if half == 0 { [p, q, r, s] } else { [t, u, v, w] };
        for lane in 0..HALF {
            wide.0[part][lane] = f64::from(four[lane]);
        }
    }
    wide
}

/// The same in all lanes.
#[inline(always)]
fn everywhere<A: Arithmetic, const N: usize>(a: A, parts: &[f64; N]) -> Bus<N, Four> {
    let mut all = Bus::ZERO;
    for (all, part) in all.0.iter_mut().zip(parts) {
        *all = a.splat4(*part);
    }
    all
}

/// Ports and buses are numbered as the network has them, not along the tree: what is so many places on is asked for.
const AHEAD: usize = 8;
/// Where powers and voltages of a group are more than this many wires, they are not in the cache.
const FAR: usize = 6_000;

/// Asks for powers that will be taken in soon.
#[inline(always)]
fn fetch_powers<A: Arithmetic>(a: A, inlets: &[Inlet], at: usize, powers: &[&[Complex64]; LANES]) {
    let Some(inlet) = inlets.get(at + AHEAD).filter(|_| powers[0].len() > FAR) else { return };
    let port = inlet.port as usize;
    for powers in powers {
        for power in [powers.get(port), powers.get(port + 2)].into_iter().flatten() {
            a.fetch(power);
        }
    }
}

/// Writes voltages from a position on.
#[inline(always)]
fn write<'v, A: Arithmetic, const N: usize>(
    a: A,
    plan: &Plan,
    start: usize,
    v: impl Iterator<Item = &'v Bus<N, Four>>,
    voltages: &mut [Vec<Complex64>],
) {
    for ((position, &first), v) in (start..).zip(&plan.first_wire[start..]).zip(v) {
        let (wires, first) = (N / 2, first as usize);
        if plan.wire_count > FAR
            && let Some(&soon) = plan.first_wire.get(position + AHEAD)
        {
            for voltages in voltages.iter() {
                a.fetch(&voltages[soon as usize]);
                a.fetch(&voltages[soon as usize + wires - 1]);
            }
        }
        let at = |part: usize| v.0[part.min(N - 1)];
        // By lane: the first two voltages, and the last two of three.
        let early = a.transpose4([at(0), at(wires), at(1), at(wires + 1)]);
        let late = a.transpose4([at(1), at(wires + 1), at(2), at(wires + 2)]);
        for ((voltages, early), late) in voltages.iter_mut().zip(early).zip(late) {
            match &mut voltages[first..first + wires] {
                [x, y, z] => {
                    (*x, *y) = (Complex64::new(early[0], early[1]), Complex64::new(early[2], early[3]));
                    *z = Complex64::new(late[2], late[3]);
                }
                [x, ..] => *x = Complex64::new(early[0], early[1]),
                [] => {}
            }
        }
    }
}
