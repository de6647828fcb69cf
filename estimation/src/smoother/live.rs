//! Single values that change, on kept factors: a change walks to the root, a voltage is read by walking from the root.
//!
//! Everything off the two paths stays as it is: values are summed on the way up ([`super::core::Up`]), and nothing is
//! computed downwards until somebody asks. What is read is the Gauss–Newton step on the factors of the last estimate, so
//! it differs from the next full estimate by what the change bends (second order in it).

use super::core::{Core, Up};
use super::cuts::Cut;
use super::dense::{self, Arithmetic, Vector};
use super::lines::NONE;
use super::step;
use crate::simd::Kernel;

/// Where a value enters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    /// Power of a wire of the load at a position, changed by (p, q).
    Load { position: u32, wire: u8, by: (f64, f64) },
    /// A meter's value.
    Meter { meter: u32, by: f64 },
    /// A row's value.
    Row { cut: u32, row: u32, by: f64 },
}

impl<const N: usize, const P: usize> Cut<N, P> {
    /// Takes a shift from inside out, and remembers it for the way down. A value of the row `from` changes `by`.
    #[inline(always)]
    fn shift_and_keep(&mut self, from: usize, a: &mut Vector<P>, e: &mut Vector<P>, by: f64) {
        for at in from..self.rows.len() {
            let row = &mut self.rows[at];
            let nu = if at == from { by } else { 0.0 } - dense::dot(&row.h_j, a);
            *a = dense::axpy::<dense::Plain, P>(nu, &row.k, a);
            *e = dense::axpy::<dense::Plain, P>(nu, &row.g, e);
            row.nu += nu / row.s;
        }
    }

    /// The gradient on the inner side, nothing kept.
    #[inline(always)]
    fn descend(&self, v: &Vector<P>, mu: &mut Vector<P>) {
        *mu = dense::add(mu, &self.tilt);
        for row in self.rows.iter().rev() {
            let lambda = row.nu - dense::dot(&row.g, v) - dense::dot(&row.k, mu);
            *mu = dense::axpy::<dense::Plain, P>(lambda, &row.h_j, mu);
        }
    }
}

/// Enters a change and carries it to the root.
pub(super) struct Change<'a, const N: usize, const P: usize> {
    pub core: &'a mut Core<N, P>,
    pub entry: Entry,
}

impl<const N: usize, const P: usize> Kernel for Change<'_, N, P> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) {
        let core = self.core;
        let mut sum = Up { a: [0.0; P], e: [0.0; P] };
        let i;
        // Whether the shift still has to pass the bus's own rows, and from which on.
        let mut here = None;
        let mut above = None;
        match self.entry {
            Entry::Load { position, wire, by } => {
                i = position as usize;
                sum = load_shift(core, i, wire, by);
                let site = core.place[i].site;
                let own = if site == NONE { NONE } else { core.sites[site as usize].own };
                if own != NONE {
                    core.cuts[own as usize].shift_and_keep(0, &mut sum.a, &mut sum.e, 0.0);
                }
                here = Some((0, 0, 0.0));
            }
            Entry::Meter { meter, by } => {
                let meter = core.meters[meter as usize];
                i = meter.position as usize;
                let (k, (_, d)) = (usize::from(meter.wire), meter.residual(&core.v[i]));
                sum.e[k] = by / meter.variance * d[0];
                sum.e[k + P / 2] = by / meter.variance * d[1];
                here = Some((0, 0, 0.0));
            }
            Entry::Row { cut, row, by } => {
                let place = core.cuts[cut as usize].place;
                i = core.cuts[cut as usize].position as usize;
                match place {
                    super::cuts::Place::Own => {
                        core.cuts[cut as usize].shift_and_keep(row as usize, &mut sum.a, &mut sum.e, by);
                        here = Some((0, 0, 0.0));
                    }
                    super::cuts::Place::Above => above = Some((row, by)),
                    _ => here = Some((cut, row, by)),
                }
            }
        }
        climb::<K, N, P>(core, i, sum, here, above);
    }
}

