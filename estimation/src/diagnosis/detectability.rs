//! What a set of sensors can show before anything is wrong: how large an error of each must be to be seen, which cannot
//! be seen at all, and which cannot be told apart.

use super::distribution::{each_of, normal_limit};
use super::fitted::{Evidence, Fitted};

/// How well an error of one row would be seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Detectability {
    /// Which row.
    pub row: usize,
    /// The caller's sensor.
    pub sensor: u32,
    /// √(1 − w): the share of an error that stays in its own residual, in deviations (0 … 1). An error of b shows as
    /// b/σ times this.
    pub share: f64,
    /// The smallest error (p.u.) that raises the alarm with the wanted probability; infinite for a critical row.
    pub smallest_pu: f64,
}

impl Detectability {
    /// Whether no error of the row can ever be seen: without it something is not observable.
    pub fn critical(&self) -> bool {
        self.share == 0.0
    }
}

/// Probability that an error of the size told as detectable is missed.
pub const MISSED: f64 = 0.05;

/// The normalised residual that an error must make on average to raise the alarm, when an alarm is false with probability `false_alarm`
/// over all `testable` rows and misses with probability `miss` (Baarda 1968: the non-centrality of the test of one row).
pub fn expected_residual(false_alarm: f64, testable: usize, miss: f64) -> f64 {
    normal_limit(each_of(false_alarm, testable) / 2.0) + normal_limit(miss)
}

/// Detectability of every row when an alarm is false with probability `false_alarm` (over all rows) and misses with
/// probability `miss`.
pub fn detectability(evidence: &Evidence, false_alarm: f64, miss: f64) -> Vec<Detectability> {
    let reach = expected_residual(false_alarm, evidence.testable(), miss);
    let one = |(at, variance): (usize, &f64)| {
        let row = &evidence.rows[at];
        let share = (variance / row.variance).sqrt();
        Detectability { row: at, sensor: row.sensor, share, smallest_pu: reach * row.variance.sqrt() / share }
    };
    evidence.variances.iter().enumerate().map(one).collect()
}

/// Groups of rows that cannot be told apart: their residuals correlate with more than `limit` (0.999999 for critical
/// pairs, [`super::Rules::alike`] for what a test confuses in practice). `among` are the rows to compare (every column of
/// one costs the estimator a solve); rows that go with nobody are left out. `None` when a column is not at hand.
pub fn alike_groups(
    evidence: &Evidence,
    fitted: &dyn Fitted,
    among: &[usize],
    limit: f64,
) -> Option<Vec<Vec<usize>>> {
    let mut group: Vec<usize> = (0..among.len()).collect();
    for (at, row) in among.iter().enumerate() {
        let own = evidence.variances[*row];
        if own <= 0.0 {
            continue;
        }
        let column = fitted.column(*row)?;
        for other in 0..at {
            let there = among[other];
            let variance = evidence.variances[there];
            if variance > 0.0 && column[there].abs() > limit * (own * variance).sqrt() {
                let (old, new) = (group[at].max(group[other]), group[at].min(group[other]));
                group.iter_mut().filter(|g| **g == old).for_each(|g| *g = new);
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); among.len()];
    for (at, group) in group.iter().enumerate() {
        groups[*group].push(among[at]);
    }
    groups.retain(|group| group.len() > 1);
    Some(groups)
}
