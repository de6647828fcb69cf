//! A pass of eight sets as deviations, up and down a part of the tree: that of one set ([`super::super::pass`]) with every number
//! eight wide.

use super::super::core::Core;
use super::super::course::Change;
use super::super::dense::{self, Aligned, Arithmetic, HALF, LANES, Transposed, Vector};
use super::super::lines::NONE;
use super::super::meters::{Meter, Says};
use super::super::precision::{Lanes, Real};
use super::super::source::{Complexes, Loads, Moved, NO_LOADS, NOT_MOVED, sources};
use super::super::standing::{Standing, StandingLoad};
use super::super::trunk::{Above, Response};
use super::super::walk::{Part, Walk};
use super::block::{Block, Wide, even, ratio, sub, times_plus, transposed_plus, widen, z_times};
use super::down::descend;
use super::up::climb;
use super::{SETS, Up};
use crate::simd::Kernel;

/// How many positions ahead memory is asked for what will be read.
const AHEAD: usize = 3;

/// What was found at a position, see [`super::super::pass::Found`].
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<const N: usize> {
    /// Of the voltage.
    pub v: Block<f32, N>,
    /// Of the gradient by the current.
    pub mu: Block<f32, N>,
    /// What flows in the line above.
    pub flow: Up<f32, N>,
}

impl<const N: usize> Found<N> {
    /// Nothing deviates.
    pub const NOTHING: Self = Self { v: [[0.0; SETS]; N], mu: [[0.0; SETS]; N], flow: Up::NOTHING };
}

/// What has come from below a bus.
#[derive(Debug, Clone, Copy)]
struct Open<T, const N: usize> {
    /// Whether a child has come; before that the rest means nothing.
    filled: bool,
    up: Up<T, N>,
}

impl<T: Real, const N: usize> Open<T, N> {
    const NOTHING: Self = Self { filled: false, up: Up::NOTHING };

    #[inline(always)]
    fn add<K: Arithmetic>(&mut self, kit: K, a: &Block<T, N>, e: &Block<T, N>) {
        if !self.filled {
            (self.filled, self.up) = (true, Up::NOTHING);
        }
        for k in 0..N {
            self.up.a[k] = T::add(kit, &self.up.a[k], &a[k]);
            self.up.e[k] = T::add(kit, &self.up.e[k], &e[k]);
        }
    }
}

/// Deviations of voltage and gradient at a bus, and by how much they differ from the last pass.
#[derive(Debug, Clone, Copy)]
struct Arrived<T, const N: usize> {
    here: Up<T, N>,
    moved: Up<f32, N>,
}

impl<T: Real, const N: usize> Arrived<T, N> {
    const NOTHING: Self = Self { here: Up::NOTHING, moved: Up::NOTHING };
}

/// Room of a pass.
#[derive(Debug, Clone)]
pub(super) struct Room<T, const N: usize> {
    /// By level: what has come up to a bus, nothing between visits; what arrived on the way down.
    rising: Vec<Open<T, N>>,
    falling: Vec<Arrived<T, N>>,
    /// The same by upper bus.
    risen: Vec<Open<T, N>>,
    fallen: Vec<Arrived<T, N>>,
}

impl<T: Real, const N: usize> Room<T, N> {
    pub fn new(core: &Core<N>, walk: &Walk) -> Self {
        Self {
            rising: vec![Open::NOTHING; core.levels + 1],
            falling: vec![Arrived::NOTHING; core.levels + 1],
            risen: vec![Open::NOTHING; walk.upper.len()],
            fallen: vec![Arrived::NOTHING; walk.upper.len()],
        }
    }

    /// What has risen to the upper buses, and nobody took.
    pub fn forget_risen(&mut self) {
        self.risen.fill(Open::NOTHING);
    }
}

/// A part of the tree, and what passes read.
#[derive(Clone, Copy)]
pub(super) struct Parts<'a, const N: usize> {
    pub core: &'a Core<N>,
    pub standing: &'a Standing<N>,
    pub walk: &'a Walk,
    pub base: &'a [Vector],
    /// Changes of values by load.
    pub values: &'a [Aligned<Block<f32, N>>],
    /// Values of the sets by meter.
    pub meters: &'a [Wide<f64>],
    pub part: Part,
}

