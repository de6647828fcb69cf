//! Many scenarios of the same circuit, one per lane of the vector units.

use super::phasors::{Lanes, Phasors};
use super::plan::Plan;
use super::walk::{Start, Values};
use super::{Form, Sweep, SweepState, fill, spread};
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
        voltages.clear();
        voltages.resize(self.plan.wire_count, Complex64::ZERO);
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
    /// Solves `count` scenarios from the no-load voltages. Scenario `s` takes the constant power `power(port, s)` at
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
                self.groups(&mut values, |v| From::One(v), &mut alone, (count, &power), tolerance, &mut done);
            }
            _ => {
                let mut values = Values::new(&self.plan);
                self.groups(
                    &mut values,
                    |v| From::Three(v),
                    &mut alone,
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
        alone: &mut SweepState,
        (count, power): (usize, &impl Fn(usize, usize) -> Complex64),
        tolerance: &Tolerance,
        done: &mut impl FnMut(usize, Result<Voltages<'_>, NoSolution>),
    ) {
        let plan = &self.plan;
        fill(plan, values, &alone.ports);
        for first in (0..count).step_by(P::LANES) {
            let lanes = P::LANES.min(count - first);
            load(plan, values, |port, lane| power(port, first + lane.min(lanes - 1)));
            if let Ok(iterations) = self.run(values, tolerance, Start::Flat) {
                for lane in 0..lanes {
                    done(first + lane, Ok(Voltages { plan, from: from(values), lane, iterations }));
                }
                continue;
            }
            // One of them has no solution: each for itself.
            for scenario in first..first + lanes {
                let powers: Vec<Complex64> =
                    (0..alone.ports.len()).map(|port| power(port, scenario)).collect();
                self.set_powers(alone, &powers);
                let settled = self.settle(alone, tolerance, Start::Flat);
                let result = settled.map(|iterations| Voltages {
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

/// Constant powers of all lanes.
fn load<P: Phasors>(plan: &Plan, values: &mut Values<P>, power: impl Fn(usize, usize) -> Complex64) {
    let mut others = values.ports.iter_mut().peekable();
    let mut before = 0;
    for place in &plan.ports {
        let number = place.port as usize;
        if place.load != before {
            values.s[place.load as usize] = P::ZERO;
            before = place.load;
        }
        if let Some(other) = others.next_if(|other| other.number == place.port) {
            for lane in 0..P::LANES {
                other.powers[lane] = power(number, lane);
            }
            continue;
        }
        let s = &mut values.s[place.load as usize];
        for lane in 0..P::LANES {
            s.add_at(usize::from(place.plus), lane, power(number, lane));
        }
    }
}
