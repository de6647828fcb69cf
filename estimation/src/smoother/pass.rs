//! A pass of one set as deviations: up and down a part of the tree.
//!
//! On the way up a line carries what loads, meters and admittances behind it take and say at the last pass, corrected by what
//! the difference from what it carried then does on its way; on the way down it answers what has moved above since. So all that
//! factors do is in corrections, which end, and is done in single precision; sums are in that of the pass, and what is kept of
//! them at a position ([`Found`]) is rounded to single.

use super::core::Core;
use super::course::Change;
use super::dense::{self, Aligned, Arithmetic, HALF, LANES, Plain, Transposed, Vector};
use super::injections::Load;
use super::lines::NONE;
use super::precision::{Lanes, Real, Up};
use super::source::{Loads, Moved, sources};
use super::standing::{Standing, StandingLoad};
use super::trunk::Above;
use super::voltmeters::Voltmeters;
use super::walk::{Part, Walk};
use crate::simd::Kernel;
use std::ops::Range;

/// How many positions and loads ahead memory is asked for what will be read.
const AHEAD: usize = 8;

/// Deviations that were found at a position, in single precision whatever that of a pass is: nothing is summed from them, so
/// that one rounding of each number is all that is lost.
#[repr(C, align(128))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// Of the voltage.
    pub v: Lanes<f32>,
    /// Of the gradient by the current.
    pub mu: Lanes<f32>,
    /// What flows in the line above.
    pub flow: Up<f32>,
}

impl Found {
    /// Nothing deviates.
    pub const NOTHING: Self = Self { v: [0.0; LANES], mu: [0.0; LANES], flow: Up::NOTHING };
}

/// Deviations of voltage and gradient at a bus, and by how much they differ from the last pass.
#[derive(Debug, Clone, Copy)]
struct Arrived<T> {
    v: Lanes<T>,
    mu: Lanes<T>,
    v_moved: Lanes<f32>,
    mu_moved: Lanes<f32>,
}

impl<T: Real> Arrived<T> {
    const NOTHING: Self =
        Self { v: [T::ZERO; LANES], mu: [T::ZERO; LANES], v_moved: [0.0; LANES], mu_moved: [0.0; LANES] };
}

/// Room of a pass.
#[derive(Debug, Clone)]
pub(super) struct Room<T> {
    /// Sources of a chunk's loads.
    loads: Vec<Up<f32>>,
    /// By level: what has come up to a bus, nothing between visits; what arrived on the way down.
    rising: Vec<Up<T>>,
    falling: Vec<Arrived<T>>,
    /// The same by upper bus.
    risen: Vec<Up<T>>,
    fallen: Vec<Arrived<T>>,
}

impl<T: Real> Room<T> {
    pub fn new<const N: usize>(core: &Core<N>, walk: &Walk) -> Self {
        Self {
            loads: vec![Up::NOTHING; walk.loads_most],
            rising: vec![Up::NOTHING; core.levels + 1],
            falling: vec![Arrived::NOTHING; core.levels + 1],
            risen: vec![Up::NOTHING; walk.upper.len()],
            fallen: vec![Arrived::NOTHING; walk.upper.len()],
        }
    }

    /// What has risen to the upper buses, and nobody took.
    pub fn forget_risen(&mut self) {
        self.risen.fill(Up::NOTHING);
    }
}

impl Room<f64> {
    /// The deviation of the root's voltage.
    pub fn root(&self) -> Vector {
        self.fallen[0].v
    }
}

/// Changes of values by load, from those of the standing.
pub(super) struct Changes<'a> {
    pub loads: &'a [Load],
    pub from: &'a [Vector],
    pub changes: &'a mut [Aligned<Lanes<f32>>],
}

impl Kernel for Changes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        for ((change, load), from) in self.changes.iter_mut().zip(self.loads).zip(self.from) {
            change.0 = f32::narrow(kit, &dense::sub(kit, &load.measured, from));
        }
    }
}

/// Up in a part.
pub(super) struct Rise<'a, T, const N: usize> {
    pub core: &'a Core<N>,
    pub standing: &'a Standing<N>,
    pub walk: &'a Walk,
    /// Changes of values by load.
    pub values: &'a [Aligned<Lanes<f32>>],
    /// See [`Voltmeters::all`].
    pub voltmeters: &'a [Option<Voltmeters>],
    pub found: &'a mut [Found],
    pub part: Part,
    pub room: &'a mut Room<T>,
}

