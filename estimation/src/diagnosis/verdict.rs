//! Are the readings consistent, and if not, whose fault is it?
//!
//! Two tests on the residuals r = z − h(x̂) with covariance Ω = R − H C Hᵀ:
//!
//! - **chi-square**: J = Σ r²/σ² has Σ Ω_ii/σ² degrees of freedom when all errors are as stated. It sees many small
//!   errors together.
//! - **largest normalised residual**: r/√Ω_ii is standard normal; a gross error b in row i shows as b √(1 − w_i)/σ_i
//!   there, and nowhere as large (Abur & Gómez-Expósito, Power System State Estimation, §5.6). It names the row.
//!
//! Either raises the alarm. False alarms of both together stay below [`Rules::false_alarm`]: the chi-square test gets
//! [`CHI_SQUARE_SHARE`] of it, the rest is divided over the testable rows (Šidák; for dependent residuals it is an upper
//! bound), so the limit of the residual grows with the number of rows: 3.9 for 100, 4.4 for 1 000, 5.3 for 100 000.
//!
//! A suspect is deleted by a rank-one update, exactly and without a new solve (of the linearised problem): with the
//! column ω of Ω, r ← r − ω r_i/ω_i, Ω ← Ω − ω ωᵀ/ω_i, J ← J − r_i²/ω_i. After the last deletion all suspects are tried
//! once more against each other: their errors, estimated together, are R Ω_DD⁻¹ r_D with covariance R Ω_DD⁻¹ R (Mili, Van Cutsem
//! & Ribbens-Pavella 1984); who is innocent then is taken back.

use super::distribution::{chi_square_exceeds, chi_square_limit, each_of, normal_limit};
use super::fitted::{Evidence, Fitted};
use nalgebra::{DMatrix, DVector};

/// The part of the false alarms that the chi-square test may cause.
pub const CHI_SQUARE_SHARE: f64 = 0.1;

/// How strict to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Probability of an alarm when nothing is wrong, both tests and all rows together.
    pub false_alarm: f64,
    /// Most suspects to delete.
    pub suspects_max: usize,
    /// Rows whose residuals correlate more than this with a suspect's are named beside it: which of them is wrong cannot
    /// be told. (An error seen as 7 deviations at one of two rows is the larger one there with 95 % up to 0.89.)
    pub alike: f64,
}

impl Default for Rules {
    /// 1 %, 20 suspects, 0.85.
    fn default() -> Self {
        Self { false_alarm: 0.01, suspects_max: 20, alike: 0.85 }
    }
}

/// A row that is probably wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspect {
    /// Which row.
    pub row: usize,
    /// The caller's sensor.
    pub sensor: u32,
    /// Normalised residual when it was found.
    pub normalized: f64,
    /// Error of the reading (measured minus true) as estimated with all suspects together, p.u.
    pub error: f64,
    /// Standard deviation of that, p.u.
    pub error_std: f64,
    /// Other rows that may be meant instead.
    pub alike: Vec<usize>,
}

/// What the residuals say.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// J with all rows.
    pub objective: f64,
    /// Its degrees of freedom.
    pub degrees: f64,
    /// Probability of so large a J when all errors are as stated.
    pub chance: f64,
    /// Limit of the normalised residual.
    pub limit: f64,
    /// Whether something is wrong.
    pub alarm: bool,
    /// Who, most conspicuous first; may be empty after a chi-square alarm.
    pub suspects: Vec<Suspect>,
    /// J without the suspects.
    pub objective_after: f64,
    /// Whether the remaining rows are consistent.
    pub settled: bool,
    /// Set when a column of the residual covariance was not at hand: estimate again without the suspects.
    pub estimate_again: bool,
}

/// Residuals under deletion.
struct Downdate<'a> {
    fitted: &'a dyn Fitted,
    residuals: Vec<f64>,
    variances: Vec<f64>,
    degrees: f64,
    objective: f64,
    meters: Vec<f64>,
    deleted: Vec<(usize, Vec<f64>)>,
}

impl Downdate<'_> {
    /// The most conspicuous row.
    fn largest(&self) -> Option<(usize, f64)> {
        let normalized =
            self.residuals.iter().zip(&self.variances).map(|(r, variance)| match *variance > 0.0 {
                true => r.abs() / variance.sqrt(),
                false => 0.0,
            });
        normalized.enumerate().max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, size)| *size > 0.0)
    }

    /// The present column of Ω.
    fn column(&self, row: usize) -> Option<Vec<f64>> {
        let mut column = self.fitted.column(row)?;
        for (gone, with) in &self.deleted {
            let share = with[row] / with[*gone];
            column.iter_mut().zip(with).for_each(|(x, with)| *x -= share * with);
        }
        Some(column)
    }

    /// Takes a row out; its column.
    fn delete(&mut self, row: usize, column: Vec<f64>) {
        let pivot = column[row];
        let step = self.residuals[row] / pivot;
        self.objective -= self.residuals[row] * step;
        self.degrees = 0.0;
        for (at, with) in column.iter().enumerate() {
            self.residuals[at] -= with * step;
            if self.variances[at] > 0.0 {
                let left = self.variances[at] - with * with / pivot;
                // What becomes critical by the deletion cannot be tested any more.
                self.variances[at] = if left > 1e-6 * self.meters[at] { left } else { 0.0 };
                self.degrees += self.variances[at] / self.meters[at];
            }
        }
        self.variances[row] = 0.0;
        self.deleted.push((row, column));
    }
}

