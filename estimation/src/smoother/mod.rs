//! Exact weighted least squares on a tree, as a Gaussian smoother in two passes.
//!
//! Each subtree is summarized as `current = a + A · voltage + noise(S)` with evidence (L, e) on the voltage; zero
//! injections are zero noise, so they hold exactly and nothing indefinite is ever inverted. The way up combines
//! summaries, the way down hands out voltages and multipliers; both are O(n). A, S and L depend on the topology, the
//! weights and the linearization point only, so that new values cost matrix–vector products (`step`), and one changed
//! value a walk to the root.
//!
//! The optimum is that of power-grid-model's Newton–Raphson state estimation: voltage magnitudes and angles, powers per
//! wire, injections that nobody measures exactly zero or free. When no phasor is measured, the angles of all wires of
//! one bus (the source's when it has a voltage reading, otherwise the nearest with one) are rows with the variance of
//! that reading, and the result is turned so that the source's first wire has [`Readings::reference_angle`].
//!
//! `core` is what the passes share, `compile` makes it from readings, `start` where the iteration begins, `factor` the
//! matrices, `step` the values, `injections`, `meters` and `cuts` the rows.

mod compile;
mod core;
mod cuts;
mod dense;
mod factor;
mod injections;
mod lines;
mod meters;
mod objective;
mod solver;
mod start;
mod step;
#[cfg(test)]
mod tests;

use crate::circuit::{Circuit, NotATree, Readings, Tree};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;
use solver::Solver;
use thiserror::Error;

/// Why a circuit cannot be smoothed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotSmoothable {
    /// It is no tree.
    #[error(transparent)]
    Tree(#[from] NotATree),
    /// The smoother is made for one wire and for three.
    #[error("buses have {0} wires; the smoother knows one and three")]
    Wires(usize),
}

/// An estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimated {
    /// Voltage of every wire, p.u., by global wire number; zero on dead buses.
    pub voltages: Vec<Complex64>,
    /// Weighted sum of squared residuals of all readings, each at its exact value.
    pub objective: f64,
    /// The largest current that flows into a wire where exactly nothing is taken, p.u.: rounding.
    pub violation_pu: f64,
    /// Steps taken.
    pub iterations: usize,
    /// How often the matrices were calculated anew.
    pub factorizations: usize,
}

/// An estimator of one topology and sensor set.
#[derive(Debug, Clone)]
pub struct Smoother {
    solver: Either,
}

/// The two sizes of a bus.
#[derive(Debug, Clone)]
enum Either {
    One(Box<Solver<2, 2>>),
    Three(Box<Solver<6, 8>>),
}

/// Calls a method on whichever solver there is.
macro_rules! both {
    ($either:expr, $solver:ident => $call:expr) => {
        match $either {
            Either::One($solver) => $call,
            Either::Three($solver) => $call,
        }
    };
}

impl Smoother {
    /// Fixes the structure: topology, which readings there are and their variances.
    ///
    /// # Errors
    /// [`NotSmoothable`] when the circuit is no tree over one or three wires.
    pub fn new(circuit: &Circuit, tree: &Tree, readings: &Readings) -> Result<Self, NotSmoothable> {
        let wires = circuit.uniform_wires().unwrap_or_default();
        let solver = match wires {
            1 => Either::One(Box::new(Solver::new(circuit, tree, readings)?)),
            3 => Either::Three(Box::new(Solver::new(circuit, tree, readings)?)),
            _ => return Err(NotSmoothable::Wires(wires)),
        };
        Ok(Self { solver })
    }

    /// Takes over the values of readings; everything else about them must be as in [`Smoother::new`].
    pub fn set_values(&mut self, readings: &Readings) {
        both!(&mut self.solver, solver => solver.set_values(readings));
    }

    /// Estimates from a flat start: nothing of earlier estimates is used.
    ///
    /// # Errors
    /// [`NoSolution`] when the iteration does not settle or leaves the numbers.
    pub fn estimate(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        both!(&mut self.solver, solver => solver.estimate(tolerance))
    }

    /// Estimates from the last state on the last factors; they are renewed when the steps do not shrink quickly. The
    /// optimum is the same, only the way to it shorter. Without an earlier estimate this is [`Smoother::estimate`].
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn estimate_kept(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        both!(&mut self.solver, solver => solver.estimate_kept(tolerance))
    }
}