impl<T: Real, const N: usize> Kernel for Rise<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(mut self, kit: K) {
        let walk = self.walk;
        match self.part {
            Part::Chunk(chunk) => {
                let chunk = &walk.chunks[chunk];
                self.loads(kit, chunk.loads.clone());
                for cell in &walk.cells[chunk.cells.clone()] {
                    self.cell(kit, cell.positions.clone(), cell.foot, chunk.loads.start);
                }
            }
            Part::Upper => {
                for (number, &(i, parent)) in walk.upper.iter().enumerate().rev() {
                    let (load, mut first) = (self.standing.stops[i].load, 0);
                    if load != NONE {
                        first = load as usize;
                        self.loads(kit, first..first + 1);
                    }
                    let below = std::mem::replace(&mut self.room.risen[number], Up::NOTHING);
                    let bus = self.bus(kit, i, &below, first);
                    if i == 0 {
                        // What arrives of the gradient by the root's voltage.
                        self.room.risen[0] = bus;
                        return;
                    }
                    let up = self.line(kit, i, &bus);
                    add(kit, &mut self.room.risen[parent], &up);
                }
            }
        }
    }
}

#[inline(always)]
fn add<K: Arithmetic, T: Real>(kit: K, sum: &mut Up<T>, up: &Up<T>) {
    *sum = Up { a: T::add(kit, &sum.a, &up.a), e: T::add(kit, &sum.e, &up.e) };
}

#[inline(always)]
fn single<K: Arithmetic, T: Real>(kit: K, up: &Up<T>) -> Up<f32> {
    Up { a: T::to_single(kit, &up.a), e: T::to_single(kit, &up.e) }
}

impl<T: Real, const N: usize> Rise<'_, T, N> {
    /// Sources of loads, by two, the last one with itself: long chains that wait for nothing but themselves.
    #[inline(always)]
    fn loads<K: Arithmetic>(&mut self, kit: K, loads: Range<usize>) {
        let Standing { loads: standing, positions, .. } = self.standing;
        let (first, end) = (loads.start, loads.end);
        for at in loads.step_by(2) {
            let other = if at + 1 < end { at + 1 } else { at };
            let (i, k) = (positions[at] as usize, positions[other] as usize);
            let (found, values) = (&self.found, self.values);
            let [one, two] = two_sources(
                kit,
                [&standing[at], &standing[other]],
                [&found[i], &found[k]],
                [&values[at], &values[other]],
            );
            (self.room.loads[other - first], self.room.loads[at - first]) = (two, one);
        }
    }

    /// A subtree; `first` is the load whose source is the first one there.
    #[inline(always)]
    fn cell<K: Arithmetic>(&mut self, kit: K, positions: Range<usize>, foot: usize, first: usize) {
        let stops = &self.standing.stops;
        let top = stops[positions.start].level as usize - 1;
        for i in positions.rev() {
            let level = stops[i].level as usize;
            let below = self.room.rising[level];
            self.room.rising[level] = Up::NOTHING;
            let bus = self.bus(kit, i, &below, first);
            let up = self.line(kit, i, &bus);
            add(kit, &mut self.room.rising[level - 1], &up);
        }
        let up = std::mem::replace(&mut self.room.rising[top], Up::NOTHING);
        add(kit, &mut self.room.risen[foot], &up);
    }

    /// Across the line above a bus, into its parent.
    #[inline(always)]
    fn line<K: Arithmetic>(&mut self, kit: K, i: usize, bus: &Up<T>) -> Up<T> {
        let (core, stop) = (self.core, &self.standing.stops[i]);
        let flow = &mut self.found[i].flow;
        if stop.above == Above::Short {
            *flow = single(kit, bus);
            return *bus;
        }
        let last = Up { a: T::from_single(kit, &flow.a), e: T::from_single(kit, &flow.e) };
        let more = Up {
            a: T::to_single(kit, &T::sub(kit, &bus.a, &last.a)),
            e: T::to_single(kit, &T::sub(kit, &bus.e, &last.e)),
        };
        if let Above::Trunk(trunk) = stop.above {
            let line = &core.lines.line[i];
            let more = core.single.climb(kit, &self.standing.edges[trunk as usize], line, &more);
            let up = Up {
                a: T::add(kit, &last.a, &T::from_single(kit, &more.a)),
                e: T::add(kit, &last.e, &T::from_single(kit, &more.e)),
            };
            *flow = single(kit, &up);
            let factors = T::factors(core);
            return Up { a: factors.tt(kit, line, &up.a), e: factors.tt(kit, line, &up.e) };
        }
        let along = stop.z(kit, &core.single, &more.a, Transposed::No);
        let across = stop.z(kit, &core.single, &more.e, Transposed::Yes);
        let response = &self.standing.responses[i];
        let up = Up {
            a: T::sub(kit, &bus.a, &T::from_single(kit, &response.current(kit, (&along, &across)))),
            e: T::sub(kit, &bus.e, &T::from_single(kit, &response.pull(kit, &across))),
        };
        *flow = single(kit, &up);
        up
    }

    /// What comes from below a bus, and from its load, voltmeters and admittance.
    #[inline(always)]
    fn bus<K: Arithmetic>(&self, kit: K, i: usize, below: &Up<T>, first: usize) -> Up<T> {
        let (core, stop) = (self.core, &self.standing.stops[i]);
        let mut bus = *below;
        if stop.load != NONE {
            let load = &self.room.loads[stop.load as usize - first];
            let (a, e) = (T::from_single(kit, &load.a), T::from_single(kit, &load.e));
            add(kit, &mut bus, &Up { a, e });
        }
        if let Some((even, full)) = stop.admittance() {
            let Found { v, mu, .. } = &self.found[i];
            let a = T::even_times::<K, N>(kit, &even, &T::from_single(kit, v), Transposed::No);
            let e = T::even_times::<K, N>(kit, &even, &T::from_single(kit, mu), Transposed::Yes);
            add(kit, &mut bus, &Up { a, e });
            if full != 0 {
                let y = &core.lines.full_shunts[full as usize - 1];
                let a = dense::times(kit, y, &f32::widen(kit, v));
                let e = dense::transposed_times(kit, y, &f32::widen(kit, mu));
                add(kit, &mut bus, &Up { a: T::narrow(kit, &a), e: T::narrow(kit, &e) });
            }
        }
        if stop.meter != NONE {
            let e = match &self.voltmeters[stop.meter as usize] {
                Some(voltmeters) => voltmeters.pull(kit, &f32::widen(kit, &self.found[i].v)),
                None => self.meters(i),
            };
            bus.e = T::add(kit, &bus.e, &T::narrow(kit, &e));
        }
        bus
    }

    /// What the meters of a bus add to the gradient by its voltage, one by one.
    #[inline(never)]
    fn meters(&self, i: usize) -> Vector {
        let mut e = [0.0; LANES];
        let now = dense::add(Plain, &self.core.v[i], &f32::widen(Plain, &self.found[i].v));
        for at in self.core.meters_at(i) {
            let (meter, before) = (&self.core.meters[at], self.standing.pulls[at]);
            let wire = usize::from(meter.wire);
            meter.pull(&now, &mut e);
            e[wire] -= before[0];
            e[wire + HALF] -= before[1];
        }
        e
    }
}

