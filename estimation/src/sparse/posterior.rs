//! How well an estimate is known: what is determined at all, and the covariance of anything, one solve along a path each.
//!
//! With `K` the augmented matrix, `K (μ, x) = (0, −g)` has `x = C g`, where `C = (Hᵀ R⁻¹ H)⁻¹` on the wires that exact
//! rows leave free: the posterior covariance (Abur & Expósito 2004, section 5.3).
//!
//! What is not determined is found with a diffuse prior of weight ε on every unknown: `x = (Hᵀ R⁻¹ H + ε)⁻¹ ε w` for a
//! random `w` is w's part in the null space, plus something that shrinks with ε. Two scales of ε tell them apart. Which
//! way the null space lies does not depend on how exact a reading is, so all rows weigh the same here.

use super::factor::Room;
use super::meter::NO_ROW;
use super::stamp::EARTH;
use super::wls::{SOFT, Wls};
use crate::solve::NoSolution;
use std::cell::RefCell;

/// The two scales of the diffuse prior; rows of H have largest entry one.
const SCALES: [f64; 2] = [1e-11, 1e-13];
/// What is left of a random number in ±1 at a wire that is not determined.
const LEFT: f64 = 1e-6;

/// Which wires the readings determine, by global wire number (dead wires: not).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observability {
    /// With everything.
    pub determined: Vec<bool>,
    /// Without pseudo-measurements.
    pub measured: Vec<bool>,
}

/// Corrections of a solve, at most, and the change of a covariance that needs no other.
const CORRECTIONS_MAX: usize = 20;
const SETTLED: f64 = 1e-10;
/// Largest system whose solves are corrected: a correction costs a whole solve, and there is one per wire and more.
const CORRECTED_MAX: usize = 4000;
/// What a trial solve may leave of its right-hand side; factors that leave more (an elimination whose pivots grew, a
/// regularised matrix) have every solve corrected.
const UNCORRECTED: f64 = 1e-11;

/// Covariances at an estimate; keeps the factor.
#[derive(Debug)]
pub struct Posterior<'a> {
    pub(super) wls: &'a Wls,
    room: RefCell<Room<f64>>,
    /// What the factorized matrix has too much on its diagonal; empty where it is the matrix itself.
    added: Vec<f64>,
    /// Whether solves are corrected until they settle.
    careful: bool,
}

impl Wls {
    /// Which wires are determined, in the linearisation at the present estimate (at the start, before there is one).
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix has no finite values.
    pub fn observability(&mut self) -> Result<Observability, NoSolution> {
        let determined = self.probe(&[])?;
        let mut without: Vec<u32> = Vec::new();
        for &meter in &self.rows.pseudo {
            without.extend(self.rows.meters.meters[meter as usize].rows.iter().filter(|row| **row != NO_ROW));
        }
        without.sort_unstable();
        let measured = if without.is_empty() { determined.clone() } else { self.probe(&without)? };
        Ok(Observability { determined, measured })
    }

    fn probe(&mut self, without: &[u32]) -> Result<Vec<bool>, NoSolution> {
        let size = 2 * self.live.len();
        let mut answers: Vec<Vec<f64>> = Vec::new();
        for soft in SCALES {
            self.fill(soft, 0.0, without);
            self.weigh_alike(soft, without);
            // What the answers grow by tells, so that they have to be right at once.
            self.factor.refuse_weak();
            if self.factor.factorize(&self.plan, &self.values).is_none() {
                return Err(NoSolution::Singular { bus: 0 });
            }
            let first = self.diagonal_from() + self.rows.names.len();
            for seed in [1_u64, 2] {
                let mut right = vec![0.0; self.plan.size()];
                for (at, value) in right[..size].iter_mut().enumerate() {
                    // ε stands in the matrix with a minus.
                    *value = self.values[first + at] * draw(seed, at as u64);
                }
                self.factor.solve(&mut right);
                answers.push(right);
            }
        }
        let mut found = vec![false; self.live.unknown.len()];
        for (unknown, &wire) in self.live.wire.iter().enumerate() {
            let open = [2 * unknown, 2 * unknown + 1].into_iter().any(|at| {
                (0..2).any(|seed| {
                    let (coarse, fine) = (answers[seed][at].abs(), answers[2 + seed][at].abs());
                    !fine.is_finite() || (fine > LEFT && fine > 0.3 * coarse)
                })
            });
            found[wire as usize] = !open;
        }
        Ok(found)
    }

