//! Many scenarios of the same circuit: as deviations from a reference that is solved once, eight at a time. See
//! [`super::reference`] and [`super::together`].

use super::deviations::{LANES, Shared};
use super::plan::Plan;
use super::reference::Reference;
use super::together::{Group, LEFT, Together};
use super::{Start, Sweep, SweepState};
use crate::circuit::LoadPort;
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// Scenarios that are solved together.
pub const SCENARIOS: usize = LANES;

/// Reference and memory for scenarios: made once per circuit, used for any number of them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// For what does not settle with the others.
    alone: SweepState,
    voltages: Vec<Complex64>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// The reference has no solution: each scenario for itself.
    Alone,
    One(Reference<2>, Box<Group<2>>),
    Three(Reference<6>, Box<Group<6>>),
}

/// The solution of one scenario, still where it was calculated.
#[derive(Debug, Clone, Copy)]
pub struct Voltages<'a> {
    plan: &'a Plan,
    /// All voltages, p.u., by global wire; zero on dead wires.
    pub all: &'a [Complex64],
    /// Sweeps taken.
    pub iterations: usize,
}

impl Voltages<'_> {
    /// Copies all voltages, p.u., by global wire; dead wires get zero.
    pub fn write(&self, voltages: &mut Vec<Complex64>) {
        voltages.clear();
        voltages.extend_from_slice(self.all);
    }

    /// The voltage of a local wire at a tree position, p.u.
    pub fn at(&self, position: usize, wire: usize) -> Complex64 {
        self.all[self.plan.first_wire[position] as usize + wire]
    }
}

/// Movement at which the reference counts as solved, p.u.: everything is calculated around it.
const REFERENCE_PU: f64 = 1e-13;
/// Sweeps in single precision in the first group.
const COARSE: usize = 2;
/// Most such sweeps.
const COARSE_MAX: usize = 6;

impl Sweep {
    /// Prepares for scenarios that differ from these ports in their constant powers; shares and limits stay. The power
    /// flow with these ports is the reference: the nearer the scenarios, the fewer sweeps they take. Takes about as
    /// long as 50 power flows.
    pub fn batch(&self, ports: &[LoadPort]) -> Batch {
        let mut alone = self.state(ports);
        let tolerance = Tolerance { voltage_pu: REFERENCE_PU, ..Tolerance::default() };
        let form = match self.solve(&mut alone, &tolerance) {
            Err(_) => Form::Alone,
            Ok(solved) if self.plan.wires == 1 => {
                let reference = Reference::new(&self.plan, ports, &solved.voltages);
                let group = Group::new(&self.plan, &reference);
                Form::One(reference, Box::new(group))
            }
            Ok(solved) => {
                let reference = Reference::new(&self.plan, ports, &solved.voltages);
                let group = Group::new(&self.plan, &reference);
                Form::Three(reference, Box::new(group))
            }
        };
        Batch { alone, voltages: Vec::new(), form }
    }
}

impl Batch {
    /// Solves `count` scenarios. Scenario `s` takes the constant powers `powers(s)`, one for each port of the circuit,
    /// p.u.; missing ones are zero. Each result is handed to `done` with its number, in order. `sweep` is the one that
    /// prepared this.
    pub fn solve<'p>(
        &mut self,
        sweep: &Sweep,
        count: usize,
        powers: impl Fn(usize) -> &'p [Complex64],
        tolerance: &Tolerance,
        mut done: impl FnMut(usize, Result<Voltages<'_>, NoSolution>),
    ) {
        let Self { alone, voltages, form } = self;
        let mut alone = Alone { sweep, state: alone, voltages, tolerance };
        match form {
            Form::One(reference, group) => alone.groups(reference, group, count, &powers, &mut done),
            Form::Three(reference, group) => alone.groups(reference, group, count, &powers, &mut done),
            Form::Alone => {
                for scenario in 0..count {
                    done(scenario, alone.solve(powers(scenario)));
                }
            }
        }
    }
}

/// Solves scenarios by themselves.
struct Alone<'a> {
    sweep: &'a Sweep,
    state: &'a mut SweepState,
    voltages: &'a mut Vec<Complex64>,
    tolerance: &'a Tolerance,
}

impl Alone<'_> {
    fn solve(&mut self, powers: &[Complex64]) -> Result<Voltages<'_>, NoSolution> {
        self.sweep.set_powers(self.state, powers);
        // As near to the solution as the others come.
        let voltage_pu = self.tolerance.voltage_pu.min((LEFT * self.tolerance.voltage_pu).max(1e-12));
        let tolerance = Tolerance { voltage_pu, ..*self.tolerance };
        let iterations = self.sweep.settle(self.state, &tolerance, Start::Flat)?;
        self.sweep.voltages(self.state, self.voltages);
        Ok(Voltages { plan: &self.sweep.plan, all: self.voltages, iterations })
    }

    fn groups<'p, const N: usize>(
        &mut self,
        reference: &Reference<N>,
        group: &mut Group<N>,
        count: usize,
        powers: &impl Fn(usize) -> &'p [Complex64],
        done: &mut impl FnMut(usize, Result<Voltages<'_>, NoSolution>),
    ) {
        let (shared, mut coarse) = (Shared { plan: &self.sweep.plan, reference }, COARSE);
        for first in (0..count).step_by(LANES) {
            let lanes = LANES.min(count - first);
            // Lanes that are left over repeat the last scenario.
            let all: [&[Complex64]; LANES] = std::array::from_fn(|lane| powers(first + lane.min(lanes - 1)));
            let tolerance = self.tolerance;
            let job = Together { shared, group, powers: all, tolerance, lanes, coarse };
            let outcome = self.sweep.path.run(job);
            if outcome.sweeps > coarse + 1 {
                coarse = COARSE_MAX.min(coarse + 1);
            }
            for lane in 0..lanes {
                if outcome.settled[lane] {
                    let (plan, all) = (shared.plan, &group.voltages[lane]);
                    done(first + lane, Ok(Voltages { plan, all, iterations: outcome.sweeps }));
                } else {
                    done(first + lane, self.solve(all[lane]));
                }
            }
        }
    }
}
