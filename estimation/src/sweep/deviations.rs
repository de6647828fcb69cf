//! What one bus contributes to a sweep of deviations, for the scenarios of one row. See [`super::reference`] for the
//! equations.

use super::plan::{Item, NONE, Plan};
use super::reference::{Inlet, Point, Reference, Square, Tables};
use super::rows::{Lanewise, Row};
use crate::simd::Arithmetic;
use num_complex::Complex64;

/// Scenarios that calculate together.
pub(super) const LANES: usize = 8;
/// Of these in a row of double precision.
pub(super) const HALF: usize = 4;

/// Parts of a bus quantity: real parts of all wires, then imaginary ones.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Bus<const N: usize, R>(pub [R; N]);

impl<const N: usize, R: Row> Bus<N, R> {
    /// Nothing.
    pub(super) const ZERO: Self = Self([R::ZERO; N]);

    /// self + other.
    #[inline(always)]
    pub(super) fn plus<A: Arithmetic>(mut self, a: A, other: &Self) -> Self {
        for part in 0..N {
            self.0[part] = R::add(a, self.0[part], other.0[part]);
        }
        self
    }
}

/// What is shared by all.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared<'a, const N: usize> {
    pub plan: &'a Plan,
    pub reference: &'a Reference<N>,
}

/// Deviations of the scenarios of a row, over a stretch of the tree.
pub(super) struct Stretch<'a, const N: usize, R> {
    /// Number of the plan's item.
    pub number: usize,
    /// Where the tables have its first position.
    pub row: usize,
    /// Of the voltage.
    pub d: &'a mut [Bus<N, R>],
    /// −Z J of the element above.
    pub rise: &'a mut [Bus<N, R>],
    /// Of the powers by load record.
    pub s: &'a [Bus<N, R>],
    /// The voltages do not deviate yet, whatever `d` says.
    pub fresh: bool,
}

/// What a walk takes along.
#[derive(Debug, Clone)]
pub(super) struct Luggage<const N: usize, R> {
    /// By depth: current of the children met so far.
    pub sums: Vec<Bus<N, R>>,
    /// By depth: deviation of the last bus there.
    pub above: Vec<Bus<N, R>>,
    /// The largest squared movement.
    pub squares: R,
    /// First lane.
    pub offset: usize,
}

impl<const N: usize, R: Row> Luggage<N, R> {
    pub(super) fn new(plan: &Plan, offset: usize) -> Self {
        let zero = vec![Bus::ZERO; plan.depth + 2];
        Self { sums: zero.clone(), above: zero, squares: R::ZERO, offset }
    }
}

/// Powers by part of a bus: of the first and the last four lanes.
pub(super) type Powers<const N: usize> = [[[f64; HALF]; 2]; N];

/// The powers at an inlet.
#[inline(always)]
fn taken<A: Arithmetic, const N: usize>(a: A, inlet: &Inlet, powers: &[&[Complex64]; LANES]) -> Powers<N> {
    let mut taken = [[[0.0; HALF]; 2]; N];
    let (port, (wire, count)) = (inlet.port as usize, inlet.wires(N / 2));
    for half in 0..2 {
        let powers = &powers[HALF * half..][..HALF];
        let rows = if count == 3 { three(a, port, powers) } else { one(port, powers) };
        for of in 0..count {
            (taken[wire + of][half], taken[N / 2 + wire + of][half]) = rows[of];
        }
    }
    taken
}

/// By how much the powers at an inlet deviate from those of the reference.
#[inline(always)]
pub(super) fn deviating<A: Arithmetic, const N: usize>(
    a: A,
    inlet: &Inlet,
    powers: &[&[Complex64]; LANES],
) -> Powers<N> {
    let (mut taken, (wire, count)) = (taken::<_, N>(a, inlet, powers), inlet.wires(N / 2));
    for (of, s) in inlet.s.iter().enumerate().take(count) {
        for half in 0..2 {
            let (re, im) = (wire + of, N / 2 + wire + of);
            taken[re][half] = a.sub4(taken[re][half], a.splat4(s.re));
            taken[im][half] = a.sub4(taken[im][half], a.splat4(s.im));
        }
    }
    taken
}

/// Real and imaginary parts of powers, a scenario in each lane.
type Parts = ([f64; HALF], [f64; HALF]);

