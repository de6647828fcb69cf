//! A dual simplex for problems that grow: bounded columns, rows added when they are violated, a sparse basis
//! (`factor.rs`), steepest edges. All costs are at least 0 and all columns begin at their lower bound, so the first
//! basis is dual feasible, and stays so when rows come or bounds move.
//!
//! Minimise Σ cⱼxⱼ with Σ aᵢⱼxⱼ + wᵢ = bᵢ, 0 ≤ wᵢ ≤ rangeᵢ, lower ≤ x ≤ upper.

use super::factor::Factor;

const FEASIBLE: f64 = 1e-7;
const PIVOT_MIN: f64 = 1e-9;
/// Exchanges after which the basis is factored anew.
const EXCHANGES_MAX: usize = 64;

/// Candidates that are sorted at first.
const NEAR: usize = 48;
/// Candidates this near to each other are alike.
const AS_NEAR: f64 = 1e-12;

/// How a solve ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Optimal,
    /// No point satisfies rows and bounds.
    Infeasible,
    /// More pivots than allowed, or numbers that cannot be trusted.
    Stopped,
}

/// Where a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Basic(u32),
    Lower,
    Upper,
}

/// Vectors of one pivot.
#[derive(Debug, Default)]
struct Buffers {
    /// A row of the inverse, by constraint, and that times all columns.
    inverse_row: Vec<f64>,
    alpha: Vec<f64>,
    /// Columns whose `alpha` was touched, each once, and the pivot that did it last.
    touched: Vec<u32>,
    touched_by: Vec<u64>,
    turn: u64,
    /// The column that comes, by position.
    column: Vec<f64>,
    edge: Vec<f64>,
    candidates: Vec<(f64, u32)>,
}

#[derive(Debug, Default)]
pub(super) struct Simplex {
    cost: Vec<f64>,
    lower: Vec<f64>,
    upper: Vec<f64>,
    place: Vec<Place>,
    reduced: Vec<f64>,
    columns: Vec<Vec<(u32, f64)>>,
    rows: Vec<Vec<(u32, f64)>>,
    rhs: Vec<f64>,
    basic: Vec<u32>,
    values: Vec<f64>,
    /// Squared length of each position's row of the inverse.
    weights: Vec<f64>,
    factor: Factor,
    /// Rows or bounds came since the values were made.
    stale: bool,
    pivots: usize,
    /// Pivots times rows, summed.
    pub effort: u64,
    buffers: Buffers,
}

impl Simplex {
    /// A column in no row yet, at its lower bound.
    pub fn column(&mut self, cost: f64, lower: f64, upper: f64) -> u32 {
        self.cost.push(cost);
        self.lower.push(lower);
        self.upper.push(upper);
        self.place.push(Place::Lower);
        self.reduced.push(cost);
        self.columns.push(Vec::new());
        (self.cost.len() - 1) as u32
    }

    /// Adds Σ a·x + w = rhs with 0 ≤ w ≤ range.
    pub fn row(&mut self, entries: Vec<(u32, f64)>, rhs: f64, range: f64) {
        let m = self.rows.len();
        let slack = self.column(0.0, 0.0, range);
        let mut value = rhs;
        for &(column, a) in &entries {
            value -= a * self.value(column);
            self.columns[column as usize].push((m as u32, a));
        }
        self.columns[slack as usize].push((m as u32, 1.0));
        self.place[slack as usize] = Place::Basic(m as u32);
        self.basic.push(slack);
        self.values.push(value);
        let mut entries = entries;
        entries.push((slack, 1.0));
        self.rows.push(entries);
        self.rhs.push(rhs);
        self.stale = true;
    }

    pub fn value(&self, column: u32) -> f64 {
        let column = column as usize;
        match self.place[column] {
            Place::Basic(row) => self.values[row as usize],
            Place::Lower => self.lower[column],
            Place::Upper => self.upper[column],
        }
    }

    /// What a unit more of a column costs.
    pub fn reduced(&self, column: u32) -> f64 {
        self.reduced[column as usize]
    }

