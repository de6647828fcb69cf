//! Eight measurement sets per pass on the same factors: a lane is a set.
//!
//! The same step as [`super::step`], with every number eight wide; a factor is read once for all eight. Rows at cuts
//! are few and go set by set.

use super::compile::{Target, Targets};
use super::core::Core;
use super::cuts::Cut;
use super::dense::{self, Arithmetic, Even, HALF, Matrix, Plain, Transposed, Vector};
use super::lines::{Line, NONE};
use super::meters::{Meter, Says};
use super::precision::{Factors, Real, Square};
use crate::circuit::Readings;
use crate::simd::Kernel;

/// Sets per pass.
pub const SETS: usize = 8;

/// One number per set.
type Wide<T> = [T; SETS];
/// One vector per set: by unknown, then by set.
type Block<T, const N: usize> = [Wide<T>; N];

/// Corrections of eight sets on their way up.
#[derive(Debug, Clone, Copy)]
struct Up<T, const N: usize> {
    a: Block<T, N>,
    e: Block<T, N>,
}

impl<T: Real, const N: usize> Up<T, N> {
    const NOTHING: Self = Self { a: [[T::ZERO; SETS]; N], e: [[T::ZERO; SETS]; N] };
}

/// Values and state of eight sets.
#[derive(Debug, Clone)]
pub(super) struct Sets<const N: usize> {
    v: Vec<Block<f64, N>>,
    mu: Vec<Block<f64, N>>,
    j: Vec<Block<f64, N>>,
    pull: Vec<Block<f64, N>>,
    /// Per load: power taken.
    measured: Vec<Block<f64, N>>,
    /// Per meter: value.
    meters: Vec<Wide<f64>>,
    /// Per set its own copy of the cuts.
    cuts: Vec<Vec<Cut<N>>>,
    /// Room for corrections in either precision, made when it is used.
    single: Room<f32, N>,
    double: Room<f64, N>,
}

impl<const N: usize> Sets<N> {
    /// Eight copies of the state and values of a core.
    pub fn new(core: &Core<N>) -> Self {
        let all = |x: &[Vector]| x.iter().map(spread).collect();
        Self {
            v: all(&core.v),
            mu: all(&core.mu),
            j: all(&core.j),
            pull: all(&core.pull),
            measured: core.loads.iter().map(|load| spread(&load.measured)).collect(),
            meters: core.meters.iter().map(|meter| [meter.value; SETS]).collect(),
            cuts: if core.cuts.is_empty() { Vec::new() } else { vec![core.cuts.clone(); SETS] },
            single: Room::default(),
            double: Room::default(),
        }
    }

    /// One step of all eight with corrections in single precision: the largest change of a voltage.
    pub fn step_single(&mut self, core: &Core<N>) -> f64 {
        let mut room = std::mem::take(&mut self.single);
        let step = core.path.run(BatchStep { core, sets: self, room: &mut room });
        self.single = room;
        step
    }

    /// The same in double precision.
    pub fn step_double(&mut self, core: &Core<N>) -> f64 {
        let mut room = std::mem::take(&mut self.double);
        let step = core.path.run(BatchStep { core, sets: self, room: &mut room });
        self.double = room;
        step
    }

    /// Puts values into a lane.
    pub fn set(&mut self, core: &Core<N>, targets: &Targets, lane: usize, readings: &Readings) {
        for (reading, &(magnitude, angle)) in readings.voltages.iter().zip(&targets.voltages) {
            if magnitude != NONE {
                self.meters[magnitude as usize][lane] = reading.magnitude;
            }
            if let (true, Some(value)) = (angle != NONE, reading.angle) {
                self.meters[angle as usize][lane] = value;
            }
        }
        for (reading, &load) in readings.injections.iter().zip(&targets.injections) {
            let k = usize::from(reading.wire);
            if load != NONE && core.loads[load as usize].free & (1 << k) == 0 {
                let measured = &mut self.measured[load as usize];
                (measured[k][lane], measured[k + N / 2][lane]) = (reading.s.re, reading.s.im);
            }
        }
        for (reading, &(p, q)) in readings.powers.iter().zip(&targets.powers) {
            for (target, value, half) in [(p, reading.s.re, 0), (q, reading.s.im, N / 2)] {
                match target {
                    Target::Nothing => {}
                    Target::Row(cut, row) => self.cuts[lane][cut as usize].rows[row as usize].value = value,
                    Target::Load(load, wire) => {
                        self.measured[load as usize][usize::from(wire) + half][lane] = value;
                    }
                }
            }
        }
        for (reading, &(along, across)) in readings.currents.iter().zip(&targets.currents) {
            if let Target::Row(cut, row) = along {
                self.cuts[lane][cut as usize].rows[row as usize].value = reading.magnitude;
            }
            for target in [along, across] {
                if let (Target::Row(cut, row), Some(angle)) = (target, reading.angle) {
                    self.cuts[lane][cut as usize].rows[row as usize].says.aim(angle);
                }
            }
        }
    }

