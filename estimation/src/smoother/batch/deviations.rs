//! Eight sets as deviations from the estimate whose factors they use, see [`super::super::standing`].

use super::super::core::Core;
use super::super::dense::{self, Aligned, Arithmetic, HALF, LANES, Transposed, Vector};
use super::super::injections::Frozen;
use super::super::lines::NONE;
use super::super::meters::Meter;
use super::super::precision::{Lanes, Real};
use super::super::standing::{Standing, StandingLoad};
use super::block::{Block, Wide, ratio, sub, times_plus, widen, z_times};
use super::down::descend;
use super::up::climb;
use super::{Room, SETS, Up};
use crate::simd::Kernel;

/// Deviations of eight sets, and what they deviate from.
#[derive(Debug, Clone)]
pub(super) struct Deviations<const N: usize> {
    standing: Standing,
    /// Voltages, by position; values by load and by meter.
    base: Vec<Vector>,
    base_loads: Vec<Vector>,
    base_meters: Vec<f64>,
    /// By position: of the voltage.
    v: Vec<Aligned<Block<f32, N>>>,
    /// By load: of the gradient by its current.
    mu: Vec<Aligned<Block<f32, N>>>,
    /// By load: of the values; in double precision when that is asked for.
    single: Vec<Aligned<Block<f32, N>>>,
    double: Vec<Aligned<Block<f64, N>>>,
    /// Whether `double` is there for the values of `single`.
    doubled: bool,
}

impl<const N: usize> Deviations<N> {
    /// None yet, from the state of a core, which is the optimum for its values.
    pub fn new(core: &Core<N>) -> Self {
        let none = Aligned([[0.0; SETS]; N]);
        Self {
            standing: Standing::of(core),
            base: core.v.clone(),
            base_loads: core.loads.iter().map(|load| load.measured).collect(),
            base_meters: core.meters.iter().map(|meter| meter.value).collect(),
            v: vec![none; core.count()],
            mu: vec![none; core.loads.len()],
            single: vec![none; core.loads.len()],
            double: Vec::new(),
            doubled: false,
        }
    }

    /// Starts from no deviation with the values of eight sets.
    pub fn start(&mut self, measured: &[Block<f64, N>]) {
        let none = Aligned([[0.0; SETS]; N]);
        self.v.fill(none);
        self.mu.fill(none);
        for ((change, all), base) in self.single.iter_mut().zip(measured).zip(&self.base_loads) {
            change.0 = changes(all, base).map(|wire| wire.map(|x| x as f32));
        }
        self.doubled = false;
    }

    /// One pass with the values of voltmeters by meter.
    pub fn pass(&mut self, core: &Core<N>, meters: &[Wide<f64>], room: &mut Room<f32, N>) -> f64 {
        let (values, standing) =
            (std::mem::take(&mut self.single), std::mem::take(&mut self.standing.single));
        let pass = Pass { core, deviations: self, values: &values, standing: &standing, meters, room };
        let step = core.path.run(pass);
        (self.single, self.standing.single) = (values, standing);
        step
    }

    /// The same in double precision.
    pub fn pass_double(
        &mut self,
        core: &Core<N>,
        (measured, meters): (&[Block<f64, N>], &[Wide<f64>]),
        room: &mut Room<f64, N>,
    ) -> f64 {
        if !self.doubled {
            self.double.resize(measured.len(), Aligned([[0.0; SETS]; N]));
            for ((change, all), base) in self.double.iter_mut().zip(measured).zip(&self.base_loads) {
                change.0 = changes(all, base);
            }
            self.doubled = true;
        }
        let (values, standing) =
            (std::mem::take(&mut self.double), std::mem::take(&mut self.standing.double));
        let pass = Pass { core, deviations: self, values: &values, standing: &standing, meters, room };
        let step = core.path.run(pass);
        (self.double, self.standing.double) = (values, standing);
        step
    }

    /// The largest square of a voltage by set; infinite when one is no number.
    pub fn largest_squares(&self) -> Wide<f64> {
        let (mut most, mut sum) = ([0.0_f64; SETS], [0.0_f64; SETS]);
        for (base, moved) in self.base.iter().zip(&self.v) {
            for k in 0..N / 2 {
                let (re, im) = (&moved[k], &moved[k + N / 2]);
                for set in 0..SETS {
                    let x = base[k] + f64::from(re[set]);
                    let y = base[k + HALF] + f64::from(im[set]);
                    let square = x * x + y * y;
                    most[set] = if square <= most[set] { most[set] } else { square };
                    sum[set] += square;
                }
            }
        }
        std::array::from_fn(|set| if sum[set].is_finite() { most[set] } else { f64::INFINITY })
    }

