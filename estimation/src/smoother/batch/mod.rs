//! Eight measurement sets per pass on the same factors: a lane is a set.
//!
//! Sets are found as deviations from the estimate that made them ([`deviations`]), or, where that does not do, by the
//! same step as [`super::step`] with every number eight wide. A factor is read once for all eight. Rows at cuts are few
//! and go set by set.

mod block;
mod deviations;
mod down;
mod pass;
mod up;

use super::compile::{Target, Targets};
use super::core::Core;
use super::course::AS_GOOD_AS;
use super::cuts::Cut;
use super::dense::{Arithmetic, Vector};
use super::lines::NONE;
use super::precision::Real;
use crate::circuit::Readings;
use crate::simd::Kernel;
use block::{Block, Wide, pick, put, spread};
use deviations::Deviations;

/// Sets per pass.
pub const SETS: usize = 8;

/// Corrections of eight sets on their way up.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
struct Up<T, const N: usize> {
    a: Block<T, N>,
    e: Block<T, N>,
}

impl<T: Real, const N: usize> Up<T, N> {
    const NOTHING: Self = Self { a: [[T::ZERO; SETS]; N], e: [[T::ZERO; SETS]; N] };
}

/// Values and state of eight sets.
#[derive(Debug, Clone)]
pub(super) struct Sets<const N: usize> {
    /// The state that exact steps move; nothing as long as estimates are deviations.
    v: Vec<Block<f64, N>>,
    mu: Vec<Block<f64, N>>,
    j: Vec<Block<f64, N>>,
    pull: Vec<Block<f64, N>>,
    /// Where what nobody measures of the root's voltage stays.
    root_start: Block<f64, N>,
    /// Per load: power taken.
    measured: Vec<Block<f64, N>>,
    /// Per meter: value.
    meters: Vec<Wide<f64>>,
    /// Per set its own copy of the cuts.
    cuts: Vec<Vec<Cut<N>>>,
    /// From the estimate that made the sets, when it can be deviated from.
    deviations: Option<Box<Deviations<N>>>,
    /// Whether the estimates are these and not the state.
    deviated: bool,
    /// Room for corrections in either precision, made when it is used.
    single: Room<f32, N>,
    double: Room<f64, N>,
}

impl<const N: usize> Sets<N> {
    /// Eight copies of the state and values of a core; `optimal` when its state is the optimum for its values.
    pub fn new(core: &Core<N>, optimal: bool) -> Self {
        let deviations = if optimal { Deviations::new(core).map(Box::new) } else { None };
        let mut sets = Self {
            v: Vec::new(),
            mu: Vec::new(),
            j: Vec::new(),
            pull: Vec::new(),
            root_start: spread(&core.root_start),
            measured: core.loads.iter().map(|load| spread(&load.measured)).collect(),
            meters: core.meters.iter().map(|meter| [meter.value; SETS]).collect(),
            cuts: if core.cuts.is_empty() { Vec::new() } else { vec![core.cuts.clone(); SETS] },
            // Nothing deviates yet.
            deviated: deviations.is_some(),
            deviations,
            single: Room::default(),
            double: Room::default(),
        };
        if !sets.deviated {
            sets.undeviate(core, &[core.root_start; SETS]);
        }
        sets
    }

    /// Estimates all eight as deviations: the passes it took; `None` when that is not possible, and they are nothing then.
    pub fn deviate(&mut self, core: &Core<N>, voltage_pu: f64) -> Option<usize> {
        let deviations = self.deviations.as_mut().filter(|_| voltage_pu >= AS_GOOD_AS)?;
        self.deviated = true;
        deviations.settle(core, (&self.measured, &self.meters), voltage_pu)
    }

    /// The estimates are the state, not deviations; that of the core where there was none. By set, where the root starts.
    pub fn undeviate(&mut self, core: &Core<N>, root_starts: &[Vector; SETS]) {
        self.deviated = false;
        for (lane, start) in root_starts.iter().enumerate() {
            put(&mut self.root_start, lane, start);
        }
        if self.v.is_empty() {
            let all = |x: &[Vector]| x.iter().map(spread).collect();
            (self.v, self.mu, self.j, self.pull) =
                (all(&core.v), all(&core.mu), all(&core.j), all(&core.pull));
        }
    }

    /// The value of a meter in a lane.
    pub fn meter(&self, meter: usize, lane: usize) -> f64 {
        self.meters[meter][lane]
    }

    /// Gives the values of a lane to a core.
    pub fn values_into(&self, core: &mut Core<N>, lane: usize) {
        for (load, measured) in core.loads.iter_mut().zip(&self.measured) {
            load.measured = pick(measured, lane);
        }
        for (meter, value) in core.meters.iter_mut().zip(&self.meters) {
            meter.value = value[lane];
        }
        if let Some(cuts) = self.cuts.get(lane) {
            core.cuts.clone_from(cuts);
        }
    }

    /// Takes the state of a core into a lane.
    pub fn take_state(&mut self, core: &Core<N>, lane: usize) {
        let all = [(&mut self.v, &core.v), (&mut self.mu, &core.mu), (&mut self.j, &core.j)];
        for (own, state) in all.into_iter().chain([(&mut self.pull, &core.pull)]) {
            own.iter_mut().zip(state).for_each(|(own, state)| put(own, lane, state));
        }
        if let Some(cuts) = self.cuts.get_mut(lane) {
            for (own, state) in cuts.iter_mut().zip(&core.cuts) {
                let values: Vec<_> = own.rows.iter().map(|row| row.value).collect();
                own.clone_from(state);
                own.rows.iter_mut().zip(values).for_each(|(row, value)| row.value = value);
            }
        }
    }