    /// The voltage of a position in a lane.
    pub fn voltage(&self, position: usize, lane: usize) -> Vector {
        pick(&self.v[position], lane)
    }
}

fn spread<const N: usize>(x: &Vector) -> Block<f64, N> {
    std::array::from_fn(|k| [x[dense::lane::<N>(k)]; SETS])
}

#[inline(always)]
fn pick<const N: usize>(x: &Block<f64, N>, set: usize) -> Vector {
    let mut y = [0.0; dense::LANES];
    for k in 0..N {
        y[dense::lane::<N>(k)] = x[k][set];
    }
    y
}

#[inline(always)]
fn put<const N: usize>(x: &mut Block<f64, N>, set: usize, y: &Vector) {
    for k in 0..N {
        x[k][set] = y[dense::lane::<N>(k)];
    }
}

#[inline(always)]
fn add<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<T, N>, y: &Block<T, N>) -> Block<T, N> {
    let mut z = *x;
    for k in 0..N {
        z[k] = T::add(kit, &x[k], &y[k]);
    }
    z
}

#[inline(always)]
fn sub<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<T, N>, y: &Block<T, N>) -> Block<T, N> {
    let mut z = *x;
    for k in 0..N {
        z[k] = T::sub(kit, &x[k], &y[k]);
    }
    z
}

#[inline(always)]
fn narrow<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<f64, N>) -> Block<T, N> {
    let mut y = [[T::ZERO; SETS]; N];
    for k in 0..N {
        y[k] = T::narrow(kit, &x[k]);
    }
    y
}

#[inline(always)]
fn widen<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<T, N>) -> Block<f64, N> {
    let mut y = [[0.0; SETS]; N];
    for k in 0..N {
        y[k] = T::widen(kit, &x[k]);
    }
    y
}

/// M x + y
#[inline(always)]
fn times_plus<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    m: &Square<T, N>,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *y;
    for c in 0..N {
        for r in 0..N {
            z[r] = T::axpy(kit, m[c][dense::lane::<N>(r)], &x[c], &z[r]);
        }
    }
    z
}

/// M' x + y
#[inline(always)]
fn transposed_plus<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    m: &Square<T, N>,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *y;
    for r in 0..N {
        for c in 0..N {
            z[c] = T::axpy(kit, m[c][dense::lane::<N>(r)], &x[r], &z[c]);
        }
    }
    z
}

/// Z x, or Z' x.
#[inline(always)]
fn z_times<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    factors: &Factors<T, N>,
    line: &Line,
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    if line.full == NONE {
        return even(kit, &line.z, x, transposed);
    }
    let z = if transposed == Transposed::Yes { &factors.full_transposed } else { &factors.full };
    times_plus(kit, &z[line.full as usize], x, &[[T::ZERO; SETS]; N])
}

#[inline(always)]
fn even<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    z: &Even,
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    let w = N / 2;
    let sign = if transposed == Transposed::Yes { -1.0 } else { 1.0 };
    let (dr, di, less_di) = (T::rounded(z[0]), T::rounded(sign * z[1]), T::rounded(-sign * z[1]));
    let (mr, mi, less_mi) = (T::rounded(z[2]), T::rounded(sign * z[3]), T::rounded(-sign * z[3]));
    let (mut re, mut im) = (x[0], x[w]);
    for k in 1..w {
        re = T::add(kit, &re, &x[k]);
        im = T::add(kit, &im, &x[k + w]);
    }
    let none = [T::ZERO; SETS];
    let common_re = T::axpy(kit, less_mi, &im, &T::axpy(kit, mr, &re, &none));
    let common_im = T::axpy(kit, mi, &re, &T::axpy(kit, mr, &im, &none));
    let mut y = [none; N];
    for k in 0..w {
        y[k] = T::axpy(kit, dr, &x[k], &T::axpy(kit, less_di, &x[k + w], &common_re));
        y[k + w] = T::axpy(kit, dr, &x[k + w], &T::axpy(kit, di, &x[k], &common_im));
    }
    y
}

/// T x, or T' x.
#[inline(always)]
fn ratio<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    factors: &Factors<T, N>,
    line: &Line,
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    if line.ratio == NONE {
        return *x;
    }
    let t = if transposed == Transposed::Yes { &factors.ratios_transposed } else { &factors.ratios };
    times_plus(kit, &t[line.ratio as usize], x, &[[T::ZERO; SETS]; N])
}

