//! How well the estimate is known: posterior covariances in one pass down, no inverse, no selected inverse.
//!
//! At a bus, with everything known, let c = dV/de be the covariance of V, x = dV/da the response of V to a shift of the
//! current there, and γ = −dμ/da. A shift δ at the bus below a line is J shifted by αδ and the evidence by βδ, with
//! α = I − Â Z and β = L̂ Z, so that with everything turned by T (U = T V_parent, ω = T μ_parent)
//!
//! ```text
//! dU = x α + c β       dω = −γ α + x' β       dJ = α + Â dU + Ŝ dω
//! x ← dU − Z dJ        γ ← −dω + Z' (Â' dω + β − L̂ dU)
//! cov(U, J) = c Â' + x Ŝ       cov(J) = Â cov(U, J) + (Â x Ŝ)' + Ŝ − Ŝ γ Ŝ
//! c ← cov(U − Z J)
//! ```
//!
//! A row at a cut takes the three from its outer to its inner side: with u = x k + c g/s, w = x' g/s − γ k and
//! q = 1/s − u g/s − w k: `x −= u h_J'`, `γ += w h_J' + h_J w' + q h_J h_J'`.

use super::closure::Closure;
use super::core::Core;
use super::cuts::Cut;
use super::dense::{self, Arithmetic, HALF, LANES, Matrix, Plain, Transposed, Vector};
use super::lines::NONE;
use super::powers::Powers;
use super::reference::Reference;
use super::taken::Together;
use crate::simd::Kernel;
use std::iter::Peekable;

/// Variances of one end of a branch, per wire.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct EndVariance {
    pub p: f64,
    pub q: f64,
    pub i: f64,
}

/// Variances, by position and wire (`position · W + wire`).
#[derive(Debug, Clone, Default)]
pub(super) struct Variances {
    /// Of the voltage magnitude.
    pub magnitude: Vec<f64>,
    /// Of real and imaginary part together.
    pub phasor: Vec<f64>,
    /// Of what a bus takes.
    pub injection: Vec<(f64, f64)>,
    /// Of the flow into the line above a position, at its lower and upper end. Empty when nobody asked.
    pub below: Vec<EndVariance>,
    pub above: Vec<EndVariance>,
    /// Of the sum over the wires at the lower and upper end, by position.
    pub below_total: Vec<TotalVariance>,
    pub above_total: Vec<TotalVariance>,
    /// Of the voltage angle counted from that of the root's first wire. Empty when nobody asked, as are the next two.
    pub turned: Vec<f64>,
    /// How what a bus takes goes together with its voltage.
    pub taken: Vec<Together>,
    /// Covariance of the voltages of the positions that were asked for as a whole.
    pub whole: Vec<[Vector; LANES]>,
}

/// Variances of the power of all wires of one end together.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct TotalVariance {
    pub p: f64,
    pub q: f64,
    /// Of the apparent power.
    pub s: f64,
    /// Of the sum of the wires' apparent powers.
    pub apparent: f64,
}

/// c, x, γ of a bus.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<const N: usize> {
    pub c: Matrix<N>,
    pub x: Matrix<N>,
    pub g: Matrix<N>,
}

impl<const N: usize> Known<N> {
    /// Through the rows at the upper end of the line above a position.
    #[inline(always)]
    pub fn through_above(&mut self, core: &Core<N>, i: usize) {
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            self.through(&core.cuts[core.sites[site as usize].above as usize]);
        }
    }

    /// Through the rows at a bus.
    #[inline(always)]
    pub fn through_here(&mut self, core: &Core<N>, i: usize) {
        let site = core.place[i].site;
        if site != NONE {
            let here = core.sites[site as usize].here;
            (here.0..here.1).rev().for_each(|cut| self.through(&core.cuts[cut as usize]));
        }
    }

    /// To the inner side of a cut.
    fn through(&mut self, cut: &Cut<N>) {
        for row in cut.rows.iter().rev() {
            let u = dense::add(
                Plain,
                &dense::times(Plain, &self.x, &row.k),
                &dense::times(Plain, &self.c, &row.g),
            );
            let w = dense::sub(
                Plain,
                &dense::transposed_times(Plain, &self.x, &row.g),
                &dense::times(Plain, &self.g, &row.k),
            );
            let q = 1.0 / row.s - dense::dot(&u, &row.g) - dense::dot(&w, &row.k);
            for c in 0..N {
                let h = row.h_j[dense::lane::<N>(c)];
                let w_c = w[dense::lane::<N>(c)];
                self.x[c] = dense::axpy(Plain, -h, &u, &self.x[c]);
                self.g[c] = dense::axpy(Plain, h, &w, &self.g[c]);
                self.g[c] = dense::axpy(Plain, w_c + q * h, &row.h_j, &self.g[c]);
            }
        }
    }
}