    /// One step of all eight with corrections in single precision: the largest change of a voltage by set.
    pub fn step_single(&mut self, core: &Core<N>) -> Wide<f64> {
        let mut room = std::mem::take(&mut self.single);
        let step = core.path.run(BatchStep { core, sets: self, room: &mut room });
        self.single = room;
        step
    }

    /// The same in double precision.
    pub fn step_double(&mut self, core: &Core<N>) -> Wide<f64> {
        let mut room = std::mem::take(&mut self.double);
        let step = core.path.run(BatchStep { core, sets: self, room: &mut room });
        self.double = room;
        step
    }

    /// Puts values into a lane.
    pub fn set(&mut self, core: &Core<N>, targets: &Targets, lane: usize, readings: &Readings) {
        for (reading, &load) in readings.injections.iter().zip(&targets.injections) {
            let k = usize::from(reading.wire);
            if load != NONE && self.takes(core, load as usize, k) {
                let measured = &mut self.measured[load as usize];
                (measured[k][lane], measured[k + N / 2][lane]) = (reading.s.re, reading.s.im);
            }
        }
        self.set_others(targets, lane, readings);
    }

    /// Puts values of the same sensors into all lanes: what a load takes of all sets lies together, and is written once.
    pub fn set_all(&mut self, core: &Core<N>, targets: &Targets, readings: [&Readings; SETS]) {
        let count =
            readings.iter().fold(targets.injections.len(), |least, of| least.min(of.injections.len()));
        let injections = readings.map(|of| &of.injections[..count]);
        for (n, &load) in targets.injections[..count].iter().enumerate() {
            let k = usize::from(injections[0][n].wire);
            if load != NONE && self.takes(core, load as usize, k) {
                let (mut re, mut im) = ([0.0; SETS], [0.0; SETS]);
                for lane in 0..SETS {
                    (re[lane], im[lane]) = (injections[lane][n].s.re, injections[lane][n].s.im);
                }
                let measured = &mut self.measured[load as usize];
                (measured[k], measured[k + N / 2]) = (re, im);
            }
        }
        for (lane, readings) in readings.into_iter().enumerate() {
            self.set_others(targets, lane, readings);
        }
    }

    /// Whether a wire of a load takes a value that is given. Where estimates may deviate, nothing is free.
    fn takes(&self, core: &Core<N>, load: usize, wire: usize) -> bool {
        self.deviations.is_some() || core.loads[load].free & (1 << wire) == 0
    }

    /// Puts all values but those of injections into a lane.
    fn set_others(&mut self, targets: &Targets, lane: usize, readings: &Readings) {
        for (reading, &(magnitude, angle)) in readings.voltages.iter().zip(&targets.voltages) {
            if magnitude != NONE {
                self.meters[magnitude as usize][lane] = reading.magnitude;
            }
            if let (true, Some(value)) = (angle != NONE, reading.angle) {
                self.meters[angle as usize][lane] = value;
            }
        }
        for (reading, &(p, q)) in readings.powers.iter().zip(&targets.powers) {
            for (target, value, half) in [(p, reading.s.re, 0), (q, reading.s.im, N / 2)] {
                match target {
                    Target::Nothing => {}
                    Target::Row(cut, row) => self.cuts[lane][cut as usize].rows[row as usize].value = value,
                    Target::Load(load, wire) => {
                        self.measured[load as usize][usize::from(wire) + half][lane] = value;
                    }
                }
            }
        }
        for (reading, &(along, across)) in readings.currents.iter().zip(&targets.currents) {
            if let Target::Row(cut, row) = along {
                self.cuts[lane][cut as usize].rows[row as usize].value = reading.magnitude;
            }
            for target in [along, across] {
                if let (Target::Row(cut, row), Some(angle)) = (target, reading.angle) {
                    self.cuts[lane][cut as usize].rows[row as usize].says.aim(angle);
                }
            }
        }
    }

    /// The largest square of a voltage by lane, when the estimates are deviations.
    pub fn deviated_squares(&self, core: &Core<N>) -> Option<Wide<f64>> {
        self.deviating().map(|deviations| deviations.largest_squares(core))
    }

    /// The deviations, when the estimates are these.
    pub fn deviating(&self) -> Option<&Deviations<N>> {
        self.deviations.as_deref().filter(|_| self.deviated)
    }

    /// The voltage of a position in a lane.
    pub fn voltage(&self, position: usize, lane: usize) -> Vector {
        match self.deviating() {
            Some(deviations) => deviations.voltage(position, lane),
            None => pick(&self.v[position], lane),
        }
    }
}

/// One step of all eight; returns the largest change of a voltage by set.
struct BatchStep<'a, T, const N: usize> {
    core: &'a Core<N>,
    sets: &'a mut Sets<N>,
    /// Room for corrections.
    room: &'a mut Room<T, N>,
}

/// Corrections by position.
#[derive(Debug, Clone)]
struct Room<T, const N: usize>(Vec<Up<T, N>>);

impl<T, const N: usize> Default for Room<T, N> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Real, const N: usize> Kernel for BatchStep<'_, T, N> {
    type Output = Wide<f64>;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Wide<f64> {
        let Self { core, sets, room } = self;
        room.0.resize(core.count(), Up::NOTHING);
        let e = up::up(kit, core, sets, room);
        down::down(kit, core, sets, room, &e)
    }
}
