//! The smoother on networks with a few loops.

use super::dense;
use super::meters::Says;
use super::solver::Solver;
use super::ties::Ties;
use super::{Estimated, NotSmoothable, Smoother, Uncertainty};
use crate::circuit::{Circuit, Opened, Readings};
use crate::solve::{NoSolution, Tolerance};

/// An estimator of a network with loops as a tree with ties. What a tree
/// is asked one value at a time, or eight sets at once, it is not asked.
#[derive(Debug, Clone)]
pub struct Closed {
    smoother: Smoother,
}

impl Closed {
    /// Fixes the structure, as [`Smoother::new`].
    ///
    /// # Errors
    /// [`NotSmoothable`] when the circuit is no tree over one or three wires with its loops opened, or something of what is
    /// taken or of the source's voltage is not known, so that the network may be determined in part only.
    pub fn new(circuit: &Circuit, opened: &Opened, readings: &Readings) -> Result<Self, NotSmoothable> {
        let mut smoother = Smoother::new(circuit, &opened.tree, readings)?;
        smoother.close(opened)?;
        Ok(Self { smoother })
    }

    /// As [`Smoother::set_values`].
    pub fn set_values(&mut self, readings: &Readings) {
        self.smoother.set_values(readings);
    }

    /// As [`Smoother::estimate`].
    ///
    /// # Errors
    /// [`NoSolution`] when the iteration does not settle or leaves the numbers.
    pub fn estimate(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        self.smoother.estimate(tolerance)
    }

    /// As [`Smoother::uncertainty`], of the network with its loops.
    ///
    /// # Errors
    /// [`NoSolution`] as there.
    pub fn uncertainty(&mut self) -> Result<Uncertainty, NoSolution> {
        self.smoother.uncertainty()
    }

    /// As [`Smoother::renew_factors`].
    ///
    /// # Errors
    /// [`NoSolution`] as there.
    pub fn renew_factors(&mut self) -> Result<(), NoSolution> {
        self.smoother.renew_factors()
    }

    /// As [`Smoother::estimate_kept`].
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn estimate_kept(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        self.smoother.estimate_kept(tolerance)
    }
}

impl<const N: usize> Solver<N> {
    /// Closes loops. From then on there are only estimates and what they consist of.
    pub fn close(&mut self, opened: &Opened) -> Result<(), NotSmoothable> {
        // Free loads have windows that move along with the steps: beside ties, whose currents lag behind by one, they do not settle.
        if !(self.is_referred_to_root() && self.determines_all()) {
            return Err(NotSmoothable::Open);
        }
        if !opened.ties.is_empty() {
            self.ties = Some(Box::new(Ties::new(self.core(), &opened.ties)));
        }
        Ok(())
    }

    /// Whether angles count from a phasor or from the root with all its wires measured.
    fn is_referred_to_root(&self) -> bool {
        let core = &self.compiled.core;
        let measured = core.meters_at(0).filter(|&meter| core.meters[meter].says == Says::Magnitude);
        let wires = measured.fold(0_u32, |wires, meter| wires | 1 << core.meters[meter].wire);
        self.compiled.phasors || wires.count_ones() as usize == N / 2
    }

    /// Whether something is known of all that is taken, and of all of the root's voltage.
    fn determines_all(&mut self) -> bool {
        let all_loads = self.compiled.core.loads.iter().all(|load| load.free == 0);
        self.start();
        all_loads && self.renew_factors().is_ok() && self.compiled.core.root_weak == dense::zero()
    }
}
