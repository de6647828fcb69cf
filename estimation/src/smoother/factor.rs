//! The factors: the way up with matrices, at a fixed linearization point.
//!
//! At a bus, `J = a + A V + noise(S)` with evidence (L, e) on V. The line `V = U − Z J` turns it into the scattering
//! form of [`super::core`]. With M = (I + A Z)⁻¹ = I − Â Z:
//!
//! ```text
//! Â = A (I + Z A)⁻¹                      S̃ = M S M'
//! K = L (I + Z S̃ Z' L)⁻¹                 C = I − Z Â
//! A ← Â + S̃ Z' K C    S ← S̃ − S̃ Z' K Z S̃    L ← C' K C
//! ```
//!
//! Only matrices of the kind I + (positive semidefinite) and I + Z A are inverted.

use super::core::{Aim, Core, MadeAt};
use super::dense::{self, Arithmetic, HALF, LANES, Matrix, Plain, Vector};
use super::injections::Frozen;
use super::lines::NONE;
use super::precision::{self, Edge, Real};
use crate::simd::Kernel;
use nalgebra::DMatrix;

/// A summary's matrices.
#[derive(Debug, Clone, Copy)]
struct Summary<const N: usize> {
    a: Matrix<N>,
    s: Matrix<N>,
    l: Matrix<N>,
    /// Whether S and L are more than zero.
    noisy: bool,
    evident: bool,
}

impl<const N: usize> Summary<N> {
    const NOTHING: Self =
        Self { a: dense::zero(), s: dense::zero(), l: dense::zero(), noisy: false, evident: false };

    /// Back to nothing.
    #[inline(always)]
    fn clear(&mut self) {
        self.a = dense::zero();
        if self.noisy {
            self.s = dense::zero();
        }
        if self.evident {
            self.l = dense::zero();
        }
        (self.noisy, self.evident) = (false, false);
    }

    /// Adds what arrives from a line.
    #[inline(always)]
    fn add(&mut self, a: &Matrix<N>, s: Option<&Matrix<N>>, l: Option<&Matrix<N>>) {
        self.a = dense::plus(Plain, &self.a, a);
        if let Some(s) = s {
            self.s = dense::plus(Plain, &self.s, s);
            self.noisy = true;
        }
        if let Some(l) = l {
            self.l = dense::plus(Plain, &self.l, l);
            self.evident = true;
        }
    }
}

/// Why there are no factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken {
    /// Position.
    pub position: usize,
}

/// Calculates all factors at the present state.
pub(super) struct Factor<'a, const N: usize>(pub &'a mut Core<N>);

impl<const N: usize> Kernel for Factor<'_, N> {
    type Output = Result<(), Broken>;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Result<(), Broken> {
        let core = self.0;
        let mut open = vec![Summary::<N>::NOTHING; core.levels + 1];
        for i in (1..core.count()).rev() {
            let level = core.place[i].level as usize;
            bus(kit, core, i, &mut open[level]);
            let (parents, below) = open.split_at_mut(level);
            let (parent, below) = (&mut parents[level - 1], &mut below[0]);
            line(kit, core, i, below, parent).ok_or(Broken { position: i })?;
            below.clear();
        }
        bus(kit, core, 0, &mut open[0]);
        core.root_flow = (open[0].a, open[0].s);
        root(core, &open[0].l)
    }
}

/// Adds what stands at a bus.
#[inline(always)]
fn bus<K: Arithmetic, const N: usize>(kit: K, core: &mut Core<N>, i: usize, sum: &mut Summary<N>) {
    let place = core.place[i];
    let v = core.v[i];
    sum.a = dense::plus(kit, &sum.a, &core.lines.admittance(kit, i));
    if place.load != NONE {
        let at = place.load as usize;
        let own = if place.site != NONE { core.sites[place.site as usize].own } else { NONE };
        let mu = if own == NONE { core.mu[i] } else { core.cuts[own as usize].mu };
        let frozen = core.loads[at].at(kit, &v, &mu).exact;
        if own == NONE {
            add_load(&mut sum.a, &mut sum.s, &frozen);
            sum.noisy = true;
        } else {
            conditioned_load(core, own, &frozen, sum);
        }
    }
    for meter in core.meters_at(i) {
        core.meters[meter].inform::<N>(&v, &mut sum.l);
        sum.evident = true;
    }
    if place.site != NONE {
        let (first, end) = core.sites[place.site as usize].here;
        for cut in first..end {
            core.cuts[cut as usize].condition(&core.admittances, &mut sum.a, &mut sum.s, &mut sum.l);
            sum.evident = true;
        }
    }
}