/// One step of all eight; returns the largest change of a voltage.
struct BatchStep<'a, T, const N: usize> {
    core: &'a Core<N>,
    sets: &'a mut Sets<N>,
    /// Room for corrections.
    room: &'a mut Room<T, N>,
}

/// Corrections by position.
#[derive(Debug, Clone)]
struct Room<T, const N: usize>(Vec<Up<T, N>>);

impl<T, const N: usize> Default for Room<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Real, const N: usize> Kernel for BatchStep<'_, T, N> {
    type Output = f64;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> f64 {
        let Self { core, sets, room } = self;
        room.0.resize(core.count(), Up::NOTHING);
        let e = up(kit, core, sets, room);
        down(kit, core, sets, room, &e)
    }
}

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
fn up<K: Arithmetic, T: Real, const N: usize>(
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
        climb(kit, (factors, line), i, &mut bus);
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
fn climb<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    (factors, line): (&Factors<T, N>, &Line),
    i: usize,
    up: &mut Up<T, N>,
) {
    let edge = &factors.edges[i];
    let none = [[T::ZERO; SETS]; N];
    let along = z_times(kit, factors, line, &up.a, Transposed::No);
    let across = z_times(kit, factors, line, &up.e, Transposed::Yes);
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

/// Corrections at a bus: of its voltage and of the gradient by its current.
#[derive(Clone, Copy)]
struct Moved<T, const N: usize> {
    v: Block<T, N>,
    mu: Block<T, N>,
}

#[inline(always)]
fn down<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &mut Sets<N>,
    room: &mut Room<T, N>,
    e: &Block<f64, N>,
) -> f64 {
    let (factors, wide) = (T::factors(core), &core.double);
    let none = [[T::ZERO; SETS]; N];
    let mut open = vec![Moved { v: none, mu: none }; core.levels + 1];
    let mut largest = [0.0; SETS];
    let step = root_step(kit, core, &sets.v[0], e);
    widest(kit, &step, &mut largest);
    sets.v[0] = add(kit, &sets.v[0], &step);
    sets.mu[0] = [[0.0; SETS]; N];
    open[0].v = narrow(kit, &step);
    arrive(core, sets, 0, &mut open[0], &[[0.0; SETS]; N]);
    for i in 1..core.count() {
        let (line, place) = (&core.lines.line[i], core.place[i]);
        let (parent, level) = (line.parent as usize, place.level as usize);
        let mut outer = open[level - 1];
        let above = if place.site == NONE { NONE } else { core.sites[place.site as usize].above };
        if above != NONE {
            descend_rows(sets, above, &mut outer);
        }
        let u = ratio(kit, factors, line, &outer.v, Transposed::No);
        let omega = ratio(kit, factors, line, &outer.mu, Transposed::No);
        let change = descend(kit, (factors, line), i, &room.0[i], (&u, &omega));
        let j = add(kit, &sets.j[i], &widen(kit, &change.a));
        let pull = add(kit, &sets.pull[i], &widen(kit, &change.e));
        let mut mp = sets.mu[parent];
        if above != NONE {
            let from = ratio(kit, wide, line, &j, Transposed::Yes);
            let vp = sets.v[parent];
            stand(sets, above, (&vp, &from), &mut mp);
        }
        let v = ratio(kit, wide, line, &sets.v[parent], Transposed::No);
        let v = sub(kit, &v, &z_times(kit, wide, line, &j, Transposed::No));
        let mu = ratio(kit, wide, line, &mp, Transposed::No);
        let mu = sub(kit, &mu, &z_times(kit, wide, line, &pull, Transposed::Yes));
        let step = sub(kit, &v, &sets.v[i]);
        widest(kit, &step, &mut largest);
        (sets.v[i], sets.mu[i], sets.j[i], sets.pull[i]) = (v, mu, j, pull);
        let lower = sub(kit, &omega, &z_times(kit, factors, line, &change.e, Transposed::Yes));
        open[level] = Moved { v: narrow(kit, &step), mu: lower };
        if place.site != NONE {
            arrive(core, sets, i, &mut open[level], &j);
        }
        if place.load != NONE && core.loads[place.load as usize].free != 0 {
            recentre(core, sets, i);
        }
    }
    if core.place[0].load != NONE {
        recentre(core, sets, 0);
    }
    largest.into_iter().fold(0.0_f64, |most, one| if one <= most { most } else { one }).sqrt()
}

