//! The iteration: factors, steps on them, and when to renew them.

use super::compile::{self, Compiled, Target};
use super::core::Core;
use super::course::AS_GOOD_AS;
use super::dense::{self, HALF, Plain, Vector};
use super::deviations::Deviations;
use super::factor::Factor;
use super::lines::NONE;
use super::live::Trail;
use super::meters::Says;
use super::observability;
use super::plausible::{largest, largest_square};
use super::shrinking::Shrinking;
use super::standing::Standing;
use super::start::Start;
use super::step::Step;
use super::ties::Ties;
use super::{Estimated, NotSmoothable, Observability, Settled};
use crate::circuit::{Circuit, Readings, Tree};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// Factors are renewed when steps on them shrink so slowly that more than this many would follow.
const STEPS_WORTH_FACTORS: f64 = 10.0;
/// In single precision steps below this, p.u., that do not shrink by half are its rounding.
const SINGLE_STALLS_PU: f64 = 1e-6;
/// A step beyond this, p.u., leads nowhere: the linearisation is worth nothing there.
const WILD_PU: f64 = 1e3;
/// Steps that shrink by less than this do not tell that the next ones are small.
const SLOW: f64 = 0.5;
/// A weak weight times a change of the start below this moves nothing.
const SAME_START: f64 = 1e-12;
/// A deviation that takes more passes than this becomes the state that others deviate from.
const PASSES_WORTH_A_STATE: usize = 8;

/// What corrections are calculated in, see [`super::precision`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Precision {
    /// Single, until a step in double precision shows that it is not enough.
    Single,
    /// Single, as a step in double precision after it has moved nothing.
    Confirmed,
    /// Double.
    Double,
}

/// What is done where steps on old factors grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growing {
    /// They go on: factors made far from the optimum may point farther away than old ones.
    GoesOn,
    /// New factors: near the optimum they always help.
    Renews,
}

/// A core with what its callers know.
#[derive(Debug, Clone)]
pub(super) struct Solver<const N: usize> {
    pub compiled: Compiled<N>,
    /// Position → bus.
    pub(super) order: Vec<u32>,
    /// Bus → its first wire.
    first_wires: Vec<u32>,
    pub(super) wires: usize,
    reference: f64,
    /// Whether state and factors of an earlier estimate are there.
    pub(super) settled: bool,
    /// Whether the state is the optimum for the values, or for those that `deviations` begin with.
    pub(super) optimal: bool,
    /// From the state, for other values; made when these come.
    pub(super) deviations: Option<Box<Deviations<N>>>,
    /// Whether the estimate is the state plus the deviations.
    pub(super) deviated: bool,
    /// The largest no-load voltage when the root has 1 p.u.
    pub(super) no_load: f64,
    /// Bus → position.
    positions: Vec<u32>,
    /// Series elements of the circuit.
    pub(super) elements: usize,
    first_pseudo: Option<u32>,
    /// Wires of the pseudo-measurements.
    pseudo_wires: Vec<u8>,
    /// Wire of each injection reading.
    pub(super) injection_wires: Vec<u8>,
    pub(super) path: Vec<u32>,
    pub(super) trails: (Trail<f32>, Trail<f64>),
    pub(super) precision: Precision,
    /// What closes loops; nothing on a tree.
    pub(super) ties: Option<Box<Ties<N>>>,
}

impl<const N: usize> Solver<N> {
    pub fn new(circuit: &Circuit, tree: &Tree, readings: &Readings) -> Result<Self, NotSmoothable> {
        let mut solver = Self {
            compiled: compile::compile(circuit, tree, readings)?,
            order: tree.order.clone(),
            first_wires: circuit.buses.iter().map(|bus| bus.first_wire).collect(),
            wires: circuit.wire_count(),
            reference: readings.reference_angle,
            settled: false,
            optimal: false,
            deviations: None,
            deviated: false,
            no_load: 1.0,
            positions: tree.position.clone(),
            elements: circuit.series.len(),
            first_pseudo: readings.first_pseudo,
            pseudo_wires: readings.first_pseudo.map_or_else(Vec::new, |first| {
                readings.injections[first as usize..].iter().map(|reading| reading.wire).collect()
            }),
            injection_wires: readings.injections.iter().map(|reading| reading.wire).collect(),
            path: Vec::new(),
            trails: Default::default(),
            precision: Precision::Single,
            ties: None,
        };
        if solver.compiled.core.loads.iter().any(|load| load.free != 0) {
            solver.precision = Precision::Double;
        }
        solver.aim_reference();
        solver.no_load = solver.no_load_max();
        Ok(solver)
    }

