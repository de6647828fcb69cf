//! Three-phase weighted least squares (F. C. Schweppe and J. Wildes, "Power system static-state estimation",
//! IEEE Trans. PAS-89, 1970) with the loads as state, solved by Gauss–Newton with the exact derivative.
//!
//! The state `y` counts standard deviations from the prior, so the objective is
//! `‖y‖² + Σ ((z − h(y)) / σ)²` and the normal matrix `1 + Hᵀ W H` is always positive definite.

use crate::feeder::Feeder;
use crate::linearization::{Operating, Reduction};
use crate::measurement_set::{EstimationError, InjectionPrior, MeasurementSet, Observed, check, observe};
use crate::posterior::Posterior;
use grid::{Estimate, Timestamp};
use nalgebra::{DMatrix, DVector, RowDVector};
use num_complex::Complex64;
use std::sync::Arc;

const ITERATIONS_MAX: usize = 40;
/// A step this small is the last one, in standard deviations of the prior; what remains is its square.
const STEP_SETTLED: f64 = 1e-5;
/// Largest step that is accepted when nothing better is found.
const STEP_ACCEPTED: f64 = 1e-4;
/// How often a step that makes the objective worse is halved.
const HALVINGS_MAX: usize = 12;
/// Curvature is worth its row when a magnitude differs from its reading by this share.
const CURVATURE_MIN: f64 = 1e-4;
/// A current below this has no direction, A.
const CURRENT_MIN_A: f64 = 1e-9;

/// Estimates the state of one feeder. Made once per topology: O(buses × connection points).
#[derive(Debug)]
pub struct Estimator {
    feeder: Arc<Feeder>,
    reduction: Reduction,
}

/// Everything known at one state.
pub(crate) struct Point {
    pub(crate) state: DVector<f64>,
    pub(crate) operating: Operating,
    /// What each observation would read.
    pub(crate) readings: Vec<f64>,
    pub(crate) objective: f64,
}

/// The measurements of one call, ready to evaluate.
pub(crate) struct Problem<'a> {
    pub(crate) set: &'a MeasurementSet,
    observed: Vec<Observed>,
    /// First phasor row of each observation.
    first_row: Vec<usize>,
    rows_re: DMatrix<f64>,
    rows_im: DMatrix<f64>,
}

impl Estimator {
    /// Prepares a feeder.
    pub fn new(feeder: Arc<Feeder>) -> Self {
        let reduction = Reduction::new(&feeder);
        Self { feeder, reduction }
    }

    /// The state that fits the values and priors best, with standard deviations from the curvature at the
    /// optimum. The source voltage is part of the state: its reference ± 5 %, each phase ± 0.5 %. Supported
    /// points: bus `u` per phase; branch `i` per phase, `p` and `q` per phase and total; usage point `p`, `q`.
    /// Errors name the point, prior or bus that is wrong.
    pub fn estimate(&self, at: Timestamp, set: &MeasurementSet) -> Result<Estimate, EstimationError> {
        check(&self.feeder, set)?;
        let problem = self.problem(set)?;
        let priors = &set.priors;
        let start = DVector::zeros(self.reduction.states());
        let mut point = match self.evaluate(&problem, start, None) {
            Some(point) => point,
            None => return Err(self.no_flow(priors)),
        };
        let mut size = f64::INFINITY;
        for iteration in 1..=ITERATIONS_MAX {
            let failed = EstimationError::NotConverged { iterations: iteration, step: size };
            let Some(derivative) = self.reduction.derivative(&self.feeder, priors, &point.operating) else {
                return Err(failed);
            };
            let (jacobian, curvature) = self.jacobian(&problem, &point, &derivative);
            let (normal, gradient) = normal_equations(&problem, &point, &jacobian);
            let stepping = curvature.add_to(&normal, false).cholesky();
            let stepping = stepping.or_else(|| curvature.add_to(&normal, true).cholesky());
            let (Some(factor), Some(stepping)) = (normal.cholesky(), stepping) else {
                return Err(failed);
            };
            let step = stepping.solve(&gradient);
            size = step.amax();
            let finish = |point: &Point, iterations| {
                let posterior = Posterior::new(&factor, &jacobian, &derivative);
                posterior.estimate(&self.feeder, &self.reduction, at, &problem, point, iterations)
            };
            let settled = size < STEP_SETTLED || (iteration == ITERATIONS_MAX && size < STEP_ACCEPTED);
            match self.search(&problem, &point, &step) {
                Some(next) if !settled => point = next,
                // The last step moves the values; the curvature before it is as good as the one after.
                Some(next) => return Ok(finish(&next, iteration)),
                // No smaller objective within rounding: the optimum, unless the step says otherwise.
                None if size < STEP_ACCEPTED => return Ok(finish(&point, iteration)),
                None => return Err(EstimationError::NotConverged { iterations: iteration, step: size }),
            }
        }
        Err(EstimationError::NotConverged { iterations: ITERATIONS_MAX, step: size })
    }

