//! Eight measurement sets per pass on the same factors: a lane is a set.
//!
//! The same step as `step`, with every number eight wide; a factor is read once for all eight. Rows at cuts are few
//! and go lane by lane.

use super::compile::{Target, Targets};
use super::core::Core;
use super::cuts::Cut;
use super::dense::{self, Arithmetic, Even, Matrix, Vector};
use super::injections::Frozen;
use super::lines::{Line, Lines, NONE};
use super::meters::Says;
use crate::circuit::Readings;
use crate::simd::Kernel;

/// Sets per pass.
pub const LANES: usize = 8;

/// One number per set.
type Wide = [f64; LANES];
/// One vector per set: by unknown, then by set.
type Block<const N: usize> = [Wide; N];

/// Values and state of eight sets.
#[derive(Debug, Clone)]
pub(super) struct Sets<const N: usize, const P: usize> {
    v: Vec<Block<N>>,
    mu: Vec<Block<N>>,
    a: Vec<Block<N>>,
    e: Vec<Block<N>>,
    /// Per load: power taken.
    measured: Vec<Block<N>>,
    /// Per meter: value.
    meters: Vec<Wide>,
    /// Per set its own copy of the cuts.
    cuts: Vec<Vec<Cut<N, P>>>,
}

impl<const N: usize, const P: usize> Sets<N, P> {
    /// Eight copies of the state and values of a core.
    pub fn new(core: &Core<N, P>) -> Self {
        let zero = [[0.0; LANES]; N];
        Self {
            v: core.v.iter().map(spread).collect(),
            mu: core.mu.iter().map(spread).collect(),
            a: vec![zero; core.count()],
            e: vec![zero; core.count()],
            measured: core.loads.iter().map(|load| spread(&load.measured)).collect(),
            meters: core.meters.iter().map(|meter| [meter.value; LANES]).collect(),
            cuts: if core.cuts.is_empty() { Vec::new() } else { vec![core.cuts.clone(); LANES] },
        }
    }