/// Down in a part.
pub(super) struct Fall<'a, T, const N: usize> {
    pub core: &'a Core<N>,
    pub standing: &'a Standing<N>,
    pub walk: &'a Walk,
    /// What the next way up reads beside.
    pub values: &'a [Aligned<Lanes<f32>>],
    pub voltmeters: &'a [Option<Voltmeters>],
    pub found: &'a mut [Found],
    pub part: Part,
    pub room: &'a mut Room<T>,
    pub change: &'a mut Change,
}

impl<T: Real, const N: usize> Kernel for Fall<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(mut self, kit: K) {
        let (walk, mut change) = (self.walk, *self.change);
        match self.part {
            Part::Chunk(chunk) => {
                for cell in &walk.cells[walk.chunks[chunk].cells.clone()] {
                    let top = self.standing.stops[cell.positions.start].level as usize - 1;
                    self.room.falling[top] = self.room.fallen[cell.foot];
                    for i in cell.positions.clone() {
                        self.fetch(kit, i + AHEAD);
                        self.fetch_sources(kit, i);
                        let level = self.standing.stops[i].level as usize;
                        let outer = self.room.falling[level - 1];
                        self.room.falling[level] = self.line(kit, i, &outer, &mut change);
                    }
                }
            }
            Part::Upper => {
                let e = T::widen(kit, &self.room.risen[0].e);
                let root = dense::times_plus(kit, &self.core.root, &e, &f32::widen(kit, &self.found[0].v));
                self.room.risen[0] = Up::NOTHING;
                let root = (&T::narrow(kit, &root), &[T::ZERO; LANES]);
                self.room.fallen[0] = self.arrive(kit, 0, root, &mut change);
                for number in 1..walk.upper.len() {
                    let (i, parent) = walk.upper[number];
                    let outer = self.room.fallen[parent];
                    self.room.fallen[number] = self.line(kit, i, &outer, &mut change);
                }
            }
        }
        *self.change = change;
    }
}

