//! A pass of one set as deviations: up and down a part of the tree.
//!
//! On the way up a line carries what loads, meters and admittances behind it take and say at the last pass, corrected by what
//! the difference from what it carried then does on its way; on the way down it answers what has moved above since. So all that
//! factors do is in corrections, which end, and is done in single precision; sums and voltages are in that of the pass.

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

/// What was found, by position.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// Of the voltage.
    pub v: Vec<Aligned<Lanes<f32>>>,
    /// Of the gradient by the current.
    pub mu: Vec<Aligned<Lanes<f32>>>,
}

impl State {
    pub fn none<const N: usize>(core: &Core<N>) -> Self {
        let none = vec![Aligned([0.0; LANES]); core.count()];
        Self { v: none.clone(), mu: none }
    }

    pub fn clear(&mut self) {
        self.v.fill(Aligned([0.0; LANES]));
        self.mu.fill(Aligned([0.0; LANES]));
    }
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
#[derive(Debug, Clone, Default)]
pub(super) struct Room<T> {
    /// By position: what goes up the line above; after a pass what flows there.
    pub up: Vec<Up<T>>,
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
    /// Nothing flows yet.
    pub fn clear<const N: usize>(&mut self, core: &Core<N>, walk: &Walk) {
        self.up.clear();
        self.up.resize(core.count(), Up::NOTHING);
        self.make(core, walk);
    }

    /// What has risen to the upper buses, and nobody took.
    pub fn forget_risen(&mut self) {
        self.risen.fill(Up::NOTHING);
    }

    fn make<const N: usize>(&mut self, core: &Core<N>, walk: &Walk) {
        self.up.resize(core.count(), Up::NOTHING);
        self.loads.resize(walk.loads_most, Up::NOTHING);
        self.rising.resize(core.levels + 1, Up::NOTHING);
        self.falling.resize(core.levels + 1, Arrived::NOTHING);
        self.fallen.resize(walk.upper.len(), Arrived::NOTHING);
        self.risen.resize(walk.upper.len(), Up::NOTHING);
    }
}

impl Room<f64> {
    /// The deviation of the root's voltage.
    pub fn root(&self) -> Vector {
        self.fallen[0].v
    }

    /// Goes on in a part where passes in single precision have ended.
    pub fn go_on<const N: usize>(&mut self, core: &Core<N>, walk: &Walk, part: Part, single: &Room<f32>) {
        if part == Part::Chunk(0) || walk.chunks.is_empty() {
            self.make(core, walk);
        }
        let take = |i: usize| {
            let up = &single.up[i];
            self.up[i] = Up { a: f32::widen(Plain, &up.a), e: f32::widen(Plain, &up.e) };
        };
        walk.positions(part).for_each(take);
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
    pub state: &'a State,
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
                        self.room.up[0] = bus;
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

impl<T: Real, const N: usize> Rise<'_, T, N> {
    /// Sources of loads, by two, the last one with itself: long chains that wait for nothing but themselves.
    #[inline(always)]
    fn loads<K: Arithmetic>(&mut self, kit: K, loads: Range<usize>) {
        let Standing { loads: standing, positions, .. } = self.standing;
        let (first, end) = (loads.start, loads.end);
        for at in loads.step_by(2) {
            if self.walk.far
                && let Some(load) = standing.get(at + AHEAD)
            {
                kit.fetch(&load.v);
                kit.fetch(&load.c);
                kit.fetch(&self.values[at + AHEAD]);
            }
            let other = if at + 1 < end { at + 1 } else { at };
            let (i, k) = (positions[at] as usize, positions[other] as usize);
            let (v, mu, values) = (&self.state.v, &self.state.mu, self.values);
            let [one, two] = two_sources(
                kit,
                [&standing[at], &standing[other]],
                [&v[i], &v[k]],
                [&mu[i], &mu[k]],
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
        let last = &self.room.up[i];
        if stop.above == Above::Short {
            self.room.up[i] = *bus;
            return *bus;
        }
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
            self.room.up[i] = up;
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
        self.room.up[i] = up;
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
            let (v, mu) = (&self.state.v[i], &self.state.mu[i]);
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
                Some(voltmeters) => {
                    let moved = f32::widen(kit, &self.state.v[i]);
                    voltmeters.pull(kit, &dense::add(kit, &core.v[i], &moved))
                }
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
        let now = dense::add(Plain, &self.core.v[i], &f32::widen(Plain, &self.state.v[i]));
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
    pub state: &'a mut State,
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
                        let level = self.standing.stops[i].level as usize;
                        let outer = self.room.falling[level - 1];
                        self.room.falling[level] = self.line(kit, i, &outer, &mut change);
                    }
                }
            }
            Part::Upper => {
                let e = T::widen(kit, &self.room.up[0].e);
                let root = dense::times_plus(kit, &self.core.root, &e, &f32::widen(kit, &self.state.v[0]));
                self.room.up[0] = Up::NOTHING;
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
    /// Asks the memory for what the visit of a position, and the next way up from it, will read.
    #[inline(always)]
    fn fetch<K: Arithmetic>(&self, kit: K, i: usize) {
        if self.walk.far
            && let Some(stop) = self.standing.stops.get(i)
        {
            kit.fetch(stop);
            kit.fetch(&self.state.v[i]);
            kit.fetch(&self.state.mu[i]);
            kit.fetch(&self.room.up[i].a);
            kit.fetch(&self.room.up[i].e);
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
        let (factors, up) = (T::factors(core), &mut self.room.up[i]);
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
        up.a = T::add(kit, &up.a, &T::from_single(kit, &more.a));
        up.e = T::add(kit, &up.e, &T::from_single(kit, &more.e));
        let v = T::sub(kit, &u, &stop.z(kit, factors, &up.a, Transposed::No));
        let mu = T::sub(kit, &omega, &stop.z(kit, factors, &up.e, Transposed::Yes));
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
        let last = (&self.state.v[i], &self.state.mu[i]);
        let v_moved = T::to_single(kit, &T::sub(kit, v, &T::from_single(kit, last.0)));
        let mu_moved = T::to_single(kit, &T::sub(kit, mu, &T::from_single(kit, last.1)));
        let squares = kit.mul8(v_moved, v_moved);
        let square = kit.add8(squares, kit.swap8(squares));
        change.note(kit, square);
        self.state.v[i].0 = T::to_single(kit, v);
        self.state.mu[i].0 = T::to_single(kit, mu);
        Arrived { v: *v, mu: *mu, v_moved, mu_moved }
    }
}

/// Sources of two loads.
#[inline(always)]
fn two_sources<K: Arithmetic>(
    kit: K,
    at: [&StandingLoad; 2],
    v: [&Lanes<f32>; 2],
    mu: [&Lanes<f32>; 2],
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
        v: &kit.pair8(*v[0], *v[1]),
        mu: &kit.pair8(*mu[0], *mu[1]),
        values: &kit.pair8(*values[0], *values[1]),
    };
    let (c, pull) = sources(kit, &loads, &moved);
    let none = kit.splat8(0.0);
    let a = kit.pair8(c.0, kit.sub8(none, c.1));
    let e = kit.pair8(kit.sub8(none, pull.0), pull.1);
    [Up { a: a.0, e: e.0 }, Up { a: a.1, e: e.1 }]
}
