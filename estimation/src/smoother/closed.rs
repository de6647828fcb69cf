//! The smoother on networks with a few loops.

use super::{Estimated, NotSmoothable, Smoother};
use crate::circuit::{Circuit, Opened, Readings};
use crate::solve::{NoSolution, Tolerance};

/// An estimator of a network with loops as a tree with ties. What is known of an estimate is not asked here: a
/// tree's deviations are not those of the network.
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

    /// As [`Smoother::estimate_kept`].
    ///
    /// # Errors
    /// [`NoSolution`] as above.
    pub fn estimate_kept(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        self.smoother.estimate_kept(tolerance)
    }
}
