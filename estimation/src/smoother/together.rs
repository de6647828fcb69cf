//! Eight sets of values on the factors of a solver: joint passes or steps, each alone where these lead nowhere.

use super::batch::{SETS, Sets};
use super::plausible::largest_square;
use super::shrinking::Shrinking;
use super::solver::{Growing, Precision, Solver};
use crate::circuit::Readings;
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// Joint steps of a batch are given up when they shrink by less than this after so many.
const BATCH_STEPS_MIN: usize = 12;
const BATCH_SLOW: f64 = 0.9;

impl<const N: usize> Solver<N> {
    pub fn batch(&mut self) -> Sets<N> {
        self.fold();
        if self.settled && self.precision != Precision::Double {
            // The sets deviate from an optimum, as exact as one more step makes it.
            self.optimal = self.optimal || self.iterate(Tolerance::default(), false, Growing::GoesOn).is_ok();
            self.step();
        }
        Sets::new(&self.compiled.core, self.settled && self.optimal && self.precision != Precision::Double)
    }

    pub fn set_lane(&self, sets: &mut Sets<N>, lane: usize, readings: &Readings) {
        sets.set(&self.compiled.core, &self.compiled.targets, lane, readings);
    }

    pub fn set_lanes(&self, sets: &mut Sets<N>, readings: [&Readings; SETS]) {
        sets.set_all(&self.compiled.core, &self.compiled.targets, readings);
    }

    /// Steps of eight sets until all settle; each alone where they do not. Lane by lane the steps it took.
    pub fn estimate_batch(
        &self,
        sets: &mut Sets<N>,
        tolerance: Tolerance,
    ) -> [Result<usize, NoSolution>; SETS] {
        let core = &self.compiled.core;
        let starts: [_; SETS] = std::array::from_fn(|lane| self.root_start(|meter| sets.meter(meter, lane)));
        if starts.iter().all(|start| self.starts_alike(start))
            && let Some(passes) = sets.deviate(core, tolerance.voltage_pu)
            && self.sets_plausible(sets).is_ok()
        {
            return std::array::from_fn(|_| Ok(passes));
        }
        sets.undeviate(core, &starts);
        match self.step_batch(sets, tolerance) {
            Some(iterations) if self.sets_plausible(sets).is_ok() => std::array::from_fn(|_| Ok(iterations)),
            _ => self.estimate_each(sets, tolerance),
        }
    }

    /// Each set's steps are judged by themselves: a slow one hides under the long steps of another.
    fn step_batch(&self, sets: &mut Sets<N>, tolerance: Tolerance) -> Option<usize> {
        let core = &self.compiled.core;
        let (mut courses, mut settled) = ([Shrinking::new(); SETS], [false; SETS]);
        for iterations in 1..=tolerance.iterations_max {
            let steps = match self.precision {
                Precision::Double => sets.step_double(core),
                Precision::Single | Precision::Confirmed => sets.step_single(core),
            };
            if !steps.iter().all(|step| step.is_finite()) {
                return None;
            }
            for ((course, settled), step) in courses.iter_mut().zip(&mut settled).zip(steps) {
                let quotient = course.note(step, 0.0);
                *settled |= course.done(quotient, tolerance.voltage_pu);
            }
            if settled == [true; SETS] {
                return Some(iterations);
            }
            let slow = |(course, settled): (&Shrinking, bool)| !settled && course.slowest() > BATCH_SLOW;
            if iterations > BATCH_STEPS_MIN && courses.iter().zip(settled).any(slow) {
                return None;
            }
        }
        None
    }

    /// Each set alone, from a flat start or else from the estimate that made the sets; one that does not settle goes back
    /// to that.
    fn estimate_each(&self, sets: &mut Sets<N>, tolerance: Tolerance) -> [Result<usize, NoSolution>; SETS] {
        let core = &self.compiled.core;
        std::array::from_fn(|lane| {
            // Nothing of one set, neither factors nor their precision, is where another begins.
            let mut alone = self.clone();
            (alone.deviations, alone.deviated) = (None, false);
            sets.values_into(&mut alone.compiled.core, lane);
            match alone.settle(tolerance).or_else(|why| alone.settle_from(core, tolerance).map_err(|_| why)) {
                Ok(settled) => {
                    sets.take_state(&alone.compiled.core, lane);
                    Ok(settled.iterations)
                }
                Err(why) => {
                    sets.take_state(core, lane);
                    Err(why)
                }
            }
        })
    }

    /// Whether all sets lie where a grid may be.
    fn sets_plausible(&self, sets: &Sets<N>) -> Result<(), NoSolution> {
        let squares = sets.deviated_squares(&self.compiled.core);
        (0..SETS).try_for_each(|lane| {
            let max_pu = self.compiled.core.voltage_max(self.no_load, |meter| sets.meter(meter, lane));
            if squares.is_some_and(|squares| squares[lane] <= max_pu * max_pu) {
                return Ok(());
            }
            let found = largest_square::<N>((0..self.order.len()).map(|i| sets.voltage(i, lane)));
            self.believed(found, max_pu)
        })
    }

    /// Voltages of all lanes by global wire.
    pub fn lanes_voltages(&self, sets: &Sets<N>, voltages: &mut [Vec<Complex64>; SETS]) {
        let all_alive = self.order.len() * (N / 2) == self.wires;
        for voltages in &mut *voltages {
            if !all_alive {
                voltages.clear();
            }
            voltages.resize(self.wires, Complex64::ZERO);
        }
        let turns: [_; SETS] = std::array::from_fn(|lane| self.turn(&sets.voltage(0, lane)));
        if let Some(deviations) = sets.deviating() {
            deviations.write_voltages(&self.compiled.core, |i| self.global(i, 0), &turns, voltages);
            return;
        }
        for (lane, voltages) in voltages.iter_mut().enumerate() {
            for i in 0..self.order.len() {
                self.write(i, &sets.voltage(i, lane), turns[lane], voltages);
            }
        }
    }
}
