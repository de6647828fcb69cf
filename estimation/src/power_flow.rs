//! Three-phase power flow by backward/forward sweep (D. Shirmohammadi et al., "A compensation-based power flow
//! method for weakly meshed distribution and transmission networks", IEEE Trans. Power Systems 3(2), 1988).
//!
//! Loads take constant power. A step walks up the tree adding currents, then down subtracting voltage drops;
//! it ends when no voltage moved by more than [`TOLERANCE_PU`].

use crate::feeder::{BranchRef, Feeder};
use crate::two_port::PhaseVector;
use grid::{BusId, PerPhase, UsagePointId};
use num_complex::Complex64;
use thiserror::Error;

/// Largest voltage change in the last sweep, p.u. of the rated phase voltage.
pub const TOLERANCE_PU: f64 = 1e-9;
/// Sweeps after which a load is called infeasible.
pub const SWEEPS_MAX: usize = 100;
/// Voltages below this cannot carry a constant power, p.u.
pub(crate) const COLLAPSE_PU: f64 = 0.05;
/// Loads beyond this are refused, VA.
const LOAD_MAX_VA: f64 = 1e12;

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FlowError {
    /// One load per usage point is needed.
    #[error("{given} loads were given for {usage_points} usage points")]
    LoadCount {
        /// As given.
        given: usize,
        /// As needed.
        usage_points: usize,
    },
    /// A load that is not a number, or absurd.
    #[error(
        "the load of usage point {usage_point} is {p_w} W, {q_var} var; finite values below 1e12 are needed"
    )]
    Load {
        /// Where.
        usage_point: UsagePointId,
        /// Active power as given, W.
        p_w: f64,
        /// Reactive power as given, var.
        q_var: f64,
    },
    /// The sweeps did not settle: the loads ask for more than the feeder can carry.
    #[error(
        "the power flow did not settle: bus {bus} still moved by {change_pu:.3e} p.u. after {sweeps} sweeps; \
         the loads may be more than the feeder can carry"
    )]
    Diverged {
        /// The bus that moved most.
        bus: BusId,
        /// By how much in the last sweep, p.u.
        change_pu: f64,
        /// Sweeps taken.
        sweeps: usize,
    },
    /// Input that does not belong to this feeder.
    #[error("{what} has {given} entries, this feeder needs {needed}")]
    Shape {
        /// Which input.
        what: &'static str,
        /// As given.
        given: usize,
        /// As needed.
        needed: usize,
    },
}

/// Voltages and currents of the whole feeder. Buses and branches (lines, then transformers) are in the
/// network's order; currents and powers are positive when they enter the branch at that side.
#[derive(Debug, Clone, PartialEq)]
pub struct FlowSolution {
    /// Phase-to-neutral voltages, V.
    pub voltages_v: Vec<PerPhase<Complex64>>,
    /// Currents entering at the `from` side, A.
    pub currents_from_a: Vec<PerPhase<Complex64>>,
    /// Currents entering at the `to` side, A.
    pub currents_to_a: Vec<PerPhase<Complex64>>,
    /// Complex power entering at the `from` side, W + j var.
    pub powers_from_va: Vec<PerPhase<Complex64>>,
    /// Complex power entering at the `to` side, W + j var.
    pub powers_to_va: Vec<PerPhase<Complex64>>,
    /// Fraction of the rating in use per branch; `None` without a rating.
    loadings: Vec<Option<f64>>,
    /// Complex power delivered by the source at its bus, W + j var.
    pub source_power_va: PerPhase<Complex64>,
    /// Sweeps taken.
    pub sweeps: usize,
}

impl FlowSolution {
    /// Fraction of the rating in use: a line's largest phase current over its rated current, a transformer's
    /// larger apparent power (sum of phases) over its rated power. `None` without a rating or such a branch.
    pub fn loading(&self, branch: usize) -> Option<f64> {
        self.loadings.get(branch).copied().flatten()
    }
}

impl Feeder {
    /// Solves for constant-power loads, one per usage point in the network's order (VA, positive is taken from
    /// the grid); three-phase usage points take a third on each phase. Starts from the no-load voltages.
    pub fn solve(&self, loads_va: &[Complex64]) -> Result<FlowSolution, FlowError> {
        let zero = vec![PhaseVector::zeros(); self.order.len()];
        let mut voltages = zero.clone();
        self.walk_down(&self.emf, &zero, &mut voltages);
        self.sweep(loads_va, voltages)
    }

    /// As [`Feeder::solve`], starting from the voltages of an earlier solution of this feeder.
    pub fn solve_from(
        &self,
        start: &FlowSolution,
        loads_va: &[Complex64],
    ) -> Result<FlowSolution, FlowError> {
        let (given, needed) = (start.voltages_v.len(), self.order.len());
        if given != needed {
            return Err(FlowError::Shape { what: "the starting solution", given, needed });
        }
        self.sweep(loads_va, self.order.iter().map(|&bus| start.voltages_v[bus].into()).collect())
    }

    fn sweep(
        &self,
        loads_va: &[Complex64],
        mut voltages: Vec<PhaseVector>,
    ) -> Result<FlowSolution, FlowError> {
        self.check_loads(loads_va)?;
        let mut currents = vec![PhaseVector::zeros(); self.order.len()];
        let mut worst = (0, f64::INFINITY);
        for sweep in 1..=SWEEPS_MAX {
            currents.fill(PhaseVector::zeros());
            if let Err(position) = self.load_currents(loads_va, &voltages, &mut currents) {
                return Err(self.diverged((position, worst.1), sweep));
            }
            self.walk_up(&voltages, &mut currents);
            worst = self.walk_down(&self.emf, &currents, &mut voltages);
            if worst.1 < TOLERANCE_PU {
                return Ok(self.solution(&voltages, &currents, sweep));
            }
            if !worst.1.is_finite() {
                return Err(self.diverged(worst, sweep));
            }
        }
        Err(self.diverged(worst, SWEEPS_MAX))
    }