impl<const N: usize> Parts<'_, N> {
    /// Asks the memory for what the visit of a position on the way down, and the next way up from it, will read.
    #[inline(always)]
    fn fetch<K: Arithmetic>(&self, kit: K, found: &[Found<N>], i: usize) {
        let Some(found) = found.get(i) else { return };
        let Self { standing, values, .. } = self;
        for k in (0..N).step_by(2) {
            kit.fetch(&found.v[k]);
            kit.fetch(&found.mu[k]);
            kit.fetch(&found.flow.a[k]);
            kit.fetch(&found.flow.e[k]);
        }
        standing.responses[i].fetch(kit);
        if let Some(later) = standing.stops.get(i + AHEAD) {
            kit.fetch(later);
        }
        let at = standing.stops[i].load;
        if at != NONE {
            let load = &standing.loads[at as usize];
            kit.fetch(&load.v);
            kit.fetch(&load.c);
            for k in (0..N).step_by(2) {
                kit.fetch(&values[at as usize][k]);
            }
        }
    }
}

/// Up in a part.
pub(super) struct Rise<'a, T, const N: usize> {
    pub parts: Parts<'a, N>,
    pub found: &'a mut [Found<N>],
    pub room: &'a mut Room<T, N>,
}

impl<T: Real, const N: usize> Kernel for Rise<'_, T, N> {
    type Output = ();
    const MANY_NUMBERS: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        let Self { parts, found, room } = self;
        let Parts { standing, walk, part, .. } = parts;
        let stops = &standing.stops;
        let up = Upwards { parts };
        match part {
            Part::Chunk(chunk) => {
                for cell in &walk.cells[walk.chunks[chunk].cells.clone()] {
                    let top = stops[cell.positions.start].level as usize - 1;
                    for i in cell.positions.clone().rev() {
                        let (above, here) = room.rising.split_at_mut(stops[i].level as usize);
                        let (parent, here) = (&mut above[above.len() - 1], &mut here[0]);
                        up.visit(kit, i, here, &mut found[i], parent);
                        here.filled = false;
                    }
                    let sum = &mut room.rising[top];
                    room.risen[cell.foot].add(kit, &sum.up.a, &sum.up.e);
                    sum.filled = false;
                }
            }
            Part::Upper => {
                for (number, &(i, parent)) in walk.upper.iter().enumerate().skip(1).rev() {
                    let (above, here) = room.risen.split_at_mut(number);
                    up.visit(kit, i, &here[0], &mut found[i], &mut above[parent]);
                    here[0].filled = false;
                }
                // What arrives of the gradient by the root's voltage.
                let below = room.risen[0];
                up.bus(kit, 0, &below, &found[0], &mut room.risen[0].up);
                room.risen[0].filled = false;
            }
        }
    }
}

/// What the way up reads.
struct Upwards<'a, const N: usize> {
    parts: Parts<'a, N>,
}

