//! The careful way to an estimate, for when whole Gauss–Newton steps do not settle: Levenberg–Marquardt steps on the
//! augmented system (Moré 1978, "The Levenberg–Marquardt algorithm: implementation and theory").
//!
//! A step minimises the linearised problem plus `λ/2 |dx|²` under the linearised exact rows; λ stands where the matrix
//! has its ε, and `1/√λ` is how far (p.u.) a voltage is expected to be off. A step counts when it lowers
//!
//! ```text
//! φ(x) = ½ Σ r²/R + ν Σ |r| over exact rows,     ν above every multiplier
//! ```
//!
//! (the exact penalty of Han 1977), and λ follows how well the linearisation foretold it. It ends where a Gauss–Newton
//! step of the regularised system would not move either, so λ has no part in the answer.

use super::bend::Entry;
use super::meter::NO_ROW;
use super::wls::{ROUNDING, SOFT, Wls, plan};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// First λ: voltages are expected to be off by 0.1 p.u.
const DAMPING_FIRST: f64 = 1e2;
/// Beyond this λ (a step of 1e-8 p.u. is a far one) nothing moves any more.
const DAMPING_MAX: f64 = 1e16;
/// Below this λ only the ε of the regularised system is left.
const DAMPING_LEAST: f64 = 1e-9;
/// By how much λ changes at least and at most.
const EASE: f64 = 0.1;
const TIGHTEN: f64 = 4.0;
/// Share of the foretold progress that a step must make, and with which λ may fall.
const PROGRESS_LEAST: f64 = 1e-4;
const PROGRESS_GOOD: f64 = 0.5;
/// Voltages below this are moved straight, p.u.
const TURN_LEAST: f64 = 0.3;
/// Iterations without second derivatives: far from the optimum they mislead.
const STRAIGHT: usize = 5;
/// Most undamped steps at the end.
const SETTLING: usize = 8;
/// How far ν stands above the multipliers.
const PENALTY_MARGIN: f64 = 2.0;

/// What undamped steps do where a damped one moves little.
enum Undamped {
    /// Nothing more: this is the place.
    Rests,
    /// They move this voltage by so much, p.u.
    Moves(f64, usize),
}

impl Wls {
    /// Iterates from the flat start.
    ///
    /// # Errors
    /// [`NoSolution`]: not settled, or not finite.
    pub(super) fn iterate_damped(&mut self, tolerance: &Tolerance) -> Result<usize, NoSolution> {
        self.restart();
        let size = 2 * self.live.len();
        self.widen();
        let (mut damping, mut penalty, mut last) = (DAMPING_FIRST, 0.0_f64, (f64::NAN, 0));
        let (mut tighten, mut iterations) = (TIGHTEN, 0);
        while iterations < tolerance.iterations_max && !self.is_spent(tolerance) {
            iterations += 1;
            let bent = iterations > STRAIGHT;
            let step = self.bent_step(damping, bent)?;
            last = self.largest(&step[..size])?;
            // Little moved: is it λ that holds, or is this the place?
            if last.0 <= 1e3 * tolerance.voltage_pu {
                match self.undamped(tolerance)? {
                    Undamped::Rests => return Ok(iterations),
                    // How far it is from rest, whatever λ lets through.
                    Undamped::Moves(by, bus) => last = (by, bus),
                }
            }
            let pulls = self.mu.iter().zip(&step[size..]).map(|(mu, change)| mu + change);
            let exact = pulls.zip(&self.rows.meters.variance).filter(|(_, variance)| **variance == 0.0);
            penalty = exact.map(|(pull, _)| PENALTY_MARGIN * pull.abs()).fold(penalty, f64::max);
            let before = self.penalised(penalty);
            let foretold =
                self.foretold(&step[size..]) - if bent { 0.5 * self.bent_along(&step[..size]) } else { 0.0 };
            let (from, pulls_from) = (self.x.clone(), self.mu.clone());
            self.turn(&step);
            let promised = before - foretold;
            let mut after = self.penalised(penalty);
            if before - after < PROGRESS_GOOD * promised {
                after = self.follow(after, penalty);
            }
            let share = (before - after) / promised;
            // What is below rounding of φ can neither be foretold nor seen.
            let rounding = promised.abs() <= ROUNDING * (1.0 + before);
            if (promised > 0.0 && share >= PROGRESS_LEAST) || rounding {
                tighten = TIGHTEN;
                if share >= PROGRESS_GOOD || rounding {
                    damping = (damping * EASE).max(DAMPING_LEAST);
                }
                continue;
            }
            self.x = from;
            self.mu = pulls_from;
            self.look();
            (damping, tighten) = (damping * tighten, 2.0 * tighten);
            if damping > DAMPING_MAX {
                break;
            }
        }
        Err(NoSolution::NotSettled { iterations, step_pu: last.0, bus: last.1 })
    }

    /// What undamped steps would do; while they move voltages little, and less and less, they are taken.
    fn undamped(&mut self, tolerance: &Tolerance) -> Result<Undamped, NoSolution> {
        let size = 2 * self.live.len();
        let (mut before, mut last) = (f64::INFINITY, (f64::INFINITY, 0));
        for _ in 0..SETTLING {
            let step = self.bent_step(0.0, true)?;
            last = self.largest(&step[..size])?;
            let moved = last.0;
            if moved <= tolerance.voltage_pu || (moved <= ROUNDING && moved > 0.5 * before) {
                self.go(&step);
                return Ok(Undamped::Rests);
            }
            if moved > 1e3 * tolerance.voltage_pu || moved > 0.5 * before {
                break;
            }
            before = moved;
            self.go(&step);
        }
        Ok(Undamped::Moves(last.0, last.1))
    }