impl<T: Real, const N: usize> Fall<'_, T, N> {
    /// Asks the memory for what the next way up from a position will read beside.
    #[inline(always)]
    fn fetch_sources<K: Arithmetic>(&self, kit: K, i: usize) {
        if !self.walk.far {
            return;
        }
        let stops = &self.standing.stops;
        if let Some(soon) = stops.get(i + AHEAD / 2).filter(|soon| soon.meter != NONE) {
            kit.fetch(&self.voltmeters[soon.meter as usize]);
        }
        let stop = &stops[i];
        if stop.load != NONE {
            let at = stop.load as usize;
            kit.fetch(&self.standing.loads[at].v);
            kit.fetch(&self.standing.loads[at].c);
            kit.fetch(&self.values[at]);
        }
        if stop.meter != NONE
            && let Some(voltmeters) = &self.voltmeters[stop.meter as usize]
        {
            voltmeters.fetch(kit);
        }
    }

    /// Asks the memory for what the visit of a position will read.
    #[inline(always)]
    fn fetch<K: Arithmetic>(&self, kit: K, i: usize) {
        if self.walk.far
            && let Some(stop) = self.standing.stops.get(i)
        {
            kit.fetch(stop);
            kit.fetch(&self.found[i].v);
            kit.fetch(&self.found[i].flow);
            self.standing.responses[i].fetch(kit);
        }
    }

    /// From a parent across the line to a bus.
    #[inline(always)]
    fn line<K: Arithmetic>(
        &mut self,
        kit: K,
        i: usize,
        outer: &Arrived<T>,
        change: &mut Change,
    ) -> Arrived<T> {
        let (core, stop) = (self.core, &self.standing.stops[i]);
        let (factors, flow) = (T::factors(core), &mut self.found[i].flow);
        let (u, omega, more);
        if let Above::Trunk(trunk) = stop.above {
            let line = &core.lines.line[i];
            (u, omega) = (factors.t(kit, line, &outer.v), factors.t(kit, line, &outer.mu));
            let single = &core.single;
            let moved = (&single.t(kit, line, &outer.v_moved), &single.t(kit, line, &outer.mu_moved));
            more = single.descend(kit, &self.standing.edges[trunk as usize], line, &Up::NOTHING, moved);
        } else {
            (u, omega) = (outer.v, outer.mu);
            let response = &self.standing.responses[i];
            more = Up {
                a: response.current(kit, (&outer.v_moved, &outer.mu_moved)),
                e: response.pull(kit, &outer.mu_moved),
            };
        }
        *flow = Up { a: kit.add8(flow.a, more.a), e: kit.add8(flow.e, more.e) };
        let (a, e) = (T::from_single(kit, &flow.a), T::from_single(kit, &flow.e));
        let v = T::sub(kit, &u, &stop.z(kit, factors, &a, Transposed::No));
        let mu = T::sub(kit, &omega, &stop.z(kit, factors, &e, Transposed::Yes));
        self.arrive(kit, i, (&v, &mu), change)
    }

    /// Keeps what arrived at a bus.
    #[inline(always)]
    fn arrive<K: Arithmetic>(
        &mut self,
        kit: K,
        i: usize,
        (v, mu): (&Lanes<T>, &Lanes<T>),
        change: &mut Change,
    ) -> Arrived<T> {
        let found = &mut self.found[i];
        let v_moved = T::to_single(kit, &T::sub(kit, v, &T::from_single(kit, &found.v)));
        let mu_moved = T::to_single(kit, &T::sub(kit, mu, &T::from_single(kit, &found.mu)));
        let squares = kit.mul8(v_moved, v_moved);
        let square = kit.add8(squares, kit.swap8(squares));
        change.note(kit, square);
        (found.v, found.mu) = (T::to_single(kit, v), T::to_single(kit, mu));
        Arrived { v: *v, mu: *mu, v_moved, mu_moved }
    }
}

/// Sources of two loads.
#[inline(always)]
fn two_sources<K: Arithmetic>(
    kit: K,
    at: [&StandingLoad; 2],
    found: [&Found; 2],
    values: [&Lanes<f32>; 2],
) -> [Up<f32>; 2] {
    let [one, two] = at;
    let loads = Loads {
        v: kit.pair8(one.v, two.v),
        w: kit.pair8(one.w, two.w),
        c: kit.pair8(one.c, two.c),
        variance: kit.pair8(one.variance, two.variance),
    };
    let moved = Moved {
        v: kit.pair8(found[0].v, found[1].v),
        mu: kit.pair8(found[0].mu, found[1].mu),
        values: kit.pair8(*values[0], *values[1]),
    };
    let [(c, pull)] = sources(kit, &[loads], &[moved]);
    let none = kit.splat8(0.0);
    let a = kit.pair8(c.0, kit.sub8(none, c.1));
    let e = kit.pair8(kit.sub8(none, pull.0), pull.1);
    [Up { a: a.0, e: e.0 }, Up { a: a.1, e: e.1 }]
}
