//! The iteration: factors, steps on them, and when to renew them.

use super::compile::{self, Compiled, Target};
use super::core::Core;
use super::dense::{self, Vector};
use super::factor::Factor;
use super::lines::NONE;
use super::meters::Says;
use super::start::Start;
use super::step::Step;
use super::{Estimated, NotSmoothable};
use crate::circuit::{Circuit, Readings, Tree};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// Factors are renewed when steps on them shrink so slowly that more than this many would follow.
const STEPS_WORTH_FACTORS: f64 = 6.0;

/// A core with what its callers know.
#[derive(Debug, Clone)]
pub(super) struct Solver<const N: usize, const P: usize> {
    pub compiled: Compiled<N, P>,
    /// Position → bus.
    order: Vec<u32>,
    /// Bus → its first wire.
    first_wires: Vec<u32>,
    wires: usize,
    reference: f64,
    /// Whether state and factors of an earlier estimate are there.
    settled: bool,
}

impl<const N: usize, const P: usize> Solver<N, P> {
    pub fn new(circuit: &Circuit, tree: &Tree, readings: &Readings) -> Result<Self, NotSmoothable> {
        let mut solver = Self {
            compiled: compile::compile(circuit, tree, readings)?,
            order: tree.order.clone(),
            first_wires: circuit.buses.iter().map(|bus| bus.first_wire).collect(),
            wires: circuit.wire_count(),
            reference: readings.reference_angle,
            settled: false,
        };
        solver.aim_reference();
        Ok(solver)
    }

    fn core(&mut self) -> &mut Core<N, P> {
        &mut self.compiled.core
    }

    /// Takes over values.
    pub fn set_values(&mut self, readings: &Readings) {
        let Compiled { core, targets, .. } = &mut self.compiled;
        for (reading, &(magnitude, angle)) in readings.voltages.iter().zip(&targets.voltages) {
            if magnitude != NONE {
                core.meters[magnitude as usize].value = reading.magnitude;
            }
            if let (true, Some(value)) = (angle != NONE, reading.angle) {
                core.meters[angle as usize].value = value;
            }
        }
        for (reading, &load) in readings.injections.iter().zip(&targets.injections) {
            let k = usize::from(reading.wire);
            if load != NONE && core.loads[load as usize].free & (1 << k) == 0 {
                let measured = &mut core.loads[load as usize].measured;
                (measured[k], measured[k + P / 2]) = (reading.s.re, reading.s.im);
            }
        }
        for (reading, &(p, q)) in readings.powers.iter().zip(&targets.powers) {
            for (target, value, half) in [(p, reading.s.re, 0), (q, reading.s.im, P / 2)] {
                match target {
                    Target::Nothing => {}
                    Target::Row(cut, row) => core.cuts[cut as usize].rows[row as usize].value = value,
                    Target::Load(load, wire) => {
                        core.loads[load as usize].measured[usize::from(wire) + half] = value;
                    }
                }
            }
        }
        for (reading, &(along, across)) in readings.currents.iter().zip(&targets.currents) {
            if let Target::Row(cut, row) = along {
                core.cuts[cut as usize].rows[row as usize].value = reading.magnitude;
            }
            for target in [along, across] {
                if let (Target::Row(cut, row), Some(angle)) = (target, reading.angle) {
                    core.cuts[cut as usize].rows[row as usize].says.aim(angle);
                }
            }
        }
    }

    /// The voltage the root starts from.
    fn root_start(&self) -> Vector<P> {
        let core = &self.compiled.core;
        let magnitudes = core.meters_at(0).map(|meter| &core.meters[meter]);
        let magnitude = magnitudes.clone().find(|meter| meter.says == Says::Magnitude);
        let magnitude = magnitude.map_or(1.0, |meter| meter.value);
        let magnitude = if magnitude > 0.5 && magnitude < 1.5 { magnitude } else { 1.0 };
        let root = compile::nominal::<N, P>(magnitude, self.reference);
        let Some(phasor) = core.meters.iter().find(|meter| meter.says == Says::Angle) else { return root };
        let there = self.no_load(&root, phasor.position as usize);
        let k = usize::from(phasor.wire);
        let turn = phasor.value - there[k + P / 2].atan2(there[k]);
        compile::nominal::<N, P>(magnitude, self.reference + turn)
    }