    /// Replaces variances by the squares of the rows' largest entries, and every ε by the same.
    fn weigh_alike(&mut self, soft: f64, without: &[u32]) {
        let (first, rows) = (self.diagonal_from(), self.rows.names.len());
        for row in (0..rows).filter(|row| without.binary_search(&(*row as u32)).is_err()) {
            let entries = &self.h[self.rows.meters.entries[row].clone()];
            let most = entries.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            self.values[first + row] = if most > 0.0 { most * most } else { 1.0 };
        }
        let end = first + rows + 2 * self.live.len();
        self.values[first + rows..end].fill(-soft);
    }

    /// Factorizes at the estimate, for covariances.
    ///
    /// # Errors
    /// [`NoSolution`] when the matrix cannot be factorized.
    pub fn posterior(&mut self) -> Result<Posterior<'_>, NoSolution> {
        self.refactor(if self.soft { SOFT } else { 0.0 })?;
        let added = if self.soft { self.added() } else { Vec::new() };
        let mut posterior = Posterior { wls: self, room: RefCell::default(), added, careful: true };
        posterior.careful = posterior.wls.plan.size() <= CORRECTED_MAX
            && (!posterior.added.is_empty() || posterior.left_of_a_trial() > UNCORRECTED);
        Ok(posterior)
    }

    /// The diagonal of the regularised matrix less that of the true one.
    fn added(&self) -> Vec<f64> {
        let (first, rows) = (self.diagonal_from(), self.rows.names.len());
        let unknowns = &self.values[first + rows..][..2 * self.live.len()];
        let rows = self.values[first..].iter().zip(&self.rows.meters.variance).map(|(soft, own)| soft - own);
        unknowns.iter().copied().chain(rows).collect()
    }
}