/// See [`Factors::descend`].
#[inline(always)]
fn descend<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    (factors, line): (&Factors<T, N>, &Line),
    i: usize,
    up: &Up<T, N>,
    (u, omega): (&Block<T, N>, &Block<T, N>),
) -> Up<T, N> {
    let edge = &factors.edges[i];
    let none = [[T::ZERO; SETS]; N];
    let a = times_plus(kit, &edge.s, omega, &times_plus(kit, &edge.a, u, &up.a));
    let mut e = transposed_plus(kit, &edge.a, omega, &up.e);
    if line.evidence != NONE {
        e = sub(kit, &e, &times_plus(kit, &factors.evidence[line.evidence as usize], u, &none));
    }
    Up { a, e }
}

/// See [`Core::root_after`].
#[inline(always)]
fn root_step<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    v: &Block<f64, N>,
    e: &Block<f64, N>,
) -> Block<f64, N> {
    let mut kept = *e;
    for k in 0..N {
        let start = [core.root_start[dense::lane::<N>(k)]; SETS];
        kept[k] = dense::axpy(kit, core.root_weak, &dense::sub(kit, &start, &v[k]), &kept[k]);
    }
    times_plus(kit, &core.root, &kept, &[[0.0; SETS]; N])
}

/// Keeps the largest square of a change of a wire's voltage, by set. What is no number stays.
#[inline(always)]
fn widest<K: Arithmetic, const N: usize>(kit: K, step: &Block<f64, N>, largest: &mut Wide<f64>) {
    for k in 0..N / 2 {
        let (re, im) = (&step[k], &step[k + N / 2]);
        let square = dense::fma(kit, re, re, &dense::mul(kit, im, im));
        *largest = dense::larger(kit, largest, &square);
    }
}

#[inline(never)]
fn descend_rows<T: Real, const N: usize>(sets: &mut Sets<N>, cut: u32, moved: &mut Moved<T, N>) {
    let (v, mut mu) = (widen(Plain, &moved.v), widen(Plain, &moved.mu));
    for set in 0..SETS {
        let mut one = pick(&mu, set);
        sets.cuts[set][cut as usize].down(&pick(&v, set), &mut one);
        put(&mut mu, set, &one);
    }
    moved.mu = narrow(Plain, &mu);
}

#[inline(never)]
fn stand<const N: usize>(
    sets: &mut Sets<N>,
    cut: u32,
    (v, j): (&Block<f64, N>, &Block<f64, N>),
    mu: &mut Block<f64, N>,
) {
    for set in 0..SETS {
        let mut one = pick(mu, set);
        sets.cuts[set][cut as usize].stand(&pick(v, set), &pick(j, set), &mut one);
        put(mu, set, &one);
    }
}

/// Takes μ through the rows at a bus.
#[inline(never)]
fn arrive<T: Real, const N: usize>(
    core: &Core<N>,
    sets: &mut Sets<N>,
    i: usize,
    moved: &mut Moved<T, N>,
    j: &Block<f64, N>,
) {
    let place = core.place[i];
    if place.site == NONE {
        return;
    }
    let site = core.sites[place.site as usize];
    let (v, mut mu) = (sets.v[i], sets.mu[i]);
    for cut in (site.here.0..site.here.1).rev() {
        descend_rows(sets, cut, moved);
        stand(sets, cut, (&v, j), &mut mu);
    }
    sets.mu[i] = mu;
    if site.own == NONE {
        return;
    }
    descend_rows(sets, site.own, &mut moved.clone());
    for set in 0..SETS {
        let (v, mut mu) = (pick(&v, set), pick(&mu, set));
        let mut load = core.loads[place.load as usize];
        load.measured = pick(&sets.measured[place.load as usize], set);
        let cut = &mut sets.cuts[set][site.own as usize];
        let taken = cut.j;
        cut.stand(&v, &taken, &mut mu);
        cut.j = load.at(Plain, &v, &cut.mu).current;
    }
}

/// See `step::recentre`.
#[inline(never)]
fn recentre<const N: usize>(core: &Core<N>, sets: &mut Sets<N>, i: usize) {
    let (at, own) = (core.place[i].load as usize, core.own_cut(i));
    for set in 0..SETS {
        let cut = (own != NONE).then(|| &mut sets.cuts[set][own as usize]);
        let (outer, pull) = (pick(&sets.mu[i], set), pick(&sets.pull[i], set));
        let noise = core.noise(i, &outer, &pull, cut.as_ref().map(|cut| cut.gain));
        let mut load = core.loads[at];
        load.measured = pick(&sets.measured[at], set);
        let mut mu = cut.as_ref().map_or(outer, |cut| cut.mu);
        load.recentre(&mut mu, noise);
        put(&mut sets.measured[at], set, &load.measured);
        match cut {
            Some(cut) => cut.mu = mu,
            None => put(&mut sets.mu[i], set, &mu),
        }
    }
}