    /// Puts values into a lane.
    pub fn set(&mut self, core: &Core<N, P>, targets: &Targets, lane: usize, readings: &Readings) {
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
    pub fn voltage(&self, position: usize, lane: usize) -> Vector<P> {
        pick(&self.v[position], lane)
    }
}

fn spread<const N: usize, const P: usize>(x: &Vector<P>) -> Block<N> {
    std::array::from_fn(|k| [x[dense::lane::<N, P>(k)]; LANES])
}

#[inline(always)]
fn pick<const N: usize, const P: usize>(x: &Block<N>, set: usize) -> Vector<P> {
    let mut y = [0.0; P];
    for k in 0..N {
        y[dense::lane::<N, P>(k)] = x[k][set];
    }
    y
}

#[inline(always)]
fn put<const N: usize, const P: usize>(x: &mut Block<N>, set: usize, y: &Vector<P>) {
    for k in 0..N {
        x[k][set] = y[dense::lane::<N, P>(k)];
    }
}

#[inline(always)]
fn fma<K: Arithmetic>(s: f64, x: &Wide, y: &Wide) -> Wide {
    let mut z = *y;
    for l in 0..LANES {
        z[l] = K::fused(s, x[l], z[l]);
    }
    z
}

#[inline(always)]
fn add<const N: usize>(x: &Block<N>, y: &Block<N>) -> Block<N> {
    let mut z = *x;
    for k in 0..N {
        for l in 0..LANES {
            z[k][l] += y[k][l];
        }
    }
    z
}

#[inline(always)]
fn sub<const N: usize>(x: &Block<N>, y: &Block<N>) -> Block<N> {
    let mut z = *x;
    for k in 0..N {
        for l in 0..LANES {
            z[k][l] -= y[k][l];
        }
    }
    z
}

/// y + s M x
#[inline(always)]
fn times<K: Arithmetic, const N: usize, const P: usize>(
    m: &Matrix<N, P>,
    x: &Block<N>,
    s: f64,
    y: &Block<N>,
) -> Block<N> {
    let mut z = *y;
    for r in 0..N {
        let mut sum = z[r];
        for c in 0..N {
            sum = fma::<K>(s * m[c][dense::lane::<N, P>(r)], &x[c], &sum);
        }
        z[r] = sum;
    }
    z
}

/// y + s M' x
#[inline(always)]
fn transposed<K: Arithmetic, const N: usize, const P: usize>(
    m: &Matrix<N, P>,
    x: &Block<N>,
    s: f64,
    y: &Block<N>,
) -> Block<N> {
    let mut z = *y;
    for c in 0..N {
        let mut sum = z[c];
        for r in 0..N {
            sum = fma::<K>(s * m[c][dense::lane::<N, P>(r)], &x[r], &sum);
        }
        z[c] = sum;
    }
    z
}

/// Z x, or Z' x.
#[inline(always)]
fn z_times<K: Arithmetic, const N: usize, const P: usize>(
    lines: &Lines<N, P>,
    line: &Line,
    x: &Block<N>,
    turned: bool,
) -> Block<N> {
    if line.full == NONE {
        return even::<K, N>(&line.z, x, turned);
    }
    let z = if turned { &lines.full_transposed } else { &lines.full };
    times::<K, N, P>(&z[line.full as usize], x, 1.0, &[[0.0; LANES]; N])
}

#[inline(always)]
fn even<K: Arithmetic, const N: usize>(z: &Even, x: &Block<N>, turned: bool) -> Block<N> {
    let w = N / 2;
    let sign = if turned { -1.0 } else { 1.0 };
    let (dr, di, mr, mi) = (z[0], sign * z[1], z[2], sign * z[3]);
    let (mut re, mut im) = ([0.0; LANES], [0.0; LANES]);
    for k in 0..w {
        for l in 0..LANES {
            re[l] += x[k][l];
            im[l] += x[k + w][l];
        }
    }
    let zero = [0.0; LANES];
    let common_re = fma::<K>(mr, &re, &fma::<K>(-mi, &im, &zero));
    let common_im = fma::<K>(mr, &im, &fma::<K>(mi, &re, &zero));
    let mut y = [zero; N];
    for k in 0..w {
        y[k] = fma::<K>(dr, &x[k], &fma::<K>(-di, &x[k + w], &common_re));
        y[k + w] = fma::<K>(dr, &x[k + w], &fma::<K>(di, &x[k], &common_im));
    }
    y
}

#[inline(always)]
fn ratio<K: Arithmetic, const N: usize, const P: usize>(
    lines: &Lines<N, P>,
    line: &Line,
    x: &Block<N>,
    turned: bool,
) -> Block<N> {
    if line.ratio == NONE {
        return *x;
    }
    let t = if turned { &lines.ratios_transposed } else { &lines.ratios };
    times::<K, N, P>(&t[line.ratio as usize], x, 1.0, &[[0.0; LANES]; N])
}

/// One step of all eight; returns the largest change of a voltage component.
pub(super) struct BatchStep<'a, const N: usize, const P: usize> {
    pub core: &'a Core<N, P>,
    pub sets: &'a mut Sets<N, P>,
}

impl<const N: usize, const P: usize> Kernel for BatchStep<'_, N, P> {
    type Output = f64;

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) -> f64 {
        let (core, sets) = (self.core, self.sets);
        up::<K, N, P>(core, sets);
        down::<K, N, P>(core, sets)
    }
}