impl<const N: usize> Upwards<'_, N> {
    /// From what has come up to a bus to what its line brings to the parent.
    #[inline(always)]
    fn visit<K: Arithmetic, T: Real>(
        &self,
        kit: K,
        i: usize,
        here: &Open<T, N>,
        found: &mut Found<N>,
        parent: &mut Open<T, N>,
    ) {
        let Parts { core, standing, .. } = self.parts;
        let above = standing.stops[i].above;
        let mut up = Up::NOTHING;
        self.bus(kit, i, here, found, &mut up);
        if above != Above::Short {
            self.line(kit, i, &mut up, &found.flow);
        }
        for k in 0..N {
            found.flow.a[k] = T::to_single(kit, &up.a[k]);
            found.flow.e[k] = T::to_single(kit, &up.e[k]);
        }
        if matches!(above, Above::Trunk(_)) && core.lines.line[i].ratio != NONE {
            let (factors, line) = (T::factors(core), &core.lines.line[i]);
            up.a = ratio(kit, factors, line, &up.a, Transposed::Yes);
            up.e = ratio(kit, factors, line, &up.e, Transposed::Yes);
        }
        parent.add(kit, &up.a, &up.e);
    }

    /// Across the line above a bus: what flows there (`flow` is of the last pass), see [`super::super::pass`].
    #[inline(always)]
    fn line<K: Arithmetic, T: Real>(&self, kit: K, i: usize, up: &mut Up<T, N>, flow: &Up<f32, N>) {
        let (factors, stop) = (&self.parts.core.single, &self.parts.standing.stops[i]);
        let mut more = Up::<f32, N>::NOTHING;
        for k in 0..N {
            more.a[k] = T::to_single(kit, &T::sub(kit, &up.a[k], &T::from_single(kit, &flow.a[k])));
            more.e[k] = T::to_single(kit, &T::sub(kit, &up.e[k], &T::from_single(kit, &flow.e[k])));
        }
        if let Above::Trunk(trunk) = stop.above {
            let line = &self.parts.core.lines.line[i];
            let edge = &self.parts.standing.edges[trunk as usize];
            climb(kit, (factors, line), edge, &mut more);
            for k in 0..N {
                up.a[k] = T::add(kit, &T::from_single(kit, &flow.a[k]), &T::from_single(kit, &more.a[k]));
                up.e[k] = T::add(kit, &T::from_single(kit, &flow.e[k]), &T::from_single(kit, &more.e[k]));
            }
            return;
        }
        let drop = Up {
            a: z_times(kit, factors, stop.impedance(), &more.a, Transposed::No),
            e: z_times(kit, factors, stop.impedance(), &more.e, Transposed::Yes),
        };
        for k in 0..N {
            let (a, e) = respond(kit, &self.parts.standing.responses[i], &drop, k);
            up.a[k] = T::sub(kit, &up.a[k], &T::from_single(kit, &a));
            up.e[k] = T::sub(kit, &up.e[k], &T::from_single(kit, &e));
        }
    }

    /// What comes from below a bus, and from its load, voltmeters and admittance.
    #[inline(always)]
    fn bus<K: Arithmetic, T: Real>(
        &self,
        kit: K,
        i: usize,
        below: &Open<T, N>,
        found: &Found<N>,
        bus: &mut Up<T, N>,
    ) {
        let (core, stop) = (self.parts.core, &self.parts.standing.stops[i]);
        let none = Up::NOTHING;
        let below = if below.filled { &below.up } else { &none };
        if stop.load != NONE {
            let at = stop.load as usize;
            let moved = (&found.v, &found.mu, &*self.parts.values[at]);
            load_source(kit, &self.parts.standing.loads[at], moved, (below, bus));
        } else {
            for k in 0..N {
                bus.a[k] = T::add(kit, &below.a[k], &[T::ZERO; SETS]);
                bus.e[k] = T::add(kit, &below.e[k], &[T::ZERO; SETS]);
            }
        }
        if let Some((y, full)) = stop.admittance() {
            let Found { v, mu, .. } = found;
            let mut wide = Up::<T, N>::NOTHING;
            for k in 0..N {
                (wide.a[k], wide.e[k]) = (T::from_single(kit, &v[k]), T::from_single(kit, &mu[k]));
            }
            let a = even(kit, &y, &wide.a, Transposed::No);
            let e = even(kit, &y, &wide.e, Transposed::Yes);
            for k in 0..N {
                bus.a[k] = T::add(kit, &bus.a[k], &a[k]);
                bus.e[k] = T::add(kit, &bus.e[k], &e[k]);
            }
            if full != 0 {
                let y = &core.lines.full_shunts[full as usize - 1];
                let (v, mu) = (widen::<K, f32, N>(kit, v), widen::<K, f32, N>(kit, mu));
                let a = times_plus(kit, y, &v, &[[0.0; SETS]; N]);
                let e = transposed_plus(kit, y, &mu, &[[0.0; SETS]; N]);
                for k in 0..N {
                    bus.a[k] = T::add(kit, &bus.a[k], &T::narrow(kit, &a[k]));
                    bus.e[k] = T::add(kit, &bus.e[k], &T::narrow(kit, &e[k]));
                }
            }
        }
        if stop.meter != NONE {
            let e = self.meters(kit, i, &found.v);
            for k in 0..N {
                bus.e[k] = T::add(kit, &bus.e[k], &T::narrow(kit, &e[k]));
            }
        }
    }

    /// What the voltmeters of a bus add to the gradient by its voltage.
    #[inline(always)]
    fn meters<K: Arithmetic>(&self, kit: K, i: usize, moved: &Block<f32, N>) -> Block<f64, N> {
        let core = self.parts.core;
        let mut e = [[0.0; SETS]; N];
        for at in core.meters_at(i) {
            let (meter, before) = (&core.meters[at], self.parts.standing.pulls[at]);
            let (re, im) = (usize::from(meter.wire), usize::from(meter.wire) + N / 2);
            let base = ([self.parts.base[i][re]; SETS], [self.parts.base[i][re + HALF]; SETS]);
            let x = dense::add(kit, &base.0, &f32::widen(kit, &moved[re]));
            let y = dense::add(kit, &base.1, &f32::widen(kit, &moved[im]));
            let now = pull(kit, meter, &self.parts.meters[at], &(x, y));
            e[re] = dense::add(kit, &e[re], &dense::sub(kit, &now.0, &[before[0]; SETS]));
            e[im] = dense::add(kit, &e[im], &dense::sub(kit, &now.1, &[before[1]; SETS]));
        }
        e
    }
}

