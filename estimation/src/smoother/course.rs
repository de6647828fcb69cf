//! Which pass comes next when an estimate is found as a deviation, by how much the last ones moved.

use super::dense::{Arithmetic, LANES};
use super::precision::Lanes;
use super::shrinking::Shrinking;
use super::walk::Part;

/// Deviations are not asked to be more exact, p.u. of voltage: closer to the optimum go exact steps.
pub(super) const AS_GOOD_AS: f64 = 1e-8;
/// How many roundings of the whole deviation a pass in single precision may leave: on networks of 100 to 100,000 buses it
/// was 2 to 25, on small ones with long lines and loads near what they carry more than 1024.
const ROUNDINGS: f64 = 4096.0;
/// How many a step is taken for that goes from single precision to double, and how much of it may still be missing then.
const LEFT: f64 = 64.0;
const RATE_LEFT: f64 = 0.1;
/// Slow parts hide under quick ones: how much of a step may be missing at least, and how much more than steps tell.
const RATE_HIDDEN: f64 = 0.05;
const HIDDEN: f64 = 1.3;
/// How many are left when passes are in double: of the values, of what is kept, and what weak networks make of them.
const KEPT: f64 = 3.0;
/// Larger deviations, p.u., are left to exact steps: a pass knows the bend of loads, not which of their solutions it nears.
const DEVIATION_MAX_PU: f64 = 0.3;
/// Which part of what may be missing roundings may take that are left at any rate.
const KEPT_MAX: f64 = 0.9;
/// Most passes, and the slowest they may shrink.
const PASSES_MAX: usize = 16;
const RATE_MAX: f64 = 0.5;
/// No pass is taken to shrink the error by more.
const RATE_MIN: f64 = 1e-4;

/// Which pass comes next, by how much the last ones moved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    goal: f64,
    /// What rounding to single precision leaves.
    rounding: f64,
    /// What of it is left by passes in double.
    kept: f64,
    steps: Shrinking,
    passes: usize,
    /// Whether the next pass is in double precision, and whether the last one was.
    double: bool,
    doubled: bool,
}

/// How a course goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Pass,
    Settled(usize),
    /// It does not settle.
    Lost,
}

impl Course {
    /// Towards a goal.
    pub fn new(voltage_pu: f64) -> Self {
        Self {
            goal: voltage_pu,
            rounding: 0.0,
            kept: 0.0,
            steps: Shrinking::new(),
            passes: 0,
            double: false,
            doubled: false,
        }
    }

    /// In which precision the pass after the next goes, if the next one moves what is to be expected; `None` when it is then
    /// the last.
    fn ahead(&self) -> Option<bool> {
        let mut expected = *self;
        match expected.note(self.steps.next(), None) {
            Next::Settled(_) => None,
            Next::Pass | Next::Lost => Some(expected.double),
        }
    }

    /// Takes the largest change of a voltage that a pass made (the first one's is the deviation's) and the precision in which
    /// the next one has begun, if it has.
    fn note(&mut self, step: f64, begun: Option<bool>) -> Next {
        self.passes += 1;
        if self.passes == 1 {
            let one = f64::from(f32::EPSILON) / 2.0 * step;
            (self.rounding, self.kept) = (ROUNDINGS * one, KEPT * one);
            self.steps.note(step, RATE_MIN);
            let near = step < DEVIATION_MAX_PU && self.kept < KEPT_MAX * self.goal;
            return if near { Next::Pass } else { Next::Lost };
        }
        let rate = self.steps.quotient(step, RATE_MIN);
        let noise = !self.double && rate > RATE_MAX && step < self.rounding;
        // The first pass in double precision finds what single has left, which does not tell how passes shrink.
        let left = self.double && !self.doubled && step < LEFT / ROUNDINGS * self.rounding;
        if noise || left {
            self.steps.skip(step);
        } else {
            self.steps.note(step, RATE_MIN);
            if !step.is_finite() || (rate > RATE_MAX && step > self.goal) {
                return Next::Lost;
            }
        }
        self.doubled = self.double;
        // What is kept in single precision differs by that from what is found again.
        let kept = self.double && step < self.kept;
        let rate = if left { RATE_LEFT } else { RATE_HIDDEN };
        let missing = if kept { 0.0 } else { (HIDDEN * self.steps.missing()).max(rate * step) };
        let rounding = if self.double { self.kept } else { self.rounding };
        if missing + rounding < self.goal {
            return Next::Settled(self.passes);
        }
        if self.passes >= PASSES_MAX {
            return Next::Lost;
        }
        let done = noise || missing * self.steps.slowest() < self.goal;
        self.double = begun.unwrap_or(self.double || (done && 2.0 * self.rounding > self.goal));
        Next::Pass
    }
}

/// Largest square of a change by lane, and the sum of all, which tells of what is no number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Change {
    largest: Lanes<f32>,
    sum: Lanes<f32>,
}

impl Change {
    pub const NONE: Self = Self { largest: [0.0; LANES], sum: [0.0; LANES] };

    /// Takes note of squares.
    #[inline(always)]
    pub fn note<K: Arithmetic>(&mut self, kit: K, square: Lanes<f32>) {
        self.largest = kit.max8(self.largest, square);
        self.sum = kit.add8(self.sum, square);
    }

    /// The largest change; not finite when one is not.
    fn largest(&self) -> f64 {
        if self.sum.iter().all(|sum| sum.is_finite()) {
            f64::from(self.largest.iter().fold(0.0_f32, |most, one| most.max(*one))).sqrt()
        } else {
            f64::NAN
        }
    }
}

/// Passes of one set or of eight, in double precision or single.
pub(super) trait Passes {
    /// How many chunks there are.
    fn chunks(&self) -> usize;
    /// What has risen to the buses above the chunks, and nobody took: chunks may have begun in vain.
    fn forget_risen(&mut self);
    /// Up in a part: what flows in it, from what is taken at the last voltages.
    fn rise_in(&mut self, part: Part, double: bool);
    /// Down in a part: voltages, from what flows; takes note of how far they moved.
    fn fall_in(&mut self, part: Part, double: bool, change: &mut Change);

    /// Up in all chunks of the tree.
    fn rise(&mut self, double: bool) {
        self.forget_risen();
        for chunk in 0..self.chunks() {
            self.rise_in(Part::Chunk(chunk), double);
        }
    }

    /// Up above the chunks and down everywhere; in each chunk at once `ahead`, up again in the precision of the next pass. The
    /// largest change of a voltage, not finite when one is not.
    fn fall(&mut self, double: bool, ahead: Option<bool>) -> f64 {
        self.rise_in(Part::Upper, double);
        let mut change = Change::NONE;
        self.fall_in(Part::Upper, double, &mut change);
        for chunk in 0..self.chunks() {
            self.fall_in(Part::Chunk(chunk), double, &mut change);
            if let Some(double) = ahead {
                self.rise_in(Part::Chunk(chunk), double);
            }
        }
        change.largest()
    }
}

/// Passes until they settle: how many, `None` when they do not.
pub(super) fn settle(mut course: Course, passes: &mut impl Passes) -> Option<usize> {
    let mut risen = false;
    loop {
        if !risen {
            passes.rise(course.double);
        }
        let ahead = course.ahead();
        let step = passes.fall(course.double, ahead);
        match course.note(step, ahead) {
            Next::Pass => risen = ahead.is_some(),
            Next::Settled(passes) => return Some(passes),
            Next::Lost => return None,
        }
    }
}
