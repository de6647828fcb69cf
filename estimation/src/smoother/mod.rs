//! Exact weighted least squares on a tree, as a Gaussian smoother in two passes; a few loops are closed on it.
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
//! that reading, and the result is turned so that the source's first wire has [`Readings::reference_angle`]; without its zero
//! sequence where all that is measured lies behind delta windings, and not at all where nothing is known of that wire.
//!
//! `core` is what the passes share, `compile` makes it from readings, `start` where the iteration begins, `factor` the
//! matrices, `step` the values, `injections`, `meters` and `cuts` the rows. Other values are deviations from an estimate
//! (`standing`, `deviations`, eight sets at once `batch`): `pass` is one way up and down, `walk` its order, `trunk` what it needs of the
//! factors, `course` which pass comes next. Loops: `closed` is who takes them, `ties` close them, `ways` are what ties are asked along,
//! `closure` what closing tells of covariances. Deviations: `uncertainty` asks `posterior`, on factors that `staleness` finds near enough.

mod batch;
mod closed;
mod closure;
mod compile;
mod core;
mod course;
mod cuts;
mod dense;
mod deviations;
mod factor;
mod injections;
mod lines;
mod live;
mod meters;
mod objective;
mod observability;
mod pass;
mod plausible;
mod posterior;
mod powers;
mod precision;
mod reference;
mod shrinking;
mod solver;
mod source;
mod staleness;
mod standing;
mod start;
mod step;
mod stops;
mod taken;
#[cfg(test)]
mod tests;
mod ties;
mod together;
mod trunk;
mod uncertainty;
mod voltmeters;
mod walk;
mod ways;

use crate::circuit::{Circuit, NotATree, Opened, Readings, Tree};
use crate::solve::{NoSolution, Tolerance};
pub use batch::SETS;
pub use closed::Closed;
use nalgebra::DMatrix;
use num_complex::Complex64;
use solver::Solver;
use std::collections::BTreeMap;
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
    /// It has loops, and something that nobody measures.
    #[error("with loops, all that is taken and the source's voltage have to be measured or expected")]
    Open,
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

/// Standard deviations.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Uncertainty {
    /// Of voltage magnitudes, p.u., by global wire.
    pub voltages: Vec<f64>,
    /// Of voltage angles, rad, by global wire.
    pub angles: Vec<f64>,
    /// Of active and reactive power taken, p.u., by global wire.
    pub injections: Vec<(f64, f64)>,
    /// Of flows into series elements at their `from` side: element · wires + wire.
    pub from: Vec<FlowDeviation>,
    /// At their `to` side.
    pub to: Vec<FlowDeviation>,
    /// Of the power of all wires together, by series element, at its `from` side.
    pub from_total: Vec<TotalDeviation>,
    /// At its `to` side.
    pub to_total: Vec<TotalDeviation>,
    /// Of voltage angles counted from that of the source's first wire, rad, by global wire.
    pub turned_angles: Vec<f64>,
    /// How what is taken goes together with the voltage there, by global wire.
    pub taken: Vec<TakenTogether>,
    /// Covariance of the voltages (real parts of the wires, then imaginary ones; p.u.²) of buses that have shunts or open
    /// ends of branches.
    pub buses: BTreeMap<u32, DMatrix<f64>>,
}

/// Covariances of active and reactive power taken and the voltage magnitude of a wire, p.u.².
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TakenTogether {
    /// Of active and reactive power.
    pub pq: f64,
    /// Of active power and voltage.
    pub pu: f64,
    /// Of reactive power and voltage.
    pub qu: f64,
}

/// Standard deviations of the power of all wires of one end together, p.u.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TotalDeviation {
    /// Of the active power.
    pub p: f64,
    /// Of the reactive power.
    pub q: f64,
    /// Of the apparent power.
    pub s: f64,
    /// Of the sum of the wires' apparent powers.
    pub apparent: f64,
}

/// Standard deviations of a flow, p.u.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FlowDeviation {
    /// Of the active power.
    pub p: f64,
    /// Of the reactive power.
    pub q: f64,
    /// Of the magnitude of the current.
    pub i: f64,
}

