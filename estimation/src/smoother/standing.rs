//! What an estimate stands for when others are found as deviations from it.
//!
//! At the optimum x₀ for the values z₀, let F be the linear operator that the factors invert. The optimum for other
//! values z obeys `F d = F d − G(x₀ + d, z)`, G being the equations of [`super::step`]. Lines and admittances are linear
//! and cancel on the right: what is left comes from loads and voltmeters alone, the change of their values and what their
//! equations bend. A pass solves with the right side at the last d. As d is found anew by every pass, the errors of one
//! do not reach the next but through what bends, which is small beside d.
//!
//! A load's side of it, without a difference of nearly equal numbers: with s the power taken, `w = μ/V`, c = conj(I),
//!
//! ```text
//! dw = (dμ − w₀ dV) / V     ds = dz + R dw     dc = (ds − c₀ dV) / V     pull = −conj(c w)
//! ```

use super::core::Core;
use super::dense::{HALF, LANES, Plain, Vector};
use super::injections::Load;
use super::precision::{Lanes, Real};

/// A load at the optimum. Complex numbers have their real parts in the lower half.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingLoad<T> {
    /// V₀.
    pub v: Lanes<T>,
    /// μ₀/V₀.
    pub w: Lanes<T>,
    /// The conjugate of the current.
    pub c: Lanes<T>,
    /// Variances of active and reactive power.
    pub variance: Lanes<T>,
}

/// The standing of every load in either precision.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub single: Vec<StandingLoad<f32>>,
    pub double: Vec<StandingLoad<f64>>,
}

impl Standing {
    /// Whether deviations are possible: no rows at cuts, nothing free.
    pub fn possible<const N: usize>(core: &Core<N>) -> bool {
        core.sites.is_empty() && core.cuts.is_empty() && core.loads.iter().all(|load| load.free == 0)
    }

    /// Of the state of a core, which is the optimum for its values.
    pub fn of<const N: usize>(core: &Core<N>) -> Self {
        let double: Vec<_> = core.loads.iter().map(|load| stand(core, load)).collect();
        Self { single: double.iter().map(rounded).collect(), double }
    }
}

fn stand<const N: usize>(core: &Core<N>, load: &Load) -> StandingLoad<f64> {
    let position = load.position as usize;
    let (mut v, mu) = (core.v[position], &core.mu[position]);
    let mut w = [0.0; LANES];
    for k in 0..N / 2 {
        let (x, y, m, n) = (v[k], v[k + HALF], mu[k], mu[k + HALF]);
        let square = x * x + y * y;
        (w[k], w[k + HALF]) = ((m * x + n * y) / square, (n * x - m * y) / square);
    }
    let mut c = load.at(Plain, &v, mu).current;
    c[HALF..].iter_mut().for_each(|im| *im = -*im);
    // Pad lanes: a voltage of one, so that nothing is divided by zero.
    v[N / 2..HALF].iter_mut().for_each(|re| *re = 1.0);
    StandingLoad { v, w, c, variance: load.variance }
}

fn rounded(load: &StandingLoad<f64>) -> StandingLoad<f32> {
    let single = |x: &Vector| f32::narrow(Plain, x);
    StandingLoad {
        v: single(&load.v),
        w: single(&load.w),
        c: single(&load.c),
        variance: single(&load.variance),
    }
}
