//! State estimation of a network, once or for many sets of measured values.

use super::Solver;
use super::deviations::{Deviations, Teller};
use super::judge::{self, Judgement};
use super::known::Known;
use crate::assembly::{Assembly, AssemblyError};
use crate::circuit::{Circuit, NotATree, Opened, Tree};
use crate::gathering::{Gathered, Outcome, SensorError, gather};
use crate::smoother::{self, Closed, Smoother, Uncertainty};
use crate::solve::{NoSolution, Tolerance};
use crate::sparse::{self, Flows, Wls};
use grid::{Network, Sensor};
use num_complex::Complex64;
use thiserror::Error;

/// How to estimate. All of them find the same optimum; they differ in speed and in what they accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EstimationMethod {
    /// The smoother on a tree and where few loops close, sparse least squares otherwise.
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
    /// The smoother with loops, and sparse least squares at its estimates, once it is asked which of them rest on pseudo-measurements.
    Closed(Box<Closed>, Option<Box<Wls>>),
    Sparse(Box<Wls>),
    /// No bus has a voltage.
    Dark,
}

/// A network with its sensors, prepared for estimates of changing values.
#[derive(Debug)]
pub struct EstimateStudy {
    assembly: Assembly,
    gathered: Gathered,
    method: EstimationMethod,
    estimator: Estimator,
    /// Whether the smoother found nothing and the sparse solver stands in for it.
    stands_in: bool,
    /// Whether an estimate of the same readings with other values is there to go on from.
    kept: bool,
    /// Voltages as estimated, before they are turned to the reference.
    last: Vec<Complex64>,
    /// What the smoother knows of the last estimate, once somebody asked.
    known: Option<Uncertainty>,
    tolerance: Tolerance,
    /// Of the last estimate, where sparse least squares made it or went over it.
    rows: Vec<sparse::EstimatedRow>,
}

/// The cube of as many unknowns as ties have may be so much for each wire of a network: a hundred loops in a million wires, 7 in three
/// hundred. Beyond, finding them costs more than what the tree saves.
const TIE_WORK_MAX: f64 = 2500.0;

