//! State estimation of a network, once or for many sets of measured values.

use super::Solver;
use super::judge::{self, Judgement};
use crate::assembly::{Assembly, AssemblyError};
use crate::circuit::Tree;
use crate::gathering::{Gathered, Outcome, SensorError, gather};
use crate::smoother::Smoother;
use crate::solve::{NoSolution, Tolerance};
use crate::sparse::{self, Wls};
use grid::{Network, Sensor};
use num_complex::Complex64;
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
    /// The iteration does not settle.
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

#[derive(Debug)]
enum Estimator {
    Tree(Box<Smoother>),
    Sparse(Box<Wls>),
    /// No bus has a voltage.
    Dark,
}

/// A network with its sensors, prepared for estimates of changing values.
#[derive(Debug)]
pub struct EstimateStudy {
    assembly: Assembly,
    gathered: Gathered,
    estimator: Estimator,
    /// Voltages as estimated, before they are turned to the reference.
    last: Vec<Complex64>,
    rows: Vec<sparse::EstimatedRow>,
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
        let circuit = &assembly.circuit;
        let estimator = if !circuit.buses.iter().any(|bus| bus.energized) {
            Estimator::Dark
        } else {
            let tree = (method == EstimationMethod::Auto).then(|| Tree::new(circuit).ok()).flatten();
            let smoother = tree.and_then(|tree| Smoother::new(circuit, &tree, &gathered.readings).ok());
            match smoother {
                Some(smoother) => Estimator::Tree(Box::new(smoother)),
                None => Estimator::Sparse(Box::new(Wls::new(circuit, &gathered.readings)?)),
            }
        };
        Ok(Self { assembly, gathered, estimator, last: Vec::new(), rows: Vec::new() })
    }

    /// The equations.
    pub fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// Whether the tree solver is at work.
    pub fn on_tree(&self) -> bool {
        matches!(self.estimator, Estimator::Tree(_))
    }

    /// The sensors as readings.
    pub fn gathered(&self) -> &Gathered {
        &self.gathered
    }

    /// Takes over other values of the same sensors.
    ///
    /// # Errors
    /// [`EstimateError`] names the sensor that cannot be used.
    pub fn set_values(&mut self, network: &Network, sensors: &[Sensor]) -> Result<(), EstimateError> {
        self.gathered = gather(&self.assembly, network, sensors)?;
        match &mut self.estimator {
            Estimator::Tree(smoother) => smoother.set_values(&self.gathered.readings),
            Estimator::Sparse(wls) => **wls = Wls::new(&self.assembly.circuit, &self.gathered.readings)?,
            Estimator::Dark => {}
        }
        Ok(())
    }

    /// Estimates from a flat start. A part that nothing determines is no error: [`EstimateStudy::judge`] tells it.
    ///
    /// # Errors
    /// [`NoSolution`] when it does not settle.
    pub fn estimate(&mut self, tolerance: &Tolerance) -> Result<Estimation, NoSolution> {
        // A smoother that finds nothing gives way: the sparse solver regularises what nothing determines.
        if let Estimator::Tree(smoother) = &mut self.estimator {
            match smoother.estimate(*tolerance) {
                Ok(estimated) => {
                    return Ok(self.put(
                        estimated.voltages,
                        estimated.objective,
                        estimated.iterations,
                        Solver::Smoother,
                    ));
                }
                Err(_) => {
                    let wls = Wls::new(&self.assembly.circuit, &self.gathered.readings)?;
                    self.estimator = Estimator::Sparse(Box::new(wls));
                }
            }
        }
        match &mut self.estimator {
            Estimator::Sparse(wls) => {
                let estimated = wls.estimate(tolerance)?;
                self.rows = estimated.rows;
                Ok(self.put(estimated.voltages, estimated.objective, estimated.iterations, Solver::Sparse))
            }
            _ => {
                let none = vec![Complex64::ZERO; self.assembly.circuit.wire_count()];
                Ok(self.put(none, 0.0, 0, Solver::Sparse))
            }
        }
    }

    fn put(
        &mut self,
        voltages: Vec<Complex64>,
        objective: f64,
        iterations: usize,
        solver: Solver,
    ) -> Estimation {
        self.last.clone_from(&voltages);
        let outcome = self.gathered.outcome(&self.assembly, voltages);
        Estimation { outcome, objective, iterations, solver }
    }

    /// How well the last estimate is known: standard deviations, what is determined at all, normalised residuals.
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix at the estimate has no finite values.
    pub fn judge(&mut self) -> Result<Judgement, NoSolution> {
        let (circuit, readings) = (&self.assembly.circuit, &self.gathered.readings);
        let count = self.gathered.outcome(&self.assembly, self.last.clone()).residuals.len();
        match &mut self.estimator {
            Estimator::Tree(smoother) => Ok(judge::from_tree(circuit, readings, smoother, &self.last, count)),
            Estimator::Sparse(wls) => judge::from_sparse(circuit, readings, wls, &self.rows, count),
            Estimator::Dark => Ok(Judgement::default()),
        }
    }
}