/// Calculates all variances.
pub(super) struct Posterior<'a, const N: usize> {
    pub core: &'a Core<N>,
    /// `None`: voltages and injections alone.
    pub wanted: Option<Wanted<'a>>,
    /// What closing loops adds; nothing on a tree.
    pub closure: Option<&'a Closure<N>>,
}

/// What is wanted beside voltages and injections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Admittances at the lower and upper end of the line above a position.
    pub ends: &'a [Ends],
    /// Positions whose covariance is wanted as a whole, rising.
    pub whole: &'a [u32],
}

/// Which admittances stand at the ends of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub below: super::lines::Shunt,
    pub above: super::lines::Shunt,
}

impl<const N: usize> Kernel for Posterior<'_, N> {
    type Output = Variances;
    const MANY_NUMBERS: bool = true;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Variances {
        let core = self.core;
        let count = core.count();
        let wires = N / 2;
        let mut out = Variances {
            magnitude: vec![0.0; count * wires],
            phasor: vec![0.0; count * wires],
            injection: vec![(0.0, 0.0); count * wires],
            ..Variances::default()
        };
        if self.wanted.is_some() {
            out.turned = vec![0.0; count * wires];
            out.taken = vec![Together::default(); count * wires];
            out.below = vec![EndVariance::default(); count * wires];
            out.above = vec![EndVariance::default(); count * wires];
            out.below_total = vec![TotalVariance::default(); count];
            out.above_total = vec![TotalVariance::default(); count];
        }
        let zero = dense::zero::<N>();
        let mut open = vec![Known { c: zero, x: zero, g: zero }; core.levels + 1];
        open[0].c = core.root;
        // What the tree alone knows, along the ways to ties.
        let mut bare = if self.closure.is_some() { open.clone() } else { Vec::new() };
        let mut whole = self.wanted.map_or(&[][..], |wanted| wanted.whole).iter().copied().peekable();
        let mut reference = self.wanted.map(|_| Reference::new(core, self.closure));
        match self.closure {
            Some(closure) => open[0] = closure.arrive(core, (0, 0), &mut bare[0], &mut out),
            None => arrive(core, 0, &mut open[0], &mut out),
        }
        keep_whole(&mut whole, 0, &open[0].c, &mut out);
        root_injection(core, &open[0].c, self.closure, &mut out);
        if let Some(reference) = &reference {
            reference.write(core, 0, &mut out);
        }
        for i in 1..count {
            let level = core.place[i].level as usize;
            let ends = self.wanted.map(|wanted| &wanted.ends[i]);
            let on_way = self.closure.and_then(|closure| Some((closure, closure.number(i)?)));
            open[level] = match on_way {
                Some((closure, number)) => {
                    let voltage_above = &open[level - 1].c;
                    closure.below(core, (number, i), (&mut bare, voltage_above), ends, &mut out)
                }
                None => below(kit, core, i, open[level - 1], ends, &mut out),
            };
            keep_whole(&mut whole, i, &open[level].c, &mut out);
            if let Some(reference) = &mut reference {
                reference.cross(kit, core, i, on_way);
                reference.write(core, i, &mut out);
            }
        }
        out
    }
}

/// Keeps the covariance of a position that is the next one wanted.
fn keep_whole<const N: usize>(
    wanted: &mut Peekable<impl Iterator<Item = u32>>,
    position: usize,
    c: &Matrix<N>,
    out: &mut Variances,
) {
    if wanted.next_if_eq(&(position as u32)).is_some() {
        let mut all = [[0.0; LANES]; LANES];
        all[..N].copy_from_slice(c);
        out.whole.push(all);
    }
}

