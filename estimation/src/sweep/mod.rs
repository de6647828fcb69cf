//! Power flow on trees by backward/forward sweep, made for speed: compact records by tree position, prepared once per
//! topology; one solve, or a scenario in every lane of the vector units.
//!
//! One wire per bus (symmetric) or three. Loads are the circuit's ports: any shares, star or delta, with limits.
//! See [`walk`] for the equations.

mod batch;
mod deviations;
mod edges;
mod exact;
mod phasors;
mod plan;
mod ports;
mod reference;
mod rows;
pub mod sensitivities;
mod together;
mod walk;

pub use batch::{Batch, SCENARIOS, Voltages};

use crate::circuit::{Circuit, LoadPort, NotATree, Tree};
use crate::simd::{Arithmetic, Kernel, Path, Plain};
use crate::solve::{NoSolution, Solved, Tolerance};
use num_complex::Complex64;
use phasors::{Lanes, Phasors, Three};
use plan::Plan;
use ports::{LANES, Port, exponent, is_plain};
use walk::{Start, Values, settle};

/// A radial circuit, prepared.
#[derive(Debug, Clone)]
pub struct Sweep {
    plan: Plan,
    path: Path,
}

/// Loads and voltages of one solve: memory that is made once and used again.
#[derive(Debug, Clone)]
pub struct SweepState {
    values: Form,
}

#[derive(Debug, Clone)]
enum Form {
    One(Values<Lanes<1, f64>>),
    Three(Values<Three>),
}

impl Sweep {
    /// Prepares a circuit.
    ///
    /// # Errors
    /// [`NotATree::Wires`] when buses have neither one nor three wires; [`NotATree::Ratio`] as [`Tree::downstream`].
    pub fn new(circuit: &Circuit, tree: &Tree) -> Result<Self, NotATree> {
        Ok(Self { plan: Plan::new(circuit, tree)?, path: Path::detect() })
    }

    /// The same on a chosen path of the processor.
    pub fn on(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// A state with these ports: the circuit's, or ones that differ in their values only.
    pub fn state(&self, ports: &[LoadPort]) -> SweepState {
        let values = match self.plan.wires {
            1 => Form::One(Values::new(&self.plan)),
            _ => Form::Three(Values::new(&self.plan)),
        };
        let mut state = SweepState { values };
        self.set_ports(&mut state, ports);
        state
    }

    /// New values of all ports, in the order of the circuit; places (bus, wires) are the circuit's. Missing ones take
    /// nothing.
    pub fn set_ports(&self, state: &mut SweepState, ports: &[LoadPort]) {
        match &mut state.values {
            Form::One(values) => fill(&self.plan, values, ports),
            Form::Three(values) => fill(&self.plan, values, ports),
        }
    }

    /// New constant-power shares of all ports, p.u.; the rest stays.
    pub fn set_powers(&self, state: &mut SweepState, powers: &[Complex64]) {
        let power = |port: usize, _: usize| powers.get(port).copied().unwrap_or_default();
        match &mut state.values {
            Form::One(values) => refill(&self.plan, values, power),
            Form::Three(values) => refill(&self.plan, values, power),
        }
    }

    /// Solves from the no-load voltages.
    ///
    /// # Errors
    /// [`NoSolution`] when the loads ask for more than the circuit can carry.
    pub fn solve(&self, state: &mut SweepState, tolerance: &Tolerance) -> Result<Solved, NoSolution> {
        let iterations = self.settle(state, tolerance, Start::Flat)?;
        Ok(self.solved(state, iterations))
    }

    /// Solves from the voltages of the last solve.
    ///
    /// # Errors
    /// As [`Sweep::solve`].
    pub fn solve_warm(&self, state: &mut SweepState, tolerance: &Tolerance) -> Result<Solved, NoSolution> {
        let iterations = self.settle(state, tolerance, Start::Warm)?;
        Ok(self.solved(state, iterations))
    }

    /// As [`Sweep::solve`], with the voltages left in the state: the number of sweeps.
    ///
    /// # Errors
    /// As [`Sweep::solve`].
    pub fn settle_flat(&self, state: &mut SweepState, tolerance: &Tolerance) -> Result<usize, NoSolution> {
        self.settle(state, tolerance, Start::Flat)
    }

    /// As [`Sweep::solve_warm`], with the voltages left in the state: the number of sweeps.
    ///
    /// # Errors
    /// As [`Sweep::solve`].
    pub fn settle_warm(&self, state: &mut SweepState, tolerance: &Tolerance) -> Result<usize, NoSolution> {
        self.settle(state, tolerance, Start::Warm)
    }

    /// Writes the voltages of the last solve, by global wire; dead wires get zero.
    pub fn voltages(&self, state: &SweepState, voltages: &mut Vec<Complex64>) {
        match &state.values {
            Form::One(values) => spread(&self.plan, values, 0, voltages),
            Form::Three(values) => spread(&self.plan, values, 0, voltages),
        }
    }

    fn solved(&self, state: &SweepState, iterations: usize) -> Solved {
        let mut voltages = Vec::new();
        self.voltages(state, &mut voltages);
        Solved { voltages, iterations }
    }

    fn settle(
        &self,
        state: &mut SweepState,
        tolerance: &Tolerance,
        start: Start,
    ) -> Result<usize, NoSolution> {
        match &mut state.values {
            Form::One(values) => self.run(values, tolerance, start),
            Form::Three(values) => self.run(values, tolerance, start),
        }
    }

    fn run<P: Phasors>(
        &self,
        values: &mut Values<P>,
        tolerance: &Tolerance,
        start: Start,
    ) -> Result<usize, NoSolution> {
        if self.plan.floating {
            return Err(NoSolution::Singular { bus: self.plan.buses[0] as usize });
        }
        let job = Settle { plan: &self.plan, values, tolerance, start };
        match self.path.run(job) {
            Ok(iterations) => Ok(iterations),
            Err(step_pu) => {
                let reason = self.reason(values, tolerance, step_pu);
                // Nobody shall start from what was no solution.
                for (v, node) in values.v.iter_mut().zip(&self.plan.nodes) {
                    *v = values.zone_v[node.zone as usize];
                }
                for (u, v) in values.zone_u.iter_mut().zip(&values.zone_v) {
                    *u = v.inverse(Plain);
                }
                Err(reason)
            }
        }
    }

    /// Says where it failed: one more sweep, watched.
    fn reason<P: Phasors>(&self, values: &mut Values<P>, tolerance: &Tolerance, step_pu: f64) -> NoSolution {
        let before = values.v.clone();
        let once = Tolerance { voltage_pu: -1.0, iterations_max: 1 };
        let _ = self.path.run(Settle { plan: &self.plan, values, tolerance: &once, start: Start::Warm });
        let mut worst = (0, 0.0);
        for (position, (old, new)) in before.iter().zip(&values.v).enumerate() {
            for wire in 0..self.plan.wires {
                let step = (new.at(wire, 0) - old.at(wire, 0)).norm();
                if !step.is_finite() {
                    return NoSolution::NotFinite { bus: self.plan.buses[position] as usize };
                }
                if step > worst.1 {
                    worst = (position, step);
                }
            }
        }
        let bus = self.plan.buses[worst.0] as usize;
        NoSolution::NotSettled { iterations: tolerance.iterations_max, step_pu, bus }
    }
}

struct Settle<'a, P> {
    plan: &'a Plan,
    values: &'a mut Values<P>,
    tolerance: &'a Tolerance,
    start: Start,
}

