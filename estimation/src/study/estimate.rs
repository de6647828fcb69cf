//! State estimation of a network, once or for many sets of measured values.

use super::Solver;
use crate::assembly::{Assembly, AssemblyError};
use crate::circuit::Tree;
use crate::gathering::{Gathered, Outcome, SensorError, gather};
use crate::smoother::Smoother;
use crate::solve::{NoSolution, Tolerance};
use grid::{Network, Sensor};
use thiserror::Error;

/// How to estimate. All of them find the same optimum; they differ in speed and in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EstimationMethod {
    /// The smoother on a tree, sparse least squares otherwise.
    #[default]
    Auto,
    /// Sparse least squares.
    Sparse,
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum EstimateError {
    /// The network has no equations.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// A sensor cannot be used.
    #[error(transparent)]
    Sensor(#[from] SensorError),
    /// Too little is measured, or the iteration does not settle.
    #[error(transparent)]
    NoSolution(#[from] NoSolution),
}

/// An estimate in terms of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimation {
    /// Voltages, powers and residuals.
    pub outcome: Outcome,
    /// Sum of squared residuals over variances.
    pub objective: f64,
    /// Steps taken.
    pub iterations: usize,
    /// Which solver it was.
    pub solver: Solver,
}

/// A network with its sensors, prepared for estimates of changing values.
#[derive(Debug)]
pub struct EstimateStudy {
    assembly: Assembly,
    gathered: Gathered,
    smoother: Option<Smoother>,
}

impl EstimateStudy {
    /// Assembles the network, gathers the sensors and chooses the solver.
    ///
    /// # Errors
    /// [`EstimateError`] names the component or sensor that cannot be used.
    pub fn new(
        network: &Network,
        sensors: &[Sensor],
        symmetric: bool,
        method: EstimationMethod,
    ) -> Result<Self, EstimateError> {
        let assembly = Assembly::new(network, symmetric)?;
        let gathered = gather(&assembly, network, sensors)?;
        let smoother = match (method, Tree::new(&assembly.circuit)) {
            (EstimationMethod::Auto, Ok(tree)) => {
                Smoother::new(&assembly.circuit, &tree, &gathered.readings).ok()
            }
            _ => None,
        };
        Ok(Self { assembly, gathered, smoother })
    }

    /// The equations.
    pub fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// The sensors as readings.
    pub fn gathered(&self) -> &Gathered {
        &self.gathered
    }

    /// Takes over other values of the same sensors.
    ///
    /// # Errors
    /// [`SensorError`] names the sensor that cannot be used.
    pub fn set_values(&mut self, network: &Network, sensors: &[Sensor]) -> Result<(), SensorError> {
        self.gathered = gather(&self.assembly, network, sensors)?;
        if let Some(smoother) = &mut self.smoother {
            smoother.set_values(&self.gathered.readings);
        }
        Ok(())
    }

    /// Estimates from a flat start.
    ///
    /// # Errors
    /// [`NoSolution`] when it does not settle or too little is measured.
    pub fn estimate(&mut self, tolerance: &Tolerance) -> Result<Estimation, NoSolution> {
        let Some(smoother) = &mut self.smoother else {
            return Err(NoSolution::Singular { bus: 0 });
        };
        let estimated = smoother.estimate(*tolerance)?;
        Ok(Estimation {
            outcome: self.gathered.outcome(&self.assembly, estimated.voltages),
            objective: estimated.objective,
            iterations: estimated.iterations,
            solver: Solver::Smoother,
        })
    }
}