#[inline(always)]
fn up<K: Arithmetic, const N: usize, const P: usize>(core: &Core<N, P>, sets: &mut Sets<N, P>) {
    let zero = [[0.0; LANES]; N];
    let mut open = vec![(zero, zero); core.levels + 1];
    for i in (0..core.count()).rev() {
        let level = core.place[i].level as usize;
        let (mut a, mut e) = open[level];
        open[level] = (zero, zero);
        bus::<K, N, P>(core, sets, i, &mut a, &mut e);
        if i == 0 {
            sets.e[0] = e;
            return;
        }
        let (line, edge) = (&core.lines.line[i], &core.edges[i]);
        let along = z_times::<K, N, P>(&core.lines, line, &a, false);
        let across = z_times::<K, N, P>(&core.lines, line, &e, true);
        a = times::<K, N, P>(&edge.a, &along, -1.0, &a);
        a = times::<K, N, P>(&edge.s, &across, -1.0, &a);
        e = transposed::<K, N, P>(&edge.a, &across, -1.0, &e);
        if line.evidence != NONE {
            e = times::<K, N, P>(&core.evidence[line.evidence as usize], &along, 1.0, &e);
        }
        (sets.a[i], sets.e[i]) = (a, e);
        let mut a = ratio::<K, N, P>(&core.lines, line, &a, true);
        let mut e = ratio::<K, N, P>(&core.lines, line, &e, true);
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            cut_up(core, sets, core.sites[site as usize].above, &mut a, &mut e);
        }
        let parent = &mut open[level - 1];
        parent.0 = add(&parent.0, &a);
        parent.1 = add(&parent.1, &e);
    }
}

#[inline(never)]
fn cut_up<const N: usize, const P: usize>(
    core: &Core<N, P>,
    sets: &mut Sets<N, P>,
    cut: u32,
    a: &mut Block<N>,
    e: &mut Block<N>,
) {
    for set in 0..LANES {
        let (mut one_a, mut one_e) = (pick(a, set), pick(e, set));
        sets.cuts[set][cut as usize].up(&core.admittances, &mut one_a, &mut one_e);
        put(a, set, &one_a);
        put(e, set, &one_e);
    }
}

/// Adds what stands at a bus.
#[inline(always)]
fn bus<K: Arithmetic, const N: usize, const P: usize>(
    core: &Core<N, P>,
    sets: &mut Sets<N, P>,
    i: usize,
    a: &mut Block<N>,
    e: &mut Block<N>,
) {
    let place = core.place[i];
    if place.load != NONE {
        let own = if place.site == NONE { NONE } else { core.sites[place.site as usize].own };
        if own == NONE && core.loads[place.load as usize].free == 0 {
            let (load_a, load_e) = load::<K, N, P>(core, sets, i);
            *a = add(a, &load_a);
            *e = add(e, &load_e);
        } else {
            odd_load(core, sets, i, own, a, e);
        }
    }
    for meter in core.meters_at(i) {
        pull::<K, N>(&core.meters[meter], &sets.meters[meter], &sets.v[i], e);
    }
    if place.site != NONE {
        let (first, end) = core.sites[place.site as usize].here;
        for cut in first..end {
            cut_up(core, sets, cut, a, e);
        }
    }
}

/// A load's values: see `injections`.
#[inline(always)]
fn load<K: Arithmetic, const N: usize, const P: usize>(
    core: &Core<N, P>,
    sets: &Sets<N, P>,
    i: usize,
) -> (Block<N>, Block<N>) {
    let (w, h) = (N / 2, P / 2);
    let at = core.place[i].load as usize;
    let (variance, frozen): (&Vector<P>, &Frozen<P>) = (&core.loads[at].variance, &core.frozen[at]);
    let (v, mu, s) = (&sets.v[i], &sets.mu[i], &sets.measured[at]);
    let (mut a, mut e) = ([[0.0; LANES]; N], [[0.0; LANES]; N]);
    for k in 0..w {
        let (vp, vq) = (variance[k], variance[k + h]);
        let (fb_re, fb_im) = (frozen.b[k], frozen.b[k + h]);
        let (fd_re, fd_im, cross) = (frozen.d[k], frozen.d[k + h], frozen.cross[k]);
        for l in 0..LANES {
            let (x, y, m, n) = (v[k][l], v[k + w][l], mu[k][l], mu[k + w][l]);
            let square = 1.0 / K::fused(x, x, y * y);
            let (kx, ky) = (x * square, y * square);
            let p = K::fused(vp, K::fused(kx, m, ky * n), s[k][l]);
            let q = K::fused(vq, K::fused(ky, m, -kx * n), s[k + w][l]);
            let (re, im) = (K::fused(p, kx, q * ky), K::fused(p, ky, -q * kx));
            let (gr, gi) = (K::fused(kx, kx, -ky * ky), 2.0 * kx * ky);
            let b_re = -K::fused(p, gr, q * gi) - fb_re;
            let b_im = K::fused(q, gr, -p * gi) - fb_im;
            a[k][l] = re - K::fused(fb_re, x, fb_im * y) - K::fused(fd_re, m, cross * n);
            a[k + w][l] = im - K::fused(fb_im, x, -fb_re * y) - K::fused(fd_im, n, cross * m);
            e[k][l] = K::fused(b_re, m, b_im * n);
            e[k + w][l] = K::fused(b_im, m, -b_re * n);
        }
    }
    (a, e)
}