    pub fn objective(&self) -> f64 {
        (0..self.cost.len())
            .map(|j| if self.cost[j] == 0.0 { 0.0 } else { self.cost[j] * self.value(j as u32) })
            .sum()
    }

    pub fn bounds(&self, column: u32) -> (f64, f64) {
        (self.lower[column as usize], self.upper[column as usize])
    }

    /// Moves the bounds of a column; the basis stays dual feasible.
    pub fn set_bounds(&mut self, column: u32, lower: f64, upper: f64) {
        let j = column as usize;
        if self.lower[j] == lower && self.upper[j] == upper {
            return;
        }
        if let Place::Basic(_) = self.place[j] {
            (self.lower[j], self.upper[j]) = (lower, upper);
            return;
        }
        let before = self.value(column);
        (self.lower[j], self.upper[j]) = (lower, upper);
        self.place[j] =
            if self.reduced[j] >= 0.0 || upper.is_infinite() { Place::Lower } else { Place::Upper };
        self.stale |= self.value(column) != before;
    }

    /// Makes the basis feasible, in at most `limit` pivots, or ends when the objective is beyond `cutoff`: it only grows.
    pub fn solve(&mut self, limit: usize, cutoff: f64) -> End {
        let stop = self.pivots + limit;
        if self.stale && !self.renew() {
            return End::Stopped;
        }
        let mut doubts = 0;
        loop {
            let Some((row, below)) = self.leaving() else {
                if self.factor.exchanges() == 0 {
                    return End::Optimal;
                }
                // Said by exact values only.
                if !self.renew() {
                    return End::Stopped;
                }
                if self.leaving().is_none() {
                    return End::Optimal;
                }
                continue;
            };
            if self.pivots.is_multiple_of(8) && self.objective() > cutoff {
                return End::Optimal;
            }
            if self.pivots >= stop || doubts > 20 {
                return End::Stopped;
            }
            match self.pivot(row, below) {
                Step::Made => {}
                Step::Doubtful => {
                    doubts += 1;
                    if !self.renew() {
                        return End::Stopped;
                    }
                }
                Step::Infeasible => return End::Infeasible,
            }
            self.pivots += 1;
            self.effort += self.rows.len() as u64;
            if self.factor.exchanges() >= EXCHANGES_MAX && !self.renew() {
                return End::Stopped;
            }
        }
    }

    /// The position whose value breaks its bounds most, by the length of its row of the inverse.
    fn leaving(&self) -> Option<(usize, bool)> {
        let mut best: Option<(f64, usize, bool)> = None;
        for (row, &column) in self.basic.iter().enumerate() {
            let (value, j) = (self.values[row], column as usize);
            let short = self.lower[j] - value;
            let over = value - self.upper[j];
            let worst = short.max(over);
            if worst > FEASIBLE {
                let score = worst * worst / self.weights[row];
                if best.is_none_or(|(most, ..)| score > most) {
                    best = Some((score, row, short > over));
                }
            }
        }
        best.map(|(_, row, below)| (row, below))
    }

    fn pivot(&mut self, row: usize, below: bool) -> Step {
        let mut buffers = std::mem::take(&mut self.buffers);
        let step = self.pivot_with(row, below, &mut buffers);
        self.buffers = buffers;
        step
    }