/// The powers of three ports from one on. Twice four numbers are read at once; what is in the middle is so twice.
#[inline(always)]
fn three<A: Arithmetic>(a: A, port: usize, powers: &[&[Complex64]]) -> [Parts; 3] {
    let (mut early, mut late) = ([[0.0; HALF]; HALF], [[0.0; HALF]; HALF]);
    for ((early, late), powers) in early.iter_mut().zip(&mut late).zip(powers) {
        let Some([x, y, z]) = powers.get(port..port + 3) else { continue };
        (*early, *late) = ([x.re, x.im, y.re, y.im], [y.re, y.im, z.re, z.im]);
    }
    let ([p, q, r, s], [_, _, t, u]) = (a.transpose4(early), a.transpose4(late));
    [(p, q), (r, s), (t, u)]
}

/// The powers of one port.
#[inline(always)]
fn one(port: usize, powers: &[&[Complex64]]) -> [Parts; 3] {
    let mut parts = ([0.0; HALF], [0.0; HALF]);
    for (lane, powers) in powers.iter().enumerate() {
        let Some(s) = powers.get(port) else { continue };
        (parts.0[lane], parts.1[lane]) = (s.re, s.im);
    }
    [parts; 3]
}

/// y + M x.
#[inline(always)]
pub(super) fn times<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    m: &Square<N, R::Number>,
    x: &[R; N],
    mut y: [R; N],
) -> [R; N] {
    for column in 0..N {
        for row in 0..N {
            y[row] = R::fma(a, R::all(a, m[column][row]), x[column], y[row]);
        }
    }
    y
}

/// −Z j of even wires.
#[inline(always)]
pub(super) fn fallen<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    z: &[R::Number; 4],
    j: &[R; N],
) -> [R; N] {
    let wires = N / 2;
    let (re, im) = (R::all(a, z[0]), R::all(a, z[1]));
    let (mut x, mut y) = (R::ZERO, R::ZERO);
    if wires > 1 {
        let (mut sum_re, mut sum_im) = (j[0], j[wires]);
        for wire in 1..wires {
            (sum_re, sum_im) = (R::add(a, sum_re, j[wire]), R::add(a, sum_im, j[wires + wire]));
        }
        let (mutual_re, mutual_im) = (R::all(a, z[2]), R::all(a, z[3]));
        x = R::fnma(a, mutual_re, sum_re, R::mul(a, mutual_im, sum_im));
        y = R::fnma(a, mutual_re, sum_im, R::fnma(a, mutual_im, sum_re, R::ZERO));
    }
    let mut fallen = [R::ZERO; N];
    for wire in 0..wires {
        let (p, q) = (j[wire], j[wires + wire]);
        fallen[wire] = R::fnma(a, re, p, R::fma(a, im, q, x));
        fallen[wires + wire] = R::fnma(a, re, q, R::fnma(a, im, p, y));
    }
    fallen
}

/// j + what the response of the reference leaves of the current of constant powers at a deviation.
#[inline(always)]
fn drawn<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    point: &Point<N, R::Number>,
    s: &[R; N],
    d: &[R; N],
    mut j: [R; N],
) -> [R; N] {
    let wires = N / 2;
    for re in 0..wires {
        let im = wires + re;
        let (x, y) = (d[re], d[im]);
        let (square_re, square_im) = (R::fnma(a, y, y, R::mul(a, x, x)), R::mul(a, R::add(a, x, x), y));
        let (p, q) = (R::all(a, point.p[re]), R::all(a, point.p[im]));
        let over_re = R::fma(a, p, square_re, R::fnma(a, q, square_im, s[re]));
        let over_im = R::fma(a, p, square_im, R::fma(a, q, square_re, s[im]));
        let (v, w) = (R::add(a, R::all(a, point.v[re]), x), R::add(a, R::all(a, point.v[im]), y));
        let by = R::div(a, R::splat(a, 1.0), R::fma(a, v, v, R::mul(a, w, w)));
        let (v, w) = (R::mul(a, v, by), R::mul(a, w, by));
        j[re] = R::fma(a, over_re, v, R::fma(a, over_im, w, j[re]));
        j[im] = R::fma(a, over_re, w, R::fnma(a, over_im, v, j[im]));
    }
    j
}