/// What a change of a load's power does at the voltage of the last estimate: to its current, and through the gradient
/// there to the evidence, because the current's derivative by the voltage grows with the power.
#[inline(always)]
fn load_shift<const N: usize, const P: usize>(
    core: &Core<N, P>,
    i: usize,
    wire: u8,
    by: (f64, f64),
) -> Up<P> {
    let (v, k, h) = (&core.v[i], usize::from(wire), P / 2);
    let site = core.place[i].site;
    let own = if site == NONE { NONE } else { core.sites[site as usize].own };
    let mu = if own == NONE { &core.mu[i] } else { &core.cuts[own as usize].mu };
    let (x, y) = (v[k], v[k + h]);
    let w = 1.0 / (x * x + y * y);
    let (kx, ky) = (x * w, y * w);
    let mut shift = Up { a: [0.0; P], e: [0.0; P] };
    shift.a[k] = by.0 * kx + by.1 * ky;
    shift.a[k + h] = by.0 * ky - by.1 * kx;
    let (gr, gi) = (kx * kx - ky * ky, 2.0 * kx * ky);
    let (b_re, b_im) = (-(by.0 * gr + by.1 * gi), by.1 * gr - by.0 * gi);
    shift.e[k] = b_re * mu[k] + b_im * mu[k + h];
    shift.e[k + h] = b_im * mu[k] - b_re * mu[k + h];
    shift
}

/// Carries a shift to the root and adds it to what is kept there and on the way.
#[inline(always)]
fn climb<K: Arithmetic, const N: usize, const P: usize>(
    core: &mut Core<N, P>,
    from: usize,
    mut sum: Up<P>,
    mut here: Option<(u32, u32, f64)>,
    mut above: Option<(u32, f64)>,
) {
    let mut i = from;
    loop {
        let site = core.place[i].site;
        if site != NONE && above.is_none() {
            let cuts = core.sites[site as usize].here;
            let (first, row, by) = here.filter(|here| here.2 != 0.0).unwrap_or((cuts.0, 0, 0.0));
            for cut in first..cuts.1 {
                let (row, by) = if cut == first { (row as usize, by) } else { (0, 0.0) };
                core.cuts[cut as usize].shift_and_keep(row, &mut sum.a, &mut sum.e, by);
            }
        }
        here = None;
        if i == 0 {
            core.up[0].a = dense::add(&core.up[0].a, &sum.a);
            core.up[0].e = dense::add(&core.up[0].e, &sum.e);
            return;
        }
        if above.is_none() {
            sum = step::line_up::<K, N, P>(core, i, &sum);
            core.up[i].a = dense::add(&core.up[i].a, &sum.a);
            core.up[i].e = dense::add(&core.up[i].e, &sum.e);
            let line = &core.lines.line[i];
            sum.a = core.lines.tt::<K>(line, &sum.a);
            sum.e = core.lines.tt::<K>(line, &sum.e);
        }
        if site != NONE && core.sites[site as usize].above != NONE {
            let cut = core.sites[site as usize].above as usize;
            let (row, by) = above.map_or((0, 0.0), |(row, by)| (row as usize, by));
            core.cuts[cut].shift_and_keep(row, &mut sum.a, &mut sum.e, by);
        }
        above = None;
        i = core.lines.line[i].parent as usize;
    }
}

/// Reads the voltage of a position.
pub(super) struct Read<'a, const N: usize, const P: usize> {
    pub core: &'a Core<N, P>,
    pub position: usize,
    /// Room for the path.
    pub path: &'a mut Vec<u32>,
}

impl<const N: usize, const P: usize> Kernel for Read<'_, N, P> {
    /// There and at the root.
    type Output = (Vector<P>, Vector<P>);

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) -> Self::Output {
        let core = self.core;
        let kept = dense::axpy::<K, P>(core.root_weak, &core.root_start, &core.up[0].e);
        let v = dense::times::<K, N, P>(&core.root, &kept);
        (walk_down::<K, N, P>(core, self.position, self.path, v, |i| core.up[i]), v)
    }
}