    /// The voltage of a position in a set.
    pub fn voltage(&self, position: usize, set: usize) -> Vector {
        let mut v = self.base[position];
        for k in 0..N {
            v[dense::lane::<N>(k)] += f64::from(self.v[position][k][set]);
        }
        v
    }
}

fn changes<const N: usize>(measured: &Block<f64, N>, base: &Vector) -> Block<f64, N> {
    let mut change = *measured;
    for k in 0..N {
        change[k].iter_mut().for_each(|x| *x -= base[dense::lane::<N>(k)]);
    }
    change
}

/// What has come from below a bus.
#[derive(Clone, Copy)]
struct Open<T, const N: usize> {
    /// Whether a child has come; before that the rest means nothing.
    filled: bool,
    up: Up<T, N>,
}

impl<T: Real, const N: usize> Open<T, N> {
    #[inline(always)]
    fn add<K: Arithmetic>(&mut self, kit: K, a: &Block<T, N>, e: &Block<T, N>) {
        if self.filled {
            for k in 0..N {
                self.up.a[k] = T::add(kit, &self.up.a[k], &a[k]);
                self.up.e[k] = T::add(kit, &self.up.e[k], &e[k]);
            }
        } else {
            (self.filled, self.up.a, self.up.e) = (true, *a, *e);
        }
    }
}

/// One pass up and down; returns the largest change of a voltage since the last one, not finite when one is.
struct Pass<'a, T, const N: usize> {
    core: &'a Core<N>,
    deviations: &'a mut Deviations<N>,
    /// Changes of values by load.
    values: &'a [Aligned<Block<T, N>>],
    standing: &'a [StandingLoad<T>],
    /// Values of the sets by meter.
    meters: &'a [Wide<f64>],
    room: &'a mut Room<T, N>,
}

impl<T: Real, const N: usize> Kernel for Pass<'_, T, N> {
    type Output = f64;
    const MANY_NUMBERS: bool = true;

    #[inline(always)]
    fn run<K: Arithmetic>(mut self, kit: K) -> f64 {
        self.room.0.resize(self.core.count(), Up::NOTHING);
        let e = self.up(kit);
        self.down(kit, &e)
    }
}