/// Down in a part.
pub(super) struct Fall<'a, T, const N: usize> {
    pub parts: Parts<'a, N>,
    pub found: &'a mut [Found<N>],
    pub room: &'a mut Room<T, N>,
    pub change: &'a mut Change,
}

impl<T: Real, const N: usize> Kernel for Fall<'_, T, N> {
    type Output = ();
    const MANY_NUMBERS: bool = true;
    const WIDE: bool = true;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        let Self { parts, found, room, change } = self;
        let Parts { core, standing, walk, part, .. } = parts;
        let stops = &standing.stops;
        let mut down = Downwards { parts, change: *change };
        match part {
            Part::Chunk(chunk) => {
                for cell in &walk.cells[walk.chunks[chunk].cells.clone()] {
                    let top = stops[cell.positions.start].level as usize - 1;
                    room.falling[top] = room.fallen[cell.foot];
                    for i in cell.positions.clone() {
                        parts.fetch(kit, found, i + AHEAD);
                        let (above, here) = room.falling.split_at_mut(stops[i].level as usize);
                        down.visit(kit, i, &above[above.len() - 1], &mut found[i], &mut here[0]);
                    }
                }
            }
            Part::Upper => {
                let (last, e) = (widen::<K, f32, N>(kit, &found[0].v), widen(kit, &room.risen[0].up.e));
                let root = times_plus(kit, &core.root, &e, &last);
                room.fallen[0].here = Up::NOTHING;
                for k in 0..N {
                    room.fallen[0].here.a[k] = T::narrow(kit, &root[k]);
                }
                down.arrive(kit, &mut found[0], &mut room.fallen[0]);
                for (number, &(i, parent)) in walk.upper.iter().enumerate().skip(1) {
                    let (above, here) = room.fallen.split_at_mut(number);
                    down.visit(kit, i, &above[parent], &mut found[i], &mut here[0]);
                }
            }
        }
        *change = down.change;
    }
}

/// What the way down reads and keeps.
struct Downwards<'a, const N: usize> {
    parts: Parts<'a, N>,
    change: Change,
}

