//! Other values on kept factors: the estimate as a deviation from the optimum that is there, see [`super::standing`].
//!
//! Passes run in single precision; where the deviation is so large that its rounding matters, the last one is in double. As
//! every pass finds the whole deviation anew, the last one decides how exact it is.

use super::core::Core;
use super::dense::{self, Aligned, Arithmetic, HALF, Half, LANES, Vector, halves, joined};
use super::injections::Frozen;
use super::lines::NONE;
use super::meters::Meter;
use super::precision::{Lanes, Real, Up};
use super::shrinking::Shrinking;
use super::standing::{Standing, StandingLoad};
use crate::simd::Kernel;

/// Deviations are not asked to be more exact, p.u. of voltage: closer to the optimum go exact steps.
pub(super) const AS_GOOD_AS: f64 = 1e-8;
/// How many roundings of the whole deviation a pass in single precision may leave: on networks of 100 to 100,000 buses it
/// was 2 to 25, on small ones with long lines and loads near what they carry more than 1024.
const ROUNDINGS: f64 = 4096.0;
/// Larger deviations, p.u., are left to exact steps: a pass knows the bend of loads, not which of their solutions it nears.
const DEVIATION_MAX_PU: f64 = 0.3;
/// Most passes, and the slowest they may shrink.
const PASSES_MAX: usize = 16;
const RATE_MAX: f64 = 0.5;
/// No pass is taken to shrink the error by more.
const RATE_MIN: f64 = 1e-4;

/// Which pass comes next, by how much the last ones moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    goal: f64,
    /// What rounding to single precision leaves.
    rounding: f64,
    /// What is left of it when the deviation is kept in single precision though found in double.
    kept: f64,
    steps: Shrinking,
    passes: usize,
    /// Whether the next pass is in double precision.
    pub double: bool,
}

/// How a course goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Pass,
    Settled(usize),
    /// It does not settle.
    Lost,
}

impl Course {
    /// Towards a goal; `kept` is how many roundings to single precision what is found goes through when it is kept.
    pub fn new(voltage_pu: f64, kept: f64) -> Self {
        Self { goal: voltage_pu, rounding: 0.0, kept, steps: Shrinking::new(), passes: 0, double: false }
    }

    /// Takes the largest change of a voltage that a pass made; the first one's is the deviation's.
    pub fn note(&mut self, step: f64) -> Next {
        self.passes += 1;
        let rate = self.steps.note(step, RATE_MIN);
        if self.passes == 1 {
            let one = f64::from(f32::EPSILON) / 2.0 * step;
            (self.rounding, self.kept) = (ROUNDINGS * one, self.kept * one);
            return if step < DEVIATION_MAX_PU { Next::Pass } else { Next::Lost };
        }
        let missing = self.steps.missing();
        let rounding = if self.double { self.kept } else { self.rounding };
        if missing + rounding < self.goal {
            return Next::Settled(self.passes);
        }
        if !step.is_finite() || (rate > RATE_MAX && step > self.goal) || self.passes >= PASSES_MAX {
            return Next::Lost;
        }
        self.double |= missing * self.steps.slowest() < self.goal && 2.0 * self.rounding > self.goal;
        Next::Pass
    }
}

/// The deviation from an optimum.
#[derive(Debug, Clone)]
pub(super) struct Deviations {
    standing: Standing,
    /// Values at the optimum, by load and by meter.
    loads: Vec<Vector>,
    meters: Vec<f64>,
    /// By position: of the voltage.
    pub v: Vec<Aligned<Vector>>,
    /// By load: of the gradient by its current.
    mu: Vec<Aligned<Lanes<f32>>>,
    single: Vec<Up<f32>>,
    double: Vec<Up<f64>>,
}

impl Deviations {
    /// None yet, from the state of a core, which is the optimum for its values.
    pub fn new<const N: usize>(core: &Core<N>) -> Self {
        Self {
            standing: Standing::of(core),
            loads: core.loads.iter().map(|load| load.measured).collect(),
            meters: core.meters.iter().map(|meter| meter.value).collect(),
            v: vec![Aligned([0.0; LANES]); core.count()],
            mu: vec![Aligned([0.0; LANES]); core.loads.len()],
            single: vec![Up::NOTHING; core.count()],
            double: Vec::new(),
        }
    }