/// From the root's voltage to that of a position.
#[inline(always)]
fn walk_down<K: Arithmetic, const N: usize, const P: usize>(
    core: &Core<N, P>,
    to: usize,
    path: &mut Vec<u32>,
    root: Vector<P>,
    values: impl Fn(usize) -> Up<P>,
) -> Vector<P> {
    path.clear();
    let mut at = to;
    while at != 0 {
        path.push(at as u32);
        at = core.lines.line[at].parent as usize;
    }
    let (mut v, mut mu) = (root, [0.0; P]);
    pass_rows(core, 0, &v, &mut mu);
    for &i in path.iter().rev() {
        let i = i as usize;
        let line = &core.lines.line[i];
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            let cut = &core.cuts[core.sites[site as usize].above as usize];
            cut.descend(&v, &mut mu);
        }
        let (u, omega) = (core.lines.t::<K>(line, &v), core.lines.t::<K>(line, &mu));
        let (edge, up) = (&core.edges[i], values(i));
        let mut j = dense::add(&up.a, &dense::times::<K, N, P>(&edge.a, &u));
        j = dense::add(&j, &dense::times::<K, N, P>(&edge.s, &omega));
        v = dense::sub(&u, &core.lines.z::<K>(line, &j));
        if i == to {
            return v;
        }
        let mut pull = dense::add(&up.e, &dense::transposed_times::<K, N, P>(&edge.a, &omega));
        if line.evidence != NONE {
            let l = &core.evidence[line.evidence as usize];
            pull = dense::sub(&pull, &dense::times::<K, N, P>(l, &u));
        }
        mu = dense::sub(&omega, &core.lines.zt::<K>(line, &pull));
        pass_rows(core, i, &v, &mut mu);
    }
    v
}

#[inline(always)]
fn pass_rows<const N: usize, const P: usize>(core: &Core<N, P>, i: usize, v: &Vector<P>, mu: &mut Vector<P>) {
    let site = core.place[i].site;
    if site != NONE {
        let (first, end) = core.sites[site as usize].here;
        for cut in (first..end).rev() {
            core.cuts[cut as usize].descend(v, mu);
        }
    }
}

/// Room for a response: what changed on the way up.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail<const P: usize> {
    /// From the change to the root: position and shift there.
    shifts: Vec<(u32, Up<P>)>,
    /// Cut, row and change of ν/s.
    rows: Vec<(u32, u32, f64)>,
    path: Vec<u32>,
}

/// The change of one voltage when one load's power changes, everything else as it is. Nothing is kept.
pub(super) struct Respond<'a, const N: usize, const P: usize> {
    pub core: &'a Core<N, P>,
    pub load: usize,
    pub wire: u8,
    pub by: (f64, f64),
    pub read: usize,
    pub trail: &'a mut Trail<P>,
}

impl<const N: usize, const P: usize> Kernel for Respond<'_, N, P> {
    /// There and at the root.
    type Output = (Vector<P>, Vector<P>);

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) -> Self::Output {
        let (core, trail) = (self.core, self.trail);
        trail.shifts.clear();
        trail.rows.clear();
        let mut i = self.load;
        let mut sum = load_shift(core, i, self.wire, self.by);
        if core.place[i].site != NONE {
            let own = core.sites[core.place[i].site as usize].own;
            if own != NONE {
                pass_up(core, own, trail, &mut sum);
            }
        }
        while i != 0 {
            rows_here(core, i, trail, &mut sum);
            let line = &core.lines.line[i];
            let next = step::line_up::<K, N, P>(core, i, &sum);
            trail.shifts.push((i as u32, next));
            sum = Up { a: core.lines.tt::<K>(line, &next.a), e: core.lines.tt::<K>(line, &next.e) };
            let site = core.place[i].site;
            if site != NONE && core.sites[site as usize].above != NONE {
                pass_up(core, core.sites[site as usize].above, trail, &mut sum);
            }
            i = line.parent as usize;
        }
        rows_here(core, 0, trail, &mut sum);
        let root = dense::times::<K, N, P>(&core.root, &sum.e);
        (respond_down::<K, N, P>(core, self.read, trail, root), root)
    }
}