/// From a bus to the one below a line: writes what is wanted, and gives what is known inside the rows there.
#[inline(always)]
fn below<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    i: usize,
    mut outer: Known<N>,
    ends: Option<&Ends>,
    out: &mut Variances,
) -> Known<N> {
    outer.through_above(core, i);
    let crossed = cross(kit, core, i, &outer);
    if let Some(ends) = ends {
        let (v_j, j_j) = above(kit, core, i, &outer, &crossed);
        flows(kit, core, i, (&outer.c, &v_j, &j_j), &crossed, ends, out);
    }
    let mut known = crossed.known;
    arrive(core, i, &mut known, out);
    known
}

/// What crossing a line gives.
pub(super) struct Crossed<const N: usize> {
    pub known: Known<N>,
    /// cov(U, J).
    pub u_j: Matrix<N>,
    /// cov(J).
    pub j: Matrix<N>,
}

/// From the parent's bus to the bus below a line.
#[inline(always)]
pub(super) fn cross<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    i: usize,
    outer: &Known<N>,
) -> Crossed<N> {
    let (line, edge, lines) = (&core.lines.line[i], &core.double.edges[i], &core.lines);
    let c = lines.from_parent(kit, line, &outer.c);
    let x = lines.from_parent(kit, line, &outer.x);
    let g = lines.from_parent(kit, line, &outer.g);
    let alpha = dense::minus(kit, &dense::unit(), &lines.matrix_z(kit, line, &edge.a));
    let at = dense::transpose(kit, &edge.a);
    let mut d_u = dense::product(kit, &x, &alpha);
    // −dω and −(Â' dω + β − L̂ dU).
    let (mut omega, push);
    omega = dense::product(kit, &g, &alpha);
    if line.evidence == NONE {
        push = dense::product(kit, &at, &omega);
    } else {
        let l = &core.double.evidence[line.evidence as usize];
        let beta = lines.matrix_z(kit, line, l);
        d_u = dense::product_plus(kit, &c, &beta, &d_u);
        omega = dense::minus(kit, &omega, &dense::product(kit, &dense::transpose(kit, &x), &beta));
        let own = dense::minus(kit, &dense::product(kit, l, &d_u), &beta);
        push = dense::product_plus(kit, &at, &omega, &own);
    }
    let mut d_j = dense::product_plus(kit, &edge.a, &d_u, &alpha);
    d_j = dense::minus(kit, &d_j, &dense::product(kit, &edge.s, &omega));
    let x_below = dense::minus(kit, &d_u, &lines.z_matrix(kit, line, &d_j));
    let g_below = dense::symmetric(kit, &dense::minus(kit, &omega, &lines.zt_matrix(kit, line, &push)));

    let noise = dense::product(kit, &x, &edge.s);
    let ca = dense::product(kit, &c, &at);
    let u_j = dense::plus(kit, &ca, &noise);
    // Half of Â c Â' with either of the two that are transposed.
    let half = dense::product(kit, &edge.a, &dense::plus_half(kit, &noise, &ca));
    let mut j = dense::plus(kit, &half, &dense::transpose(kit, &half));
    let gs = dense::product(kit, &g, &edge.s);
    j = dense::plus(kit, &j, &dense::minus(kit, &edge.s, &dense::product(kit, &edge.s, &gs)));
    let u_v = lines.matrix_zt(kit, line, &u_j);
    let v = dense::minus(kit, &c, &dense::plus(kit, &u_v, &dense::transpose(kit, &u_v)));
    let drop = lines.z_matrix(kit, line, &lines.matrix_zt(kit, line, &j));
    let v = dense::symmetric(kit, &dense::plus(kit, &v, &drop));
    Crossed { known: Known { c: v, x: x_below, g: g_below }, u_j, j }
}

#[inline(always)]
fn negative<const N: usize>(m: &Matrix<N>) -> Matrix<N> {
    dense::minus(Plain, &dense::zero(), m)
}

/// Writes what is known of a bus, and goes through its rows.
#[inline(always)]
fn arrive<const N: usize>(core: &Core<N>, i: usize, known: &mut Known<N>, out: &mut Variances) {
    voltage(core, i, &known.c, out);
    known.through_here(core, i);
    taken(core, i, known, out);
}