    fn pivot_with(&mut self, row: usize, below: bool, buffers: &mut Buffers) -> Step {
        let leaving = self.basic[row] as usize;
        let bound = if below { self.lower[leaving] } else { self.upper[leaving] };
        self.row_of(row, buffers);
        let sign = if below { -1.0 } else { 1.0 };
        let (alpha, candidates) = (&buffers.alpha, &mut buffers.candidates);
        candidates.clear();
        for j in buffers.touched.iter().map(|&j| j as usize) {
            let a = alpha[j] * sign;
            let moves = match self.place[j] {
                Place::Basic(_) => false,
                Place::Lower => a > PIVOT_MIN && self.upper[j] > self.lower[j],
                Place::Upper => a < -PIVOT_MIN && self.upper[j] > self.lower[j],
            };
            if moves {
                candidates.push((self.reduced[j].abs() / a.abs(), j as u32));
            }
        }
        let far = (self.values[row] - bound).abs();
        let (entering, passed) = self.nearest(candidates, alpha, far);
        let Some(entering) = entering else {
            // With exchanges since the factors were made the row may be wrong.
            return if self.factor.exchanges() == 0 { Step::Infeasible } else { Step::Doubtful };
        };
        let entering = entering as usize;
        let column = &mut buffers.column;
        self.expand(entering, column);
        self.factor.forward(column);
        let pivot = column[row];
        // The same number by a row and by a column.
        let drifted = (pivot - alpha[entering]).abs() > 1e-7 * (1.0 + pivot.abs());
        if pivot.abs() < PIVOT_MIN || drifted && self.factor.exchanges() > 0 {
            return Step::Doubtful;
        }
        if passed > 0 {
            self.flip(&buffers.candidates[..passed], &mut buffers.edge);
        }
        self.exchange(row, below, entering, buffers);
        Step::Made
    }