impl<T: Real, const N: usize> Pass<'_, T, N> {
    /// Sources on their way up; returns what arrives of the gradient by the root's voltage.
    #[inline(always)]
    fn up<K: Arithmetic>(&mut self, kit: K) -> Block<T, N> {
        let core = self.core;
        let factors = T::factors(core);
        let mut open = vec![Open::<T, N> { filled: false, up: Up::NOTHING }; core.levels + 1];
        let mut room = std::mem::take(&mut self.room.0);
        for i in (1..core.count()).rev() {
            let line = &core.lines.line[i];
            let (above, here) = open.split_at_mut(core.place[i].level as usize);
            let (parent, here, bus) = (&mut above[above.len() - 1], &mut here[0], &mut room[i]);
            self.sources(kit, i, here, bus);
            here.filled = false;
            climb(kit, (factors, line), i, bus);
            if line.ratio == NONE {
                parent.add(kit, &bus.a, &bus.e);
            } else {
                let a = ratio(kit, factors, line, &bus.a, Transposed::Yes);
                let e = ratio(kit, factors, line, &bus.e, Transposed::Yes);
                parent.add(kit, &a, &e);
            }
        }
        let mut bus = Up::NOTHING;
        self.sources(kit, 0, &open[0], &mut bus);
        self.room.0 = room;
        bus.e
    }

    /// What comes from below a bus and from its load and voltmeters.
    #[inline(always)]
    fn sources<K: Arithmetic>(&self, kit: K, i: usize, below: &Open<T, N>, bus: &mut Up<T, N>) {
        let core = self.core;
        let none = Up::NOTHING;
        let below = if below.filled { &below.up } else { &none };
        let load = core.place[i].load;
        if load != NONE {
            let at = load as usize;
            let moved = (&*self.deviations.v[i], &*self.deviations.mu[at], &*self.values[at]);
            load_source(kit, &self.standing[at], &T::frozen(core)[at], moved, (below, bus));
        } else {
            *bus = *below;
        }
        if core.place[i].meter != NONE {
            let e = self.meter_sources(i);
            for k in 0..N {
                bus.e[k] = T::add(kit, &bus.e[k], &T::narrow(kit, &e[k]));
            }
        }
    }

    /// What the voltmeters of a bus add to the gradient by its voltage.
    #[inline(never)]
    fn meter_sources(&self, i: usize) -> Block<f64, N> {
        let core = self.core;
        let mut e = [[0.0; SETS]; N];
        for at in core.meters_at(i) {
            let (meter, d) = (core.meters[at], core.frozen_meters[at]);
            let (k, base) = (usize::from(meter.wire), self.deviations.base[i]);
            let mut standing = [0.0; LANES];
            Meter { value: self.deviations.base_meters[at], ..meter }.pull(&base, &mut standing);
            for set in 0..SETS {
                let (re, im) = (self.deviations.v[i][k][set], self.deviations.v[i][k + N / 2][set]);
                let moved = [f64::from(re), f64::from(im)];
                let mut v = base;
                v[k] += moved[0];
                v[k + HALF] += moved[1];
                let mut pull = [0.0; LANES];
                let now = Meter { value: self.meters[at][set], ..meter };
                now.pull(&v, &mut pull);
                let linear = (d[0] * moved[0] + d[1] * moved[1]) / meter.variance;
                e[k][set] += pull[k] - standing[k] + linear * d[0];
                e[k + N / 2][set] += pull[k + HALF] - standing[k + HALF] + linear * d[1];
            }
        }
        e
    }

    /// Deviations on their way down.
    #[inline(always)]
    fn down<K: Arithmetic>(&mut self, kit: K, e: &Block<T, N>) -> f64 {
        let core = self.core;
        let factors = T::factors(core);
        let none = [[T::ZERO; SETS]; N];
        let mut open = vec![Up { a: none, e: none }; core.levels + 1];
        let root = times_plus(kit, &core.root, &widen(kit, e), &[[0.0; SETS]; N]);
        for k in 0..N {
            open[0].a[k] = T::narrow(kit, &root[k]);
        }
        let (mut largest, mut sum) = ([0.0_f32; SETS], [0.0_f32; SETS]);
        self.arrive(kit, 0, &open[0], (&mut largest, &mut sum));
        for i in 1..core.count() {
            let line = &core.lines.line[i];
            let (above, here) = open.split_at_mut(core.place[i].level as usize);
            let (outer, here) = (&above[above.len() - 1], &mut here[0]);
            if line.ratio == NONE {
                self.follow(kit, i, (&outer.a, &outer.e), here);
            } else {
                let u = ratio(kit, factors, line, &outer.a, Transposed::No);
                let omega = ratio(kit, factors, line, &outer.e, Transposed::No);
                self.follow(kit, i, (&u, &omega), here);
            }
            self.arrive(kit, i, here, (&mut largest, &mut sum));
        }
        if sum.iter().all(|sum| sum.is_finite()) {
            f64::from(largest.iter().fold(0.0_f32, |most, one| most.max(*one))).sqrt()
        } else {
            f64::NAN
        }
    }

    /// Deviations of the voltage and of the gradient by the current across a line.
    #[inline(always)]
    fn follow<K: Arithmetic>(
        &self,
        kit: K,
        i: usize,
        (u, omega): (&Block<T, N>, &Block<T, N>),
        here: &mut Up<T, N>,
    ) {
        let (factors, line) = (T::factors(self.core), &self.core.lines.line[i]);
        let change = descend(kit, (factors, line), i, &self.room.0[i], (u, omega));
        here.a = sub(kit, u, &z_times(kit, factors, line, &change.a, Transposed::No));
        here.e = sub(kit, omega, &z_times(kit, factors, line, &change.e, Transposed::Yes));
    }

    /// Keeps what arrived at a bus: deviations of the voltage and of the gradient by the current.
    #[inline(always)]
    fn arrive<K: Arithmetic>(
        &mut self,
        kit: K,
        i: usize,
        Up { a: v, e: mu }: &Up<T, N>,
        (largest, sum): (&mut Wide<f32>, &mut Wide<f32>),
    ) {
        let w = N / 2;
        let kept = &mut self.deviations.v[i];
        let mut now = [[0.0_f32; SETS]; N];
        for k in 0..N {
            now[k] = T::to_single(kit, &v[k]);
        }
        for k in 0..w {
            let (re, im) = (kit.sub8(now[k], kept[k]), kit.sub8(now[k + w], kept[k + w]));
            let square = kit.fma8(re, re, kit.mul8(im, im));
            *largest = kit.max8(*largest, square);
            *sum = kit.add8(*sum, square);
        }
        kept.0 = now;
        let load = self.core.place[i].load;
        if load != NONE {
            let kept = &mut self.deviations.mu[load as usize];
            for k in 0..N {
                kept[k] = T::to_single(kit, &mu[k]);
            }
        }
    }
}