/// The same where the voltages do not deviate.
#[inline(always)]
fn drawn_first<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    point: &Point<N, R::Number>,
    s: &[R; N],
    mut j: [R; N],
) -> [R; N] {
    for re in 0..N / 2 {
        let im = N / 2 + re;
        let (u, w) = (R::all(a, point.u[re]), R::all(a, point.u[im]));
        j[re] = R::fma(a, s[re], u, R::fma(a, s[im], w, j[re]));
        j[im] = R::fma(a, s[re], w, R::fnma(a, s[im], u, j[im]));
    }
    j
}

/// The currents of a stretch, upwards.
#[inline(always)]
pub(super) fn up<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    shared: Shared<'_, N>,
    tables: &Tables<N, R::Number>,
    stretch: Stretch<'_, N, R>,
    luggage: &mut Luggage<N, R>,
    powers: &[[Complex64; LANES]],
) {
    let Shared { plan, reference } = shared;
    let item = plan.items[stretch.number];
    let others = &reference.others;
    let mut left = others.partition_point(|other| (other.position as usize) < item.end);
    let range = item.start..item.end;
    let first_load = reference.first[stretch.number].1;
    let sums = &mut luggage.sums[..];
    let rows = plan.nodes[range].iter().zip(&tables.up[stretch.row..]);
    let rows = rows.zip(stretch.d.iter()).zip(stretch.rise);
    for (at, (((node, up), d), rise)) in rows.enumerate().rev() {
        let depth = node.depth as usize;
        let mut j = sums[depth + 1].0;
        sums[depth + 1] = Bus::ZERO;
        if node.load > 0 {
            let (point, s) =
                (&tables.points[node.load as usize], &stretch.s[(node.load - first_load) as usize]);
            j = if stretch.fresh { drawn_first(a, point, &s.0, j) } else { drawn(a, point, &s.0, &d.0, j) };
        }
        while left > 0 && others[left - 1].position as usize == item.start + at {
            left -= 1;
            let here = if stretch.fresh { &Bus::ZERO } else { d };
            j = with_other(reference, left, &powers[left], luggage.offset, here, j);
        }
        j = times(a, &up.m, &j, [R::ZERO; N]);
        let mut given = j;
        if node.extra == NONE {
            rise.0 = fallen(a, &up.z, &j);
        } else {
            let special = &tables.special[node.extra as usize];
            let drop = times(a, &special.z, &j, [R::ZERO; N]);
            for part in 0..N {
                rise.0[part] = R::sub(a, R::ZERO, drop[part]);
            }
            given = times(a, &special.give, &j, [R::ZERO; N]);
        }
        for part in 0..N {
            sums[depth].0[part] = R::add(a, sums[depth].0[part], given[part]);
        }
    }
}

/// j + what another port leaves, lane by lane.
#[inline(never)]
fn with_other<const N: usize, R: Row>(
    reference: &Reference<N>,
    number: usize,
    powers: &[Complex64; LANES],
    offset: usize,
    d: &Bus<N, R>,
    mut j: [R; N],
) -> [R; N] {
    let other = &reference.others[number];
    for lane in 0..R::LANES {
        let deviation = std::array::from_fn(|part| d.0[part].lane(lane));
        let left = other.left(powers[offset + lane], &reference.v[other.position as usize], &deviation);
        for part in 0..N {
            j[part].put(lane, j[part].lane(lane) + left[part]);
        }
    }
    j
}

/// The voltages of a stretch, downwards.
#[inline(always)]
pub(super) fn down<A: Arithmetic, const N: usize, R: Lanewise>(
    a: A,
    shared: Shared<'_, N>,
    tables: &Tables<N, R::Number>,
    stretch: Stretch<'_, N, R>,
    luggage: &mut Luggage<N, R>,
) {
    let Item { start, end, .. } = shared.plan.items[stretch.number];
    let mut largest = luggage.squares;
    let above = &mut luggage.above[..];
    let rows = shared.plan.nodes[start..end].iter().zip(&tables.down[stretch.row..]);
    for (((node, g), rise), d) in rows.zip(stretch.rise.iter()).zip(stretch.d) {
        let depth = node.depth as usize;
        let next = times(a, g, &above[depth - 1].0, rise.0);
        for re in 0..N / 2 {
            let im = N / 2 + re;
            let (mut x, mut y) = (next[re], next[im]);
            if !stretch.fresh {
                (x, y) = (R::sub(a, x, d.0[re]), R::sub(a, y, d.0[im]));
            }
            largest = R::max(a, largest, R::fma(a, x, x, R::mul(a, y, y)));
        }
        d.0 = next;
        above[depth].0 = next;
    }
    luggage.squares = largest;
}