    /// The no-load voltage at a position.
    fn no_load(&self, root: &Vector<P>, position: usize) -> Vector<P> {
        let lines = &self.compiled.core.lines;
        let mut path = Vec::new();
        let mut at = position;
        while at != 0 {
            path.push(at);
            at = lines.line[at].parent as usize;
        }
        path.iter().rev().fold(*root, |v, &i| lines.t::<dense::Plain>(&lines.line[i], &v))
    }

    /// Gives the reference rows the angles of no load.
    fn aim_reference(&mut self) {
        let root = compile::nominal::<N, P>(1.0, self.reference);
        for at in 0..self.compiled.core.meters.len() {
            let meter = self.compiled.core.meters[at];
            if meter.says == Says::Reference {
                let v = self.no_load(&root, meter.position as usize);
                let k = usize::from(meter.wire);
                self.compiled.core.meters[at].value = v[k + P / 2].atan2(v[k]);
            }
        }
    }

    pub fn estimate(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        let root = self.root_start();
        let core = self.core();
        core.path.run(Start { core, root });
        self.iterate(tolerance, true)
    }

    pub fn estimate_kept(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        if !self.settled {
            return self.estimate(tolerance);
        }
        self.iterate(tolerance, false)
    }

    fn iterate(&mut self, tolerance: Tolerance, mut renew: bool) -> Result<Estimated, NoSolution> {
        self.settled = false;
        let mut factorizations = 0;
        let mut last = f64::INFINITY;
        for iterations in 1..=tolerance.iterations_max {
            let core = &mut self.compiled.core;
            if renew {
                core.path.run(Factor(core)).map_err(|broken| self.singular(broken.position))?;
                factorizations += 1;
            }
            let core = &mut self.compiled.core;
            let (step, position) = core.path.run(Step(core));
            if !step.is_finite() {
                return Err(NoSolution::NotFinite { bus: self.order[position] as usize });
            }
            if step < tolerance.voltage_pu {
                self.settled = true;
                return Ok(self.estimated(iterations, factorizations));
            }
            if iterations == tolerance.iterations_max {
                let bus = self.order[position] as usize;
                return Err(NoSolution::NotSettled { iterations, step_pu: step, bus });
            }
            // The first step on new factors says nothing of their rate yet.
            let left = (tolerance.voltage_pu / step).ln() / (step / last).min(1.0).ln();
            renew = !renew && last.is_finite() && !(left <= STEPS_WORTH_FACTORS);
            last = step;
        }
        Err(NoSolution::NotSettled { iterations: 0, step_pu: last, bus: 0 })
    }

    fn singular(&self, position: usize) -> NoSolution {
        NoSolution::Singular { bus: self.order[position] as usize }
    }

    fn estimated(&self, iterations: usize, factorizations: usize) -> Estimated {
        let (objective, violation_pu) = self.compiled.core.objective();
        Estimated { voltages: self.voltages(), objective, violation_pu, iterations, factorizations }
    }

    /// The turn that gives the source's first wire the reference angle.
    fn turn(&self) -> Complex64 {
        let core = &self.compiled.core;
        if self.compiled.phasors || core.has_absolute_currents() {
            return Complex64::ONE;
        }
        Complex64::cis(self.reference - core.v[0][P / 2].atan2(core.v[0][0]))
    }

    pub fn voltages(&self) -> Vec<Complex64> {
        let turn = self.turn();
        let mut voltages = vec![Complex64::ZERO; self.wires];
        for (v, &bus) in self.compiled.core.v.iter().zip(&self.order) {
            let first = self.first_wires[bus as usize] as usize;
            for k in 0..N / 2 {
                voltages[first + k] = Complex64::new(v[k], v[k + P / 2]) * turn;
            }
        }
        voltages
    }
}