/// What comes from below and a load's source: the deviation of its current and of its pull, less what the factors make of it.
#[inline(always)]
fn load_source<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    at: &StandingLoad<T>,
    frozen: &Frozen<T>,
    (v, mu, values): (&Block<f32, N>, &Block<f32, N>, &Block<T, N>),
    (below, bus): (&Up<T, N>, &mut Up<T, N>),
) {
    for k in 0..N / 2 {
        let (re, im, h) = (k, k + N / 2, k + HALF);
        let dv = (T::from_single(kit, &v[re]), T::from_single(kit, &v[im]));
        let dmu = (T::from_single(kit, &mu[re]), T::from_single(kit, &mu[im]));
        let standing = both(kit, &at.v, k);
        let now = (T::add(kit, &standing.0, &dv.0), T::add(kit, &standing.1, &dv.1));
        let scale = T::inverse(kit, &T::fma(kit, &now.0, &now.0, &T::mul(kit, &now.1, &now.1)));
        let none = [T::ZERO; SETS];
        let inverse = (T::mul(kit, &now.0, &scale), T::fnma(kit, &now.1, &scale, &none));
        let (w, c, b) = (both(kit, &at.w, k), both(kit, &at.c, k), both(kit, &frozen.b, k));
        let dw = product(kit, &less_product(kit, &w, &dv, &dmu), &inverse);
        let ds = (
            T::axpy(kit, at.variance[k], &dw.0, &values[re]),
            T::fnma(kit, &T::splat(kit, at.variance[h]), &dw.1, &values[im]),
        );
        let dc = product(kit, &less_product(kit, &c, &dv, &ds), &inverse);
        // B dV + D dμ and B' dμ, with B x = b conj(x).
        let by_v = conjugate_product(kit, &b, &dv);
        let by_mu = (
            T::axpy(kit, frozen.d[k], &dmu.0, &T::axpy(kit, frozen.cross[k], &dmu.1, &by_v.0)),
            T::axpy(kit, frozen.cross[k], &dmu.0, &T::axpy(kit, frozen.d[h], &dmu.1, &by_v.1)),
        );
        bus.a[re] = T::add(kit, &below.a[re], &T::sub(kit, &dc.0, &by_mu.0));
        bus.a[im] = T::sub(kit, &below.a[im], &T::add(kit, &dc.1, &by_mu.1));
        let all = (T::add(kit, &c.0, &dc.0), T::add(kit, &c.1, &dc.1));
        let (p, q) = (product(kit, &all, &dw), product(kit, &dc, &w));
        let linear = conjugate_product(kit, &b, &dmu);
        let pull = (T::add(kit, &p.0, &q.0), T::add(kit, &p.1, &q.1));
        bus.e[re] = T::sub(kit, &below.e[re], &T::add(kit, &linear.0, &pull.0));
        bus.e[im] = T::add(kit, &below.e[im], &T::sub(kit, &pull.1, &linear.1));
    }
}

/// A complex number per set.
type Pair<T> = (Wide<T>, Wide<T>);

/// The complex number of a wire, the same for all sets.
#[inline(always)]
fn both<K: Arithmetic, T: Real>(kit: K, x: &Lanes<T>, wire: usize) -> Pair<T> {
    (T::splat(kit, x[wire]), T::splat(kit, x[wire + HALF]))
}

#[inline(always)]
fn product<K: Arithmetic, T: Real>(kit: K, x: &Pair<T>, y: &Pair<T>) -> Pair<T> {
    (T::fnma(kit, &x.1, &y.1, &T::mul(kit, &x.0, &y.0)), T::fma(kit, &x.0, &y.1, &T::mul(kit, &x.1, &y.0)))
}

/// x conj(y)
#[inline(always)]
fn conjugate_product<K: Arithmetic, T: Real>(kit: K, x: &Pair<T>, y: &Pair<T>) -> Pair<T> {
    (T::fma(kit, &x.0, &y.0, &T::mul(kit, &x.1, &y.1)), T::fnma(kit, &x.0, &y.1, &T::mul(kit, &x.1, &y.0)))
}

/// z − x y
#[inline(always)]
fn less_product<K: Arithmetic, T: Real>(kit: K, x: &Pair<T>, y: &Pair<T>, z: &Pair<T>) -> Pair<T> {
    (
        T::fma(kit, &x.1, &y.1, &T::fnma(kit, &x.0, &y.0, &z.0)),
        T::fnma(kit, &x.1, &y.0, &T::fnma(kit, &x.0, &y.1, &z.1)),
    )
}