impl<const N: usize> Downwards<'_, N> {
    /// From a parent across the line to a bus.
    #[inline(always)]
    fn visit<K: Arithmetic, T: Real>(
        &mut self,
        kit: K,
        i: usize,
        outer: &Arrived<T, N>,
        found: &mut Found<N>,
        here: &mut Arrived<T, N>,
    ) {
        self.answer(kit, i, &outer.moved, &mut found.flow);
        let (v, mu) = (&outer.here.a, &outer.here.e);
        let trunk = matches!(self.parts.standing.stops[i].above, Above::Trunk(_));
        if !trunk || self.parts.core.lines.line[i].ratio == NONE {
            self.follow(kit, i, (v, mu), &found.flow, &mut here.here);
        } else {
            let (core, line) = (self.parts.core, &self.parts.core.lines.line[i]);
            let u = ratio(kit, T::factors(core), line, v, Transposed::No);
            let omega = ratio(kit, T::factors(core), line, mu, Transposed::No);
            self.follow(kit, i, (&u, &omega), &found.flow, &mut here.here);
        }
        self.arrive(kit, found, here);
    }

    /// What flows in a line, with what it answers when voltage and gradient at its foot have moved.
    #[inline(always)]
    fn answer<K: Arithmetic>(&self, kit: K, i: usize, moved: &Up<f32, N>, flow: &mut Up<f32, N>) {
        let (factors, above) = (&self.parts.core.single, self.parts.standing.stops[i].above);
        let Above::Trunk(trunk) = above else {
            for k in 0..N {
                let (a, e) = respond(kit, &self.parts.standing.responses[i], moved, k);
                (flow.a[k], flow.e[k]) = (kit.add8(flow.a[k], a), kit.add8(flow.e[k], e));
            }
            return;
        };
        let (edge, line) = (&self.parts.standing.edges[trunk as usize], &self.parts.core.lines.line[i]);
        let more = if line.ratio == NONE {
            descend(kit, (factors, line), edge, &Up::NOTHING, (&moved.a, &moved.e))
        } else {
            let u = ratio(kit, factors, line, &moved.a, Transposed::No);
            let omega = ratio(kit, factors, line, &moved.e, Transposed::No);
            descend(kit, (factors, line), edge, &Up::NOTHING, (&u, &omega))
        };
        for k in 0..N {
            flow.a[k] = kit.add8(flow.a[k], more.a[k]);
            flow.e[k] = kit.add8(flow.e[k], more.e[k]);
        }
    }

    /// Deviations of the voltage and of the gradient by the current across a line with what flows there.
    #[inline(always)]
    fn follow<K: Arithmetic, T: Real>(
        &self,
        kit: K,
        i: usize,
        (u, omega): (&Block<T, N>, &Block<T, N>),
        flow: &Up<f32, N>,
        here: &mut Up<T, N>,
    ) {
        let mut wide = Up::<T, N>::NOTHING;
        for k in 0..N {
            wide.a[k] = T::from_single(kit, &flow.a[k]);
            wide.e[k] = T::from_single(kit, &flow.e[k]);
        }
        let (factors, stop) = (T::factors(self.parts.core), &self.parts.standing.stops[i]);
        here.a = sub(kit, u, &z_times(kit, factors, stop.impedance(), &wide.a, Transposed::No));
        here.e = sub(kit, omega, &z_times(kit, factors, stop.impedance(), &wide.e, Transposed::Yes));
    }

    /// Keeps what arrived at a bus: deviations of the voltage and of the gradient by the current.
    #[inline(always)]
    fn arrive<K: Arithmetic, T: Real>(&mut self, kit: K, found: &mut Found<N>, arrived: &mut Arrived<T, N>) {
        let (w, moved) = (N / 2, &mut arrived.moved);
        let Found { v, mu, .. } = found;
        for k in 0..N {
            let now = &arrived.here.a[k];
            moved.a[k] = T::to_single(kit, &T::sub(kit, now, &T::from_single(kit, &v[k])));
            v[k] = T::to_single(kit, now);
            let now = &arrived.here.e[k];
            moved.e[k] = T::to_single(kit, &T::sub(kit, now, &T::from_single(kit, &mu[k])));
            mu[k] = T::to_single(kit, now);
        }
        for k in 0..w {
            let square = kit.fma8(moved.a[k], moved.a[k], kit.mul8(moved.a[k + w], moved.a[k + w]));
            self.change.note(kit, square);
        }
    }
}

/// The gradient of a meter's row by the voltage of its wire.
#[inline(always)]
fn pull<K: Arithmetic>(
    kit: K,
    meter: &Meter,
    values: &Wide<f64>,
    (x, y): &(Wide<f64>, Wide<f64>),
) -> (Wide<f64>, Wide<f64>) {
    if meter.says != Says::Magnitude {
        return angle_pull(meter, values, (x, y));
    }
    // (value − |V|) V/|V| by the variance.
    let mut scale = dense::fma(kit, x, x, &dense::mul(kit, y, y));
    for (scale, value) in scale.iter_mut().zip(values) {
        *scale = (value / scale.sqrt() - 1.0) / meter.variance;
    }
    (dense::mul(kit, &scale, x), dense::mul(kit, &scale, y))
}

