//! What the passes share: the tree, the readings as rows, the factors and the state.

use super::cuts::Cut;
use super::dense::{Matrix, Vector};
use super::injections::{Frozen, Load};
use super::lines::{Lines, NONE};
use super::meters::Meter;
use crate::simd::Path;

/// The scattering form of one line with all below it. With U = T V_parent and ω = T μ_parent,
///
/// ```text
/// J = a + A U + S ω          the current that leaves the line towards its bus
/// e − L U + A' ω             the gradient by U of all that hangs on the line
/// ```
///
/// A load shifted by δ at the bus is the same as J shifted by δ and U by −Z δ, evidence δ is a tilt of V = U − Z J:
/// so nothing else than A, S, L and Z is needed to carry values up and down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<const N: usize, const P: usize> {
    pub a: Matrix<N, P>,
    pub s: Matrix<N, P>,
}

/// Rows at a position, by place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// Index of the cut in the bus's own injection, or [`NONE`].
    pub own: u32,
    /// First and last (excluded) of the cuts at the bus.
    pub here: (u32, u32),
    /// Index of the cut at the parent's end of the line, or [`NONE`].
    pub above: u32,
}

/// What stands at a position, as indices; [`NONE`] for nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub load: u32,
    /// First of the meters of this position.
    pub meter: u32,
    pub site: u32,
    /// Distance from the root: which accumulator collects for it.
    pub level: u32,
}

/// The estimator over `N` real unknowns per bus in `P` lanes.
#[derive(Debug, Clone)]
pub(super) struct Core<const N: usize, const P: usize> {
    pub path: Path,
    pub lines: Lines<N, P>,
    pub place: Vec<Place>,
    pub loads: Vec<Load<P>>,
    pub meters: Vec<Meter>,
    pub sites: Vec<Site>,
    pub cuts: Vec<Cut<N, P>>,
    pub admittances: Vec<Matrix<N, P>>,
    pub levels: usize,
    /// Wires of the root where nothing is known of the injection.
    pub root_free: u32,

    // Factors.
    pub edges: Vec<Edge<N, P>>,
    /// L of each line with evidence below.
    pub evidence: Vec<Matrix<N, P>>,
    pub frozen: Vec<Frozen<P>>,
    /// Posterior covariance of the root's voltage.
    pub root: Matrix<N, P>,
    /// Weight that keeps undetermined parts of the root's voltage at their start; zero when all is determined.
    pub root_weak: f64,
    /// The root's voltage at the start.
    pub root_start: Vector<P>,
    /// How weak that weight is, 1 unless somebody wants to see whether it matters.
    pub weakness: f64,
    /// A and S of all that flows into the root.
    pub root_flow: (Matrix<N, P>, Matrix<N, P>),

    // State.
    /// Voltage of each position.
    pub v: Vec<Vector<P>>,
    /// Gradient by the current at each position of all but what hangs below.
    pub mu: Vec<Vector<P>>,
    /// a and e of each line.
    pub up: Vec<Up<P>>,
    /// Current of each line where somebody asks; all of them.
    pub j: Vec<Vector<P>>,
}

/// What values leave at a line on their way up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Up<const P: usize> {
    pub a: Vector<P>,
    pub e: Vector<P>,
}

impl<const N: usize, const P: usize> Core<N, P> {
    pub fn count(&self) -> usize {
        self.place.len()
    }

    /// The meters of a position.
    #[inline(always)]
    pub fn meters_at(&self, position: usize) -> std::ops::Range<usize> {
        let first = self.place[position].meter;
        if first == NONE {
            return 0..0;
        }
        let first = first as usize;
        let mut end = first + 1;
        while end < self.meters.len() && self.meters[end].position as usize == position {
            end += 1;
        }
        first..end
    }
}