    fn problem<'a>(&self, set: &'a MeasurementSet) -> Result<Problem<'a>, EstimationError> {
        let mut observed = Vec::with_capacity(set.values.len());
        let (mut first_row, mut rows) = (Vec::with_capacity(set.values.len()), Vec::new());
        for item in &set.values {
            let seen = observe(&self.feeder, item.point)?;
            first_row.push(rows.len());
            rows.extend(self.reduction.rows(&self.feeder, &seen));
            observed.push(seen);
        }
        let width = self.reduction.unit.width;
        let rows_re = DMatrix::from_fn(rows.len(), width, |row, column| rows[row][column].re);
        let rows_im = DMatrix::from_fn(rows.len(), width, |row, column| rows[row][column].im);
        Ok(Problem { set, observed, first_row, rows_re, rows_im })
    }

    /// Readings and objective of a state; `None` when it has no power flow.
    fn evaluate(&self, problem: &Problem, state: DVector<f64>, near: Option<&Operating>) -> Option<Point> {
        let priors = &problem.set.priors;
        let operating = self.reduction.operate(&self.feeder, priors, &state, near)?;
        let phasors = problem.phasors(&operating);
        let mut objective = state.norm_squared();
        let mut readings = Vec::with_capacity(problem.observed.len());
        for ((seen, &first), item) in problem.observed.iter().zip(&problem.first_row).zip(&problem.set.values)
        {
            let reading = match *seen {
                Observed::Voltage { .. } | Observed::Current { .. } => phasors[first].norm(),
                Observed::BranchPower { phase, reactive, .. } => {
                    let sum = pairs(phase).map(|k| power(&phasors, first + 2 * k)).sum::<Complex64>();
                    if reactive { sum.im } else { sum.re }
                }
                Observed::Injection { usage_point, share, reactive } => {
                    let (mean, std) = belief(&priors[usage_point], reactive);
                    share * (mean + std * state[2 * usage_point + usize::from(reactive)])
                }
            };
            objective += ((item.value - reading) / item.sigma).powi(2);
            readings.push(reading);
        }
        objective.is_finite().then_some(Point { state, operating, readings, objective })
    }

    /// The first of full, half, quarter … steps that does not make the objective worse.
    fn search(&self, problem: &Problem, from: &Point, step: &DVector<f64>) -> Option<Point> {
        (0..HALVINGS_MAX).find_map(|halving| {
            let state = &from.state + step * 0.5_f64.powi(halving as i32);
            let next = self.evaluate(problem, state, Some(&from.operating))?;
            (next.objective <= from.objective).then_some(next)
        })
    }

    /// Derivative of each reading by the state, divided by the reading's standard deviation.
    fn jacobian(
        &self,
        problem: &Problem,
        point: &Point,
        (re, im): &(DMatrix<f64>, DMatrix<f64>),
    ) -> (DMatrix<f64>, Curvature) {
        let phasors = problem.phasors(&point.operating);
        let d_re = &problem.rows_re * re - &problem.rows_im * im;
        let d_im = &problem.rows_re * im + &problem.rows_im * re;
        let states = point.state.len();
        let mut jacobian = DMatrix::zeros(problem.observed.len(), states);
        let mut curvature = Curvature::default();
        for (row, (seen, &first)) in problem.observed.iter().zip(&problem.first_row).enumerate() {
            let item = &problem.set.values[row];
            let weight = 1.0 / item.sigma;
            // Every reading here is Re(Σ conj(w_k) d_phasor_k): collect the w.
            let mut add = |phasor: usize, w: Complex64| {
                for column in 0..states {
                    let change = w.re * d_re[(phasor, column)] + w.im * d_im[(phasor, column)];
                    jacobian[(row, column)] += weight * change;
                }
            };
            match *seen {
                Observed::Voltage { .. } | Observed::Current { .. } => {
                    let size = phasors[first].norm();
                    if size > CURRENT_MIN_A {
                        let along = phasors[first] / size;
                        add(first, along);
                        let excess = (point.readings[row] - item.value) / size;
                        if excess.abs() > CURVATURE_MIN {
                            let turning =
                                |k| weight * (along.re * d_im[(first, k)] - along.im * d_re[(first, k)]);
                            curvature.rows.push(RowDVector::from_fn(states, |_, k| turning(k)));
                            curvature.excess.push(excess);
                        }
                    }
                }
                Observed::BranchPower { phase, reactive, .. } => {
                    for at in pairs(phase).map(|k| first + 2 * k) {
                        let (v, i) = (phasors[at], phasors[at + 1]);
                        // P = Re(conj(V) I) and Q = −Im(conj(V) I) = Re(conj(−jV) I).
                        let turn = if reactive { Complex64::new(0.0, -1.0) } else { Complex64::ONE };
                        add(at, i * turn.conj());
                        add(at + 1, v * turn);
                    }
                }
                Observed::Injection { usage_point, share, reactive } => {
                    let std = belief(&problem.set.priors[usage_point], reactive).1;
                    jacobian[(row, 2 * usage_point + usize::from(reactive))] = weight * share * std;
                }
            }
        }
        (jacobian, curvature)
    }

    fn no_flow(&self, priors: &[InjectionPrior]) -> EstimationError {
        let loads: Vec<Complex64> = priors.iter().map(|p| Complex64::new(p.p_w, p.q_var)).collect();
        match self.feeder.solve(&loads) {
            Err(error) => EstimationError::Flow(error),
            Ok(_) => EstimationError::NotConverged { iterations: 0, step: 0.0 },
        }
    }
}