impl<P: Phasors> Kernel for Settle<'_, P> {
    type Output = Result<usize, f64>;

    #[inline(always)]
    fn run<A: Arithmetic>(self, a: A) -> Self::Output {
        settle(a, self.plan, self.values, self.tolerance, self.start)
    }
}

/// Load records and other ports from the circuit's ports.
fn fill<P: Phasors>(plan: &Plan, values: &mut Values<P>, ports: &[LoadPort]) {
    values.s.fill(P::ZERO);
    values.ports.clear();
    let (mut weighted, mut size) = (0.0, 0.0);
    for place in &plan.ports {
        let Some(port) = ports.get(place.port as usize) else { continue };
        let (by, of) = exponent(port);
        weighted += by;
        size += of;
        let port = LoadPort { plus: place.plus, minus: place.minus, ..*port };
        if is_plain(&port) {
            for lane in 0..P::LANES {
                values.s[place.load as usize].add_at(usize::from(port.plus), lane, port.power);
            }
        } else {
            values.ports.push(Port {
                position: place.position,
                number: place.port,
                port,
                powers: [port.power; LANES],
            });
        }
    }
    values.exponent = if size > 0.0 { weighted / size } else { 0.0 };
}

/// New constant powers: of a port in a lane.
fn refill<P: Phasors>(plan: &Plan, values: &mut Values<P>, power: impl Fn(usize, usize) -> Complex64) {
    let mut others = values.ports.iter_mut().peekable();
    let mut before = 0;
    for place in &plan.ports {
        let number = place.port as usize;
        let s = &mut values.s[place.load as usize];
        if place.load != before {
            *s = P::ZERO;
            before = place.load;
        }
        if let Some(other) = others.next_if(|other| other.number == place.port) {
            for lane in 0..P::LANES {
                other.powers[lane] = power(number, lane);
            }
            continue;
        }
        for lane in 0..P::LANES {
            s.add_at(usize::from(place.plus), lane, power(number, lane));
        }
    }
}

fn spread<P: Phasors>(plan: &Plan, values: &Values<P>, lane: usize, voltages: &mut Vec<Complex64>) {
    voltages.resize(plan.wire_count, Complex64::ZERO);
    for &dead in &plan.dead_wires {
        voltages[dead as usize] = Complex64::ZERO;
    }
    for (v, &first) in values.v.iter().zip(&plan.first_wire) {
        for (wire, voltage) in voltages[first as usize..][..plan.wires].iter_mut().enumerate() {
            *voltage = v.at(wire, lane);
        }
    }
}

#[cfg(test)]
mod tests;