    /// Moves as a step says, voltages along circles: `V exp(dV/V)`. What is hard to see is where a part of the network
    /// stands against the rest, a turn of its phasors; in straight steps a turn would be a long way round a bend.
    fn turn(&mut self, step: &[f64]) {
        let size = 2 * self.live.len();
        for (to, by) in self.x.iter_mut().zip(step.chunks_exact(2)) {
            let by = Complex64::new(by[0], by[1]);
            let share = by / *to;
            *to = if to.norm() > TURN_LEAST && share.re.abs() < 1.0 { *to * share.exp() } else { *to + by };
        }
        for (mu, change) in self.mu.iter_mut().zip(&step[size..]) {
            *mu += change;
        }
        self.look();
    }

    /// After a step, goes where the bend of the rows leads, with the same factors (Transtrum & Sethna 2012, "Improvements
    /// to the Levenberg–Marquardt algorithm"; for exact rows alone it is the second-order correction of Fletcher 1982);
    /// stays when that is no better. Returns φ.
    fn follow(&mut self, after: f64, penalty: f64) -> f64 {
        let size = 2 * self.live.len();
        let mut step = vec![0.0; self.plan.size()];
        let beyond = self.residuals.iter().zip(&self.mu).zip(&self.rows.meters.variance);
        for (value, ((residual, mu), variance)) in step[size..].iter_mut().zip(beyond) {
            *value = residual - variance * mu;
        }
        self.factor.solve(&mut step);
        let (from, pulls_from) = (self.x.clone(), self.mu.clone());
        self.turn(&step);
        let bent = self.penalised(penalty);
        if bent < after {
            return bent;
        }
        self.x = from;
        self.mu = pulls_from;
        self.look();
        after
    }

    /// Makes room in the matrix for how the rows bend.
    fn widen(&mut self) {
        let (mut more, mut entries) = (Vec::new(), Vec::new());
        for meter in &self.rows.meters.meters {
            entries.clear();
            self.rows.meters.bend(meter, &self.x, Complex64::ONE, &mut entries);
            let columns = self.rows.meters.columns_of(meter);
            let at = |place: u32| 2 * columns[place as usize / 2] + place % 2;
            more.extend(lower(&entries).map(|(row, column, _)| (at(row), at(column))));
        }
        self.plan = plan(&self.live, &self.rows.meters, &more);
    }

    /// Where the bends begin among the values.
    fn bends_from(&self) -> usize {
        self.diagonal_from() + self.rows.names.len() + 2 * self.live.len()
    }

    /// A damped step, with the second derivatives of the rows if asked for: then it is one of Newton's method for the
    /// Lagrangian.
    fn bent_step(&mut self, damping: f64, bent: bool) -> Result<Vec<f64>, NoSolution> {
        self.fill(SOFT, damping, &[]);
        if bent {
            let mut values = std::mem::take(&mut self.values);
            values.truncate(self.bends_from());
            let mut entries = Vec::new();
            for meter in &self.rows.meters.meters {
                let pull = |part: usize| match meter.rows[part] {
                    NO_ROW => 0.0,
                    row => self.pull(row as usize),
                };
                entries.clear();
                self.rows.meters.bend(meter, &self.x, Complex64::new(pull(0), -pull(1)), &mut entries);
                values.extend(lower(&entries).map(|entry| entry.2));
            }
            self.values = values;
        }
        self.divide()?;
        Ok(self.solved())
    }

    /// The multiplier of a row at the present voltages.
    fn pull(&self, row: usize) -> f64 {
        let variance = self.rows.meters.variance[row];
        if variance > 0.0 { self.residuals[row] / variance } else { self.mu[row] }
    }

    /// `dxᵀ S dx` with the bends S of the last step.
    fn bent_along(&self, step: &[f64]) -> f64 {
        let from = self.bends_from();
        let entries = self.plan.positions()[from..].iter().zip(&self.values[from..]);
        let along = |(&(row, column), value): (&(u32, u32), &f64)| {
            let twice = if row == column { 1.0 } else { 2.0 };
            twice * step[row as usize] * value * step[column as usize]
        };
        entries.map(along).sum()
    }

    /// φ at the present voltages.
    fn penalised(&self, penalty: f64) -> f64 {
        let weigh = |(residual, &variance): (&f64, &f64)| match variance > 0.0 {
            true => 0.5 * residual * residual / variance,
            false => penalty * residual.abs(),
        };
        self.residuals.iter().zip(&self.rows.meters.variance).map(weigh).sum()
    }

    /// φ as the linearisation foretells it: what a row will be off is its variance times its multiplier.
    fn foretold(&self, change: &[f64]) -> f64 {
        let after = self.mu.iter().zip(change).map(|(mu, change)| mu + change);
        after.zip(&self.rows.meters.variance).map(|(mu, variance)| 0.5 * variance * mu * mu).sum()
    }
}

/// One half of a symmetric matrix, and its diagonal.
fn lower(entries: &[Entry]) -> impl Iterator<Item = Entry> {
    entries.iter().copied().filter(|&(row, column, _)| row >= column)
}