/// Writes what is known of the voltages of a bus.
#[inline(always)]
pub(super) fn voltage<const N: usize>(core: &Core<N>, i: usize, c: &Matrix<N>, out: &mut Variances) {
    let (w, h) = (N / 2, HALF);
    let v = &core.v[i];
    for k in 0..w {
        let (xx, xy, yy) = (c[k][k], c[k][k + h], c[k + w][k + h]);
        let (x, y) = (v[k], v[k + h]);
        out.magnitude[i * w + k] = (x * x * xx + 2.0 * x * y * xy + y * y * yy) / (x * x + y * y);
        out.phasor[i * w + k] = xx + yy;
    }
}

/// Writes what is known of what a bus takes, from what is known inside its rows.
#[inline(always)]
pub(super) fn taken<const N: usize>(core: &Core<N>, i: usize, known: &Known<N>, out: &mut Variances) {
    let own = core.own_cut(i);
    if core.place[i].load != NONE {
        if own == NONE {
            injection(core, i, known, out);
        } else {
            let mut inner = *known;
            inner.through(&core.cuts[own as usize]);
            injection(core, i, &inner, out);
        }
    }
}

/// Variances of the powers a load takes. They are measured with errors ε whose covariance is R − R K' γ K R; what is
/// taken at a free wire is V conj(I), with cov(V, I) = x D and cov(I) = D − D γ D.
#[inline(always)]
fn injection<const N: usize>(core: &Core<N>, i: usize, known: &Known<N>, out: &mut Variances) {
    let (w, h) = (N / 2, HALF);
    let load = &core.loads[core.place[i].load as usize];
    let (v, g) = (&core.v[i], &known.g);
    for k in 0..w {
        let (x, y) = (v[k], v[k + h]);
        let square = x * x + y * y;
        let (rr, ri, ii) = (g[k][k], g[k][k + h], g[k + w][k + h]);
        let (vp, vq) = (load.variance[k], load.variance[k + h]);
        if load.free & (1 << k) == 0 {
            let (kx, ky) = (x / square, y / square);
            let by_p = kx * kx * rr + 2.0 * kx * ky * ri + ky * ky * ii;
            let by_q = ky * ky * rr - 2.0 * kx * ky * ri + kx * kx * ii;
            out.injection[i * w + k] = (vp - vp * vp * by_p, vq - vq * vq * by_q);
            if let Some(together) = out.taken.get_mut(i * w + k) {
                *together = Together::measured(k, v, (vp, vq), &known.x, g);
            }
        }
    }
    if load.free != 0 {
        free_injection(core, i, known, out);
    }
}

#[inline(never)]
fn free_injection<const N: usize>(core: &Core<N>, i: usize, known: &Known<N>, out: &mut Variances) {
    let (w, load) = (N / 2, &core.loads[core.place[i].load as usize]);
    for k in (0..w).filter(|k| load.free & (1 << k) != 0) {
        let d = load.variance[k];
        let (mut v_i, mut i_i) = (known.x, known.g);
        for c in 0..N {
            v_i[c] = v_i[c].map(|x| d * x);
            i_i[c] = i_i[c].map(|x| -d * d * x);
            i_i[c][dense::lane::<N>(c)] += d;
        }
        let end = end_variance::<N>(k, &core.v[i], &load.measured, &known.c, &v_i, &i_i);
        out.injection[i * w + k] = (end.p, end.q);
        if let Some(together) = out.taken.get_mut(i * w + k) {
            *together = Together::of(k, (&core.v[i], &load.measured), (&known.c, &v_i, &i_i));
        }
    }
}

