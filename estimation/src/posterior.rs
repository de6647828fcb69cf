//! From the optimum to an [`Estimate`]: values, and standard deviations by linear propagation.
//!
//! With the Cholesky factor `L` of the normal matrix, `y = y* + L⁻ᵀ w` with independent unit `w`. Propagating
//! the columns of `L⁻ᵀ` through the feeder gives each quantity's derivative by `w`, and the length of that row
//! is the standard deviation: one walk for all buses and branches.

use crate::diagnosis::{MISSED, Rules, expected_residual};
use crate::feeder::{BranchRef, Feeder};
use crate::linear_response::Columns;
use crate::linearization::Reduction;
use crate::power_flow::FlowSolution;
use crate::state_estimation::{Point, Problem};
use grid::{
    BranchEstimate, BusEstimate, Estimate, PerPhase, Residual, Tested, Timestamp, Untestable,
    UsagePointEstimate,
};
use nalgebra::{Cholesky, DMatrix, Dyn};
use num_complex::Complex64;

/// Below this share of its variance a residual is fixed by the other measurements' absence: it cannot be tested.
const TESTABLE_SHARE: f64 = 1e-9;

/// Derivatives by the independent unit variables `w`.
pub(crate) struct Posterior {
    /// `L⁻ᵀ`: state per `w`.
    state: DMatrix<f64>,
    /// Readings over their deviations, per `w`.
    readings: DMatrix<f64>,
    /// Slot currents, then source voltages, per `w`, row by row.
    excitation: Vec<Complex64>,
}

impl Posterior {
    pub(crate) fn new(
        factor: &Cholesky<f64, Dyn>,
        jacobian: &DMatrix<f64>,
        (re, im): &(DMatrix<f64>, DMatrix<f64>),
    ) -> Self {
        let lower = factor.l();
        let states = lower.nrows();
        let mut inverse = DMatrix::identity(states, states);
        // The diagonal of L is at least one, so this cannot fail.
        lower.solve_lower_triangular_mut(&mut inverse);
        let state = inverse.transpose();
        let (re, im) = (re * &state, im * &state);
        let excitation = (0..re.nrows() * states)
            .map(|at| Complex64::new(re[(at / states, at % states)], im[(at / states, at % states)]))
            .collect();
        Self { readings: jacobian * &state, state, excitation }
    }

    pub(crate) fn estimate(
        &self,
        feeder: &Feeder,
        reduction: &Reduction,
        at: Timestamp,
        problem: &Problem,
        point: &Point,
        iterations: usize,
    ) -> Estimate {
        let slots = &reduction.slots;
        let values = point.operating.excitation();
        let solved = reduction.linear.propagate(feeder, 1, &values[slots.len()..], slots, &values);
        let flow = solution(feeder, &solved);
        let width = self.state.ncols();
        let (taken, emf) = self.excitation.split_at(slots.len() * width);
        let spread = reduction.linear.propagate(feeder, width, emf, slots, taken);
        Estimate {
            at,
            buses: buses(feeder, &flow, &spread),
            branches: (0..feeder.branch_count()).filter_map(|b| branch(feeder, &flow, &spread, b)).collect(),
            usage_points: self.usage_points(feeder, problem, point),
            residuals: self.residuals(problem, point),
            objective: point.objective,
            degrees_of_freedom: problem.set.values.len(),
            consistency: Default::default(),
            iterations,
        }
    }

    fn usage_points(&self, feeder: &Feeder, problem: &Problem, point: &Point) -> Vec<UsagePointEstimate> {
        let usage_points = feeder.network().usage_points();
        let one = |(index, prior): (usize, &crate::InjectionPrior)| UsagePointEstimate {
            usage_point: usage_points[index].id,
            p_w: prior.p_w + prior.p_std_w * point.state[2 * index],
            q_var: prior.q_var + prior.q_std_var * point.state[2 * index + 1],
            p_std_w: prior.p_std_w * self.state.row(2 * index).norm(),
        };
        problem.set.priors.iter().enumerate().map(one).collect()
    }

    fn residuals(&self, problem: &Problem, point: &Point) -> Vec<Residual> {
        // Variance of the residual: that of the measurement less that of the estimate, in units of σ².
        let share = |row: usize| 1.0 - self.readings.row(row).norm_squared();
        let testable = (0..problem.set.values.len()).filter(|row| share(*row) > TESTABLE_SHARE).count();
        let noticed = expected_residual(Rules::default().false_alarm, testable, MISSED);
        let one = |(row, item): (usize, &crate::WeightedValue)| {
            let (estimated, share) = (point.readings[row], share(row));
            let tested = Tested {
                normalized: (item.value - estimated) / item.sigma / share.sqrt(),
                detectable: noticed * item.sigma / share.sqrt(),
            };
            let tested = if share > TESTABLE_SHARE { Ok(tested) } else { Err(Untestable::OwnValue) };
            Residual { point: item.point, measured: item.value, estimated, tested, quality: item.quality }
        };
        problem.set.values.iter().enumerate().map(one).collect()
    }
}