/// Loads with free wires or a second reading, set by set.
#[inline(never)]
fn odd_load<const N: usize, const P: usize>(
    core: &Core<N, P>,
    sets: &mut Sets<N, P>,
    i: usize,
    own: u32,
    a: &mut Block<N>,
    e: &mut Block<N>,
) {
    type One = dense::Plain;
    let at = core.place[i].load as usize;
    for set in 0..LANES {
        let v = pick::<N, P>(&sets.v[i], set);
        let mu = if own == NONE { pick(&sets.mu[i], set) } else { sets.cuts[set][own as usize].mu };
        let mut load = core.loads[at];
        load.measured = pick(&sets.measured[at], set);
        let (now, frozen) = (load.at::<One>(&v, &mu), &core.frozen[at]);
        let model = dense::add(&frozen.b_times::<One>(&v), &frozen.d_times::<One>(&mu));
        let mut one_a = dense::sub(&now.current, &model);
        let mut one_e = dense::sub(&now.exact.b_times::<One>(&mu), &frozen.b_times::<One>(&mu));
        if own != NONE {
            sets.cuts[set][own as usize].up(&core.admittances, &mut one_a, &mut one_e);
        }
        put(a, set, &dense::add(&pick(a, set), &one_a));
        put(e, set, &dense::add(&pick(e, set), &one_e));
    }
}

/// A meter's rows: see `meters`.
#[inline(always)]
fn pull<K: Arithmetic, const N: usize>(
    meter: &super::meters::Meter,
    value: &Wide,
    v: &Block<N>,
    e: &mut Block<N>,
) {
    let (k, w) = (usize::from(meter.wire), N / 2);
    let weight = 1.0 / meter.variance;
    let [f, g] = meter.frozen;
    for l in 0..LANES {
        let (x, y) = (v[k][l], v[k + w][l]);
        let magnitude = K::fused(x, x, y * y).sqrt();
        let (c, s) = (x / magnitude, y / magnitude);
        let (residual, d) = match meter.says {
            Says::Magnitude => (value[l] - magnitude, [c, s]),
            Says::Angle | Says::Reference => {
                let turn = std::f64::consts::TAU;
                let away = value[l] - y.atan2(x);
                (away - (away / turn).round() * turn, [-s / magnitude, c / magnitude])
            }
        };
        let along = K::fused(f, x, g * y);
        e[k][l] += weight * K::fused(residual, d[0], along * f);
        e[k + w][l] += weight * K::fused(residual, d[1], along * g);
    }
}

