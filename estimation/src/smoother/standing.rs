//! What an estimate stands for when others are found as deviations from it.
//!
//! At the optimum x₀ for the values z₀ all equations of [`super::step`] hold. For other values z the optimum is x₀ + d; lines
//! and admittances are linear, so that d obeys them as x does, and what is left to be taken anew is what loads and voltmeters
//! take and say beyond what they did at x₀. A pass takes that at the last d, sums it towards the root and hands voltages
//! and gradients down again ([`super::pass`]). On the way factors correct what flows by what follows from its change: like
//! Newton's method, but of what flows they change nothing once that has ended, so that roundings, and all that is left away in
//! them ([`super::trunk`]), decide how many passes there are and never where they end.
//!
//! A load's side of it, without a difference of nearly equal numbers: with s the power taken, `w = μ/V`, c = conj(I),
//!
//! ```text
//! dw = (dμ − w₀ dV) / V     ds = dz + R dw     dc = (ds − c₀ dV) / V     pull = −conj(c w)
//! ```

use super::core::Core;
use super::dense::{HALF, LANES, Plain, Vector};
use super::injections::Load;
use super::meters::Meter;
use super::precision::{Edge, Lanes, Real};
use super::stops::{self, Stop};
use super::trunk::{self, Response};

/// A load at the optimum. Complex numbers have their real parts in the lower half. In single precision: what is rounded here
/// makes a deviation wrong by a rounding of itself, as keeping it does.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingLoad {
    /// V₀.
    pub v: Lanes<f32>,
    /// μ₀/V₀.
    pub w: Lanes<f32>,
    /// The conjugate of the current.
    pub c: Lanes<f32>,
    /// Variances of active and reactive power.
    pub variance: Lanes<f32>,
}

/// The optimum that others deviate from.
#[derive(Debug, Clone)]
pub(super) struct Standing<const N: usize> {
    pub loads: Vec<StandingLoad>,
    /// Their positions.
    pub positions: Vec<u32>,
    /// Values it is the optimum for, by load.
    pub measured: Vec<Vector>,
    /// By meter: the gradient of its row by its wire's voltage.
    pub pulls: Vec<[f64; 2]>,
    /// By position.
    pub stops: Vec<Stop>,
    pub responses: Vec<Response>,
    /// Of the trunk's lines, one after the other.
    pub edges: Vec<Edge<f32, N>>,
}

impl<const N: usize> Standing<N> {
    /// Of the state of a core, which is the optimum for its values; `None` when there are no deviations from it.
    pub fn of(core: &Core<N>) -> Option<Self> {
        if !Self::possible(core) {
            return None;
        }
        let stops = stops::stops(core);
        Some(Self {
            loads: core.loads.iter().map(|load| stand(core, load)).collect(),
            positions: core.loads.iter().map(|load| load.position).collect(),
            measured: core.loads.iter().map(|load| load.measured).collect(),
            pulls: core.meters.iter().map(|meter| pull(core, meter)).collect(),
            edges: trunk::edges(core, &stops),
            stops,
            responses: trunk::responses(core),
        })
    }

    /// Whether deviations are possible: no rows at cuts, nothing free.
    pub fn possible(core: &Core<N>) -> bool {
        core.sites.is_empty() && core.cuts.is_empty() && core.loads.iter().all(|load| load.free == 0)
    }
}

fn pull<const N: usize>(core: &Core<N>, meter: &Meter) -> [f64; 2] {
    let mut pull = [0.0; LANES];
    meter.pull(&core.v[meter.position as usize], &mut pull);
    let wire = usize::from(meter.wire);
    [pull[wire], pull[wire + HALF]]
}

fn stand<const N: usize>(core: &Core<N>, load: &Load) -> StandingLoad {
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
    let single = |x: &Vector| f32::narrow(Plain, x);
    StandingLoad { v: single(&v), w: single(&w), c: single(&c), variance: single(&load.variance) }
}