/// The root takes minus what flows into the network.
#[inline(never)]
fn root_injection<const N: usize>(
    core: &Core<N>,
    c: &Matrix<N>,
    closure: Option<&Closure<N>>,
    out: &mut Variances,
) {
    if core.place[0].site != NONE && core.sites[core.place[0].site as usize].own != NONE {
        // Its whole injection is accounted for as a load.
        return;
    }
    let (a, s) = &core.root_flow;
    let mut v_j = dense::product(Plain, &core.root, &dense::transpose(Plain, a));
    let mut j = dense::plus(Plain, &dense::product(Plain, a, &v_j), s);
    if let Some(closure) = closure {
        closure.add_into_root(&mut v_j, &mut j);
    }
    let mut current = core.lines.shunt_current(Plain, 0, &core.v[0]);
    for i in (1..core.count()).filter(|&i| core.lines.line[i].parent == 0) {
        current = dense::add(Plain, &current, &core.lines.tt(Plain, &core.lines.line[i], &core.j[i]));
    }
    if let Some(drawn) = core.drawn_at(0) {
        current = dense::add(Plain, &current, &drawn.current);
    }
    for k in (0..N / 2).filter(|k| core.root_free & (1 << k) != 0) {
        let end = end_variance::<N>(k, &core.v[0], &current, c, &v_j, &j);
        out.injection[k] = (end.p, end.q);
        if let Some(together) = out.taken.get_mut(k) {
            *together = Together::of(k, (&core.v[0], &current), (c, &v_j, &j)).given();
        }
    }
}

/// Variances of powers and current of a wire from the covariances of V, of (V, I) and of I.
#[inline(always)]
fn end_variance<const N: usize>(
    k: usize,
    v: &Vector,
    i: &Vector,
    c: &Matrix<N>,
    v_i: &Matrix<N>,
    i_i: &Matrix<N>,
) -> EndVariance {
    let (w, h) = (N / 2, HALF);
    let (x, y, a, b) = (v[k], v[k + h], i[k], i[k + h]);
    let (cxx, cxy, cyy) = (c[k][k], c[k][k + h], c[k + w][k + h]);
    let (iaa, iab, ibb) = (i_i[k][k], i_i[k][k + h], i_i[k + w][k + h]);
    let size = current_variance(k, i, i_i);
    let (xa, xb, ya, yb) = (v_i[k][k], v_i[k + w][k], v_i[k][k + h], v_i[k + w][k + h]);
    // By P = x a + y b and Q = y a − x b, over (v_re, v_im, i_re, i_im): [a b x y] and [−b a y −x].
    let p = a * a * cxx
        + 2.0 * a * b * cxy
        + b * b * cyy
        + 2.0 * (a * (x * xa + y * xb) + b * (x * ya + y * yb))
        + (x * x * iaa + 2.0 * x * y * iab + y * y * ibb);
    let q = b * b * cxx - 2.0 * a * b * cxy
        + a * a * cyy
        + 2.0 * (b * (x * xb - y * xa) + a * (y * ya - x * yb))
        + (y * y * iaa - 2.0 * x * y * iab + x * x * ibb);
    EndVariance { p: p.max(0.0), q: q.max(0.0), i: size }
}

/// Variance of the size of the current of a wire.
#[inline(always)]
fn current_variance<const N: usize>(k: usize, i: &Vector, i_i: &Matrix<N>) -> f64 {
    let (a, b) = (i[k], i[k + HALF]);
    let (aa, ab, bb) = (i_i[k][k], i_i[k][k + HALF], i_i[k + N / 2][k + HALF]);
    let square = a * a + b * b;
    // Next to no current has no direction: the mean over all.
    let size =
        if square > 1e-24 { (a * a * aa + 2.0 * a * b * ab + b * b * bb) / square } else { 0.5 * (aa + bb) };
    size.max(0.0)
}

/// cov(V, T'J) and cov(T'J) of the bus above a line.
#[inline(always)]
pub(super) fn above<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    i: usize,
    outer: &Known<N>,
    crossed: &Crossed<N>,
) -> (Matrix<N>, Matrix<N>) {
    let (line, lines) = (&core.lines.line[i], &core.lines);
    if line.ratio == NONE {
        return (crossed.u_j, crossed.j);
    }
    let edge = &core.double.edges[i];
    let (a, s) = (lines.to_parent(kit, line, &edge.a), lines.to_parent(kit, line, &edge.s));
    let noise = dense::product(kit, &outer.x, &s);
    let cross = dense::plus(kit, &dense::product(kit, &outer.c, &dense::transpose(kit, &a)), &noise);
    (cross, lines.to_parent(kit, line, &crossed.j))
}