    /// Sorts as many candidates as it takes, the nearest first, and looks at them (`entering`).
    fn nearest(&self, candidates: &mut [(f64, u32)], alpha: &[f64], far: f64) -> (Option<u32>, usize) {
        let order = |a: &(f64, u32), b: &(f64, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        if candidates.len() > 2 * NEAR {
            candidates.select_nth_unstable_by(NEAR, order);
            let (near, others) = candidates.split_at_mut(NEAR);
            near.sort_unstable_by(order);
            let (entering, passed) = self.entering(near, alpha, far);
            let as_near = |other: &(f64, u32)| other.0 <= near[passed].0 + AS_NEAR;
            if entering.is_some() && !others.iter().any(as_near) {
                return (entering, passed);
            }
        }
        candidates.sort_unstable_by(order);
        self.entering(candidates, alpha, far)
    }

    /// Which candidate comes, and how many before it turn to their other bound on a way this far.
    fn entering(&self, candidates: &[(f64, u32)], alpha: &[f64], far: f64) -> (Option<u32>, usize) {
        let mut left = far;
        for (at, &(ratio, j)) in candidates.iter().enumerate() {
            let reach = (self.upper[j as usize] - self.lower[j as usize]) * alpha[j as usize].abs();
            // One that goes all the way comes, too: with none left nothing would be feasible.
            if left - reach <= FEASIBLE || !reach.is_finite() {
                // Of those that are as near, the largest pivot.
                let near = candidates[at..].iter().take_while(|&&(other, _)| other <= ratio + AS_NEAR);
                let size = |j: &u32| alpha[*j as usize].abs();
                return (near.map(|&(_, j)| j).max_by(|a, b| size(a).total_cmp(&size(b))), at);
            }
            left -= reach;
        }
        (None, candidates.len())
    }

    /// A column by constraints.
    fn expand(&self, column: usize, to: &mut Vec<f64>) {
        to.clear();
        to.resize(self.rows.len(), 0.0);
        self.columns[column].iter().for_each(|&(row, a)| to[row as usize] = a);
    }

    /// Moves columns whose price turns from one bound to the other.
    fn flip(&mut self, flips: &[(f64, u32)], moved: &mut Vec<f64>) {
        moved.clear();
        moved.resize(self.rows.len(), 0.0);
        for &(_, j) in flips {
            let j = j as usize;
            let up = self.place[j] == Place::Lower;
            let step = if up { self.upper[j] - self.lower[j] } else { self.lower[j] - self.upper[j] };
            self.place[j] = if up { Place::Upper } else { Place::Lower };
            self.columns[j].iter().for_each(|&(k, a)| moved[k as usize] += a * step);
        }
        self.factor.forward(moved);
        self.values.iter_mut().zip(moved.iter()).for_each(|(value, x)| *value -= x);
    }

    /// A row of B⁻¹, and of B⁻¹A over all columns.
    fn row_of(&mut self, row: usize, buffers: &mut Buffers) {
        let Buffers { inverse_row, alpha, touched, touched_by, turn, .. } = buffers;
        inverse_row.clear();
        inverse_row.resize(self.rows.len(), 0.0);
        inverse_row[row] = 1.0;
        self.factor.backward(inverse_row);
        alpha.resize(self.cost.len(), 0.0);
        touched_by.resize(self.cost.len(), 0);
        touched.clear();
        *turn += 1;
        for (k, &r) in inverse_row.iter().enumerate() {
            if r.abs() > 1e-13 {
                for &(column, a) in &self.rows[k] {
                    let j = column as usize;
                    if touched_by[j] != *turn {
                        touched_by[j] = *turn;
                        alpha[j] = 0.0;
                        touched.push(column);
                    }
                    alpha[j] += r * a;
                }
            }
        }
    }

    /// A column takes the place of the basic one at a position, which goes to its bound.
    fn exchange(&mut self, row: usize, below: bool, entering: usize, buffers: &mut Buffers) {
        let Buffers { inverse_row, alpha, touched, column, edge, .. } = buffers;
        let leaving = self.basic[row] as usize;
        let bound = if below { self.lower[leaving] } else { self.upper[leaving] };
        let pivot = column[row];
        let step = (self.values[row] - bound) / pivot;
        let value = self.value(entering as u32) + step;
        let weight: f64 = inverse_row.iter().map(|v| v * v).sum();
        edge.clear();
        edge.extend_from_slice(inverse_row);
        self.factor.forward(edge);
        for (i, &a) in column.iter().enumerate() {
            if a != 0.0 && i != row {
                self.values[i] -= step * a;
                let ratio = a / pivot;
                let other = self.weights[i] - 2.0 * ratio * edge[i] + ratio * ratio * weight;
                self.weights[i] = other.max(1e-4);
            }
        }
        self.weights[row] = (weight / (pivot * pivot)).max(1e-4);
        self.values[row] = value;
        let dual = self.reduced[entering] / pivot;
        for j in touched.iter().map(|&j| j as usize) {
            if !matches!(self.place[j], Place::Basic(_)) {
                self.reduced[j] -= dual * alpha[j];
            }
        }
        self.reduced[entering] = 0.0;
        self.reduced[leaving] = -dual;
        self.place[leaving] = if below { Place::Lower } else { Place::Upper };
        self.place[entering] = Place::Basic(row as u32);
        self.basic[row] = entering as u32;
        self.factor.exchange(row, column);
    }

    /// The basis factored anew, values and reduced costs made of it; false when it is singular.
    fn renew(&mut self) -> bool {
        let m = self.rows.len();
        let columns: Vec<&[(u32, f64)]> =
            self.basic.iter().map(|&column| self.columns[column as usize].as_slice()).collect();
        if !self.factor.make(&columns) {
            return false;
        }
        self.stale = false;
        let mut right = self.rhs.clone();
        for (j, entries) in self.columns.iter().enumerate() {
            let value = if matches!(self.place[j], Place::Basic(_)) { 0.0 } else { self.value(j as u32) };
            if value != 0.0 {
                entries.iter().for_each(|&(row, a)| right[row as usize] -= a * value);
            }
        }
        self.factor.forward(&mut right);
        self.values = right;
        let mut duals: Vec<f64> = self.basic.iter().map(|&column| self.cost[column as usize]).collect();
        self.factor.backward(&mut duals);
        for (j, entries) in self.columns.iter().enumerate() {
            let basic = matches!(self.place[j], Place::Basic(_));
            let charged: f64 = entries.iter().map(|&(row, a)| duals[row as usize] * a).sum();
            self.reduced[j] = if basic { 0.0 } else { self.cost[j] - charged };
        }
        for position in self.weights.len()..m {
            let mut row = vec![0.0; m];
            row[position] = 1.0;
            self.factor.backward(&mut row);
            self.weights.push(row.iter().map(|v| v * v).sum::<f64>().max(1e-4));
        }
        true
    }
}

/// How a pivot ended.
enum Step {
    Made,
    /// The factors have drifted too far.
    Doubtful,
    Infeasible,
}