/// What determines a wire's voltage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observability {
    /// Measurements.
    Measured,
    /// Measurements and pseudo-measurements ([`Readings::first_pseudo`]).
    ByPseudoMeasurement,
    /// Nothing.
    Unknown,
}

/// A reading, by its index in [`Readings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// The magnitude of a voltage.
    Voltage(u32),
    /// An injection.
    Injection(u32),
    /// A power.
    Power(u32),
    /// The magnitude of a current.
    Current(u32),
}

/// How an iteration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
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
    One(Box<Solver<2>>),
    Three(Box<Solver<6>>),
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

    /// Closes the loops of the network, see [`Closed`].
    fn close(&mut self, opened: &Opened) -> Result<(), NotSmoothable> {
        both!(&mut self.solver, solver => solver.close(opened))
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

    /// Estimates from the state of another smoother of the same tree: its readings and deviations may be others. The optimum
    /// is that of a flat start, which is taken where the other state leads nowhere.
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn estimate_from(&mut self, other: &mut Self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        match (&mut self.solver, &mut other.solver) {
            (Either::One(own), Either::One(other)) => own.estimate_from(other, tolerance),
            (Either::Three(own), Either::Three(other)) => own.estimate_from(other, tolerance),
            (own, _) => both!(own, solver => solver.estimate(tolerance)),
        }
    }

    /// As [`Smoother::estimate`], without writing anything out: see [`Smoother::voltages`].
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn settle(&mut self, tolerance: Tolerance) -> Result<Settled, NoSolution> {
        both!(&mut self.solver, solver => solver.settle(tolerance))
    }

    /// As [`Smoother::estimate_kept`], without writing anything out.
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn settle_kept(&mut self, tolerance: Tolerance) -> Result<Settled, NoSolution> {
        both!(&mut self.solver, solver => solver.settle_kept(tolerance))
    }

    /// Standard deviations of all that was estimated, from the factors of the last estimate: O(n), no inverse. Where
    /// these were made so far from it that a deviation would be wrong by more than three hundredths of itself (other values on
    /// kept factors, meters against expectations), new ones are made first; [`Smoother::renew_factors`] makes them at any rate.
    ///
    /// Free injections count as known to a window of 1 p.u. or more around the estimate: where nothing but that window
    /// or a voltage a short line away limits them, deviations are too small by up to a few per cent.
    ///
    /// # Errors
    /// [`NoSolution::Singular`] when an impedance and what hangs behind it cancel.
    pub fn uncertainty(&mut self) -> Result<Uncertainty, NoSolution> {
        both!(&mut self.solver, solver => solver.uncertainty())
    }

    /// What the readings determine, by global wire. Linearized at the last estimate, or at the start of one.
    pub fn observability(&mut self) -> Vec<Observability> {
        both!(&mut self.solver, solver => solver.observability())
    }

    /// Changes one reading by `by` (active and reactive power; of voltages and currents the magnitude by `by.0`) on the
    /// factors of the last estimate: one walk to the root. Voltages follow when they are read.
    pub fn change(&mut self, reading: Changed, by: (f64, f64)) {
        both!(&mut self.solver, solver => solver.change(reading, by));
    }

    /// The voltages of the last estimate or step, p.u. by global wire.
    pub fn voltages(&self) -> Vec<Complex64> {
        both!(&self.solver, solver => solver.voltages())
    }

    /// The voltage of a bus after changes, p.u. by wire: one walk from the root. Empty for a dead bus.
    pub fn read(&mut self, bus: u32) -> Vec<Complex64> {
        both!(&mut self.solver, solver => solver.read(bus))
    }

    /// How the voltage of a bus would respond to a change of one injection reading, p.u. by wire; changes nothing.
    pub fn response(&mut self, injection: u32, by: (f64, f64), bus: u32) -> Option<[Complex64; 4]> {
        both!(&mut self.solver, solver => solver.response(injection, by, bus))
    }

    /// Room for eight sets of values on the factors of the last estimate.
    pub fn batch(&mut self) -> Batch {
        let sets = match &mut self.solver {
            Either::One(solver) => EitherSets::One(Box::new(solver.batch())),
            Either::Three(solver) => EitherSets::Three(Box::new(solver.batch())),
        };
        Batch { sets }
    }

    /// Calculates the factors anew at the present state.
    ///
    /// # Errors
    /// [`NoSolution::Singular`] when an impedance and what hangs behind it cancel.
    pub fn renew_factors(&mut self) -> Result<(), NoSolution> {
        both!(&mut self.solver, solver => solver.renew_factors())
    }

    /// The voltages a first step is linearized at.
    #[cfg(test)]
    fn state(&mut self) -> nalgebra::DVector<Complex64> {
        both!(&mut self.solver, solver => nalgebra::DVector::from_vec(solver.start_voltages()))
    }

    /// One step; for measurements of time.
    #[doc(hidden)]
    pub fn step(&mut self) -> f64 {
        both!(&mut self.solver, solver => solver.step().0)
    }

    /// Variances of voltages alone; for measurements of time.
    #[doc(hidden)]
    pub fn voltage_variances(&mut self) -> Vec<f64> {
        both!(&mut self.solver, solver => solver.voltage_variances())
    }
}