#[inline(never)]
fn angle_pull(meter: &Meter, values: &Wide<f64>, (x, y): (&Wide<f64>, &Wide<f64>)) -> (Wide<f64>, Wide<f64>) {
    let mut pulls = ([0.0; SETS], [0.0; SETS]);
    for set in 0..SETS {
        let mut v = [0.0; LANES];
        let mut pull = [0.0; LANES];
        let (re, im) = (usize::from(meter.wire), usize::from(meter.wire) + HALF);
        (v[re], v[im]) = (x[set], y[set]);
        Meter { value: values[set], ..*meter }.pull(&v, &mut pull);
        (pulls.0[set], pulls.1[set]) = (pull[re], pull[im]);
    }
    pulls
}

/// A row of how what flows in a twig's line responds to a voltage and a gradient there (a and e of `there`).
#[inline(always)]
fn respond<K: Arithmetic, const N: usize>(
    kit: K,
    response: &Response,
    there: &Up<f32, N>,
    row: usize,
) -> (Wide<f32>, Wide<f32>) {
    let (w, lane) = (N / 2, dense::lane::<N>(row));
    let other = if row < w { row + w } else { row - w };
    let (by_v, by_mu, back) = (response.row(lane), response.noise_row(lane), response.transposed_row(lane));
    let flow = kit.mul8(kit.splat8(by_v[0]), there.a[row]);
    let flow = kit.fma8(kit.splat8(by_v[1]), there.a[other], flow);
    let flow = kit.fma8(kit.splat8(by_mu[0]), there.e[row], flow);
    let pull = kit.mul8(kit.splat8(back[0]), there.e[row]);
    (
        kit.fma8(kit.splat8(by_mu[1]), there.e[other], flow),
        kit.fma8(kit.splat8(back[1]), there.e[other], pull),
    )
}

/// What comes from below and a load's source: the deviations of its current and of its pull.
#[inline(always)]
fn load_source<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    at: &StandingLoad,
    (v, mu, values): (&Block<f32, N>, &Block<f32, N>, &Block<f32, N>),
    (below, bus): (&Up<T, N>, &mut Up<T, N>),
) {
    if N == 6 {
        some_sources::<K, T, N, 3>(kit, at, (v, mu, values), (below, bus));
    } else {
        some_sources::<K, T, N, 1>(kit, at, (v, mu, values), (below, bus));
    }
}

/// The same of the first `W` wires.
#[inline(always)]
fn some_sources<K: Arithmetic, T: Real, const N: usize, const W: usize>(
    kit: K,
    at: &StandingLoad,
    (v, mu, values): (&Block<f32, N>, &Block<f32, N>, &Block<f32, N>),
    (below, bus): (&Up<T, N>, &mut Up<T, N>),
) {
    let (mut loads, mut moved) = ([NO_LOADS; W], [NOT_MOVED; W]);
    for k in 0..W {
        loads[k] = Loads {
            v: same(kit, &at.v, k),
            w: same(kit, &at.w, k),
            c: same(kit, &at.c, k),
            variance: same(kit, &at.variance, k),
        };
        let im = k + N / 2;
        moved[k] = Moved { v: (v[k], v[im]), mu: (mu[k], mu[im]), values: (values[k], values[im]) };
    }
    let found = sources(kit, &loads, &moved);
    for k in 0..W {
        let ((c, pull), im) = (&found[k], k + N / 2);
        bus.a[k] = T::add(kit, &below.a[k], &T::from_single(kit, &c.0));
        bus.a[im] = T::sub(kit, &below.a[im], &T::from_single(kit, &c.1));
        bus.e[k] = T::sub(kit, &below.e[k], &T::from_single(kit, &pull.0));
        bus.e[im] = T::add(kit, &below.e[im], &T::from_single(kit, &pull.1));
    }
}

/// The complex number of a wire, the same for all sets.
#[inline(always)]
fn same<K: Arithmetic>(kit: K, x: &Lanes<f32>, wire: usize) -> Complexes {
    (kit.splat8(x[wire]), kit.splat8(x[wire + HALF]))
}