    /// The deviation for the values of the core: passes taken, `None` when they do not settle.
    pub fn settle<const N: usize>(&mut self, core: &mut Core<N>, voltage_pu: f64) -> Option<usize> {
        let path = core.path;
        let mut course = Course::new(voltage_pu, 0.0);
        self.v.fill(Aligned([0.0; LANES]));
        self.mu.fill(Aligned([0.0; LANES]));
        loop {
            let step = if course.double {
                self.double.resize(core.count(), Up::NOTHING);
                let (mut up, standing) =
                    (std::mem::take(&mut self.double), std::mem::take(&mut self.standing.double));
                let step =
                    path.run(Pass { core, deviations: self, standing: &standing, up: &mut up, write: false });
                (self.double, self.standing.double) = (up, standing);
                step
            } else {
                let (mut up, standing) =
                    (std::mem::take(&mut self.single), std::mem::take(&mut self.standing.single));
                let step =
                    path.run(Pass { core, deviations: self, standing: &standing, up: &mut up, write: false });
                (self.single, self.standing.single) = (up, standing);
                step
            };
            match course.note(step) {
                Next::Pass => {}
                Next::Settled(passes) => return Some(passes),
                Next::Lost => return None,
            }
        }
    }

    /// Moves the state of the core by the deviation.
    pub fn fold<const N: usize>(&mut self, core: &mut Core<N>) {
        self.double.resize(core.count(), Up::NOTHING);
        let (mut up, standing) =
            (std::mem::take(&mut self.double), std::mem::take(&mut self.standing.double));
        let path = core.path;
        path.run(Pass { core, deviations: self, standing: &standing, up: &mut up, write: true });
        (self.double, self.standing.double) = (up, standing);
    }
}

/// One pass up and down; returns the largest change of a voltage since the last one, not finite when one is.
struct Pass<'a, T, const N: usize> {
    core: &'a mut Core<N>,
    deviations: &'a mut Deviations,
    standing: &'a [StandingLoad<T>],
    up: &'a mut [Up<T>],
    /// Whether the state of the core moves along.
    write: bool,
}

impl<T: Real, const N: usize> Kernel for Pass<'_, T, N> {
    type Output = f64;

    #[inline(always)]
    fn run<K: Arithmetic>(mut self, kit: K) -> f64 {
        let e = self.up(kit);
        self.down(kit, &e)
    }
}

/// Largest square of a change, and the sum of all, which tells of what is no number.
#[derive(Clone, Copy)]
struct Change {
    largest: Half,
    sum: Half,
}

