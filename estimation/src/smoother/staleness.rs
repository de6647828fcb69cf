//! Whether factors that were made on the way to an estimate still tell how well it is known.
//!
//! Covariances of voltages and currents hold where the factors were made, at V₀ and J₀. Errors of a power
//! S = V conj(J) are conj(J) dV + V conj(dJ). Where S is known better than V, these two are nearly opposite: with J in the place of J₀
//! they leave conj(J − J₀) dV, however well S is known. Rows at cuts leave the same of what they measure, and an ammeter
//! that stands in another direction takes what is known along the current for what is known across it. What is taken is known as the
//! difference of what was measured there and what others make of it, weighted by voltages there and then.

use super::core::Core;
use super::cuts::{Cut, Place};
use super::dense::{HALF, Plain, Vector};
use super::injections::Load;
use super::posterior::Variances;
use super::precision::Real;

/// What may be left, as a share of a standard deviation; it is wrong by no more.
const LEFT: f64 = 0.02;
/// By how much a voltage may have moved, p.u.: currents are known through powers by the voltage they are taken at.
const MOVED_PU: f64 = 0.03;
/// Less than that, p.u., is rounding where a power is exact.
const ROUNDING_PU: f64 = 1e-9;

impl<const N: usize> Core<N> {
    /// Whether one of the variances, which come from the factors at hand, is wrong by more than may be.
    pub fn is_past_its_factors(&self, variances: &Variances) -> bool {
        (1..self.count()).any(|i| self.line_is_past(i, variances))
            || self.loads.iter().any(|load| self.load_is_past(load, variances))
            || self.cuts.iter().any(|cut| self.cut_is_past(cut, variances))
    }

    /// By how much a voltage moved since, p.u., squared.
    #[inline(always)]
    fn moved(&self, i: usize, k: usize) -> f64 {
        square_of(k, &self.v[i], &f32::widen(Plain, &self.made_at[i].v))
    }

    /// What is taken.
    #[inline(always)]
    fn load_is_past(&self, load: &Load, variances: &Variances) -> bool {
        let i = load.position as usize;
        (0..N / 2).filter(|k| i > 0 && load.free & (1 << k) == 0).any(|k| {
            let (p, q) = variances.injection[i * N / 2 + k];
            let moved = self.moved(i, k).sqrt();
            [(p, load.variance[k]), (q, load.variance[k + HALF])]
                .iter()
                .any(|(known, measured)| moved * (measured - known) > LEFT * known)
        })
    }

    /// A line's flow, and the voltage below it.
    #[inline(always)]
    fn line_is_past(&self, i: usize, variances: &Variances) -> bool {
        let j = f32::widen(Plain, &self.made_at[i].j);
        (0..N / 2).any(|k| {
            let at = i * N / 2 + k;
            let (below, above) = (&variances.below[at], &variances.above[at]);
            let known = below.p.min(below.q).min(above.p).min(above.q);
            self.moved(i, k) > MOVED_PU * MOVED_PU
                || more_than_left(square_of(k, &self.j[i], &j) * variances.phasor[at], known)
        })
    }

    /// What rows at a cut measure.
    fn cut_is_past(&self, cut: &Cut<N>, variances: &Variances) -> bool {
        let (i, w) = (cut.position as usize, N / 2);
        // The cut above a line stands at the bus there.
        let bus = if cut.place == Place::Above { self.lines.line[i].parent as usize } else { i };
        let of_current = |k: usize| {
            let v = &self.v[bus];
            let (p, q) = match cut.place {
                Place::Own | Place::Local => variances.injection[i * w + k],
                Place::Below => (variances.below[i * w + k].p, variances.below[i * w + k].q),
                Place::Above => (variances.above[i * w + k].p, variances.above[i * w + k].q),
            };
            (p + q) / (v[k] * v[k] + v[k + HALF] * v[k + HALF])
        };
        cut.moved(&self.admittances).any(|(by_v, by_j, variance)| {
            let of = |by: &Vector, known: &dyn Fn(usize) -> f64| -> f64 {
                (0..w).map(|k| (by[k] * by[k] + by[k + HALF] * by[k + HALF]) * known(k)).sum()
            };
            let left = of(&by_v, &|k| variances.phasor[bus * w + k]);
            // What a row did not know comes on top of what it did.
            more_than_left(left, variance) || of(&by_j, &of_current) > LEFT * variance
        })
    }
}

/// The square of how far two phasors of a wire are apart.
#[inline(always)]
fn square_of(k: usize, one: &Vector, other: &Vector) -> f64 {
    (one[k] - other[k]).powi(2) + (one[k + HALF] - other[k + HALF]).powi(2)
}

/// Whether so much of a variance is more than may be left.
fn more_than_left(left: f64, variance: f64) -> bool {
    left > (LEFT * LEFT * variance).max(ROUNDING_PU * ROUNDING_PU)
}
