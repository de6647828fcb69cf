//! Residuals and corrections of eight sets on their way up.

use super::super::core::Core;
use super::super::dense::{self, Arithmetic, HALF, Matrix, Plain, Transposed};
use super::super::lines::{Line, NONE};
use super::super::meters::{Meter, Says};
use super::super::precision::{Edge, Factors, Real};
use super::block::{
    Block, Wide, add, even, narrow, pick, put, ratio, sub, times_plus, transposed_plus, widen, z_times,
};
use super::{Room, SETS, Sets, Up};

/// Currents and gradients of the children, and corrections on their way up.
#[derive(Clone, Copy)]
struct Open<T, const N: usize> {
    /// Whether a child has come; before that the rest means nothing.
    filled: bool,
    j: Block<f64, N>,
    pull: Block<f64, N>,
    up: Up<T, N>,
}

impl<T: Real, const N: usize> Open<T, N> {
    const NOTHING: Self =
        Self { filled: false, j: [[0.0; SETS]; N], pull: [[0.0; SETS]; N], up: Up::NOTHING };

    /// Adds what a child brings.
    #[inline(always)]
    fn add<K: Arithmetic>(
        &mut self,
        kit: K,
        (j, pull): (&Block<f64, N>, &Block<f64, N>),
        (a, e): (&Block<T, N>, &Block<T, N>),
    ) {
        if self.filled {
            (self.j, self.pull) = (add(kit, &self.j, j), add(kit, &self.pull, pull));
            (self.up.a, self.up.e) = (add(kit, &self.up.a, a), add(kit, &self.up.e, e));
        } else {
            (self.j, self.pull, self.up.a, self.up.e) = (*j, *pull, *a, *e);
            self.filled = true;
        }
    }
}

#[inline(always)]
pub(super) fn up<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &mut Sets<N>,
    room: &mut Room<T, N>,
) -> Block<f64, N> {
    let (factors, wide) = (T::factors(core), &core.double);
    let mut open = vec![Open::<T, N>::NOTHING; core.levels + 1];
    for i in (1..core.count()).rev() {
        let level = core.place[i].level as usize;
        let (parents, below) = open.split_at_mut(level);
        let line = &core.lines.line[i];
        let mut bus = residuals(kit, core, sets, i, &below[0]);
        below[0].filled = false;
        climb(kit, (factors, line), &factors.edges[i], &mut bus);
        room.0[i] = bus;
        let mut a = ratio(kit, factors, line, &bus.a, Transposed::Yes);
        let mut e = ratio(kit, factors, line, &bus.e, Transposed::Yes);
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            through::<T, N>(core, sets, core.sites[site as usize].above, &mut a, &mut e);
        }
        let parent = &mut parents[level - 1];
        if line.ratio == NONE {
            parent.add(kit, (&sets.j[i], &sets.pull[i]), (&a, &e));
        } else {
            let j = ratio(kit, wide, line, &sets.j[i], Transposed::Yes);
            let pull = ratio(kit, wide, line, &sets.pull[i], Transposed::Yes);
            parent.add(kit, (&j, &pull), (&a, &e));
        }
    }
    widen(kit, &residuals(kit, core, sets, 0, &open[0]).e)
}

/// Across a line, without the ratio: see [`Factors::climb`].
#[inline(always)]
pub(super) fn climb<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    (factors, line): (&Factors<T, N>, &Line),
    edge: &Edge<T, N>,
    up: &mut Up<T, N>,
) {
    let none = [[T::ZERO; SETS]; N];
    let along = z_times(kit, factors, line.impedance(), &up.a, Transposed::No);
    let across = z_times(kit, factors, line.impedance(), &up.e, Transposed::Yes);
    let less = times_plus(kit, &edge.s, &across, &times_plus(kit, &edge.a, &along, &none));
    up.a = sub(kit, &up.a, &less);
    up.e = sub(kit, &up.e, &transposed_plus(kit, &edge.a, &across, &none));
    if line.evidence != NONE {
        up.e = times_plus(kit, &factors.evidence[line.evidence as usize], &along, &up.e);
    }
}

#[inline(never)]
fn through<T: Real, const N: usize>(
    core: &Core<N>,
    sets: &mut Sets<N>,
    cut: u32,
    a: &mut Block<T, N>,
    e: &mut Block<T, N>,
) {
    let (mut wide_a, mut wide_e) = (widen(Plain, a), widen(Plain, e));
    for set in 0..SETS {
        let (mut one_a, mut one_e) = (pick(&wide_a, set), pick(&wide_e, set));
        sets.cuts[set][cut as usize].up(&core.admittances, &mut one_a, &mut one_e);
        put(&mut wide_a, set, &one_a);
        put(&mut wide_e, set, &one_e);
    }
    (*a, *e) = (narrow(Plain, &wide_a), narrow(Plain, &wide_e));
}