impl<T: Real, const N: usize> Pass<'_, T, N> {
    /// Sources on their way up; returns what arrives of the gradient by the root's voltage.
    #[inline(always)]
    fn up<K: Arithmetic>(&mut self, kit: K) -> Lanes<T> {
        let core = &*self.core;
        let factors = T::factors(core);
        let mut open = vec![Up::<T>::NOTHING; core.levels + 1];
        for i in (1..core.count()).rev() {
            let level = core.place[i].level as usize;
            let line = &core.lines.line[i];
            let bus = sources(kit, core, (self.deviations, self.standing), i, &open[level]);
            open[level] = Up::NOTHING;
            let climbed = factors.climb(kit, i, line, &bus);
            self.up[i] = climbed;
            let (a, e) = (factors.tt(kit, line, &climbed.a), factors.tt(kit, line, &climbed.e));
            let sum = &mut open[level - 1];
            *sum = Up { a: T::add(kit, &sum.a, &a), e: T::add(kit, &sum.e, &e) };
        }
        sources(kit, core, (self.deviations, self.standing), 0, &open[0]).e
    }

    /// Deviations on their way down.
    #[inline(always)]
    fn down<K: Arithmetic>(&mut self, kit: K, e: &Lanes<T>) -> f64 {
        let none = [T::ZERO; LANES];
        let mut open = vec![(none, none); self.core.levels + 1];
        let root = dense::times_plus(kit, &self.core.root, &T::widen(kit, e), &[0.0; LANES]);
        open[0].0 = T::narrow(kit, &root);
        let mut change = Change { largest: [0.0; HALF], sum: [0.0; HALF] };
        self.arrive(kit, 0, &open[0], &Up::NOTHING, &mut change);
        for i in 1..self.core.count() {
            let core = &*self.core;
            let factors = T::factors(core);
            let line = &core.lines.line[i];
            let level = core.place[i].level as usize;
            let (outer_v, outer_mu) = &open[level - 1];
            let (u, omega) = (factors.t(kit, line, outer_v), factors.t(kit, line, outer_mu));
            let moved = factors.descend(kit, i, line, &self.up[i], (&u, &omega));
            let v = T::sub(kit, &u, &factors.z(kit, line, &moved.a));
            let mu = T::sub(kit, &omega, &factors.zt(kit, line, &moved.e));
            open[level] = (v, mu);
            self.arrive(kit, i, &open[level], &moved, &mut change);
        }
        if change.sum.iter().all(|sum| sum.is_finite()) {
            change.largest.iter().fold(0.0_f64, |most, one| most.max(*one)).sqrt()
        } else {
            f64::NAN
        }
    }

    /// Keeps what arrived at a bus.
    #[inline(always)]
    fn arrive<K: Arithmetic>(
        &mut self,
        kit: K,
        i: usize,
        (v, mu): &(Lanes<T>, Lanes<T>),
        moved: &Up<T>,
        change: &mut Change,
    ) {
        let now = T::widen(kit, v);
        let (re, im) = halves(&dense::sub(kit, &now, &self.deviations.v[i]));
        let square = kit.fma4(re, re, kit.mul4(im, im));
        change.largest = kit.max4(change.largest, square);
        change.sum = kit.add4(change.sum, square);
        self.deviations.v[i].0 = now;
        let load = self.core.place[i].load;
        if load != NONE {
            self.deviations.mu[load as usize].0 = T::to_single(kit, mu);
        }
        if self.write {
            let core = &mut *self.core;
            core.v[i] = dense::add(kit, &core.v[i], &now);
            core.mu[i] = dense::add(kit, &core.mu[i], &T::widen(kit, mu));
            core.j[i] = dense::add(kit, &core.j[i], &T::widen(kit, &moved.a));
            core.pull[i] = dense::add(kit, &core.pull[i], &T::widen(kit, &moved.e));
        }
    }
}

/// What comes from below a bus and from its load and voltmeters.
#[inline(always)]
fn sources<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    (deviations, standing): (&Deviations, &[StandingLoad<T>]),
    i: usize,
    below: &Up<T>,
) -> Up<T> {
    let mut bus = *below;
    let place = &core.place[i];
    if place.load != NONE {
        let at = place.load as usize;
        let values = dense::sub(kit, &core.loads[at].measured, &deviations.loads[at]);
        let moved = (&*deviations.v[i], &*deviations.mu[at]);
        let (a, e) = load_source(kit, &standing[at], &T::frozen(core)[at], moved, &values);
        bus.a = T::add(kit, &bus.a, &T::narrow(kit, &a));
        bus.e = T::add(kit, &bus.e, &T::narrow(kit, &e));
    }
    if place.meter != NONE {
        let e = meter_sources(core, deviations, i);
        bus.e = T::add(kit, &bus.e, &T::narrow(kit, &e));
    }
    bus
}

/// What the voltmeters of a bus add to the gradient by its voltage, less what the factors make of it.
#[inline(never)]
fn meter_sources<const N: usize>(core: &Core<N>, deviations: &Deviations, i: usize) -> Vector {
    let mut e = [0.0; LANES];
    let (standing, moved) = (&core.v[i], &*deviations.v[i]);
    let mut now = *standing;
    for (now, moved) in now.iter_mut().zip(moved) {
        *now += moved;
    }
    for at in core.meters_at(i) {
        let (meter, d) = (core.meters[at], core.frozen_meters[at]);
        let (re, im) = (usize::from(meter.wire), usize::from(meter.wire) + HALF);
        let linear = (d[0] * moved[re] + d[1] * moved[im]) / meter.variance;
        let mut before = [0.0; LANES];
        Meter { value: deviations.meters[at], ..meter }.pull(standing, &mut before);
        meter.pull(&now, &mut e);
        e[re] += linear * d[0] - before[re];
        e[im] += linear * d[1] - before[im];
    }
    e
}