#[inline(always)]
fn down<K: Arithmetic, const N: usize, const P: usize>(core: &Core<N, P>, sets: &mut Sets<N, P>) -> f64 {
    let zero = [[0.0; LANES]; N];
    let mut kept = sets.e[0];
    for k in 0..N {
        let start = core.root_weak * core.root_start[dense::lane::<N, P>(k)];
        for l in 0..LANES {
            kept[k][l] += start;
        }
    }
    let v = times::<K, N, P>(&core.root, &kept, 1.0, &zero);
    let mut largest = [0.0; LANES];
    change(&sets.v[0], &v, &mut largest);
    sets.v[0] = v;
    sets.mu[0] = zero;
    arrive(core, sets, 0, &zero);
    for i in 1..core.count() {
        let (line, edge) = (&core.lines.line[i], &core.edges[i]);
        let parent = line.parent as usize;
        let (vp, mut mp) = (sets.v[parent], sets.mu[parent]);
        let site = core.place[i].site;
        let above = if site == NONE { NONE } else { core.sites[site as usize].above };
        if above != NONE {
            for set in 0..LANES {
                let mut mu = pick::<N, P>(&mp, set);
                sets.cuts[set][above as usize].down(&pick(&vp, set), &mut mu);
                put(&mut mp, set, &mu);
            }
        }
        let u = ratio::<K, N, P>(&core.lines, line, &vp, false);
        let omega = ratio::<K, N, P>(&core.lines, line, &mp, false);
        let j = times::<K, N, P>(&edge.a, &u, 1.0, &sets.a[i]);
        let j = times::<K, N, P>(&edge.s, &omega, 1.0, &j);
        let v = sub(&u, &z_times::<K, N, P>(&core.lines, line, &j, false));
        let mut pull = transposed::<K, N, P>(&edge.a, &omega, 1.0, &sets.e[i]);
        if line.evidence != NONE {
            pull = times::<K, N, P>(&core.evidence[line.evidence as usize], &u, -1.0, &pull);
        }
        let mu = sub(&omega, &z_times::<K, N, P>(&core.lines, line, &pull, true));
        change(&sets.v[i], &v, &mut largest);
        (sets.v[i], sets.mu[i]) = (v, mu);
        if site != NONE {
            if above != NONE {
                let from = ratio::<K, N, P>(&core.lines, line, &j, true);
                for set in 0..LANES {
                    sets.cuts[set][above as usize].j = pick(&from, set);
                }
            }
            arrive(core, sets, i, &j);
        }
        let load = core.place[i].load;
        if load != NONE && core.loads[load as usize].free != 0 {
            recentre(core, sets, i);
        }
    }
    if core.place[0].load != NONE {
        recentre(core, sets, 0);
    }
    largest.into_iter().fold(0.0, |most, one| if one <= most { most } else { one })
}

#[inline(always)]
fn change<const N: usize>(old: &Block<N>, new: &Block<N>, largest: &mut Wide) {
    for k in 0..N {
        for l in 0..LANES {
            let moved = (new[k][l] - old[k][l]).abs();
            largest[l] = if moved <= largest[l] { largest[l] } else { moved };
        }
    }
}

#[inline(never)]
fn arrive<const N: usize, const P: usize>(core: &Core<N, P>, sets: &mut Sets<N, P>, i: usize, j: &Block<N>) {
    let place = core.place[i];
    if place.site == NONE {
        return;
    }
    let site = core.sites[place.site as usize];
    for set in 0..LANES {
        let v = pick::<N, P>(&sets.v[i], set);
        let mut mu = pick::<N, P>(&sets.mu[i], set);
        for cut in (site.here.0..site.here.1).rev() {
            let cut = &mut sets.cuts[set][cut as usize];
            cut.down(&v, &mut mu);
            cut.j = pick(j, set);
        }
        put(&mut sets.mu[i], set, &mu);
        if site.own != NONE {
            let mut load = core.loads[place.load as usize];
            load.measured = pick(&sets.measured[place.load as usize], set);
            let cut = &mut sets.cuts[set][site.own as usize];
            cut.down(&v, &mut mu);
            cut.j = load.at::<dense::Plain>(&v, &cut.mu).current;
        }
    }
}

/// See `step::recentre`.
#[inline(never)]
fn recentre<const N: usize, const P: usize>(core: &Core<N, P>, sets: &mut Sets<N, P>, i: usize) {
    let place = core.place[i];
    let own = if place.site == NONE { NONE } else { core.sites[place.site as usize].own };
    let load = &core.loads[place.load as usize];
    for set in 0..LANES {
        let mu = if own == NONE { pick::<N, P>(&sets.mu[i], set) } else { sets.cuts[set][own as usize].mu };
        let measured = &mut sets.measured[place.load as usize];
        for k in (0..N / 2).filter(|k| load.free & (1 << k) != 0) {
            measured[k][set] += load.variance[k] * mu[k];
            measured[k + N / 2][set] += load.variance[k + P / 2] * mu[k + P / 2];
        }
    }
}