/// Judges the readings behind an estimate.
pub fn judge(evidence: &Evidence, fitted: &dyn Fitted, rules: &Rules) -> Verdict {
    let (objective, degrees) = (evidence.objective(), evidence.degrees());
    let chi_share = rules.false_alarm * CHI_SQUARE_SHARE;
    let each = each_of(rules.false_alarm - chi_share, evidence.testable());
    let limit = normal_limit(each / 2.0);
    let consistent =
        |objective: f64, degrees: f64| degrees < 0.5 || objective <= chi_square_limit(chi_share, degrees);
    let mut state = Downdate {
        fitted,
        residuals: evidence.rows.iter().map(|row| row.residual).collect(),
        variances: evidence.variances.clone(),
        degrees,
        objective,
        meters: evidence.rows.iter().map(|row| row.variance).collect(),
        deleted: Vec::new(),
    };
    let mut suspects: Vec<Suspect> = Vec::new();
    let mut estimate_again = false;
    while suspects.len() < rules.suspects_max {
        let Some((row, normalized)) = state.largest().filter(|(_, size)| *size > limit) else { break };
        let signed = normalized * state.residuals[row].signum();
        let Some(column) = state.column(row) else {
            suspects.push(suspect(evidence, row, signed, Vec::new()));
            estimate_again = true;
            break;
        };
        let alike = alike(&state, row, &column, rules.alike);
        suspects.push(suspect(evidence, row, signed, alike));
        state.delete(row, column);
    }
    let settled = !estimate_again
        && state.largest().is_none_or(|(_, size)| size <= limit)
        && consistent(state.objective, state.degrees);
    let mut verdict = Verdict {
        objective,
        degrees,
        chance: if degrees < 0.5 { 1.0 } else { chi_square_exceeds(objective, degrees) },
        limit,
        alarm: !suspects.is_empty() || !consistent(objective, degrees),
        suspects,
        objective_after: state.objective,
        settled,
        estimate_again,
    };
    if !estimate_again {
        retry(&mut verdict, evidence, fitted, limit);
    }
    verdict
}

fn suspect(evidence: &Evidence, row: usize, normalized: f64, alike: Vec<usize>) -> Suspect {
    let sensor = evidence.rows[row].sensor;
    Suspect { row, sensor, normalized, error: f64::NAN, error_std: f64::NAN, alike }
}

/// Rows whose residuals go with that of a row.
fn alike(state: &Downdate<'_>, row: usize, column: &[f64], limit: f64) -> Vec<usize> {
    let own = column[row];
    let goes_with = |at: usize| {
        let variance = state.variances[at];
        at != row && variance > 0.0 && column[at].abs() > limit * (variance * own).sqrt()
    };
    (0..column.len()).filter(|at| goes_with(*at)).collect()
}

/// Estimates the errors of all suspects together and takes back who is innocent.
fn retry(verdict: &mut Verdict, evidence: &Evidence, fitted: &dyn Fitted, limit: f64) {
    while !verdict.suspects.is_empty() {
        let rows: Vec<usize> = verdict.suspects.iter().map(|suspect| suspect.row).collect();
        let columns: Option<Vec<Vec<f64>>> = rows.iter().map(|row| fitted.column(*row)).collect();
        let Some(columns) = columns else { return };
        let count = rows.len();
        let joint = DMatrix::from_fn(count, count, |a, b| columns[b][rows[a]]);
        let residuals = DVector::from_iterator(count, rows.iter().map(|row| evidence.rows[*row].residual));
        let Some(inverse) = joint.try_inverse() else { return };
        let errors = &inverse * &residuals;
        verdict.objective_after = verdict.objective - residuals.dot(&errors);
        let mut innocent = None;
        for (at, suspect) in verdict.suspects.iter_mut().enumerate() {
            let meter = evidence.rows[suspect.row].variance;
            suspect.error = meter * errors[at];
            suspect.error_std = meter * inverse[(at, at)].max(0.0).sqrt();
            let size = suspect.error.abs() / suspect.error_std;
            if size <= limit && innocent.is_none_or(|(_, least)| size < least) {
                innocent = Some((at, size));
            }
        }
        match innocent {
            Some((at, _)) => verdict.suspects.remove(at),
            None => return,
        };
    }
}