/// Eight sets of values, estimated together. Belongs to the smoother that made it, and to its factors.
#[derive(Debug, Clone)]
pub struct Batch {
    sets: EitherSets,
}

#[derive(Debug, Clone)]
enum EitherSets {
    One(Box<batch::Sets<2>>),
    Three(Box<batch::Sets<6>>),
}

/// Calls a method with a smoother's solver and its sets; nothing happens when they do not belong together.
macro_rules! with_sets {
    ($smoother:expr, $sets:expr, ($solver:ident, $batch:ident) => $call:expr, $otherwise:expr) => {
        match (&$smoother.solver, $sets) {
            (Either::One($solver), EitherSets::One($batch)) => $call,
            (Either::Three($solver), EitherSets::Three($batch)) => $call,
            _ => $otherwise,
        }
    };
}

impl Batch {
    /// Puts values into a lane (0 to 7).
    pub fn set(&mut self, smoother: &Smoother, lane: usize, readings: &Readings) {
        with_sets!(smoother, &mut self.sets, (solver, sets) => solver.set_lane(sets, lane % SETS, readings), ());
    }

    /// Puts values of the same sensors into all lanes, which takes half as long as lane by lane. Sensors that are not in all
    /// eight keep the values they have.
    pub fn set_all(&mut self, smoother: &Smoother, readings: [&Readings; SETS]) {
        with_sets!(smoother, &mut self.sets, (solver, sets) => solver.set_lanes(sets, readings), ());
    }

    /// Estimates all eight from where they stand; returns the steps each took. Factors are not renewed: sets far from the
    /// estimate that made them take more steps, and each is estimated alone where that leads nowhere. A set that does not
    /// settle has the reason in its lane, and voltages there that are no estimate of it; the others are as exact as ever.
    pub fn estimate(
        &mut self,
        smoother: &Smoother,
        tolerance: Tolerance,
    ) -> [Result<usize, NoSolution>; SETS] {
        with_sets!(
            smoother, &mut self.sets, (solver, sets) => solver.estimate_batch(sets, tolerance),
            std::array::from_fn(|_| Err(NoSolution::Singular { bus: 0 }))
        )
    }

    /// Voltages of all lanes, p.u. by global wire.
    pub fn voltages(&self, smoother: &Smoother) -> [Vec<Complex64>; SETS] {
        let mut voltages = std::array::from_fn(|_| Vec::new());
        self.write_voltages(smoother, &mut voltages);
        voltages
    }

    /// The same into vectors that are there, whatever is in them: memory that was used before is written several times as
    /// fast.
    pub fn write_voltages(&self, smoother: &Smoother, voltages: &mut [Vec<Complex64>; SETS]) {
        with_sets!(smoother, &self.sets, (solver, sets) => solver.lanes_voltages(sets, voltages), ());
    }
}