fn solution(feeder: &Feeder, solved: &Columns) -> FlowSolution {
    let collect = |f: &dyn Fn(usize, usize) -> Complex64| {
        (0..feeder.order.len())
            .map(|at| crate::two_port::PhaseVector::from_fn(|phase, _| f(at, phase)))
            .collect::<Vec<_>>()
    };
    let voltages = collect(&|at, phase| solved.voltage(at, phase)[0]);
    let currents = collect(&|at, phase| solved.current_below(at, phase)[0]);
    feeder.solution(&voltages, &currents, 0)
}

/// Standard deviation of `|phasor|` from its derivatives: only the part along the phasor counts.
fn magnitude_std(phasor: Complex64, derivative: &[Complex64]) -> f64 {
    let size = phasor.norm();
    if size == 0.0 {
        return derivative.iter().map(|d| d.norm_sqr()).sum::<f64>().sqrt();
    }
    let along = phasor.conj() / size;
    derivative.iter().map(|d| (along.re * d.re - along.im * d.im).powi(2)).sum::<f64>().sqrt()
}

fn buses(feeder: &Feeder, flow: &FlowSolution, spread: &Columns) -> Vec<BusEstimate> {
    let one = |(index, bus): (usize, &grid::network::Bus)| {
        let position = feeder.position[index];
        let voltage = &flow.voltages_v[index];
        let u_v: PerPhase<f64> = voltage.map(|u| u.norm());
        BusEstimate {
            bus: bus.id,
            u_v,
            u_angle_rad: voltage.map(|u| u.arg()),
            u_std_v: std::array::from_fn(|p| magnitude_std(voltage[p], spread.voltage(position, p))),
            u_pu: u_v.map(|u| u / feeder.u_phase_rated_v[position]),
            observability: [grid::Observability::Expected; 3],
        }
    };
    feeder.network().buses().iter().enumerate().map(one).collect()
}

fn branch(feeder: &Feeder, flow: &FlowSolution, spread: &Columns, index: usize) -> Option<BranchEstimate> {
    let branch = feeder.branch(index)?;
    let (from, to) = (&flow.currents_from_a[index], &flow.currents_to_a[index]);
    let powers = &flow.powers_from_va[index];
    let (i_a, loading_std) = match branch {
        BranchRef::Line(line) => {
            let i_a: PerPhase<f64> = std::array::from_fn(|p| from[p].norm().max(to[p].norm()));
            (i_a, line.i_rated_a.map(|rated| line_current_std_a(feeder, flow, spread, index) / rated))
        }
        BranchRef::Transformer(unit) => {
            let total = |powers: &PerPhase<Complex64>| powers.iter().sum::<Complex64>().norm();
            let at_from = total(powers) >= total(&flow.powers_to_va[index]);
            let std_va = power_std_va(feeder, flow, spread, index, at_from);
            ((if at_from { from } else { to }).map(|i| i.norm()), Some(std_va / unit.s_rated_va))
        }
    };
    Some(BranchEstimate {
        branch: branch.id(),
        p_from_w: powers.map(|s| s.re),
        q_from_var: powers.map(|s| s.im),
        i_a,
        loading: flow.loading(index),
        loading_std,
    })
}

/// Standard deviation of the largest phase current of a line, A.
fn line_current_std_a(feeder: &Feeder, flow: &FlowSolution, spread: &Columns, index: usize) -> f64 {
    let ends = [(true, &flow.currents_from_a[index]), (false, &flow.currents_to_a[index])];
    let all = ends.into_iter().flat_map(|(at_from, currents)| (0..3).map(move |p| (at_from, p, currents[p])));
    let largest = all.max_by(|a, b| a.2.norm().total_cmp(&b.2.norm()));
    largest.map_or(0.0, |(at_from, phase, current)| {
        magnitude_std(current, &spread.current_entering(feeder, index, phase, at_from))
    })
}

/// Standard deviation of the apparent power (sum of phases) at one side of a branch, VA.
fn power_std_va(feeder: &Feeder, flow: &FlowSolution, spread: &Columns, index: usize, at_from: bool) -> f64 {
    let below = feeder.below[index];
    let section = &feeder.sections[below - 1];
    let position = if section.fed_from_from == at_from { section.parent } else { below };
    let voltages = &flow.voltages_v[feeder.order[position]];
    let currents = if at_from { &flow.currents_from_a[index] } else { &flow.currents_to_a[index] };
    let mut sum = Complex64::ZERO;
    let mut derivative = vec![Complex64::ZERO; spread.width];
    for phase in 0..3 {
        sum += voltages[phase] * currents[phase].conj();
        let d_current = spread.current_entering(feeder, index, phase, at_from);
        let d_voltage = spread.voltage(position, phase);
        for ((total, dv), di) in derivative.iter_mut().zip(d_voltage).zip(&d_current) {
            *total += dv * currents[phase].conj() + voltages[phase] * di.conj();
        }
    }
    magnitude_std(sum, &derivative)
}
