//! What a test of an estimate asks of the estimator that made it.

use super::rows::{self, Row};
use crate::circuit::{Circuit, Readings};
use crate::solve::NoSolution;
use num_complex::Complex64;

/// An estimate with its factors at hand. Rows are numbered as in [`rows::rows`], exact wires as in
/// [`rows::exact_wires`].
pub trait Fitted {
    /// Voltage of every wire, p.u.
    fn voltages(&self) -> &[Complex64];

    /// Variance of the estimated value of every row (the diagonal of H C Hᵀ), p.u.².
    fn variances(&self) -> Vec<f64>;

    /// Covariance of the residual of one row with that of every row (a column of Ω = R − H C Hᵀ); `None` when the
    /// estimator cannot give it without a new solve.
    fn column(&self, row: usize) -> Option<Vec<f64>>;

    /// For every exact wire: how half the objective grows with a current (p.u.) that is drawn there on top, real and
    /// imaginary part (the multipliers of the current balance).
    fn pulls(&self) -> Vec<Complex64>;

    /// The least weighted sum of squares of the linearised problem with `rows` in place of the measured values and
    /// `drawn` in place of the zero currents of the exact wires; `None` as for [`Fitted::column`].
    fn misfit(&self, rows: &[f64], drawn: &[Complex64]) -> Option<f64>;
}

/// Makes estimates.
pub trait Fits {
    /// Estimates.
    ///
    /// # Errors
    /// [`NoSolution`] when there is none.
    fn fit(&self, circuit: &Circuit, readings: &Readings) -> Result<Box<dyn Fitted>, NoSolution>;
}

/// The residuals of an estimate with their variances.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Every number of every reading.
    pub rows: Vec<Row>,
    /// Variance of each residual, p.u.²: meter minus estimated value; zero for a critical row.
    pub variances: Vec<f64>,
}

/// Below this share of the meter's variance a residual says nothing: the row is critical, or nearly so.
const CRITICAL: f64 = 1e-6;

impl Evidence {
    /// Compares an estimate with its readings.
    pub fn new(circuit: &Circuit, readings: &Readings, fitted: &dyn Fitted) -> Self {
        Self::of(rows::rows(circuit, readings, fitted.voltages()), fitted)
    }

    /// The same of rows that are known already.
    pub fn of(rows: Vec<Row>, fitted: &dyn Fitted) -> Self {
        let clear = |(row, estimated): (&Row, f64)| {
            let variance = row.variance - estimated;
            if variance > CRITICAL * row.variance { variance } else { 0.0 }
        };
        let variances = rows.iter().zip(fitted.variances()).map(clear).collect();
        Self { rows, variances }
    }

    /// Weighted sum of squared residuals, J.
    pub fn objective(&self) -> f64 {
        objective(&self.rows)
    }

    /// Degrees of freedom of J: the redundancies 1 − w added up, which is the number of rows less that of what they
    /// determine (the trace of a projection).
    pub fn degrees(&self) -> f64 {
        self.rows
            .iter()
            .zip(&self.variances)
            .filter(|(r, _)| r.variance > 0.0)
            .map(|(r, v)| v / r.variance)
            .sum()
    }

    /// Rows whose residual says something.
    pub fn testable(&self) -> usize {
        self.variances.iter().filter(|variance| **variance > 0.0).count()
    }
}

/// Weighted sum of squared residuals, J.
pub(super) fn objective(rows: &[Row]) -> f64 {
    let weighed = |row: &Row| row.residual * row.residual / row.variance;
    rows.iter().filter(|row| row.variance > 0.0).map(weighed).sum()
}
