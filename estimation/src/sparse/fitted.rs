//! An estimate with its factor, for what is asked of it afterwards (`crate::diagnosis`): variances of rows, columns of
//! the residual covariance, the linearised problem with other values. Each is one solve:
//!
//! ```text
//! ⎡ 0  Hᵀ ⎤ ⎡ x ⎤   ⎡ 0 ⎤
//! ⎣ H  R  ⎦ ⎣ μ ⎦ = ⎣ z ⎦     has μ = R⁻¹ (z − H x), x the estimate from the values z.
//! ```
//!
//! With z a unit vector times its variance, R μ is a column of Ω = R − H C Hᵀ.

use super::factor::Room;
use super::rows::RowOf;
use super::wls::{Estimated, SOFT, Wls};
use crate::circuit::{Circuit, Readings};
use crate::diagnosis::{Fits, Fitted};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;

/// The general estimator as what tests of estimates ask.
#[derive(Debug, Clone, Copy, Default)]
pub struct General {
    /// When to stop.
    pub tolerance: Tolerance,
}

/// An estimate that keeps its factor.
#[derive(Debug)]
pub struct Kept {
    wls: Wls,
    voltages: Vec<Complex64>,
    /// Rows of readings, in order.
    rows: Vec<usize>,
    /// Rows of wires that take nothing, in the order of the wires: real part, then imaginary.
    exact: Vec<usize>,
}

impl General {
    /// Estimates.
    ///
    /// # Errors
    /// As [`Wls::estimate`].
    pub fn keep(&self, circuit: &Circuit, readings: &Readings) -> Result<Kept, NoSolution> {
        let mut wls = Wls::new(circuit, readings)?;
        let estimated = wls.estimate(&self.tolerance)?;
        Self::kept(wls, estimated)
    }

    /// Estimates from voltages (p.u. by global wire) near the optimum.
    ///
    /// # Errors
    /// As [`Wls::estimate`].
    pub fn keep_from(
        &self,
        circuit: &Circuit,
        readings: &Readings,
        voltages: &[Complex64],
    ) -> Result<Kept, NoSolution> {
        let mut wls = Wls::new(circuit, readings)?;
        let estimated = wls.estimate_from(voltages, &self.tolerance)?;
        Self::kept(wls, estimated)
    }

    fn kept(mut wls: Wls, estimated: Estimated) -> Result<Kept, NoSolution> {
        let soft = if wls.soft { SOFT } else { 0.0 };
        wls.refactor(soft)?;
        let (mut rows, mut exact) = (Vec::new(), Vec::new());
        for (at, row) in estimated.rows.iter().enumerate() {
            match row.of {
                RowOf::Nothing(wire) => exact.push((wire, at)),
                RowOf::Reference(_) => {}
                _ => rows.push(at),
            }
        }
        exact.sort_unstable();
        let exact = exact.into_iter().map(|(_, at)| at).collect();
        Ok(Kept { wls, voltages: estimated.voltages, rows, exact })
    }
}

impl Fits for General {
    fn fit(&self, circuit: &Circuit, readings: &Readings) -> Result<Box<dyn Fitted>, NoSolution> {
        Ok(Box::new(self.keep(circuit, readings)?))
    }
}

impl Kept {
    /// R⁻¹ (z − H x) of every row.
    fn weighed(&self, z: impl Iterator<Item = (usize, f64)>) -> Vec<f64> {
        let size = 2 * self.wls.live.len();
        let mut right = vec![0.0; self.wls.plan.size()];
        for (row, value) in z {
            right[size + row] = value;
        }
        self.wls.factor.solve(&mut right);
        right.split_off(size)
    }

    fn variance(&self, row: usize) -> f64 {
        self.wls.rows.meters.variance[row]
    }

    /// Variance of the estimated value of a row of the system: one solve along a path.
    fn estimated(&self, row: usize, room: &mut Room<f64>) -> f64 {
        let stated = self.variance(row);
        if stated <= 0.0 {
            return 0.0;
        }
        let at = 2 * self.wls.live.len() + row;
        let found = self.wls.factor.solve_some(&[(at, stated)], &[at], room);
        found.first().map_or(0.0, |mu| stated - stated * mu)
    }

    /// Variance of the estimated value of some readings' rows (numbered as [`Fitted::variances`]), p.u.².
    pub fn variances_of(&self, rows: &[usize]) -> Vec<f64> {
        let mut room = Room::default();
        rows.iter().map(|&row| self.estimated(self.rows[row], &mut room)).collect()
    }
}

impl Fitted for Kept {
    fn voltages(&self) -> &[Complex64] {
        &self.voltages
    }

    fn variances(&self) -> Vec<f64> {
        let mut room = Room::default();
        self.rows.iter().map(|&row| self.estimated(row, &mut room)).collect()
    }

    fn column(&self, row: usize) -> Option<Vec<f64>> {
        let at = self.rows[row];
        let mu = self.weighed(std::iter::once((at, self.variance(at))));
        Some(self.rows.iter().map(|row| self.variance(*row) * mu[*row]).collect())
    }

    fn pulls(&self) -> Vec<Complex64> {
        let mu = |row: &usize| self.wls.mu[*row];
        self.exact.chunks(2).map(|pair| Complex64::new(mu(&pair[0]), mu(&pair[1]))).collect()
    }

    fn misfit(&self, rows: &[f64], drawn: &[Complex64]) -> Option<f64> {
        let readings = self.rows.iter().copied().zip(rows.iter().copied());
        let exact = self.exact.iter().copied().zip(drawn.iter().flat_map(|i| [i.re, i.im]));
        let mu = self.weighed(readings.chain(exact));
        Some(self.rows.iter().map(|row| self.variance(*row) * mu[*row] * mu[*row]).sum())
    }
}