/// A complex number per wire.
type Pair = (Half, Half);

#[inline(always)]
fn product<K: Arithmetic>(kit: K, x: Pair, y: Pair) -> Pair {
    (kit.fnma4(x.1, y.1, kit.mul4(x.0, y.0)), kit.fma4(x.0, y.1, kit.mul4(x.1, y.0)))
}

/// z − x y
#[inline(always)]
fn less_product<K: Arithmetic>(kit: K, x: Pair, y: Pair, z: Pair) -> Pair {
    (kit.fma4(x.1, y.1, kit.fnma4(x.0, y.0, z.0)), kit.fnma4(x.1, y.0, kit.fnma4(x.0, y.1, z.1)))
}

#[inline(always)]
fn pair<K: Arithmetic, T: Real>(kit: K, x: &Lanes<T>) -> Pair {
    halves(&T::widen(kit, x))
}

/// A load's source: the deviation of its current and of its pull, less what the factors make of them.
#[inline(always)]
fn load_source<K: Arithmetic, T: Real>(
    kit: K,
    at: &StandingLoad<T>,
    frozen: &Frozen<T>,
    (v, mu): (&Vector, &Lanes<f32>),
    values: &Vector,
) -> (Vector, Vector) {
    let (dv, dmu, dz) = (halves(v), pair(kit, mu), halves(values));
    let (v, w, c, variance) = (pair(kit, &at.v), pair(kit, &at.w), pair(kit, &at.c), pair(kit, &at.variance));
    let now = (kit.add4(v.0, dv.0), kit.add4(v.1, dv.1));
    let scale = kit.div4(kit.splat4(1.0), kit.fma4(now.0, now.0, kit.mul4(now.1, now.1)));
    let none = [0.0; HALF];
    let inverse = (kit.mul4(now.0, scale), kit.fnma4(now.1, scale, none));
    let dw = product(kit, less_product(kit, w, dv, dmu), inverse);
    let ds = (kit.fma4(variance.0, dw.0, dz.0), kit.fnma4(variance.1, dw.1, dz.1));
    let dc = product(kit, less_product(kit, c, dv, ds), inverse);
    let (b, d, cross) = (pair(kit, &frozen.b), pair(kit, &frozen.d), pair(kit, &frozen.cross).0);
    // B dV + D dμ and B' dμ, with B x = b conj(x).
    let by_v = conjugate_product(kit, b, dv);
    let by_mu = (kit.fma4(d.0, dmu.0, kit.mul4(cross, dmu.1)), kit.fma4(cross, dmu.0, kit.mul4(d.1, dmu.1)));
    let a_re = kit.sub4(dc.0, kit.add4(by_v.0, by_mu.0));
    let a_im = kit.sub4(none, kit.add4(dc.1, kit.add4(by_v.1, by_mu.1)));
    let all = (kit.add4(c.0, dc.0), kit.add4(c.1, dc.1));
    let (p, q) = (product(kit, all, dw), product(kit, dc, w));
    let linear = conjugate_product(kit, b, dmu);
    let e_re = kit.sub4(none, kit.add4(linear.0, kit.add4(p.0, q.0)));
    let e_im = kit.sub4(kit.add4(p.1, q.1), linear.1);
    (joined((a_re, a_im)), joined((e_re, e_im)))
}

/// x conj(y)
#[inline(always)]
fn conjugate_product<K: Arithmetic>(kit: K, x: Pair, y: Pair) -> Pair {
    (kit.fma4(x.0, y.0, kit.mul4(x.1, y.1)), kit.fnma4(x.0, y.1, kit.mul4(x.1, y.0)))
}
