//! Whole Gauss–Newton steps: when factors are made, and when it is given up.

use super::wls::{ROUNDING, SOFT, Wls};
use crate::solve::{NoSolution, Tolerance};

/// Below this step an old factor is good enough, while it still makes steps this much smaller.
const KEEP_BELOW: f64 = 2e-3;
const KEEP_RATE: f64 = 0.1;
/// Most whole steps.
const WHOLE_STEPS: usize = 25;
/// So many whole steps are made however large the network is, and more while each is so much smaller than the one before.
const WHOLE_STEPS_LEAST: usize = 5;
const SETTLES: f64 = 0.2;
/// Steps that do not shrink by this are stuck; after so many of them damped ones take over.
const STUCK: f64 = 0.9;
const STUCK_MAX: usize = 4;
/// A step beyond this leads nowhere (p.u.): rounding decided, not measurements, or the linearisation is worth nothing.
const WILD: f64 = 1e3;
/// Of the regularised system, where what nothing determines may move far once; that steps beyond [`WILD`] grow is not that.
const WILD_SOFT: f64 = 1e6;

/// What whole steps begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// New factors.
    Factorizes,
    /// The factors there are, for as long as steps on them shrink by [`KEEP_RATE`].
    OnOldFactors,
}

impl Wls {
    /// Whole steps from the flat start.
    pub(super) fn iterate(&mut self, tolerance: &Tolerance) -> Result<usize, NoSolution> {
        self.restart();
        self.whole_steps(tolerance, Begin::Factorizes)
    }

    /// Whole steps from where it stands.
    pub(super) fn whole_steps(&mut self, tolerance: &Tolerance, begin: Begin) -> Result<usize, NoSolution> {
        let size = 2 * self.live.len();
        let (mut keep, mut before, mut last, mut stuck) =
            (begin == Begin::OnOldFactors, f64::INFINITY, (f64::NAN, 0), 0);
        let mut old = keep;
        let soft = if self.soft { SOFT } else { 0.0 };
        let mut iterations = 0;
        while iterations < tolerance.iterations_max.min(WHOLE_STEPS) {
            iterations += 1;
            old &= keep;
            let step = if keep { self.solved() } else { self.step(soft, 0.0)? };
            last = self.largest(&step[..size])?;
            let most = if self.soft && last.0 < before { WILD_SOFT } else { WILD };
            if last.0 > most {
                return Err(NoSolution::NotFinite { bus: last.1 });
            }
            self.go(&step);
            stuck = if last.0 > STUCK * before { stuck + 1 } else { 0 };
            if last.0 <= tolerance.voltage_pu || (last.0 <= ROUNDING && stuck > 0 && !keep) {
                return Ok(iterations);
            }
            let too_much =
                iterations >= WHOLE_STEPS_LEAST && last.0 > SETTLES * before && self.is_spent(tolerance);
            if too_much || (stuck >= STUCK_MAX && last.0 > ROUNDING) {
                break;
            }
            keep = (old || last.0 < KEEP_BELOW) && (last.0 < KEEP_RATE * before || !keep);
            before = last.0;
        }
        Err(NoSolution::NotSettled { iterations, step_pu: last.0, bus: last.1 })
    }
}