/// The residuals of a bus, with what the children's lines bring.
#[inline(always)]
fn residuals<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &mut Sets<N>,
    i: usize,
    open: &Open<T, N>,
) -> Up<T, N> {
    let place = core.place[i];
    let none = [[0.0; SETS]; N];
    let (below, pulled) = if open.filled { (&open.j, &open.pull) } else { (&none, &none) };
    let mut j = sub(kit, below, &sets.j[i]);
    let mut pull = sub(kit, pulled, &sets.pull[i]);
    let shunt = &core.lines.shunt[i];
    if !shunt.is_none() {
        j = add(kit, &j, &even(kit, &shunt.even, &sets.v[i], Transposed::No));
        pull = add(kit, &pull, &even(kit, &shunt.even, &sets.mu[i], Transposed::Yes));
    }
    if shunt.full != 0 {
        let y: &Matrix<N> = &core.lines.full_shunts[shunt.full as usize - 1];
        j = times_plus(kit, y, &sets.v[i], &j);
        pull = transposed_plus(kit, y, &sets.mu[i], &pull);
    }
    let own = core.own_cut(i);
    let mut load_current = none;
    if place.load != NONE {
        if own == NONE && core.loads[place.load as usize].free == 0 {
            load(kit, core, sets, i, &mut j, &mut pull);
        } else {
            odd_load(core, sets, i, (&mut j, &mut pull), &mut load_current);
        }
    }
    for meter in core.meters_at(i) {
        gradient(kit, &core.meters[meter], &sets.meters[meter], &sets.v[i], &mut pull);
    }
    let mut bus = Up { a: narrow(kit, &j), e: narrow(kit, &pull) };
    if open.filled {
        bus = Up { a: add(kit, &open.up.a, &bus.a), e: add(kit, &open.up.e, &bus.e) };
    }
    if place.site != NONE {
        if own != NONE {
            let mut load = Up { a: narrow(kit, &load_current), ..Up::<T, N>::NOTHING };
            through(core, sets, own, &mut load.a, &mut load.e);
            bus = Up { a: add(kit, &bus.a, &load.a), e: add(kit, &bus.e, &load.e) };
        }
        let (first, end) = core.sites[place.site as usize].here;
        for cut in first..end {
            through(core, sets, cut, &mut bus.a, &mut bus.e);
        }
    }
    bus
}

/// Adds a load's current and B' μ: see `injections`.
#[inline(always)]
fn load<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &Sets<N>,
    i: usize,
    j: &mut Block<f64, N>,
    pull: &mut Block<f64, N>,
) {
    let w = N / 2;
    let at = core.place[i].load as usize;
    let variance = &core.loads[at].variance;
    let (v, mu, s) = (&sets.v[i], &sets.mu[i], &sets.measured[at]);
    let none = [0.0; SETS];
    for k in 0..w {
        let (vp, vq) = (variance[k], variance[k + HALF]);
        let (x, y, m, n) = (&v[k], &v[k + w], &mu[k], &mu[k + w]);
        let (kx, ky) = dense::reciprocal(kit, x, y);
        let along = dense::fma(kit, &kx, m, &dense::mul(kit, &ky, n));
        let across = dense::fnma(kit, &kx, n, &dense::mul(kit, &ky, m));
        let p = dense::axpy(kit, vp, &along, &s[k]);
        let q = dense::axpy(kit, vq, &across, &s[k + w]);
        j[k] = dense::fma(kit, &p, &kx, &dense::fma(kit, &q, &ky, &j[k]));
        j[k + w] = dense::fma(kit, &p, &ky, &dense::fnma(kit, &q, &kx, &j[k + w]));
        // 1/V² and b = −conj((p + jq)/V²).
        let gr = dense::fnma(kit, &ky, &ky, &dense::mul(kit, &kx, &kx));
        let half = dense::mul(kit, &kx, &ky);
        let gi = dense::add(kit, &half, &half);
        let b_re = dense::sub(kit, &none, &dense::fma(kit, &p, &gr, &dense::mul(kit, &q, &gi)));
        let b_im = dense::fnma(kit, &p, &gi, &dense::mul(kit, &q, &gr));
        pull[k] = dense::fma(kit, &b_re, m, &dense::fma(kit, &b_im, n, &pull[k]));
        pull[k + w] = dense::fma(kit, &b_im, m, &dense::fnma(kit, &b_re, n, &pull[k + w]));
    }
}

/// Loads with free wires or a second reading, set by set. `beside` becomes the current beyond the one at which the rows
/// of a second reading stand.
#[inline(never)]
fn odd_load<const N: usize>(
    core: &Core<N>,
    sets: &Sets<N>,
    i: usize,
    (j, pull): (&mut Block<f64, N>, &mut Block<f64, N>),
    beside: &mut Block<f64, N>,
) {
    let (at, own) = (core.place[i].load as usize, core.own_cut(i));
    for set in 0..SETS {
        let v = pick(&sets.v[i], set);
        let mu = if own == NONE { pick(&sets.mu[i], set) } else { sets.cuts[set][own as usize].mu };
        let mut load = core.loads[at];
        load.measured = pick(&sets.measured[at], set);
        let now = load.at(Plain, &v, &mu);
        let mut taken = now.current;
        if own != NONE {
            taken = sets.cuts[set][own as usize].j;
            put(beside, set, &dense::sub(Plain, &now.current, &taken));
        }
        put(j, set, &dense::add(Plain, &pick(j, set), &taken));
        put(pull, set, &dense::add(Plain, &pick(pull, set), &now.exact.b_times(Plain, &mu)));
    }
}

/// A meter's gradient: see `meters`.
#[inline(always)]
fn gradient<K: Arithmetic, const N: usize>(
    kit: K,
    meter: &Meter,
    value: &Wide<f64>,
    v: &Block<f64, N>,
    pull: &mut Block<f64, N>,
) {
    let (k, w) = (usize::from(meter.wire), N / 2);
    let weight = 1.0 / meter.variance;
    for l in 0..SETS {
        let (x, y) = (v[k][l], v[k + w][l]);
        let magnitude = kit.fma(x, x, y * y).sqrt();
        let (c, s) = (x / magnitude, y / magnitude);
        let (residual, d) = match meter.says {
            Says::Magnitude => (value[l] - magnitude, [c, s]),
            Says::Angle | Says::Reference => {
                let turn = std::f64::consts::TAU;
                let away = value[l] - y.atan2(x);
                (away - (away / turn).round() * turn, [-s / magnitude, c / magnitude])
            }
        };
        pull[k][l] += weight * residual * d[0];
        pull[k + w][l] += weight * residual * d[1];
    }
}