/// A + B and S + D.
#[inline(always)]
fn add_load<const N: usize>(a: &mut Matrix<N>, s: &mut Matrix<N>, frozen: &Frozen) {
    let (w, h) = (N / 2, HALF);
    for k in 0..w {
        a[k][k] += frozen.b[k];
        a[k][k + h] += frozen.b[k + h];
        a[k + w][k] += frozen.b[k + h];
        a[k + w][k + h] -= frozen.b[k];
        s[k][k] += frozen.d[k];
        s[k + w][k + h] += frozen.d[k + h];
        s[k][k + h] += frozen.cross[k];
        s[k + w][k] += frozen.cross[k];
    }
}

/// The same for a load whose bus is measured a second time.
#[inline(never)]
fn conditioned_load<const N: usize>(core: &mut Core<N>, own: u32, frozen: &Frozen, sum: &mut Summary<N>) {
    let (mut b, mut d) = (dense::zero(), dense::zero());
    add_load(&mut b, &mut d, frozen);
    core.cuts[own as usize].condition(&core.admittances, &mut b, &mut d, &mut sum.l);
    sum.a = dense::plus(Plain, &sum.a, &b);
    sum.s = dense::plus(Plain, &sum.s, &d);
    (sum.noisy, sum.evident) = (true, true);
}

/// From a bus to its parent's sum; `None` when the impedance and what hangs behind it cancel.
#[inline(always)]
fn line<K: Arithmetic, const N: usize>(
    kit: K,
    core: &mut Core<N>,
    i: usize,
    bus: &Summary<N>,
    parent: &mut Summary<N>,
) -> Option<()> {
    let line = core.lines.line[i];
    let lines = &core.lines;
    let one = dense::unit::<N>();
    let mut a = dense::right_divide_one_plus(kit, &bus.a, &lines.z_matrix(kit, &line, &bus.a))?;
    let mut s = bus.s;
    if bus.noisy {
        let m = dense::minus(kit, &one, &lines.matrix_z(kit, &line, &a));
        let left = dense::product(kit, &m, &bus.s);
        s = dense::product(kit, &left, &dense::transpose(kit, &m));
    }
    let mut l = bus.l;
    if bus.evident {
        let mut k = bus.l;
        let c = dense::minus(kit, &one, &lines.z_matrix(kit, &line, &a));
        if bus.noisy {
            let q = lines.z_matrix(kit, &line, &lines.matrix_zt(kit, &line, &s));
            k = dense::right_divide_one_plus(kit, &bus.l, &dense::product(kit, &q, &bus.l))?;
            k = dense::symmetric(kit, &k);
            let kc = dense::product(kit, &k, &c);
            a = dense::plus(kit, &a, &dense::product(kit, &s, &lines.zt_matrix(kit, &line, &kc)));
            let zkz = lines.zt_matrix(kit, &line, &lines.matrix_z(kit, &line, &k));
            let right = dense::product(kit, &zkz, &s);
            s = dense::minus(kit, &s, &dense::product(kit, &s, &right));
            s = dense::symmetric(kit, &s);
        }
        let kc = dense::product(kit, &k, &c);
        l = dense::symmetric(kit, &dense::product(kit, &dense::transpose(kit, &c), &kc));
        core.double.evidence[line.evidence as usize].0 = l;
        core.single.evidence[line.evidence as usize].0 = precision::rounded(kit, &l);
    }
    core.made_at[i] = MadeAt { v: f32::narrow(kit, &core.v[i]), j: f32::narrow(kit, &core.j[i]) };
    core.double.edges[i] = Edge { a, s };
    core.single.edges[i] = Edge { a: precision::rounded(kit, &a), s: precision::rounded(kit, &s) };
    let site = core.place[i].site;
    let above = if site == NONE { NONE } else { core.sites[site as usize].above };
    if above != NONE {
        let (mut a, mut s) = (core.lines.to_parent(kit, &line, &a), core.lines.to_parent(kit, &line, &s));
        let mut l = core.lines.to_parent(kit, &line, &l);
        core.cuts[above as usize].condition(&core.admittances, &mut a, &mut s, &mut l);
        parent.add(&a, Some(&s), Some(&l));
        return Some(());
    }
    let (noisy, evident) = (bus.noisy, bus.evident);
    if line.ratio == NONE {
        parent.add(&a, noisy.then_some(&s), evident.then_some(&l));
    } else {
        let (a, s) = (core.lines.to_parent(kit, &line, &a), core.lines.to_parent(kit, &line, &s));
        let l = core.lines.to_parent(kit, &line, &l);
        parent.add(&a, noisy.then_some(&s), evident.then_some(&l));
    }
    Some(())
}