    pub(super) fn core(&mut self) -> &mut Core<N> {
        &mut self.compiled.core
    }

    /// Takes over values.
    pub fn set_values(&mut self, readings: &Readings) {
        let single = self.precision != Precision::Double;
        if self.optimal && self.deviations.is_none() && single && Standing::possible(&self.compiled.core) {
            // Others will be as exact as this one: another step, on the values that are about to go.
            self.step();
            self.deviations = Deviations::new(&self.compiled.core).map(Box::new);
        }
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
                (measured[k], measured[k + HALF]) = (reading.s.re, reading.s.im);
            }
        }
        for (reading, &(p, q)) in readings.powers.iter().zip(&targets.powers) {
            for (target, value, half) in [(p, reading.s.re, 0), (q, reading.s.im, HALF)] {
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

    /// The voltage the root starts from when meters, by their number, say `value`.
    pub(super) fn root_start(&self, value: impl Fn(usize) -> f64) -> Vector {
        let meters = &self.compiled.core.meters;
        let at_root = self.compiled.core.meters_at(0).find(|meter| meters[*meter].says == Says::Magnitude);
        let magnitude = at_root.map_or(1.0, &value);
        let magnitude = if magnitude > 0.5 && magnitude < 1.5 { magnitude } else { 1.0 };
        let root = compile::nominal::<N>(magnitude, self.reference);
        let angles = || meters.iter().position(|meter| meter.says == Says::Angle);
        let Some(angle) = self.compiled.phasors.then(angles).flatten() else { return root };
        let there = self.no_load(&root, meters[angle].position as usize);
        let k = usize::from(meters[angle].wire);
        let turn = value(angle) - there[k + HALF].atan2(there[k]);
        compile::nominal::<N>(magnitude, self.reference + turn)
    }

    /// The same for the values at hand.
    fn own_root_start(&self) -> Vector {
        self.root_start(|meter| self.compiled.core.meters[meter].value)
    }

    /// The no-load voltage at a position.
    fn no_load(&self, root: &Vector, position: usize) -> Vector {
        let lines = &self.compiled.core.lines;
        let mut path = Vec::new();
        let mut at = position;
        while at != 0 {
            path.push(at);
            at = lines.line[at].parent as usize;
        }
        path.iter().rev().fold(*root, |v, &i| lines.t(Plain, &lines.line[i], &v))
    }

    /// The largest no-load voltage when the root has 1 p.u.
    fn no_load_max(&self) -> f64 {
        let lines = &self.compiled.core.lines;
        let mut v = vec![compile::nominal::<N>(1.0, self.reference); self.order.len()];
        for i in 1..v.len() {
            let line = &lines.line[i];
            v[i] = lines.t(Plain, line, &v[line.parent as usize]);
        }
        largest_square::<N>(v.into_iter()).0.sqrt()
    }

    /// Whether the estimate lies where a grid may be.
    fn plausible(&self) -> Result<(), NoSolution> {
        let core = &self.compiled.core;
        let max_pu = core.voltage_max(self.no_load, |meter| core.meters[meter].value);
        let moved = self.deviations.as_ref().filter(|_| self.deviated).map(|moved| moved.voltages(core));
        let largest = moved.clone().map_or_else(|| largest(core.v.iter().copied()), largest);
        if largest <= max_pu * max_pu {
            return Ok(());
        }
        let found = match moved {
            Some(moved) => largest_square::<N>(moved),
            None => largest_square::<N>(core.v.iter().copied()),
        };
        self.believed(found, max_pu)
    }

    pub(super) fn believed(&self, (square, position): (f64, usize), max_pu: f64) -> Result<(), NoSolution> {
        if square <= max_pu * max_pu {
            return Ok(());
        }
        let bus = self.order[position] as usize;
        Err(NoSolution::Implausible { bus, voltage_pu: square.sqrt(), max_pu })
    }

    /// Gives the reference rows the angles of no load.
    fn aim_reference(&mut self) {
        let root = compile::nominal::<N>(1.0, self.reference);
        for at in 0..self.compiled.core.meters.len() {
            let meter = self.compiled.core.meters[at];
            if meter.says == Says::Reference {
                let v = self.no_load(&root, meter.position as usize);
                let k = usize::from(meter.wire);
                self.compiled.core.meters[at].value = v[k + HALF].atan2(v[k]);
            }
        }
    }

    pub fn estimate(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        let settled = self.settle(tolerance)?;
        Ok(self.estimated(settled))
    }

    pub fn estimate_kept(&mut self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        let settled = self.settle_kept(tolerance)?;
        if self.deviated {
            // The objective shows what a deviation leaves of exact equations.
            self.step();
        }
        Ok(self.estimated(settled))
    }

    pub fn settle(&mut self, tolerance: Tolerance) -> Result<Settled, NoSolution> {
        let settled = self.settle_in_precision(tolerance);
        if settled.is_ok() || self.precision == Precision::Double {
            return settled;
        }
        self.precision = Precision::Double;
        self.settle_in_precision(tolerance)
    }

    /// The same in the precision at hand, or the one that an iteration comes to.
    fn settle_in_precision(&mut self, tolerance: Tolerance) -> Result<Settled, NoSolution> {
        self.start();
        match self.iterate(tolerance, true, Growing::GoesOn) {
            // Where it was lost, factors may have broken before the numbers did.
            Err(NoSolution::NotFinite { .. } | NoSolution::Singular { .. }) => {
                self.start();
                self.iterate(tolerance, true, Growing::Renews)
            }
            settled => settled,
        }
    }

    pub fn settle_kept(&mut self, tolerance: Tolerance) -> Result<Settled, NoSolution> {
        if !self.settled {
            return self.settle(tolerance);
        }
        if let Some(iterations) = self.deviate(tolerance) {
            return Ok(Settled { iterations, factorizations: 0 });
        }
        let root = self.own_root_start();
        self.core().root_start = root;
        self.iterate(tolerance, false, Growing::GoesOn).or_else(|_| self.settle(tolerance))
    }

    /// Estimates as a deviation from the state: the passes it took. `None` when exact steps have to do it.
    fn deviate(&mut self, tolerance: Tolerance) -> Option<usize> {
        let possible =
            self.optimal && self.precision != Precision::Double && tolerance.voltage_pu >= AS_GOOD_AS;
        let possible = possible && self.starts_alike(&self.own_root_start());
        let deviations = self.deviations.as_mut().filter(|_| possible)?;
        let passes = deviations.settle(&self.compiled.core, tolerance.voltage_pu);
        self.deviated = passes.is_some();
        if self.deviated && self.plausible().is_err() {
            self.deviated = false;
            return None;
        }
        if passes.is_some_and(|passes| passes > PASSES_WORTH_A_STATE) {
            self.fold();
        }
        passes
    }

    /// Whether what nobody measures of the root's voltage stays where it is with another start.
    pub(super) fn starts_alike(&self, start: &Vector) -> bool {
        let core = &self.compiled.core;
        let away = dense::sub(Plain, start, &core.root_start);
        dense::times(Plain, &core.root_weak, &away).iter().all(|x| x.abs() < SAME_START)
    }

    /// Moves the state by the deviation, if there is one.
    pub(super) fn fold(&mut self) {
        if self.deviated
            && let Some(mut deviations) = self.deviations.take()
        {
            deviations.fold(&mut self.compiled.core);
            (self.deviated, self.optimal) = (false, false);
        }
    }

    pub(super) fn start(&mut self) {
        let root = self.own_root_start();
        let core = self.core();
        core.path.run(Start { core, root, state: None });
        if let Some(ties) = &mut self.ties {
            ties.restart(&mut self.compiled.core);
        }
    }

    /// Estimates from the state of another solver of the same tree, whatever its readings; from a flat start where that
    /// leads nowhere.
    pub fn estimate_from(&mut self, other: &mut Self, tolerance: Tolerance) -> Result<Estimated, NoSolution> {
        other.fold();
        let there = &other.compiled.core;
        if other.settled
            && there.count() == self.compiled.core.count()
            && let Ok(settled) = self.settle_from(there, tolerance)
        {
            return Ok(self.estimated(settled));
        }
        self.estimate(tolerance)
    }

    /// Settles from the state of another core of the same tree.
    pub(super) fn settle_from(
        &mut self,
        there: &Core<N>,
        tolerance: Tolerance,
    ) -> Result<Settled, NoSolution> {
        let root = self.own_root_start();
        let core = self.core();
        core.path.run(Start { core, root, state: Some((&there.v, &there.j)) });
        self.iterate(tolerance, true, Growing::Renews)
    }

    pub(super) fn iterate(
        &mut self,
        tolerance: Tolerance,
        mut renew: bool,
        growing: Growing,
    ) -> Result<Settled, NoSolution> {
        (self.settled, self.optimal, self.deviated, self.deviations) = (false, false, false, None);
        let (mut iterations, mut factorizations, mut renewed) = (0, 0, false);
        let mut steps = Shrinking::new();
        let (mut last, mut step, mut position) = (f64::INFINITY, f64::INFINITY, 0);
        while iterations < tolerance.iterations_max && !steps.wander(self.order.len()) {
            iterations += 1;
            if renew {
                self.renew_factors()?;
                factorizations += 1;
                // The first step on new factors says nothing of their rate yet.
                last = f64::INFINITY;
            }
            (step, position) = self.step();
            if !(step < WILD_PU) {
                return Err(NoSolution::NotFinite { bus: self.order[position] as usize });
            }
            let rate = if last.is_finite() { step / last } else { 1.0 };
            let quotient = steps.note(step, 0.0);
            let short = step < tolerance.voltage_pu;
            let single = self.precision == Precision::Single;
            // In single precision the step that checks it is yet to come.
            let near = single && (short || steps.missing() < tolerance.voltage_pu);
            let done = near || (!single && steps.done(quotient, tolerance.voltage_pu));
            let stuck = short && !single && steps.slowest() > SLOW;
            if stuck && !(done || renew || renewed) {
                // New factors help where old ones made the steps slow, and once is enough to see whether.
                (renewed, renew, last) = (true, true, step);
                continue;
            }
            if done {
                match self.precision {
                    Precision::Confirmed | Precision::Double => {
                        self.plausible()?;
                        (self.settled, self.optimal) = (true, true);
                        return Ok(Settled { iterations, factorizations });
                    }
                    // The step after this one is made in double precision.
                    Precision::Single => self.precision = Precision::Double,
                }
                let (check, _) = self.step();
                let quotient = steps.note(check, 0.0);
                if steps.done(quotient, tolerance.voltage_pu) {
                    self.plausible()?;
                    (self.settled, self.optimal, self.precision) = (true, true, Precision::Confirmed);
                    return Ok(Settled { iterations: iterations + 1, factorizations });
                }
                (step, renew) = (check, false);
            } else if self.precision == Precision::Single
                && step < SINGLE_STALLS_PU
                && rate > SLOW
                && last.is_finite()
            {
                (self.precision, renew) = (Precision::Double, false);
            } else {
                let left = step / tolerance.voltage_pu;
                renew = !renew && last.is_finite() && worth_factors(rate, left, growing);
            }
            last = step;
        }
        let bus = self.order[position] as usize;
        Err(NoSolution::NotSettled { iterations, step_pu: step, bus })
    }

    fn singular(&self, position: usize) -> NoSolution {
        NoSolution::Singular { bus: self.order[position] as usize }
    }

    fn estimated(&self, settled: Settled) -> Estimated {
        let Settled { iterations, factorizations } = settled;
        let core = &self.compiled.core;
        let (mut objective, violation_pu) = core.objective();
        objective += self.ties.as_ref().map_or(0.0, |ties| ties.objective(core));
        Estimated { voltages: self.voltages(), objective, violation_pu, iterations, factorizations }
    }

    /// The turn that gives the root the reference angle when its voltage is `root`, see [`super::core::Aim`].
    pub(super) fn turn(&self, root: &Vector) -> Complex64 {
        if !self.turned() {
            return Complex64::ONE;
        }
        let aimed = self.compiled.core.aimed(root);
        aimed.map_or(Complex64::ONE, |aimed| Complex64::cis(self.reference - aimed.arg()))
    }

    /// Whether nothing else than the root fixes the angles.
    pub(super) fn turned(&self) -> bool {
        !(self.compiled.phasors || self.compiled.core.has_absolute_currents())
    }

    pub fn voltages(&self) -> Vec<Complex64> {
        let mut voltages = vec![Complex64::ZERO; self.wires];
        self.write_voltages(&mut voltages);
        voltages
    }

    /// Voltages of all live wires into their places.
    pub fn write_voltages(&self, voltages: &mut [Complex64]) {
        let state = &self.compiled.core.v;
        match self.deviations.as_ref().filter(|_| self.deviated) {
            Some(moved) => {
                let mut state = moved.voltages(&self.compiled.core).enumerate().peekable();
                let turn = state.peek().map_or(Complex64::ONE, |(_, root)| self.turn(root));
                for (i, v) in state {
                    self.write(i, &v, turn, voltages);
                }
            }
            None => {
                let turn = self.turn(&state[0]);
                for (i, v) in state.iter().enumerate() {
                    self.write(i, v, turn, voltages);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn write(&self, i: usize, v: &Vector, turn: Complex64, voltages: &mut [Complex64]) {
        let first = self.first_wires[self.order[i] as usize] as usize;
        for (k, voltage) in voltages[first..first + N / 2].iter_mut().enumerate() {
            *voltage = Complex64::new(v[k], v[k + HALF]) * turn;
        }
    }

    pub fn renew_factors(&mut self) -> Result<(), NoSolution> {
        self.fold();
        let core = self.core();
        let mut made = core.path.run(Factor(core));
        if let (Some(ties), Ok(())) = (&mut self.ties, made) {
            made = ties.factorize(&self.compiled.core);
        }
        // What is broken is no beginning for other values.
        self.settled &= made.is_ok();
        made.map_err(|broken| self.singular(broken.position))
    }

    /// One step: its largest change of a voltage, p.u., and where.
    pub fn step(&mut self) -> (f64, usize) {
        self.fold();
        let double = self.precision == Precision::Double;
        let Self { ties, compiled: Compiled { core, .. }, .. } = self;
        let path = core.path;
        let step = |core: &mut Core<N>| {
            if double { path.run(Step::<f64, N>::new(core)) } else { path.run(Step::<f32, N>::new(core)) }
        };
        if let Some(ties) = ties {
            ties.close(core, |core| {
                step(core);
            });
        }
        let moved = step(core);
        match ties {
            // What is yet to move counts as moved.
            Some(ties) => ties.with_gaps(core, moved),
            None => moved,
        }
    }

    #[cfg(test)]
    pub fn start_voltages(&mut self) -> Vec<Complex64> {
        self.start();
        let turn = self.turn(&self.compiled.core.v[0]);
        self.voltages().into_iter().map(|v| v / turn).collect()
    }

    /// The global number of a wire at a position.
    pub(super) fn global(&self, position: usize, wire: usize) -> usize {
        self.first_wires[self.order[position] as usize] as usize + wire
    }

    /// The position of a bus, if it is alive.
    pub(super) fn position(&self, bus: u32) -> Option<usize> {
        let position = self.positions[bus as usize];
        (position != NONE).then_some(position as usize)
    }

    pub fn observability(&mut self) -> Vec<Observability> {
        self.fold();
        if !self.settled {
            self.start();
        }
        let Compiled { core, targets, .. } = &self.compiled;
        let all = observability::undetermined(core, &core.loads);
        let real = self.first_pseudo.map_or_else(
            || all.clone(),
            |first| {
                let mut loads = core.loads.clone();
                observability::forget(&mut loads, &targets.injections[first as usize..], &self.pseudo_wires);
                observability::undetermined(core, &loads)
            },
        );
        let mut out = vec![Observability::Unknown; self.wires];
        for i in 0..core.count() {
            for k in 0..N / 2 {
                out[self.global(i, k)] = match (all[i * N / 2 + k], real[i * N / 2 + k]) {
                    (true, _) => Observability::Unknown,
                    (false, true) => Observability::ByPseudoMeasurement,
                    (false, false) => Observability::Measured,
                };
            }
        }
        out
    }
}

/// Whether new factors are worth their time when the last step was `rate` of the one before and `left` times the tolerance.
fn worth_factors(rate: f64, left: f64, growing: Growing) -> bool {
    match rate < 1.0 {
        true => !(-left.ln() / rate.ln() <= STEPS_WORTH_FACTORS),
        false => left < 1.0 || growing == Growing::Renews,
    }
}