/// Most loops to close on a tree.
fn loops_max(circuit: &Circuit) -> usize {
    let wires = circuit.uniform_wires().unwrap_or(1).max(1);
    let unknowns = (TIE_WORK_MAX * circuit.wire_count() as f64).cbrt();
    (unknowns / (4 * wires) as f64) as usize
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
        let estimator = choose(&assembly, &gathered, method)?;
        let (last, tolerance, rows) = (Vec::new(), Tolerance::default(), Vec::new());
        Ok(Self {
            assembly,
            gathered,
            method,
            estimator,
            stands_in: false,
            kept: false,
            last,
            known: None,
            tolerance,
            rows,
        })
    }

    /// The equations.
    pub fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// Whether the smoother is at work and tells all that is known of an estimate: in a time that grows with the network, not with a
    /// solve for each wire.
    pub fn is_smoothed(&self) -> bool {
        let pseudo = self.gathered.readings.first_pseudo.is_some();
        matches!(self.estimator, Estimator::Tree(_))
            || (matches!(self.estimator, Estimator::Closed(..)) && !pseudo)
    }

    /// The sensors as readings.
    pub fn gathered(&self) -> &Gathered {
        &self.gathered
    }

    /// Takes over sensors of the same network with other values. Where only values differ (places, deviations and which
    /// sensors speak are the same, and all is determined), the next [`EstimateStudy::estimate`] goes on from the last one
    /// on its factors; otherwise it is a whole one.
    ///
    /// # Errors
    /// [`EstimateError`] names the sensor that cannot be used.
    pub fn set_values(&mut self, network: &Network, sensors: &[Sensor]) -> Result<(), EstimateError> {
        let gathered = gather(&self.assembly, network, sensors)?;
        self.known = None;
        let same = gathered.readings.differs_in_values_only(&self.gathered.readings);
        let settled = same && !self.last.is_empty() && !self.stands_in;
        let kept = settled && (self.kept || self.determined());
        self.gathered = gathered;
        let readings = &self.gathered.readings;
        let serves = match &mut self.estimator {
            Estimator::Tree(smoother) => {
                if same {
                    smoother.set_values(readings);
                }
                same
            }
            Estimator::Closed(smoother, wls) => {
                if same {
                    smoother.set_values(readings);
                }
                if wls.as_mut().is_some_and(|wls| !wls.set_values(readings)) {
                    *wls = None;
                }
                same
            }
            Estimator::Sparse(wls) => !self.stands_in && wls.set_values(readings),
            Estimator::Dark => true,
        };
        if !serves {
            self.estimator = choose(&self.assembly, &self.gathered, self.method)?;
            self.stands_in = false;
        }
        self.kept = serves && kept;
        Ok(())
    }

    /// Whether the readings determine every live wire. What nothing determines stays where an iteration starts: only
    /// whole estimates give it the same number each time.
    fn determined(&mut self) -> bool {
        let circuit = &self.assembly.circuit;
        let mut live = (0..).zip(&circuit.buses).filter(|(_, bus)| bus.energized);
        match &mut self.estimator {
            Estimator::Tree(smoother) => {
                let seen = smoother.observability();
                live.all(|(bus, _)| !seen[circuit.wires(bus)].contains(&smoother::Observability::Unknown))
            }
            // It takes no readings that leave something open.
            Estimator::Closed(..) => true,
            Estimator::Sparse(wls) => wls.determines_all(),
            Estimator::Dark => false,
        }
    }

    /// Whether the next estimate goes on from the last one.
    pub fn goes_on(&self) -> bool {
        self.kept
    }

    /// Estimates: from a flat start, or from the last estimate where [`EstimateStudy::set_values`] says so; both end within
    /// the tolerance of the same optimum. A part that nothing determines is no error: [`EstimateStudy::judge`] tells it.
    ///
    /// # Errors
    /// [`NoSolution`] when it does not settle.
    pub fn estimate(&mut self, tolerance: &Tolerance) -> Result<Estimation, NoSolution> {
        self.tolerance = *tolerance;
        self.rows.clear();
        self.known = None;
        // A smoother that finds nothing gives way: the sparse solver regularises what nothing determines.
        match self.smoothed(tolerance) {
            Some(Ok(found)) => {
                return Ok(self.put(found.voltages, found.objective, found.iterations, Solver::Smoother));
            }
            Some(Err(_)) => {
                let wls = Wls::new(&self.assembly.circuit, &self.gathered.readings)?;
                (self.estimator, self.stands_in) = (Estimator::Sparse(Box::new(wls)), true);
            }
            None => {}
        }
        match &mut self.estimator {
            Estimator::Sparse(wls) => {
                let kept = self.kept && !self.stands_in;
                let found = if kept { wls.estimate_again(tolerance) } else { wls.estimate(tolerance) }?;
                self.rows = found.rows;
                Ok(self.put(found.voltages, found.objective, found.iterations, Solver::Sparse))
            }
            _ => {
                let none = vec![Complex64::ZERO; self.assembly.circuit.wire_count()];
                Ok(self.put(none, 0.0, 0, Solver::Sparse))
            }
        }
    }

    /// What the smoother finds, where there is one.
    fn smoothed(&mut self, tolerance: &Tolerance) -> Option<Result<smoother::Estimated, NoSolution>> {
        match &mut self.estimator {
            Estimator::Tree(smoother) if self.kept => Some(smoother.estimate_kept(*tolerance)),
            Estimator::Tree(smoother) => Some(smoother.estimate(*tolerance)),
            Estimator::Closed(smoother, _) if self.kept => Some(smoother.estimate_kept(*tolerance)),
            Estimator::Closed(smoother, _) => Some(smoother.estimate(*tolerance)),
            Estimator::Sparse(_) | Estimator::Dark => None,
        }
    }

    /// Goes over an estimate of a network with closed loops, once, with sparse least squares, which tell what rests on
    /// pseudo-measurements. Without any all is measured.
    fn go_over(&mut self) -> Result<(), NoSolution> {
        if let Estimator::Closed(_, wls) = &mut self.estimator
            && self.gathered.readings.first_pseudo.is_some()
            && self.rows.is_empty()
        {
            let made = match wls.take() {
                Some(wls) => wls,
                None => Box::new(Wls::new(&self.assembly.circuit, &self.gathered.readings)?),
            };
            self.rows = wls.insert(made).estimate_from(&self.last, &self.tolerance)?.rows;
        }
        Ok(())
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

    /// Asks the smoother, where it is at work, what it knows of the last estimate, unless it was asked before.
    pub(super) fn know(&mut self) -> Result<(), NoSolution> {
        if self.known.is_none() {
            self.known = match &mut self.estimator {
                Estimator::Tree(smoother) => Some(smoother.uncertainty()?),
                Estimator::Closed(smoother, _) => Some(smoother.uncertainty()?),
                Estimator::Sparse(_) | Estimator::Dark => None,
            };
        }
        Ok(())
    }

    /// What it said.
    pub(super) fn known(&self) -> Option<&Uncertainty> {
        self.known.as_ref()
    }

    /// Voltages as estimated, p.u. by global wire; `None` where no bus has one.
    pub(super) fn voltages(&self) -> Option<&[Complex64]> {
        (!matches!(self.estimator, Estimator::Dark)).then_some(&self.last)
    }

    /// How well the last estimate is known: standard deviations, what is determined at all, normalised residuals.
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix at the estimate has no finite values.
    pub fn judge(&mut self) -> Result<Judgement, NoSolution> {
        self.go_over()?;
        let count = self.gathered.outcome(&self.assembly, self.last.clone()).residuals.len();
        if let Estimator::Sparse(wls) | Estimator::Closed(_, Some(wls)) = &mut self.estimator {
            return judge::from_sparse(&self.assembly.circuit, &self.gathered, wls, &self.rows, count);
        }
        self.know()?;
        let (circuit, gathered) = (&self.assembly.circuit, &self.gathered);
        let observed = match &mut self.estimator {
            Estimator::Tree(smoother) => smoother.observability(),
            // It takes no readings that leave something open.
            Estimator::Closed(..) => vec![smoother::Observability::Measured; circuit.wire_count()],
            Estimator::Sparse(_) | Estimator::Dark => return Ok(Judgement::default()),
        };
        let Some(known) = &self.known else { return Ok(Judgement::default()) };
        Ok(judge::from_smoother(circuit, gathered, (known, observed), &self.last, count))
    }

    /// Standard deviations of angles, flows and what is taken at the last estimate (`judgement` is what
    /// [`EstimateStudy::judge`] said of it). On a tree, or with a few loops, O(n); with the sparse solver some ten solves per wire.
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix at the estimate has no finite values.
    pub fn deviations(&mut self, network: &Network, judgement: &Judgement) -> Result<Deviations, NoSolution> {
        self.know()?;
        let mut voltages = self.last.clone();
        self.gathered.turn(&self.assembly, &mut voltages);
        let circuit = &self.assembly.circuit;
        let known = match (&mut self.estimator, &self.known) {
            (_, Some(all)) => Known::Tree { circuit, voltages: &self.last, all },
            (Estimator::Sparse(wls), _) => Known::Sparse(Box::new(Flows::new(circuit, wls.posterior()?)?)),
            (_, None) => return Ok(Deviations::default()),
        };
        let (assembly, gathered) = (&self.assembly, &self.gathered);
        let teller = Teller { network, assembly, gathered, voltages: &voltages, judgement };
        Ok(teller.tell(&known))
    }
}

/// The solver that fits.
fn choose(
    assembly: &Assembly,
    gathered: &Gathered,
    method: EstimationMethod,
) -> Result<Estimator, NoSolution> {
    let circuit = &assembly.circuit;
    if !circuit.buses.iter().any(|bus| bus.energized) {
        return Ok(Estimator::Dark);
    }
    let readings = &gathered.readings;
    if method == EstimationMethod::Auto {
        let tree = Tree::new(circuit);
        if let Ok(tree) = &tree
            && let Ok(smoother) = Smoother::new(circuit, tree, readings)
        {
            return Ok(Estimator::Tree(Box::new(smoother)));
        }
        if let Err(NotATree::Loop(_)) = tree
            && let Ok(opened) = Opened::new(circuit, loops_max(circuit))
            && let Ok(smoother) = Closed::new(circuit, &opened, readings)
        {
            return Ok(Estimator::Closed(Box::new(smoother), None));
        }
    }
    Ok(Estimator::Sparse(Box::new(Wls::new(circuit, readings)?)))
}