/// A weight that stands for no knowledge of a voltage: a standard deviation of 1 p.u.
const UNKNOWN: f64 = 1.0;
/// What rounding leaves of the largest of all weights where there should be none.
const ROUNDING: f64 = 1e-14;

/// Inverts what is known of the root's voltage. Parts nobody measures stay near their start.
#[inline(never)]
fn root<const N: usize>(core: &mut Core<N>, l: &Matrix<N>) -> Result<(), Broken> {
    let scale = (0..N).map(|c| l[c][dense::lane::<N>(c)]).fold(0.0, f64::max);
    if !scale.is_finite() {
        return Err(Broken { position: 0 });
    }
    (core.root_weak, core.aim) = (dense::zero(), Aim::FirstWire);
    if smallest_pivot(l) < UNKNOWN {
        let least = UNKNOWN.max(ROUNDING * scale);
        core.root_weak = unknown(l, least);
        core.aim = aim(&core.root_weak, least);
    }
    let known = dense::plus(Plain, l, &core.root_weak);
    let inverse = dense::right_divide_pivoted(&dense::unit(), &known).ok_or(Broken { position: 0 })?;
    core.root = dense::symmetric(Plain, &inverse);
    Ok(())
}

/// The weight on the directions of which nothing is known, and on these alone: what is known is not drawn to the start.
fn unknown<const N: usize>(l: &Matrix<N>, least: f64) -> Matrix<N> {
    let known = DMatrix::from_fn(N, N, |row, column| l[column][dense::lane::<N>(row)]);
    let eigen = known.symmetric_eigen();
    let mut weak = dense::zero();
    for (direction, value) in eigen.eigenvectors.column_iter().zip(&eigen.eigenvalues) {
        if *value < least {
            for (c, column) in weak.iter_mut().enumerate() {
                for row in 0..N {
                    column[dense::lane::<N>(row)] += least * direction[row] * direction[c];
                }
            }
        }
    }
    weak
}

/// Share of a phasor's square that may lie in directions of which nothing is known.
const HARDLY_ANY: f64 = 1e-4;

/// What angles are counted from when this is the weight on unknown directions, `least` in each.
fn aim<const N: usize>(weak: &Matrix<N>, least: f64) -> Aim {
    let unknown = |x: &Vector| dense::dot(x, &dense::times(Plain, weak, x)) / (least * dense::dot(x, x));
    // Real and imaginary part of the first wire, and of what is left of it without the mean of all.
    let known = |of_mean: f64| {
        [0, HALF].into_iter().all(|half| {
            let mut x = [0.0; LANES];
            x[half] = 1.0;
            x[half..half + N / 2].iter_mut().for_each(|x| *x -= of_mean / (N / 2) as f64);
            unknown(&x) < HARDLY_ANY
        })
    };
    if known(0.0) {
        Aim::FirstWire
    } else if N > 2 && known(1.0) {
        Aim::WithoutZeroSequence
    } else {
        Aim::Nothing
    }
}

/// The smallest pivot of a symmetric elimination with diagonal pivoting.
pub(super) fn smallest_pivot<const N: usize>(m: &Matrix<N>) -> f64 {
    let mut rest = *m;
    let mut left: Vec<usize> = (0..N).collect();
    let mut smallest = f64::INFINITY;
    while let Some(&best) =
        left.iter().max_by(|&&i, &&k| rest[i][dense::lane::<N>(i)].total_cmp(&rest[k][dense::lane::<N>(k)]))
    {
        let pivot = rest[best][dense::lane::<N>(best)];
        smallest = smallest.min(pivot);
        if !(pivot > 0.0) {
            return 0.0;
        }
        left.retain(|&i| i != best);
        let column = rest[best];
        for &c in &left {
            let factor = -column[dense::lane::<N>(c)] / pivot;
            rest[c] = dense::axpy(Plain, factor, &column, &rest[c]);
        }
    }
    smallest
}