/// The curvature that Gauss–Newton leaves out and that matters: turning a phasor does not change its magnitude
/// at first, but lengthens it in the end, so a magnitude that reads less than expected resists turning, and one
/// that reads more invites it. Without this, steps across a small current do not settle.
#[derive(Default)]
struct Curvature {
    /// Turning of the phasor by the state, over the reading's standard deviation.
    rows: Vec<RowDVector<f64>>,
    /// (Expected − measured) over expected.
    excess: Vec<f64>,
}

impl Curvature {
    fn add_to(&self, normal: &DMatrix<f64>, positive_only: bool) -> DMatrix<f64> {
        let mut sum = normal.clone();
        for (row, &excess) in self.rows.iter().zip(&self.excess) {
            if excess > 0.0 || !positive_only {
                sum.ger(excess, &row.transpose(), &row.transpose(), 1.0);
            }
        }
        sum
    }
}

impl Problem<'_> {
    /// The phasors behind the observations.
    fn phasors(&self, operating: &Operating) -> Vec<Complex64> {
        let excitation = operating.excitation();
        (0..self.rows_re.nrows())
            .map(|row| {
                let one = |(column, value): (usize, &Complex64)| {
                    Complex64::new(self.rows_re[(row, column)], self.rows_im[(row, column)]) * value
                };
                excitation.iter().enumerate().map(one).sum()
            })
            .collect()
    }
}

/// `1 + Hᵀ W H`, and `Hᵀ W r − y`.
fn normal_equations(
    problem: &Problem,
    point: &Point,
    jacobian: &DMatrix<f64>,
) -> (DMatrix<f64>, DVector<f64>) {
    let residual = DVector::from_iterator(
        point.readings.len(),
        problem
            .set
            .values
            .iter()
            .zip(&point.readings)
            .map(|(item, reading)| (item.value - reading) / item.sigma),
    );
    let states = point.state.len();
    let normal = DMatrix::identity(states, states) + jacobian.transpose() * jacobian;
    (normal, jacobian.transpose() * residual - &point.state)
}

fn pairs(phase: Option<usize>) -> std::ops::Range<usize> {
    0..phase.map_or(3, |_| 1)
}

/// `V conj(I)` of a pair of phasors.
fn power(phasors: &[Complex64], at: usize) -> Complex64 {
    phasors[at] * phasors[at + 1].conj()
}

fn belief(prior: &InjectionPrior, reactive: bool) -> (f64, f64) {
    if reactive { (prior.q_var, prior.q_std_var) } else { (prior.p_w, prior.p_std_w) }
}

#[cfg(test)]
#[path = "state_estimation_tests.rs"]
pub(crate) mod tests;