impl Posterior<'_> {
    /// Some entries of `C g` for a combination of unknowns `(unknown, weight)`.
    fn times(&self, g: &[(usize, f64)], wanted: &[usize]) -> Vec<f64> {
        let right: Vec<(usize, f64)> = g.iter().map(|&(at, weight)| (at, -weight)).collect();
        if !self.careful {
            return self.wls.factor.solve_some(&right, wanted, &mut self.room.borrow_mut());
        }
        self.times_corrected(&right, wanted)
    }

    /// The same by `x ← x + K̃⁻¹ (b − K x)` with the factors of K̃.
    fn times_corrected(&self, right: &[(usize, f64)], wanted: &[usize]) -> Vec<f64> {
        let mut b = vec![0.0; self.wls.plan.size()];
        right.iter().for_each(|&(at, value)| b[at] += value);
        let mut x = b.clone();
        self.wls.factor.solve(&mut x);
        let mut before = f64::INFINITY;
        for _ in 0..CORRECTIONS_MAX {
            let mut by = self.left(&b, &x);
            self.wls.factor.solve(&mut by);
            let most = |of: &[f64]| wanted.iter().fold(0.0_f64, |most, &at| most.max(of[at].abs()));
            let (change, size) = (most(&by), most(&x));
            // Nothing determines what does not come to rest.
            if change > 0.5 * before {
                break;
            }
            before = change;
            x.iter_mut().zip(&by).for_each(|(x, by)| *x += by);
            if change <= SETTLED * size {
                break;
            }
        }
        wanted.iter().map(|&at| x[at]).collect()
    }

    /// `b − K x` with the true matrix.
    fn left(&self, b: &[f64], x: &[f64]) -> Vec<f64> {
        let mut left = b.to_vec();
        self.wls.plan.subtract(&self.wls.values, x, &mut left);
        for ((left, x), added) in left.iter_mut().zip(x).zip(&self.added) {
            *left += added * x;
        }
        left
    }

    /// Which share of a right-hand side that touches everything a solve leaves.
    fn left_of_a_trial(&self) -> f64 {
        let b: Vec<f64> = (0..self.wls.plan.size() as u64).map(|at| draw(3, at)).collect();
        let mut x = b.clone();
        self.wls.factor.solve(&mut x);
        self.wls.factor.weighted(&self.left(&b, &x)) / self.wls.factor.weighted(&b)
    }

    /// Covariances of a combination of unknowns with itself and others, all of which look at unknowns of the first alone.
    pub(super) fn covariances<const M: usize>(
        &self,
        g: &[(usize, f64)],
        others: [&[(usize, f64)]; M],
    ) -> (f64, [f64; M]) {
        let mut wanted: Vec<usize> = g.iter().map(|entry| entry.0).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let x = self.times(g, &wanted);
        let with = |other: &[(usize, f64)]| -> f64 {
            let parts =
                other.iter().filter_map(|&(at, weight)| Some((wanted.binary_search(&at).ok()?, weight)));
            parts.map(|(place, weight)| x[place] * weight).sum()
        };
        (with(g).max(0.0), others.map(with))
    }

    pub(super) fn variance(&self, g: &[(usize, f64)]) -> f64 {
        let wanted: Vec<usize> = g.iter().map(|entry| entry.0).collect();
        let x = self.times(g, &wanted);
        g.iter().zip(x).map(|(&(_, weight), x)| x * weight).sum::<f64>().max(0.0)
    }

    /// Standard deviation of a voltage magnitude, p.u.; `None` for dead wires.
    pub fn magnitude_std(&self, wire: usize) -> Option<f64> {
        let unknown = *self.wls.live.unknown.get(wire).filter(|unknown| **unknown != EARTH)? as usize;
        let v = self.wls.x[unknown];
        let unit = v / v.norm();
        Some(self.variance(&[(2 * unknown, unit.re), (2 * unknown + 1, unit.im)]).sqrt())
    }

    /// Covariance of (re, im) of two voltages, p.u.²; `None` for dead wires.
    pub fn covariance(&self, wire: usize, other: usize) -> Option<[[f64; 2]; 2]> {
        let at = |wire: usize| {
            self.wls.live.unknown.get(wire).filter(|unknown| **unknown != EARTH).map(|&u| u as usize)
        };
        let (row, column) = (at(wire)?, at(other)?);
        let mut all = [[0.0; 2]; 2];
        for part in 0..2 {
            let x = self.times(&[(2 * column + part, 1.0)], &[2 * row, 2 * row + 1]);
            (all[0][part], all[1][part]) = (x[0], x[1]);
        }
        Some(all)
    }

    /// Standard deviation of the estimated value of a row.
    pub fn estimated_std(&self, row: usize) -> f64 {
        self.variance(&self.row(row)).sqrt()
    }

    /// Standard deviation that the residual of a row should have, `R − h C hᵀ`; zero for a critical row.
    pub fn residual_std(&self, row: usize) -> f64 {
        let stated = self.wls.rows.meters.variance[row];
        let left = stated - self.variance(&self.row(row));
        if left > 1e-9 * stated { left.sqrt() } else { 0.0 }
    }

    /// The entries of a row of H.
    fn row(&self, row: usize) -> Vec<(usize, f64)> {
        let range = self.wls.rows.meters.entries[row].clone();
        let positions = &self.wls.plan.positions()[range.clone()];
        positions.iter().zip(&self.wls.h[range]).map(|(at, &value)| (at.1 as usize, value)).collect()
    }
}

/// A fixed random number in ±1; not a mere sign, which regular null vectors would cancel.
fn draw(seed: u64, at: u64) -> f64 {
    // splitmix64
    let mut z = (at + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed << 32);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[cfg(test)]
impl Posterior<'_> {
    pub(super) fn lost(&self) -> Vec<u32> {
        self.wls.factor.lost().to_vec()
    }
}