    pub(crate) fn diverged(&self, (position, change_pu): (usize, f64), sweeps: usize) -> FlowError {
        FlowError::Diverged { bus: self.network().buses()[self.order[position]].id, change_pu, sweeps }
    }

    pub(crate) fn check_loads(&self, loads_va: &[Complex64]) -> Result<(), FlowError> {
        let points = self.network().usage_points();
        if loads_va.len() != points.len() {
            return Err(FlowError::LoadCount { given: loads_va.len(), usage_points: points.len() });
        }
        let absurd = |load: &Complex64| !(load.re.abs() < LOAD_MAX_VA && load.im.abs() < LOAD_MAX_VA);
        match loads_va.iter().zip(points).find(|(load, _)| absurd(load)) {
            Some((load, point)) => {
                Err(FlowError::Load { usage_point: point.id, p_w: load.re, q_var: load.im })
            }
            None => Ok(()),
        }
    }

    /// Adds the currents that the loads take at these voltages; the position of a collapsed bus when there is one.
    fn load_currents(
        &self,
        loads_va: &[Complex64],
        voltages: &[PhaseVector],
        currents: &mut [PhaseVector],
    ) -> Result<(), usize> {
        for (load, tap) in loads_va.iter().zip(&self.taps) {
            let (phases, share) = tap.shares();
            for phase in phases {
                let voltage = voltages[tap.position][phase.index()];
                if voltage.norm() < COLLAPSE_PU * self.u_phase_rated_v[tap.position] {
                    return Err(tap.position);
                }
                currents[tap.position][phase.index()] += (load * share / voltage).conj();
            }
        }
        Ok(())
    }

    /// Turns the currents taken at each bus into the currents leaving the branch above it.
    pub(crate) fn walk_up(&self, voltages: &[PhaseVector], currents: &mut [PhaseVector]) {
        for (index, section) in self.sections.iter().enumerate().rev() {
            let up = section.port.current_up(&voltages[section.parent], &currents[index + 1]);
            currents[section.parent] += up;
        }
    }

    /// Sets the voltages that follow from the currents; the position that moved most and by how much, p.u.
    pub(crate) fn walk_down(
        &self,
        emf: &PhaseVector,
        currents: &[PhaseVector],
        voltages: &mut [PhaseVector],
    ) -> (usize, f64) {
        let mut worst = (0, 0.0);
        for position in 0..self.order.len() {
            let next = match self.section(position) {
                None => emf - self.source_z * currents[position],
                Some(section) => section.port.voltage_down(&voltages[section.parent], &currents[position]),
            };
            let moved = (next - voltages[position]).norm() / self.u_phase_rated_v[position];
            if moved > worst.1 || moved.is_nan() {
                worst = (position, if moved.is_nan() { f64::INFINITY } else { moved });
            }
            voltages[position] = next;
        }
        worst
    }

    /// Collects a solution from voltages and downstream currents per position.
    pub(crate) fn solution(
        &self,
        voltages: &[PhaseVector],
        currents: &[PhaseVector],
        sweeps: usize,
    ) -> FlowSolution {
        let zero = [Complex64::ZERO; 3];
        let branches = self.branch_count();
        let mut solution = FlowSolution {
            voltages_v: vec![zero; self.order.len()],
            currents_from_a: vec![zero; branches],
            currents_to_a: vec![zero; branches],
            powers_from_va: vec![zero; branches],
            powers_to_va: vec![zero; branches],
            loadings: vec![None; branches],
            source_power_va: power(&voltages[0], &currents[0]),
            sweeps,
        };
        for (position, voltage) in voltages.iter().enumerate() {
            solution.voltages_v[self.order[position]] = (*voltage).into();
            let Some(section) = self.section(position) else { continue };
            let above = &voltages[section.parent];
            let entering = section.port.current_up(above, &currents[position]);
            let leaving = -currents[position];
            let (up, down) = ((above, entering), (voltage, leaving));
            let (from, to) = if section.fed_from_from { (up, down) } else { (down, up) };
            let branch = section.branch;
            solution.currents_from_a[branch] = from.1.into();
            solution.currents_to_a[branch] = to.1.into();
            solution.powers_from_va[branch] = power(from.0, &from.1);
            solution.powers_to_va[branch] = power(to.0, &to.1);
        }
        for branch in 0..branches {
            solution.loadings[branch] = self.loading_of(&solution, branch);
        }
        solution
    }

    fn loading_of(&self, solution: &FlowSolution, branch: usize) -> Option<f64> {
        match self.branch(branch)? {
            BranchRef::Line(line) => {
                let ends = solution.currents_from_a[branch].iter().chain(&solution.currents_to_a[branch]);
                let largest = ends.map(|current| current.norm()).fold(0.0, f64::max);
                line.i_rated_a.map(|rated| largest / rated)
            }
            BranchRef::Transformer(unit) => {
                let total = |powers: &PerPhase<Complex64>| powers.iter().sum::<Complex64>().norm();
                let (from, to) = (&solution.powers_from_va[branch], &solution.powers_to_va[branch]);
                Some(total(from).max(total(to)) / unit.s_rated_va)
            }
        }
    }
}

/// Complex power per phase, `V conj(I)`.
fn power(voltage: &PhaseVector, current: &PhaseVector) -> PerPhase<Complex64> {
    std::array::from_fn(|phase| voltage[phase] * current[phase].conj())
}

#[cfg(test)]
#[path = "power_flow_tests.rs"]
mod tests;
