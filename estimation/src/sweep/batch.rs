//! Many scenarios of the same circuit, one per lane of the vector units.

use super::phasors::{Lanes, Phasors};
use super::plan::Plan;
use super::walk::{Start, Values};
use super::{Form, Sweep, SweepState, fill, refill, spread};
use crate::circuit::LoadPort;
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// What a lane holds: four scenarios calculate together.
type Four = [f64; 4];

/// The solution of one scenario, still where it was calculated.
#[derive(Clone, Copy)]
pub struct Voltages<'a> {
    plan: &'a Plan,
    from: From<'a>,
    lane: usize,
    /// Sweeps taken.
    pub iterations: usize,
}

#[derive(Clone, Copy)]
enum From<'a> {
    Alone(&'a SweepState),
    One(&'a Values<Lanes<1, Four>>),
    Three(&'a Values<Lanes<3, Four>>),
}

impl Voltages<'_> {
    /// Writes all voltages, p.u., by global wire; dead wires get zero.
    pub fn write(&self, voltages: &mut Vec<Complex64>) {
        match self.from {
            From::Alone(state) => match &state.values {
                Form::One(values) => spread(self.plan, values, 0, voltages),
                Form::Three(values) => spread(self.plan, values, 0, voltages),
            },
            From::One(values) => spread(self.plan, values, self.lane, voltages),
            From::Three(values) => spread(self.plan, values, self.lane, voltages),
        }
    }

    /// The voltage of a local wire at a tree position, p.u.
    pub fn at(&self, position: usize, wire: usize) -> Complex64 {
        match self.from {
            From::Alone(state) => match &state.values {
                Form::One(values) => values.v[position].at(wire, 0),
                Form::Three(values) => values.v[position].at(wire, 0),
            },
            From::One(values) => values.v[position].at(wire, self.lane),
            From::Three(values) => values.v[position].at(wire, self.lane),
        }
    }
}

impl Sweep {
    /// Solves `count` scenarios, each from the voltages of the one four before it. Scenario `s` takes the constant power `power(port, s)` at
    /// each port of the circuit, p.u.; the other shares and limits are those of `ports`. Each result is handed to
    /// `done` with its number, in order.
    pub fn batch(
        &self,
        ports: &[LoadPort],
        count: usize,
        power: impl Fn(usize, usize) -> Complex64,
        tolerance: &Tolerance,
        mut done: impl FnMut(usize, Result<Voltages<'_>, NoSolution>),
    ) {
        let mut alone = self.state(ports);
        match self.plan.wires {
            1 => {
                let mut values = Values::new(&self.plan);
                self.groups(
                    &mut values,
                    |v| From::One(v),
                    (&mut alone, ports),
                    (count, &power),
                    tolerance,
                    &mut done,
                );
            }
            _ => {
                let mut values = Values::new(&self.plan);
                self.groups(
                    &mut values,
                    |v| From::Three(v),
                    (&mut alone, ports),
                    (count, &power),
                    tolerance,
                    &mut done,
                );
            }
        }
    }

    fn groups<P: Phasors>(
        &self,
        values: &mut Values<P>,
        from: impl for<'a> Fn(&'a Values<P>) -> From<'a>,
        (alone, ports): (&mut SweepState, &[LoadPort]),
        (count, power): (usize, &impl Fn(usize, usize) -> Complex64),
        tolerance: &Tolerance,
        done: &mut impl FnMut(usize, Result<Voltages<'_>, NoSolution>),
    ) {
        let plan = &self.plan;
        fill(plan, values, ports);
        let mut settled = false;
        for first in (0..count).step_by(P::LANES) {
            let lanes = P::LANES.min(count - first);
            refill(plan, values, |port, lane| power(port, first + lane.min(lanes - 1)));
            // The scenario before is nearer than no load.
            let start = if settled { Start::Warm } else { Start::Flat };
            let result = self.run(values, tolerance, start);
            settled = result.is_ok();
            if let Ok(iterations) = result {
                for lane in 0..lanes {
                    done(first + lane, Ok(Voltages { plan, from: from(values), lane, iterations }));
                }
                continue;
            }
            // One of them has no solution: each for itself.
            for scenario in first..first + lanes {
                let powers: Vec<Complex64> = (0..ports.len()).map(|port| power(port, scenario)).collect();
                self.set_powers(alone, &powers);
                let result = self.settle(alone, tolerance, Start::Flat).map(|iterations| Voltages {
                    plan,
                    from: From::Alone(alone),
                    lane: 0,
                    iterations,
                });
                done(scenario, result);
            }
        }
    }
}