#[inline(always)]
fn rows_here<const N: usize, const P: usize>(
    core: &Core<N, P>,
    i: usize,
    trail: &mut Trail<P>,
    sum: &mut Up<P>,
) {
    let site = core.place[i].site;
    if site != NONE {
        let (first, end) = core.sites[site as usize].here;
        for cut in first..end {
            pass_up(core, cut, trail, sum);
        }
    }
}

#[inline(never)]
fn pass_up<const N: usize, const P: usize>(
    core: &Core<N, P>,
    cut: u32,
    trail: &mut Trail<P>,
    sum: &mut Up<P>,
) {
    for (at, row) in core.cuts[cut as usize].rows.iter().enumerate() {
        let nu = -dense::dot(&row.h_j, &sum.a);
        sum.a = dense::axpy::<dense::Plain, P>(nu, &row.k, &sum.a);
        sum.e = dense::axpy::<dense::Plain, P>(nu, &row.g, &sum.e);
        trail.rows.push((cut, at as u32, nu / row.s));
    }
}

#[inline(never)]
fn pass_down<const N: usize, const P: usize>(
    core: &Core<N, P>,
    cut: u32,
    trail: &Trail<P>,
    v: &Vector<P>,
    mu: &mut Vector<P>,
) {
    for (at, row) in core.cuts[cut as usize].rows.iter().enumerate().rev() {
        let changed = trail.rows.iter().find(|changed| changed.0 == cut && changed.1 == at as u32);
        let nu = changed.map_or(0.0, |changed| changed.2);
        let lambda = nu - dense::dot(&row.g, v) - dense::dot(&row.k, mu);
        *mu = dense::axpy::<dense::Plain, P>(lambda, &row.h_j, mu);
    }
}

/// From the root's change down to that of a position.
#[inline(always)]
fn respond_down<K: Arithmetic, const N: usize, const P: usize>(
    core: &Core<N, P>,
    to: usize,
    trail: &mut Trail<P>,
    root: Vector<P>,
) -> Vector<P> {
    let mut path = std::mem::take(&mut trail.path);
    path.clear();
    let mut at = to;
    while at != 0 {
        path.push(at as u32);
        at = core.lines.line[at].parent as usize;
    }
    let (mut v, mut mu) = (root, [0.0; P]);
    descend_here(core, 0, trail, &v, &mut mu);
    let mut shared = trail.shifts.len();
    for &i in path.iter().rev() {
        let line = &core.lines.line[i as usize];
        let mut up = Up { a: [0.0; P], e: [0.0; P] };
        if shared > 0 && trail.shifts[shared - 1].0 == i {
            shared -= 1;
            up = trail.shifts[shared].1;
        } else {
            shared = 0;
        }
        let site = core.place[i as usize].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            pass_down(core, core.sites[site as usize].above, trail, &v, &mut mu);
        }
        let (u, omega) = (core.lines.t::<K>(line, &v), core.lines.t::<K>(line, &mu));
        let edge = &core.edges[i as usize];
        let mut j = dense::add(&up.a, &dense::times::<K, N, P>(&edge.a, &u));
        j = dense::add(&j, &dense::times::<K, N, P>(&edge.s, &omega));
        v = dense::sub(&u, &core.lines.z::<K>(line, &j));
        if i as usize == to {
            break;
        }
        let mut pull = dense::add(&up.e, &dense::transposed_times::<K, N, P>(&edge.a, &omega));
        if line.evidence != NONE {
            let l = &core.evidence[line.evidence as usize];
            pull = dense::sub(&pull, &dense::times::<K, N, P>(l, &u));
        }
        mu = dense::sub(&omega, &core.lines.zt::<K>(line, &pull));
        descend_here(core, i as usize, trail, &v, &mut mu);
    }
    trail.path = path;
    v
}

#[inline(always)]
fn descend_here<const N: usize, const P: usize>(
    core: &Core<N, P>,
    i: usize,
    trail: &Trail<P>,
    v: &Vector<P>,
    mu: &mut Vector<P>,
) {
    let site = core.place[i].site;
    if site != NONE {
        let (first, end) = core.sites[site as usize].here;
        for cut in (first..end).rev() {
            pass_down(core, cut, trail, v, mu);
        }
    }
}
