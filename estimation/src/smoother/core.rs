//! What the passes share: the tree, the readings as rows, the factors and the state.
//!
//! Factors are the scattering form of each line with all below it. With U = T V_parent and ω = T μ_parent,
//!
//! ```text
//! J = a + A U + S ω          the current that leaves the line towards its bus
//! p = e − L U + A' ω         the gradient by U of all that hangs on the line
//! ```
//!
//! A load shifted by δ at the bus is the same as J shifted by δ and U by −Z δ, evidence δ is a tilt of V = U − Z J:
//! so nothing else than A, S, L and Z is needed to carry corrections up and down.

use super::cuts::Cut;
use super::dense::{self, Arithmetic, HALF, LANES, Matrix, Plain, Vector};
use super::injections::Load;
use super::lines::{Lines, NONE};
use super::meters::Meter;
use super::precision::{Factors, Lanes};
use crate::simd::Path;
use num_complex::Complex64;

/// How many roundings a gradient may have gone through.
const ROUNDINGS: f64 = 32.0;

/// Rows at a position, by place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// Index of the cut in the bus's own injection, or [`NONE`].
    pub own: u32,
    /// First and last (excluded) of the cuts at the bus.
    pub here: (u32, u32),
    /// Index of the cut at the parent's end of the line, or [`NONE`].
    pub above: u32,
    /// Index of what ties draw here, or [`NONE`].
    pub drawn: u32,
}

impl Site {
    pub const NOTHING: Self = Self { own: NONE, here: (0, 0), above: NONE, drawn: NONE };
}

/// What ties draw from a position, see [`super::ties`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    /// Current.
    pub current: Vector,
    /// The same of the gradient by the voltage.
    pub pull: Vector,
}

impl Drawn {
    pub const NOTHING: Self = Self { current: [0.0; LANES], pull: [0.0; LANES] };
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

/// State of a position when the factors were made there.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct MadeAt {
    /// Voltage of the bus.
    pub v: Lanes<f32>,
    /// Current of the line above it.
    pub j: Lanes<f32>,
}

impl MadeAt {
    pub const NOWHERE: Self = Self { v: [0.0; LANES], j: [0.0; LANES] };
}

/// Whose angle at the root becomes the reference angle when no phasor is measured. An angle that nobody knows would turn
/// all the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// That of the first wire.
    FirstWire,
    /// That of the first wire without its zero sequence, which nobody knows: all that is measured is behind delta windings.
    WithoutZeroSequence,
    /// None: angles stay as the rows of the reference make them.
    Nothing,
}

/// The estimator over `N` real unknowns per bus in `P` lanes.
#[derive(Debug, Clone)]
pub(super) struct Core<const N: usize> {
    pub path: Path,
    pub lines: Lines<N>,
    pub place: Vec<Place>,
    pub loads: Vec<Load>,
    pub meters: Vec<Meter>,
    pub sites: Vec<Site>,
    pub cuts: Vec<Cut<N>>,
    /// Where loops are closed: what goes from there to the other end.
    pub drawn: Vec<Drawn>,
    pub admittances: Vec<Matrix<N>>,
    pub levels: usize,
    /// Wires of the root where nothing is known of the injection.
    pub root_free: u32,

    /// How many lines have evidence below.
    pub evident: usize,

    // Factors.
    /// Of double precision: steps where single is not enough, and variances.
    pub double: Factors<f64, N>,
    /// The same rounded, for steps.
    pub single: Factors<f32, N>,
    /// By position: where they were made.
    pub made_at: Vec<MadeAt>,
    /// Posterior covariance of the root's voltage.
    pub root: Matrix<N>,
    /// Weight that keeps undetermined parts of the root's voltage at their start, and nothing else; zero when all is
    /// determined.
    pub root_weak: Matrix<N>,
    /// What angles are counted from.
    pub aim: Aim,
    /// The root's voltage at the start.
    pub root_start: Vector,
    /// A and S of all that flows into the root.
    pub root_flow: (Matrix<N>, Matrix<N>),

    // State.
    /// Voltage of each position.
    pub v: Vec<Vector>,
    /// Gradient by the current at each position of all but what hangs below.
    pub mu: Vec<Vector>,
    /// Current of each line.
    pub j: Vec<Vector>,
    /// Gradient by the voltage of each line's bus of all that hangs there and below.
    pub pull: Vec<Vector>,
}

impl<const N: usize> Core<N> {
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

    /// Index of the cut in a bus's own injection, or [`NONE`].
    #[inline(always)]
    pub fn own_cut(&self, position: usize) -> u32 {
        let site = self.place[position].site;
        if site == NONE { NONE } else { self.sites[site as usize].own }
    }

    /// The site of a position, made where there is none.
    pub fn site(&mut self, position: usize) -> &mut Site {
        let at = &mut self.place[position].site;
        if *at == NONE {
            *at = self.sites.len() as u32;
            self.sites.push(Site::NOTHING);
        }
        &mut self.sites[*at as usize]
    }

    /// What ties draw from a position.
    #[inline(always)]
    pub fn drawn_at(&self, position: usize) -> Option<&Drawn> {
        let site = self.place[position].site;
        let drawn = if site == NONE { NONE } else { self.sites[site as usize].drawn };
        if drawn == NONE { None } else { Some(&self.drawn[drawn as usize]) }
    }

    /// The root's voltage when the gradient by it has a residual `e`.
    #[inline(always)]
    pub fn root_after<K: Arithmetic>(&self, kit: K, e: &Vector) -> Vector {
        let away = dense::sub(kit, &self.root_start, &self.v[0]);
        dense::times_plus(kit, &self.root, &dense::times_plus(kit, &self.root_weak, &away, e), &self.v[0])
    }

    /// The phasor at the root that gets the reference angle, of a voltage or a change of it.
    pub fn aimed(&self, root: &Vector) -> Option<Complex64> {
        let wire = |k: usize| Complex64::new(root[k], root[k + HALF]);
        match self.aim {
            Aim::FirstWire => Some(wire(0)),
            Aim::WithoutZeroSequence => {
                Some(wire(0) - (0..N / 2).map(wire).sum::<Complex64>() / (N / 2) as f64)
            }
            Aim::Nothing => None,
        }
    }

    /// What rounding leaves of a gradient by the current at a bus, as a difference of larger ones.
    pub fn noise(&self, i: usize, mu: &Vector, pull: &Vector, gain: Option<Vector>) -> f64 {
        let line = &self.lines.line[i];
        let parts = [Some(*mu), (i > 0).then(|| self.lines.zt(Plain, line, pull)), gain];
        let largest = parts.iter().flatten().flatten().fold(0.0_f64, |most, x| most.max(x.abs()));
        ROUNDINGS * f64::EPSILON * largest
    }
}