/// Flows at both ends of the line above a position; covariances of V, of (V, T'J) and of T'J at its upper one.
#[inline(always)]
pub(super) fn flows<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    i: usize,
    (c_above, v_j_above, j_above): (&Matrix<N>, &Matrix<N>, &Matrix<N>),
    crossed: &Crossed<N>,
    ends: &Ends,
    out: &mut Variances,
) {
    let (line, lines, w) = (&core.lines.line[i], &core.lines, N / 2);
    let (v, j) = (&core.v[i], &core.j[i]);
    // Below: I = −J + Y V, cov(V, J) = cov(U, J) − Z cov(J).
    let v_j = dense::minus(kit, &crossed.u_j, &lines.z_matrix(kit, line, &crossed.j));
    let current = negative_vector(j);
    let minus = negative(&v_j);
    let below = with_shunt(kit, core, &ends.below, (v, &current), (&crossed.known.c, &minus, &crossed.j));
    let known = (&crossed.known.c, &below.1, &below.2);
    out.below_total[i] = end(kit, (v, &below.0), known, &mut out.below[i * w..][..w]);
    // Above: I = T'J + Y V.
    let parent = line.parent as usize;
    let v = &core.v[parent];
    let current = lines.tt(kit, line, j);
    let above = with_shunt(kit, core, &ends.above, (v, &current), (c_above, v_j_above, j_above));
    let known = (c_above, &above.1, &above.2);
    out.above_total[i] = end(kit, (v, &above.0), known, &mut out.above[i * w..][..w]);
}

/// Variances of one end: by wire, and of all wires together.
#[inline(always)]
fn end<K: Arithmetic, const N: usize>(
    kit: K,
    (v, i): (&Vector, &Vector),
    (c, v_i, i_i): (&Matrix<N>, &Matrix<N>, &Matrix<N>),
    out: &mut [EndVariance],
) -> TotalVariance {
    let powers = Powers::of(kit, (v, i), (c, v_i, i_i));
    for (k, out) in out.iter_mut().enumerate() {
        let (p, q) = (powers.pp[k][k].max(0.0), powers.qq[k][k].max(0.0));
        *out = EndVariance { p, q, i: current_variance(k, i, i_i) };
    }
    powers.total(kit, v, i)
}

#[inline(always)]
fn negative_vector(x: &Vector) -> Vector {
    dense::sub(Plain, &[0.0; LANES], x)
}

/// Current, cov(V, I) and cov(I) with the shunt of that end.
#[inline(always)]
fn with_shunt<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    shunt: &super::lines::Shunt,
    (v, i): (&Vector, &Vector),
    (c, v_i, i_i): (&Matrix<N>, &Matrix<N>, &Matrix<N>),
) -> (Vector, Matrix<N>, Matrix<N>) {
    if shunt.is_none() {
        return (*i, *v_i, *i_i);
    }
    let mut current = dense::add(kit, i, &dense::even_times::<_, N>(kit, &shunt.even, v, Transposed::No));
    if shunt.full != 0 {
        let full = &core.lines.full_shunts[shunt.full as usize - 1];
        current = dense::add(kit, &current, &dense::times(kit, full, v));
    }
    // cov(V, YV) = (Y c)', cov(YV, I) = Y cov(V, I), and half of cov(YV) with either of the two that are transposed.
    let cy = dense::transpose(kit, &shunt_times(kit, core, shunt, c));
    let cross = shunt_times(kit, core, shunt, &dense::plus_half(kit, v_i, &cy));
    let all = dense::plus(kit, i_i, &dense::plus(kit, &cross, &dense::transpose(kit, &cross)));
    (current, dense::plus(kit, v_i, &cy), all)
}

/// Y M.
#[inline(always)]
fn shunt_times<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    shunt: &super::lines::Shunt,
    m: &Matrix<N>,
) -> Matrix<N> {
    let mut out = *m;
    for c in 0..N {
        out[c] = dense::even_times::<_, N>(kit, &shunt.even, &m[c], Transposed::No);
    }
    if shunt.full != 0 {
        let full = &core.lines.full_shunts[shunt.full as usize - 1];
        out = dense::plus(kit, &out, &dense::product(kit, full, m));
    }
    out
}
