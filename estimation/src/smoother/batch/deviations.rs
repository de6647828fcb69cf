//! Eight sets as deviations from the estimate whose factors they use, see [`super::super::standing`].

use super::super::core::Core;
use super::super::dense::{self, Arithmetic, HALF, LANES, Transposed, Vector};
use super::super::injections::Frozen;
use super::super::lines::NONE;
use super::super::meters::Meter;
use super::super::precision::{Lanes, Real};
use super::super::standing::{Standing, StandingLoad};
use super::block::{Block, Wide, add, ratio, sub, times_plus, widen, z_times};
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
    v: Vec<Block<f32, N>>,
    /// By load: of the gradient by its current.
    mu: Vec<Block<f32, N>>,
    /// By load: of the values; in double precision when that is asked for.
    single: Vec<Block<f32, N>>,
    double: Vec<Block<f64, N>>,
}

impl<const N: usize> Deviations<N> {
    /// None yet, from the state of a core, which is the optimum for its values.
    pub fn new(core: &Core<N>) -> Self {
        let none = [[0.0; SETS]; N];
        Self {
            standing: Standing::of(core),
            base: core.v.clone(),
            base_loads: core.loads.iter().map(|load| load.measured).collect(),
            base_meters: core.meters.iter().map(|meter| meter.value).collect(),
            v: vec![none; core.count()],
            mu: vec![none; core.loads.len()],
            single: vec![none; core.loads.len()],
            double: Vec::new(),
        }
    }

    /// Starts from no deviation with the values of eight sets.
    pub fn start(&mut self, measured: &[Block<f64, N>]) {
        let none = [[0.0; SETS]; N];
        self.v.fill(none);
        self.mu.fill(none);
        for ((change, all), base) in self.single.iter_mut().zip(measured).zip(&self.base_loads) {
            *change = changes(all, base).map(|wire| wire.map(|x| x as f32));
        }
        self.double.clear();
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
        if self.double.is_empty() {
            self.double =
                measured.iter().zip(&self.base_loads).map(|(all, base)| changes(all, base)).collect();
        }
        let (values, standing) =
            (std::mem::take(&mut self.double), std::mem::take(&mut self.standing.double));
        let pass = Pass { core, deviations: self, values: &values, standing: &standing, meters, room };
        let step = core.path.run(pass);
        (self.double, self.standing.double) = (values, standing);
        step
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

/// One pass up and down; returns the largest change of a voltage since the last one, not finite when one is.
struct Pass<'a, T, const N: usize> {
    core: &'a Core<N>,
    deviations: &'a mut Deviations<N>,
    /// Changes of values by load.
    values: &'a [Block<T, N>],
    standing: &'a [StandingLoad<T>],
    /// Values of the sets by meter.
    meters: &'a [Wide<f64>],
    room: &'a mut Room<T, N>,
}

impl<T: Real, const N: usize> Kernel for Pass<'_, T, N> {
    type Output = f64;

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
        let mut open = vec![(false, Up::<T, N>::NOTHING); core.levels + 1];
        for i in (1..core.count()).rev() {
            let level = core.place[i].level as usize;
            let line = &core.lines.line[i];
            let mut bus = if open[level].0 { open[level].1 } else { Up::NOTHING };
            open[level].0 = false;
            self.sources(kit, i, &mut bus);
            climb(kit, (factors, line), i, &mut bus);
            self.room.0[i] = bus;
            let a = ratio(kit, factors, line, &bus.a, Transposed::Yes);
            let e = ratio(kit, factors, line, &bus.e, Transposed::Yes);
            let (filled, sum) = &mut open[level - 1];
            *sum =
                if *filled { Up { a: add(kit, &sum.a, &a), e: add(kit, &sum.e, &e) } } else { Up { a, e } };
            *filled = true;
        }
        let mut bus = if open[0].0 { open[0].1 } else { Up::NOTHING };
        self.sources(kit, 0, &mut bus);
        bus.e
    }

    /// Adds what a bus's load and voltmeters bring.
    #[inline(always)]
    fn sources<K: Arithmetic>(&self, kit: K, i: usize, bus: &mut Up<T, N>) {
        let core = self.core;
        let load = core.place[i].load;
        if load != NONE {
            let at = load as usize;
            let moved = (&self.deviations.v[i], &self.deviations.mu[at], &self.values[at]);
            load_source(kit, &self.standing[at], &T::frozen(core)[at], moved, bus);
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
        let mut open = vec![(none, none); core.levels + 1];
        let root = times_plus(kit, &core.root, &widen(kit, e), &[[0.0; SETS]; N]);
        for k in 0..N {
            open[0].0[k] = T::narrow(kit, &root[k]);
        }
        let (mut largest, mut sum) = ([0.0_f32; SETS], [0.0_f32; SETS]);
        self.arrive(kit, 0, &open[0], (&mut largest, &mut sum));
        for i in 1..core.count() {
            let line = &core.lines.line[i];
            let level = core.place[i].level as usize;
            let u = ratio(kit, factors, line, &open[level - 1].0, Transposed::No);
            let omega = ratio(kit, factors, line, &open[level - 1].1, Transposed::No);
            let change = descend(kit, (factors, line), i, &self.room.0[i], (&u, &omega));
            let v = sub(kit, &u, &z_times(kit, factors, line, &change.a, Transposed::No));
            let mu = sub(kit, &omega, &z_times(kit, factors, line, &change.e, Transposed::Yes));
            open[level] = (v, mu);
            self.arrive(kit, i, &open[level], (&mut largest, &mut sum));
        }
        if sum.iter().all(|sum| sum.is_finite()) {
            f64::from(largest.iter().fold(0.0_f32, |most, one| most.max(*one))).sqrt()
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
        (v, mu): &(Block<T, N>, Block<T, N>),
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
        *kept = now;
        let load = self.core.place[i].load;
        if load != NONE {
            let kept = &mut self.deviations.mu[load as usize];
            for k in 0..N {
                kept[k] = T::to_single(kit, &mu[k]);
            }
        }
    }
}

/// Adds a load's source: the deviation of its current and of its pull, less what the factors make of it.
#[inline(always)]
fn load_source<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    at: &StandingLoad<T>,
    frozen: &Frozen<T>,
    (v, mu, values): (&Block<f32, N>, &Block<f32, N>, &Block<T, N>),
    bus: &mut Up<T, N>,
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
        bus.a[re] = T::add(kit, &bus.a[re], &T::sub(kit, &dc.0, &by_mu.0));
        bus.a[im] = T::sub(kit, &bus.a[im], &T::add(kit, &dc.1, &by_mu.1));
        let all = (T::add(kit, &c.0, &dc.0), T::add(kit, &c.1, &dc.1));
        let (p, q) = (product(kit, &all, &dw), product(kit, &dc, &w));
        let linear = conjugate_product(kit, &b, &dmu);
        let pull = (T::add(kit, &p.0, &q.0), T::add(kit, &p.1, &q.1));
        bus.e[re] = T::sub(kit, &bus.e[re], &T::add(kit, &linear.0, &pull.0));
        bus.e[im] = T::add(kit, &bus.e[im], &T::sub(kit, &pull.1, &linear.1));
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
